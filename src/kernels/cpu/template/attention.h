/* Attention over a block of keys (kernels.h). The scores of ROW_TILE x KEY_TILE pairs of query and key are computed
 * together, then each row's exponentials, then P.V in tiles of rows x columns. Rows see different keys only at the
 * edges of a block (the diagonal, a window), so a tile of P.V takes the keys that all its rows see together, and before
 * and after these each row goes by itself: for each output the keys still rise. */
#ifndef ALLOY_KERNELS_CPU_TEMPLATE_ATTENTION_H
#define ALLOY_KERNELS_CPU_TEMPLATE_ATTENTION_H

enum {
    ROW_TILE = 3,
    KEY_TILE = 4, /* of v_tree4 */
    VALUE_ROWS = 6,
    VALUE_VECTORS = 2, /* 6 x 2 accumulators */
    MOST_ROWS = 64,
};

typedef struct attention_scratch {
    float p[MOST_ROWS][ALLOY_ATTENTION_BLOCK]; /* scores, then their exponentials */
} attention_scratch;

_Static_assert(sizeof(attention_scratch) <= ALLOY_SCRATCH_BYTES, "scratch");

/* ---- Scores ------------------------------------------------------------------------------------------------------ */

/* scores[i][j] = dot(q[i], k[j]) for `rows` queries and KEY_TILE keys */
ALLOY_INLINE void score_tile(float scores[ROW_TILE][KEY_TILE], const float *const q[ROW_TILE],
                             const float *const k[KEY_TILE], int64_t d, int rows)
{
    vec lanes[ROW_TILE][KEY_TILE][PARTS];
    for (int p = 0; p < PARTS; p++) {
        vec a[ROW_TILE][KEY_TILE], queries[ROW_TILE];
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < KEY_TILE; j++)
                a[i][j] = v_set(0);
        int64_t e = 0;
        for (; e + LANES <= d; e += LANES) {
            for (int i = 0; i < rows; i++)
                queries[i] = v_load(q[i] + e + p * WIDTH);
            for (int j = 0; j < KEY_TILE; j++) {
                vec key = v_load(k[j] + e + p * WIDTH);
                for (int i = 0; i < rows; i++)
                    a[i][j] = v_fma(queries[i], key, a[i][j]);
            }
        }
        for (int i = 0; e < d && i < rows; i++)
            for (int j = 0; j < KEY_TILE; j++)
                a[i][j] = v_fma(v_load_part(q[i] + e, p, d - e), v_load_part(k[j] + e, p, d - e), a[i][j]);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < KEY_TILE; j++)
                lanes[i][j][p] = a[i][j];
    }
    for (int i = 0; i < rows; i++)
        v_tree4(scores[i], lanes[i][0], lanes[i][1], lanes[i][2], lanes[i][3]);
}

/* The places that some row sees, rising; how many. */
static int seen_places(const alloy_attention_block *block, int8_t places[ALLOY_ATTENTION_BLOCK])
{
    uint64_t seen = 0;
    for (int64_t i = 0; i < block->rows; i++)
        if (block->from[i] < block->to[i])
            seen |= (~(uint64_t)0 >> (64 - (block->to[i] - block->from[i]))) << block->from[i];
    int count = 0;
    for (int j = 0; j < ALLOY_ATTENTION_BLOCK; j++)
        if (seen >> j & 1)
            places[count++] = (int8_t)j;
    return count;
}

ALLOY_INLINE void score_rows(const alloy_attention_block *block, attention_scratch *scratch, int64_t i0, int rows,
                             const float *const keys[KEY_TILE], const int8_t places[KEY_TILE])
{
    float scores[ROW_TILE][KEY_TILE];
    const float *q[ROW_TILE];
    for (int i = 0; i < rows; i++)
        q[i] = block->q + (i0 + i) * block->q_stride;
    score_tile(scores, q, keys, block->d, rows);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < KEY_TILE; j++)
            scratch->p[i0 + i][places[j]] = scores[i][j] * block->scale;
}

static void scores_of(const alloy_attention_block *block, attention_scratch *scratch)
{
    int8_t places[ALLOY_ATTENTION_BLOCK + KEY_TILE];
    int count = seen_places(block, places);
    for (int j = 0; j < KEY_TILE && count; j++) /* the last tile repeats the last key */
        places[count + j] = places[count - 1];
    for (int j = 0; j < count; j += KEY_TILE) {
        const float *keys[KEY_TILE];
        for (int i = 0; i < KEY_TILE; i++)
            keys[i] = block->k + places[j + i] * block->k_stride;
        int64_t i = 0;
        for (; i + ROW_TILE <= block->rows; i += ROW_TILE)
            score_rows(block, scratch, i, ROW_TILE, keys, places + j);
        if (block->rows - i == 2)
            score_rows(block, scratch, i, 2, keys, places + j);
        else if (block->rows - i == 1)
            score_rows(block, scratch, i, 1, keys, places + j);
    }
}

/* ---- Exponentials ------------------------------------------------------------------------------------------------ */

/* Turns row i's scores into p, moves m and l on; returns c. */
ALLOY_INLINE float exponentials(const alloy_attention_block *block, float p[ALLOY_ATTENTION_BLOCK], int64_t i)
{
    int from = block->from[i], to = block->to[i];
    float before = block->m[i], m = alloy_max(before, row_max(p + from, to - from)) + 0.0f;
    exp_row(p + from, p + from, m, to - from);
    memset(p, 0, (size_t)from * sizeof *p);
    memset(p + to, 0, (size_t)(ALLOY_ATTENTION_BLOCK - to) * sizeof *p);
    float c = alloy_exp(before - m);
    block->m[i] = m;
    block->l[i] = fmaf(block->l[i], c, sum(p, ALLOY_ATTENTION_BLOCK));
    return c;
}

/* ---- P.V --------------------------------------------------------------------------------------------------------- */

/* Columns [e, e + vectors * WIDTH) of o for `rows` rows: o = fma(p_j, v_j, o) for from <= j < to. */
ALLOY_INLINE void value_tile(const alloy_attention_block *block, const attention_scratch *scratch, const int8_t *rows,
                             int count, int vectors, int64_t e, int from, int to)
{
    vec a[VALUE_ROWS][VALUE_VECTORS];
    for (int i = 0; i < count; i++)
        for (int x = 0; x < vectors; x++)
            a[i][x] = v_load(block->o + rows[i] * block->o_stride + e + x * WIDTH);
    for (int j = from; j < to; j++) {
        vec value[VALUE_VECTORS];
        for (int x = 0; x < vectors; x++)
            value[x] = v_load(block->v + j * block->v_stride + e + x * WIDTH);
        for (int i = 0; i < count; i++) {
            vec p = v_set(scratch->p[rows[i]][j]);
            for (int x = 0; x < vectors; x++)
                a[i][x] = v_fma(p, value[x], a[i][x]);
        }
    }
    for (int i = 0; i < count; i++)
        for (int x = 0; x < vectors; x++)
            v_store(block->o + rows[i] * block->o_stride + e + x * WIDTH, a[i][x]);
}

ALLOY_INLINE void value_columns(const alloy_attention_block *block, const attention_scratch *scratch,
                                const int8_t *rows, int count, int from, int to)
{
    int64_t e = 0;
    for (; e + VALUE_VECTORS * WIDTH <= block->dv; e += VALUE_VECTORS * WIDTH)
        value_tile(block, scratch, rows, count, VALUE_VECTORS, e, from, to);
    for (; e + WIDTH <= block->dv; e += WIDTH)
        value_tile(block, scratch, rows, count, 1, e, from, to);
    for (int i = 0; e < block->dv && i < count; i++)
        for (int j = from; j < to; j++)
            for (int64_t x = e; x < block->dv; x++) {
                float *o = block->o + rows[i] * block->o_stride + x;
                *o = fmaf(scratch->p[rows[i]][j], block->v[j * block->v_stride + x], *o);
            }
}

/* Keys [from, to) for up to VALUE_ROWS rows. */
static void value_span(const alloy_attention_block *block, const attention_scratch *scratch, const int8_t *rows,
                       int count, int from, int to)
{
    if (from >= to)
        return;
    for (; count >= 6; count -= 6, rows += 6)
        value_columns(block, scratch, rows, 6, from, to);
    for (; count >= 4; count -= 4, rows += 4)
        value_columns(block, scratch, rows, 4, from, to);
    for (; count >= 2; count -= 2, rows += 2)
        value_columns(block, scratch, rows, 2, from, to);
    if (count)
        value_columns(block, scratch, rows, 1, from, to);
}

/* All that up to VALUE_ROWS rows see. */
static void value_rows(const alloy_attention_block *block, const attention_scratch *scratch, const int8_t *rows,
                       int count)
{
    int from = 0, to = ALLOY_ATTENTION_BLOCK; /* what all of them see */
    for (int i = 0; i < count; i++) {
        from = block->from[rows[i]] > from ? block->from[rows[i]] : from;
        to = block->to[rows[i]] < to ? block->to[rows[i]] : to;
    }
    for (int i = 0; i < count; i++)
        value_span(block, scratch, rows + i, 1, block->from[rows[i]], from < to ? from : block->to[rows[i]]);
    if (from >= to)
        return;
    value_span(block, scratch, rows, count, from, to);
    for (int i = 0; i < count; i++)
        value_span(block, scratch, rows + i, 1, to, block->to[rows[i]]);
}

ALLOY_INLINE void scale_in_place(float *y, float factor, int64_t n)
{
    scale_row(y, y, factor, NULL, n);
}

static void attention_block(const alloy_attention_block *block, void *memory)
{
    attention_scratch *scratch = memory;
    int8_t active[MOST_ROWS];
    int count = 0;
    scores_of(block, scratch);
    for (int i = 0; i < block->rows; i++)
        if (block->from[i] < block->to[i]) {
            active[count++] = (int8_t)i;
            scale_in_place(block->o + i * block->o_stride, exponentials(block, scratch->p[i], i), block->dv);
        }
    for (int i = 0; i < count; i += VALUE_ROWS)
        value_rows(block, scratch, active + i, count - i < VALUE_ROWS ? count - i : VALUE_ROWS);
}

/* ---- Spans ------------------------------------------------------------------------------------------------------- */

static void attention_merge(float *m, float *l, float *o, const float *m2, const float *l2, const float *o2,
                            int64_t rows, int64_t dv)
{
    for (int64_t i = 0; i < rows; i++, o += dv, o2 += dv) {
        float most = alloy_max(m[i], m2[i]) + 0.0f;
        if (m[i] == -INFINITY && m2[i] == -INFINITY)
            continue;
        float c = alloy_exp(m[i] - most), c2 = alloy_exp(m2[i] - most);
        m[i] = most;
        l[i] = fmaf(l2[i], c2, l[i] * c);
        int64_t e = 0;
        for (; e + WIDTH <= dv; e += WIDTH)
            v_store(o + e, v_fma(v_load(o2 + e), v_set(c2), v_mul(v_load(o + e), v_set(c))));
        for (; e < dv; e++)
            o[e] = fmaf(o2[e], c2, o[e] * c);
    }
}

static void attention_finish(float *y, int64_t y_stride, const float *l, const float *o, int64_t rows, int64_t dv)
{
    for (int64_t i = 0; i < rows; i++)
        scale_row(y + i * y_stride, o + i * dv, 1 / l[i], NULL, dv);
}

#endif
