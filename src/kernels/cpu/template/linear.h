/* Linear layers (kernels.h), in two shapes of the same dots.
 *
 * Few tokens (decode): weights stream from memory, each vector is widened once and used for up to 4 tokens; several rows at a time keep the
 * multipliers and the memory busy.
 *
 * Many tokens (prefill): a tile is TILE_TOKENS x TILE_ROWS dots. In registers it holds one part (WIDTH of the 16 lanes) of each dot's lanes: parts do
 * not meet before the tree, so each runs on its own. k goes in panels short enough for activations and weights of a tile to stay in the L1
 * cache; between panels the lanes wait in memory. Weights are widened and activations copied, once a panel, to the order in which tiles read them:
 *
 *     packed      [tile][part][step of 16 lanes][row or token of the tile][WIDTH]     +0 where there is no row, token or element
 *     lanes       [tile of rows][tile of tokens][part][token][row][WIDTH]
 */
#ifndef ALLOY_KERNELS_CPU_TEMPLATE_LINEAR_H
#define ALLOY_KERNELS_CPU_TEMPLATE_LINEAR_H

enum {
    FEW_TOKENS = 8, /* up to here weights are not packed */
    PANEL = 256,    /* elements of k */
    STEPS = PANEL / LANES,
    TILE_ROWS = 4,
    BLOCK_ROWS = 64, /* of a block, whose lanes wait in scratch */
    BLOCK_TOKENS = 48,
    NEAR_TOKENS = 12, /* whose packed panel stays in the L1 cache while all rows pass */
    TILE_LANES = TILE_TOKENS * TILE_ROWS * LANES,
};

_Static_assert(BLOCK_TOKENS % NEAR_TOKENS == 0 && NEAR_TOKENS % TILE_TOKENS == 0 && BLOCK_ROWS % TILE_ROWS == 0,
               "whole tiles");

typedef struct linear_scratch {
    float x[BLOCK_TOKENS * PANEL];
    float w[BLOCK_ROWS * PANEL];
    float lanes[BLOCK_TOKENS * BLOCK_ROWS * LANES];
} linear_scratch;

_Static_assert(sizeof(linear_scratch) <= ALLOY_SCRATCH_BYTES, "scratch");

/* (dot + bias) * scale */
ALLOY_INLINE void finish(const alloy_linear_job *job, int64_t t, int64_t r, float total)
{
    if (job->bias)
        total += job->bias[r];
    job->y[t * job->y_stride + r] = total * job->scale;
}

/* ---- Few tokens ---- */

ALLOY_INLINE void stream_tile(const alloy_linear_job *job, alloy_dtype dtype, int64_t r0, int64_t t0, int rows,
                              int tokens)
{
    const int64_t size = dtype == ALLOY_F32 ? 4 : 2;
    vec lanes[4][4][PARTS];
    const char *w[4];
    const float *x[4];
    for (int r = 0; r < rows; r++) {
        w[r] = (const char *)job->w + (r0 + r) * job->w_stride;
        for (int t = 0; t < tokens; t++)
            for (int p = 0; p < PARTS; p++)
                lanes[r][t][p] = v_set(0);
    }
    for (int t = 0; t < tokens; t++)
        x[t] = job->x + (t0 + t) * job->x_stride;

    int64_t k = 0;
    for (; k + LANES <= job->k; k += LANES)
        for (int r = 0; r < rows; r++)
            for (int p = 0; p < PARTS; p++) {
                vec weights = v_load_weights(w[r] + (k + p * WIDTH) * size, dtype);
                for (int t = 0; t < tokens; t++)
                    lanes[r][t][p] = v_fma(v_load(x[t] + k + p * WIDTH), weights, lanes[r][t][p]);
            }
    for (int p = 0; k < job->k && p < PARTS; p++) {
        int64_t from = k + p * WIDTH, count = job->k - from < 0 ? 0 : job->k - from > WIDTH ? WIDTH : job->k - from;
        for (int r = 0; r < rows; r++) {
            vec weights = count == WIDTH ? v_load_weights(w[r] + from * size, dtype)
                                         : v_load_weights_first(w[r] + from * size, dtype, count);
            for (int t = 0; t < tokens; t++)
                lanes[r][t][p] = v_fma(v_load_part(x[t] + k, p, job->k - k), weights, lanes[r][t][p]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < tokens; t++)
            finish(job, t0 + t, r0 + r, v_tree(lanes[r][t]));
}

/* All rows for `tokens` tokens, `rows` at a time. */
ALLOY_INLINE void stream_rows(const alloy_linear_job *job, alloy_dtype dtype, int64_t r0, int64_t r1, int64_t t0,
                              int rows, int tokens)
{
    for (; r0 + rows <= r1; r0 += rows)
        stream_tile(job, dtype, r0, t0, rows, tokens);
    for (; r0 < r1; r0++)
        stream_tile(job, dtype, r0, t0, 1, tokens);
}

ALLOY_INLINE void stream(const alloy_linear_job *job, alloy_dtype dtype)
{
    for (int64_t r = 0; r < job->rows; r += 4) { /* the tokens after the first four find the weights in a cache */
        int64_t end = r + 4 < job->rows ? r + 4 : job->rows, t = 0;
        for (; t + 4 <= job->n; t += 4)
            stream_rows(job, dtype, r, end, t, 1, 4);
        if (job->n - t == 3)
            stream_rows(job, dtype, r, end, t, 2, 3);
        else if (job->n - t == 2)
            stream_rows(job, dtype, r, end, t, 2, 2);
        else if (job->n - t == 1)
            stream_rows(job, dtype, r, end, t, 4, 1);
    }
}

/* ---- Many tokens ---- */

/* `count` <= PANEL elements of a row of activations or weights, to row `place` of a tile of `rows`. */
ALLOY_INLINE void pack_row(float *tile, int place, int rows, const char *row, alloy_dtype dtype, int64_t count)
{
    const int64_t size = dtype == ALLOY_F32 ? 4 : 2;
    for (int p = 0; p < PARTS; p++) {
        float *out = tile + (p * STEPS * rows + place) * WIDTH;
        for (int64_t k = p * WIDTH; k < count; k += LANES, out += rows * WIDTH) {
            bool whole = k + WIDTH <= count;
            v_store(out, whole ? v_load_weights(row + k * size, dtype)
                               : v_load_weights_first(row + k * size, dtype, count - k));
        }
        if (p * WIDTH >= (count + LANES - 1) % LANES + 1) /* the last step has nothing for this part */
            v_store(out, v_set(0));
    }
}

/* Elements k0.. of rows [from, from + rows) of a matrix, as tiles; `last` is behind the matrix' last row. */
ALLOY_INLINE void pack(float *tiles, int tile_rows, const char *matrix, int64_t stride, alloy_dtype dtype, int64_t from,
                       int64_t last, int64_t rows, int64_t k0, int64_t count)
{
    for (int64_t r = 0; r < rows; r++) {
        float *tile = tiles + r / tile_rows * tile_rows * PANEL;
        if (from + r < last)
            pack_row(tile, (int)(r % tile_rows), tile_rows,
                     matrix + (from + r) * stride + k0 * (dtype == ALLOY_F32 ? 4 : 2), dtype, count);
        else
            for (int64_t i = 0; i < PARTS * STEPS; i++)
                v_store(tile + (i * tile_rows + r % tile_rows) * WIDTH, v_set(0));
    }
}

/* One panel of a tile: lanes = fma(x, w, lanes) over `steps` steps. */
ALLOY_INLINE void tile_panel(float *lanes, const float *x, const float *w, int64_t steps)
{
    for (int p = 0; p < PARTS; p++) {
        vec a[TILE_TOKENS][TILE_ROWS];
        const float *xs = x + p * STEPS * TILE_TOKENS * WIDTH, *ws = w + p * STEPS * TILE_ROWS * WIDTH;
        float *mine = lanes + p * TILE_TOKENS * TILE_ROWS * WIDTH;
        for (int t = 0; t < TILE_TOKENS; t++)
            for (int r = 0; r < TILE_ROWS; r++)
                a[t][r] = v_load(mine + (t * TILE_ROWS + r) * WIDTH);
        for (int64_t s = 0; s < steps; s++, xs += TILE_TOKENS * WIDTH, ws += TILE_ROWS * WIDTH) {
            vec tokens[TILE_TOKENS];
            for (int t = 0; t < TILE_TOKENS; t++)
                tokens[t] = v_load(xs + t * WIDTH);
            for (int r = 0; r < TILE_ROWS; r++) {
                vec weights = v_load(ws + r * WIDTH);
                for (int t = 0; t < TILE_TOKENS; t++)
                    a[t][r] = v_fma(tokens[t], weights, a[t][r]);
            }
        }
        for (int t = 0; t < TILE_TOKENS; t++)
            for (int r = 0; r < TILE_ROWS; r++)
                v_store(mine + (t * TILE_ROWS + r) * WIDTH, a[t][r]);
    }
}

/* The trees of a tile, written to y where there are tokens and rows. */
ALLOY_INLINE void finish_tile(const alloy_linear_job *job, const float *lanes, int64_t t0, int64_t r0)
{
    const int64_t part = TILE_TOKENS * TILE_ROWS * WIDTH;
    for (int t = 0; t < TILE_TOKENS && t0 + t < job->n; t++) {
        vec dots[TILE_ROWS][PARTS];
        float sums[TILE_ROWS];
        for (int r = 0; r < TILE_ROWS; r++)
            for (int p = 0; p < PARTS; p++)
                dots[r][p] = v_load(lanes + p * part + (t * TILE_ROWS + r) * WIDTH);
        v_tree4(sums, dots[0], dots[1], dots[2], dots[3]);
        for (int r = 0; r < TILE_ROWS && r0 + r < job->rows; r++)
            finish(job, t0 + t, r0 + r, sums[r]);
    }
}

/* Rows [r0, r0 + rows) for tokens [t0, t0 + tokens), both whole tiles, some of them perhaps behind the job's last. */
ALLOY_INLINE void block(const alloy_linear_job *job, alloy_dtype dtype, int64_t r0, int64_t rows, int64_t t0,
                        int64_t tokens, linear_scratch *scratch)
{
    const int64_t token_tiles = tokens / TILE_TOKENS, near_tiles = NEAR_TOKENS / TILE_TOKENS;
    memset(scratch->lanes, 0, (size_t)(rows * tokens * LANES) * sizeof(float));
    for (int64_t k = 0; k < job->k; k += PANEL) {
        int64_t count = job->k - k < PANEL ? job->k - k : PANEL, steps = (count + LANES - 1) / LANES;
        pack(scratch->w, TILE_ROWS, job->w, job->w_stride, dtype, r0, job->rows, rows, k, count);
        pack(scratch->x, TILE_TOKENS, (const char *)job->x, job->x_stride * 4, ALLOY_F32, t0, job->n, tokens, k, count);
        for (int64_t near = 0; near < token_tiles; near += near_tiles)
            for (int64_t r = 0; r < rows / TILE_ROWS; r++)
                for (int64_t t = near; t < token_tiles && t < near + near_tiles; t++)
                    tile_panel(scratch->lanes + (r * token_tiles + t) * TILE_LANES,
                               scratch->x + t * TILE_TOKENS * PANEL, scratch->w + r * TILE_ROWS * PANEL, steps);
    }
    for (int64_t r = 0; r < rows / TILE_ROWS; r++)
        for (int64_t t = 0; t < token_tiles; t++)
            finish_tile(job, scratch->lanes + (r * token_tiles + t) * TILE_LANES, t0 + t * TILE_TOKENS,
                        r0 + r * TILE_ROWS);
}

/* At most `most`, in whole tiles. */
ALLOY_INLINE int64_t tiles(int64_t left, int64_t most, int64_t tile)
{
    return left >= most ? most : (left + tile - 1) / tile * tile;
}

ALLOY_INLINE void blocks(const alloy_linear_job *job, alloy_dtype dtype, linear_scratch *scratch)
{
    for (int64_t r = 0; r < job->rows; r += BLOCK_ROWS)
        for (int64_t t = 0; t < job->n; t += BLOCK_TOKENS)
            block(job, dtype, r, tiles(job->rows - r, BLOCK_ROWS, TILE_ROWS), t,
                  tiles(job->n - t, BLOCK_TOKENS, TILE_TOKENS), scratch);
}

ALLOY_INLINE void linear_of(const alloy_linear_job *job, alloy_dtype dtype, void *scratch)
{
    if (job->n <= FEW_TOKENS)
        stream(job, dtype);
    else
        blocks(job, dtype, scratch);
}

static void linear(const alloy_linear_job *job, void *scratch)
{
    if (job->dtype == ALLOY_F32)
        linear_of(job, ALLOY_F32, scratch);
    else if (job->dtype == ALLOY_BF16)
        linear_of(job, ALLOY_BF16, scratch);
    else
        linear_of(job, ALLOY_F16, scratch);
}

#endif
