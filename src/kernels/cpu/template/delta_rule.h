/* The gated delta rule (kernels.h), for tiles of TILE_VECTORS vectors of columns: all tokens pass over a tile before
 * the next, so its state stays in the L1 cache. A state's rows lie a power of two apart and would fall into few sets of
 * that cache, so a tile that is used often is copied out and back. */
#ifndef ALLOY_KERNELS_CPU_TEMPLATE_DELTA_RULE_H
#define ALLOY_KERNELS_CPU_TEMPLATE_DELTA_RULE_H

enum {
    TILE_VECTORS = 2,
    CHAINS = 4,
    COPIED_KEYS = 256, /* the most keys of a tile that is copied */
    COPIED_TOKENS = 3, /* the fewest tokens for which it pays */
};

/* chains[i % 4] += s[i] * x[i] is finished: (0 + 2) + (1 + 3) */
ALLOY_INLINE vec join_chains(vec chains[CHAINS])
{
    return v_add(v_add(chains[0], chains[2]), v_add(chains[1], chains[3]));
}

/* s = s * decay; the column sums of s with k */
ALLOY_INLINE void decay_and_read(vec sums[TILE_VECTORS], float *s, int64_t stride, const float *k, int64_t keys,
                                 float decay, int vectors)
{
    vec chains[TILE_VECTORS][CHAINS];
    for (int x = 0; x < vectors; x++)
        for (int c = 0; c < CHAINS; c++)
            chains[x][c] = v_set(0);
    int64_t i = 0;
    for (; i + CHAINS <= keys; i += CHAINS)
        for (int c = 0; c < CHAINS; c++)
            for (int x = 0; x < vectors; x++) {
                vec decayed = v_mul(v_load(s + (i + c) * stride + x * WIDTH), v_set(decay));
                v_store(s + (i + c) * stride + x * WIDTH, decayed);
                chains[x][c] = v_fma(decayed, v_set(k[i + c]), chains[x][c]);
            }
    for (int c = 0; c < CHAINS - 1 && i + c < keys; c++)
        for (int x = 0; x < vectors; x++) {
            vec decayed = v_mul(v_load(s + (i + c) * stride + x * WIDTH), v_set(decay));
            v_store(s + (i + c) * stride + x * WIDTH, decayed);
            chains[x][c] = v_fma(decayed, v_set(k[i + c]), chains[x][c]);
        }
    for (int x = 0; x < vectors; x++)
        sums[x] = join_chains(chains[x]);
}

/* s = fma(k, u, s); the column sums of s with q */
ALLOY_INLINE void write_and_read(vec sums[TILE_VECTORS], float *s, int64_t stride, const float *k, const float *q,
                                 int64_t keys, const vec u[TILE_VECTORS], int vectors)
{
    vec chains[TILE_VECTORS][CHAINS];
    for (int x = 0; x < vectors; x++)
        for (int c = 0; c < CHAINS; c++)
            chains[x][c] = v_set(0);
    int64_t i = 0;
    for (; i + CHAINS <= keys; i += CHAINS)
        for (int c = 0; c < CHAINS; c++)
            for (int x = 0; x < vectors; x++) {
                vec written = v_fma(v_set(k[i + c]), u[x], v_load(s + (i + c) * stride + x * WIDTH));
                v_store(s + (i + c) * stride + x * WIDTH, written);
                chains[x][c] = v_fma(written, v_set(q[i + c]), chains[x][c]);
            }
    for (int c = 0; c < CHAINS - 1 && i + c < keys; c++)
        for (int x = 0; x < vectors; x++) {
            vec written = v_fma(v_set(k[i + c]), u[x], v_load(s + (i + c) * stride + x * WIDTH));
            v_store(s + (i + c) * stride + x * WIDTH, written);
            chains[x][c] = v_fma(written, v_set(q[i + c]), chains[x][c]);
        }
    for (int x = 0; x < vectors; x++)
        sums[x] = join_chains(chains[x]);
}

/* All tokens over the columns [column, column + vectors * WIDTH). */
ALLOY_INLINE void delta_tokens(const alloy_delta_job *job, float *s, int64_t stride, int64_t column, int vectors)
{
    for (int64_t t = 0; t < job->tokens; t++) {
        const float *k = job->k + t * job->k_stride, *q = job->q + t * job->q_stride,
                    *v = job->v + t * job->v_stride + column;
        float *y = job->y + t * job->y_stride + column;
        vec sums[TILE_VECTORS], u[TILE_VECTORS];
        decay_and_read(sums, s, stride, k, job->keys, job->decay[t * job->decay_stride], vectors);
        for (int x = 0; x < vectors; x++)
            u[x] = v_mul(v_sub(v_load(v + x * WIDTH), sums[x]), v_set(job->beta[t * job->beta_stride]));
        write_and_read(sums, s, stride, k, q, job->keys, u, vectors);
        for (int x = 0; x < vectors; x++)
            v_store(y + x * WIDTH, sums[x]);
    }
}

ALLOY_INLINE void delta_tile(const alloy_delta_job *job, int64_t column, int vectors)
{
    float copy[COPIED_KEYS * TILE_VECTORS * WIDTH], *s = job->state + column;
    const int64_t width = vectors * WIDTH;
    if (job->keys > COPIED_KEYS || job->tokens < COPIED_TOKENS) {
        delta_tokens(job, s, job->state_stride, column, vectors);
        return;
    }
    for (int64_t i = 0; i < job->keys; i++)
        for (int x = 0; x < vectors; x++)
            v_store(copy + i * width + x * WIDTH, v_load(s + i * job->state_stride + x * WIDTH));
    delta_tokens(job, copy, width, column, vectors);
    for (int64_t i = 0; i < job->keys; i++)
        for (int x = 0; x < vectors; x++)
            v_store(s + i * job->state_stride + x * WIDTH, v_load(copy + i * width + x * WIDTH));
}

static void delta_rule(const alloy_delta_job *job)
{
    int64_t c = 0;
    for (; c + TILE_VECTORS * WIDTH <= job->columns; c += TILE_VECTORS * WIDTH)
        delta_tile(job, c, TILE_VECTORS);
    for (; c + WIDTH <= job->columns; c += WIDTH)
        delta_tile(job, c, 1);
    if (c == job->columns)
        return;
    alloy_delta_job rest = *job; /* less than a vector of columns: plain C */
    rest.state += c;
    rest.v += c;
    rest.y += c;
    rest.columns -= c;
    alloy_generic_delta_rule(&rest);
}

#endif
