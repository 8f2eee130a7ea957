/* Linear layers (kernels.h), in two shapes of the same dots.
 *
 * Few tokens (decode): weights stream from memory, each vector is widened once and used for up to 4 tokens. The job's
 * rows are divided in 4 parts (2 from the second token on), which stream side by side: each is long and sequential, so
 * that the processor's prefetchers follow it, which they do not when neighbouring rows share a page.
 *
 * Many tokens (prefill): a tile is TILE_TOKENS x TILE_ROWS dots. In registers it holds one part (WIDTH of the 16 lanes)
 * of each dot's lanes: parts do not meet before the tree, so each runs on its own. k goes in panels; between panels the
 * lanes wait in scratch. For each panel the activations of a block of tokens are copied to the order in which tiles
 * read them, and stay in the L2 cache; then four rows of weights at a time are widened into the L1 cache and meet
 * all these tokens.
 *
 * FP8 and FP4 take these ways too, each element with its scale. One token streams them, tile of scales by tile, two
 * rows at a time: to widen takes more time than to multiply, and the other registers. So scales are made ready once for
 * all rows of a job, and that a number in FP8 is NaN is only found, in bytes, and then its rows are done step by step.
 * For more tokens a panel's rows are widened once.
 *
 *     packed      [tile][part][step of 16 lanes][row or token of the tile][WIDTH]
 *     lanes       [tile of rows][tile of tokens][part][token][row][WIDTH] */
#ifndef ALLOY_KERNELS_CPU_TEMPLATE_LINEAR_H
#define ALLOY_KERNELS_CPU_TEMPLATE_LINEAR_H

enum {
    FEW_TOKENS = 8,    /* up to here weights are not packed */
    STREAM_ROWS = 4,   /* at most, in flight */
    STREAM_TOKENS = 4, /* at most, for a loaded vector of weights */
    SCALED_ROWS = 2,   /* of FP8 and FP4, in flight: widening takes the other registers */
    AHEAD = 2048,      /* bytes that memory is asked for, before they are widened, */
    LINE = 64,         /* by lines */
    PANEL = 512,       /* elements of k */
    STEPS = PANEL / LANES,
    TILE_ROWS = 4, /* of v_tree4 */
    TILE_LANES = TILE_TOKENS * TILE_ROWS * LANES,
    BLOCK_ROWS = 128,  /* most rows of a block, */
    BLOCK_TOKENS = 72, /* most tokens, */
    BLOCK_DOTS = 4608, /* and most of both together: dots whose lanes wait in scratch */
};

typedef struct linear_scratch {
    float x[BLOCK_TOKENS * PANEL];
    float w[TILE_ROWS * PANEL];
    float wide[TILE_ROWS * PANEL]; /* rows of weights with scales, widened */
    float lanes[BLOCK_DOTS * LANES];
} linear_scratch;

_Static_assert(sizeof(linear_scratch) <= ALLOY_SCRATCH_BYTES, "scratch");
_Static_assert(BLOCK_TOKENS % TILE_TOKENS == 0 && BLOCK_ROWS % TILE_ROWS == 0, "whole tiles");

/* (dot + bias) * scale */
ALLOY_INLINE void finish(const alloy_linear_job *job, int64_t t, int64_t r, float total)
{
    if (job->bias)
        total += job->bias[r];
    job->y[t * job->y_stride + r] = total * job->scale;
}

/* ---- Few tokens -------------------------------------------------------------------------------------------------- */

/* The lanes of `parts` parts, from part `first` on, of the dots of some rows with some tokens. */
ALLOY_INLINE void stream_parts(vec lanes[STREAM_ROWS][STREAM_TOKENS][PARTS], const char *const w[STREAM_ROWS], int rows,
                               const float *const x[STREAM_TOKENS], int tokens, alloy_dtype dtype, int64_t count,
                               int first, int parts)
{
    const int64_t size = dtype == ALLOY_F32 ? 4 : 2;
    vec a[STREAM_ROWS][STREAM_TOKENS][PARTS], values[STREAM_TOKENS];
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < tokens; t++)
            for (int p = 0; p < parts; p++)
                a[r][t][p] = v_set(0);
    int64_t k = 0;
    for (; k + LANES <= count; k += LANES)
        for (int p = 0; p < parts; p++) {
            for (int t = 0; t < tokens; t++)
                values[t] = v_load(x[t] + k + (first + p) * WIDTH);
            for (int r = 0; r < rows; r++) {
                vec weights = v_load_weights(w[r] + (k + (first + p) * WIDTH) * size, dtype);
                for (int t = 0; t < tokens; t++)
                    a[r][t][p] = v_fma(values[t], weights, a[r][t][p]);
            }
        }
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < parts; p++) {
            vec weights = v_set(0);
            if (k < count)
                weights = v_load_weights_part(w[r] + k * size, dtype, first + p, count - k);
            for (int t = 0; t < tokens; t++) {
                vec last = a[r][t][p];
                lanes[r][t][first + p] =
                    k < count ? v_fma(v_load_part(x[t] + k, first + p, count - k), weights, last) : last;
            }
        }
}

/* Rows r0, r0 + apart, ... for tokens t0, t0 + 1, ... */
ALLOY_INLINE void stream_tile(const alloy_linear_job *job, alloy_dtype dtype, int64_t r0, int64_t apart, int rows,
                              int64_t t0, int tokens)
{
    vec lanes[STREAM_ROWS][STREAM_TOKENS][PARTS];
    const char *w[STREAM_ROWS];
    const float *x[STREAM_TOKENS];
    for (int r = 0; r < rows; r++)
        w[r] = (const char *)job->w + (r0 + r * apart) * job->w_stride;
    for (int t = 0; t < tokens; t++)
        x[t] = job->x + (t0 + t) * job->x_stride;
    if (tokens == 1)
        stream_parts(lanes, w, rows, x, tokens, dtype, job->k, 0, PARTS);
    else /* more than one part would not fit the registers */
        for (int p = 0; p < PARTS; p++)
            stream_parts(lanes, w, rows, x, tokens, dtype, job->k, p, 1);
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < tokens; t++)
            finish(job, t0 + t, r0 + r * apart, v_tree(lanes[r][t]));
}

/* Some rows for all tokens: those after the first few find the weights in a cache. */
ALLOY_INLINE void stream_rows(const alloy_linear_job *job, alloy_dtype dtype, int64_t r0, int64_t apart, int rows)
{
    int64_t t = 0;
    for (; t + STREAM_TOKENS <= job->n; t += STREAM_TOKENS)
        stream_tile(job, dtype, r0, apart, rows, t, STREAM_TOKENS);
    if (job->n - t == 3)
        stream_tile(job, dtype, r0, apart, rows, t, 3);
    else if (job->n - t == 2)
        stream_tile(job, dtype, r0, apart, rows, t, 2);
    else if (job->n - t == 1)
        stream_tile(job, dtype, r0, apart, rows, t, 1);
}

ALLOY_INLINE void stream(const alloy_linear_job *job, alloy_dtype dtype, linear_scratch *scratch)
{
    (void)scratch;
    int64_t at_once = job->n == 1 ? STREAM_ROWS : 2, apart = job->rows / at_once;
    for (int64_t r = 0; r < apart; r++)
        if (job->n == 1)
            stream_tile(job, dtype, r, apart, STREAM_ROWS, 0, 1);
        else
            stream_rows(job, dtype, r, apart, 2);
    for (int64_t r = apart * at_once; r < job->rows; r++)
        stream_rows(job, dtype, r, 0, 1);
}

/* ---- One token, weights with scales ------------------------------------------------------------------------------ */

/* Lanes of the dot of row r over [from, to), in rising order; step by step. */
ALLOY_INLINE void stream_steps(vec lanes[PARTS], const alloy_linear_job *job, alloy_dtype dtype, int64_t r,
                               int64_t from, int64_t to)
{
    for (int64_t k = from; k < to; k += LANES) {
        float step[LANES] = {0};
        widen_scaled(step, (const char *)job->w + r * job->w_stride, dtype, &job->scales, r, k,
                     k + LANES < to ? k + LANES : to);
        for (int p = 0; p < PARTS; p++)
            lanes[p] = v_fma(v_load_part(job->x + k, p, to - k), v_load(step + p * WIDTH), lanes[p]);
    }
}

/* Where a row's weights and the scales of its tiles begin. */
typedef struct scaled_row {
    const char *w, *scales;
} scaled_row;

/* Tiles [tile, end) of some rows, each of `loads` times 16 bytes of weights, the first of them `at` bytes after the
 * beginnings of rows. NaN in F8_E4M3 is joined to what is found, not multiplied. */
ALLOY_INLINE vec stream_tiles(vec lanes[SCALED_ROWS][PARTS], vec found, const scaled_row row[SCALED_ROWS], int rows,
                              const float *x, alloy_dtype dtype, int64_t tile, int64_t end, int64_t at, int64_t loads)
{
    const int64_t at_once = SCALED_AT_ONCE(dtype);
    tile_scale scale[SCALED_ROWS];
    vec a[SCALED_ROWS][PARTS], weights[2 * PARTS];
    int64_t asked = at;
    memcpy(a, lanes, sizeof a);
    x += at / 16 * at_once;
    for (; tile < end; tile++) {
        for (; asked <= at; asked += LINE)
            for (int r = 0; r < rows; r++)
                __builtin_prefetch(row[r].w + asked + AHEAD);
        for (int r = 0; r < rows; r++)
            scale[r] = v_load_scale(row[r].scales, dtype, tile);
        for (int64_t load = 0; load < loads; load++, at += 16, x += at_once)
            for (int r = 0; r < rows; r++) {
                found = v_load_scaled(weights, found, row[r].w + at, dtype, scale[r]);
                for (int i = 0; i < at_once / WIDTH; i++)
                    a[r][i % PARTS] = v_fma(v_load(x + i * WIDTH), weights[i], a[r][i % PARTS]);
            }
    }
    memcpy(lanes, a, sizeof a);
    return found;
}

/* Whole tiles, and a last one that may be narrower. False: a weight is NaN, and the lanes are not those of the dots. */
ALLOY_INLINE bool stream_whole(vec lanes[SCALED_ROWS][PARTS], const scaled_row row[SCALED_ROWS], int rows,
                               const float *x, alloy_dtype dtype, int64_t columns, int64_t whole)
{
    const int64_t at_once = SCALED_AT_ONCE(dtype), tiles = whole / columns, at = tiles * columns / at_once * 16;
    vec found = v_set(0);
    if (columns == at_once)
        found = stream_tiles(lanes, found, row, rows, x, dtype, 0, tiles, 0, 1);
    else
        found = stream_tiles(lanes, found, row, rows, x, dtype, 0, tiles, 0, columns / at_once);
    if (tiles * columns < whole)
        found = stream_tiles(lanes, found, row, rows, x, dtype, tiles, tiles + 1, at, whole % columns / at_once);
    if (dtype == ALLOY_F4)
        for (int r = 0; r < rows; r++)
            v_from_f4_order(lanes[r]);
    return dtype == ALLOY_F4 || !v_f8_e4m3_found_nan(found);
}

/* Rows r0, r0 + apart, ...; x in the order in which weights are loaded. Without scales: step by step. */
ALLOY_INLINE void stream_scaled_rows(const alloy_linear_job *job, const alloy_scales *scales, const float *x,
                                     alloy_dtype dtype, int64_t r0, int64_t apart, int rows)
{
    const int64_t whole = job->k - job->k % SCALED_AT_ONCE(dtype);
    scaled_row row[SCALED_ROWS];
    vec lanes[SCALED_ROWS][PARTS];
    for (int r = 0; r < rows; r++) {
        row[r].w = (const char *)job->w + (r0 + r * apart) * job->w_stride;
        if (scales)
            row[r].scales =
                (const char *)scales->data + (scales->first + r0 + r * apart) / scales->rows * scales->stride;
    }
    for (int r = 0; r < SCALED_ROWS; r++)
        for (int p = 0; p < PARTS; p++)
            lanes[r][p] = v_set(0);
    const bool exact = scales && stream_whole(lanes, row, rows, x, dtype, scales->columns, whole);
    for (int r = 0; r < rows; r++) {
        for (int p = 0; p < PARTS && !exact; p++)
            lanes[r][p] = v_set(0);
        stream_steps(lanes[r], job, dtype, r0 + r * apart, exact ? whole : 0, job->k);
        finish(job, 0, r0 + r * apart, v_tree(lanes[r]));
    }
}

ALLOY_INLINE int64_t tiles_of_row(const alloy_linear_job *job)
{
    return job->scales.data ? (job->k + job->scales.columns - 1) / job->scales.columns : 1;
}

/* The job's scales as v_load_scale takes them, for rows [from, to): those of F4 where they are, others as floats times
 * 2^120 in `table`. False: one of these is not finite. */
ALLOY_INLINE bool ready_scales(alloy_scales *ready, float *table, const alloy_linear_job *job, alloy_dtype dtype,
                               int64_t from, int64_t to)
{
    static const uint8_t one = 127;
    *ready = job->scales.data ? job->scales : (alloy_scales){&one, ALLOY_F8_E8M0, INT64_MAX, job->k, 0, 0};
    if (dtype == ALLOY_F4)
        return true;
    const int64_t first = (ready->first + from) / ready->rows, last = (ready->first + to - 1) / ready->rows;
    const int64_t tiles = tiles_of_row(job);
    bool finite = true;
    for (int64_t i = 0; i < (last - first + 1) * tiles; i++) {
        const char *given = (const char *)ready->data + (first + i / tiles) * ready->stride;
        table[i] = alloy_element(given, ready->dtype, i % tiles) * 0x1p120f;
        finite &= isfinite(table[i]) != 0;
    }
    *ready = (alloy_scales){table,
                            ALLOY_F32,
                            ready->rows,
                            ready->columns,
                            tiles * (int64_t)sizeof *table,
                            ready->first - first * ready->rows};
    return finite;
}

/* x in the order in which F4 is loaded, as far as whole steps go. */
ALLOY_INLINE const float *in_f4_order(float *sorted, const float *x, int64_t k)
{
    for (int64_t i = 0; i + LANES <= k; i += LANES) {
        vec lanes[PARTS];
        for (int p = 0; p < PARTS; p++)
            lanes[p] = v_load(x + i + p * WIDTH);
        v_to_f4_order(lanes);
        for (int p = 0; p < PARTS; p++)
            v_store(sorted + i + p * WIDTH, lanes[p]);
    }
    return sorted;
}

ALLOY_INLINE void stream_scaled(const alloy_linear_job *job, alloy_dtype dtype, linear_scratch *scratch)
{
    const float *x = dtype == ALLOY_F4 ? in_f4_order(scratch->lanes, job->x, job->k) : job->x;
    const int64_t most = BLOCK_TOKENS * PANEL / tiles_of_row(job); /* rows whose scales fit scratch->x, as floats */
    for (int64_t from = 0, to; from < job->rows; from = to) {
        to = job->rows - from < most ? job->rows : from + most;
        alloy_scales scales;
        const bool ready = ready_scales(&scales, scratch->x, job, dtype, from, to);
        const int64_t apart = (to - from) / SCALED_ROWS;
        for (int64_t r = from; r < from + apart; r++)
            stream_scaled_rows(job, ready ? &scales : NULL, x, dtype, r, apart, SCALED_ROWS);
        for (int64_t r = from + apart * SCALED_ROWS; r < to; r++)
            stream_scaled_rows(job, ready ? &scales : NULL, x, dtype, r, 0, 1);
    }
}

/* ---- Many tokens ------------------------------------------------------------------------------------------------- */

/* `count` <= PANEL elements of each of `rows` rows of activations or weights, as a tile. What the last step lacks is
 * +0. */
ALLOY_INLINE void pack_tile(float *tile, const char *const *row, int rows, alloy_dtype dtype, int64_t count)
{
    const int64_t size = dtype == ALLOY_F32 ? 4 : 2;
    int64_t k = 0;
    for (; k + LANES <= count; k += LANES, tile += rows * WIDTH)
        for (int p = 0; p < PARTS; p++)
            for (int r = 0; r < rows; r++)
                v_store(tile + (p * STEPS * rows + r) * WIDTH, v_load_weights(row[r] + (k + p * WIDTH) * size, dtype));
    for (int p = 0; k < count && p < PARTS; p++)
        for (int r = 0; r < rows; r++)
            v_store(tile + (p * STEPS * rows + r) * WIDTH, v_load_weights_part(row[r] + k * size, dtype, p, count - k));
}

/* Elements from k0 on of the matrix' rows [from, from + rows) as a tile; after `last` the last row stands in. */
ALLOY_INLINE void pack(float *tile, int rows, const char *matrix, int64_t stride, alloy_dtype dtype, int64_t from,
                       int64_t last, int64_t k0, int64_t count)
{
    const char *row[LANES]; /* a tile of either has fewer */
    for (int r = 0; r < rows; r++)
        row[r] = matrix + (from + r < last ? from + r : last - 1) * stride + k0 * (dtype == ALLOY_F32 ? 4 : 2);
    pack_tile(tile, row, rows, dtype, count);
}

/* Elements from k on of rows r, r + 1, ... of the job's weights as a tile. */
ALLOY_INLINE void pack_weights(linear_scratch *scratch, const alloy_linear_job *job, alloy_dtype dtype, int64_t r,
                               int64_t k, int64_t count)
{
    if (!IS_SCALED(dtype)) {
        pack(scratch->w, TILE_ROWS, job->w, job->w_stride, dtype, r, job->rows, k, count);
        return;
    }
    for (int i = 0; i < TILE_ROWS && r + i < job->rows; i++)
        widen_scaled(scratch->wide + i * PANEL, (const char *)job->w + (r + i) * job->w_stride, dtype, &job->scales,
                     r + i, k, k + count);
    pack(scratch->w, TILE_ROWS, (const char *)scratch->wide, PANEL * sizeof(float), ALLOY_F32, 0, job->rows - r, 0,
         count);
}

/* One panel of a tile: lanes = fma(x, w, lanes) over `steps` steps; the first panel begins at +0. */
ALLOY_INLINE void tile_panel(float *lanes, const float *x, const float *w, int64_t steps, bool first)
{
    for (int p = 0; p < PARTS; p++) {
        vec a[TILE_TOKENS][TILE_ROWS];
        const float *xs = x + p * STEPS * TILE_TOKENS * WIDTH, *ws = w + p * STEPS * TILE_ROWS * WIDTH;
        float *mine = lanes + p * TILE_TOKENS * TILE_ROWS * WIDTH;
        for (int t = 0; t < TILE_TOKENS; t++)
            for (int r = 0; r < TILE_ROWS; r++)
                a[t][r] = first ? v_set(0) : v_load(mine + (t * TILE_ROWS + r) * WIDTH);
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

/* Elements [k, k + count) of the dots of rows r0.. with tokens t0..; `rows` and `tokens` of them, in tiles. */
ALLOY_INLINE void block_panel(const alloy_linear_job *job, alloy_dtype dtype, linear_scratch *scratch, int64_t r0,
                              int64_t rows, int64_t t0, int64_t tokens, int64_t k)
{
    int64_t count = job->k - k < PANEL ? job->k - k : PANEL, steps = (count + LANES - 1) / LANES;
    float *lanes = scratch->lanes;
    for (int64_t t = 0; t < tokens; t += TILE_TOKENS)
        pack(scratch->x + t * PANEL, TILE_TOKENS, (const char *)job->x, job->x_stride * (int64_t)sizeof(float),
             ALLOY_F32, t0 + t, job->n, k, count);
    for (int64_t r = 0; r < rows; r += TILE_ROWS) {
        pack_weights(scratch, job, dtype, r0 + r, k, count);
        for (int64_t t = 0; t < tokens; t += TILE_TOKENS, lanes += TILE_LANES)
            if (k == 0)
                tile_panel(lanes, scratch->x + t * PANEL, scratch->w, steps, true);
            else
                tile_panel(lanes, scratch->x + t * PANEL, scratch->w, steps, false);
    }
}

ALLOY_INLINE void block(const alloy_linear_job *job, alloy_dtype dtype, linear_scratch *scratch, int64_t r0,
                        int64_t rows, int64_t t0, int64_t tokens)
{
    const float *lanes = scratch->lanes;
    for (int64_t k = 0; k < job->k; k += PANEL)
        block_panel(job, dtype, scratch, r0, rows, t0, tokens, k);
    for (int64_t r = 0; r < rows; r += TILE_ROWS)
        for (int64_t t = 0; t < tokens; t += TILE_TOKENS, lanes += TILE_LANES)
            finish_tile(job, lanes, t0 + t, r0 + r);
}

/* `left`, at most `most`; in whole tiles. */
ALLOY_INLINE int64_t in_tiles(int64_t left, int64_t most, int64_t tile)
{
    int64_t whole = (left + tile - 1) / tile * tile;
    return whole < most / tile * tile ? whole : most / tile * tile;
}

ALLOY_INLINE void blocks(const alloy_linear_job *job, alloy_dtype dtype, linear_scratch *scratch)
{
    int64_t rows, tokens;
    for (int64_t r = 0; r < job->rows; r += rows) {
        rows = in_tiles(job->rows - r, BLOCK_ROWS, TILE_ROWS);
        int64_t most = BLOCK_DOTS / rows < BLOCK_TOKENS ? BLOCK_DOTS / rows : BLOCK_TOKENS;
        for (int64_t t = 0; t < job->n; t += tokens) {
            tokens = in_tiles(job->n - t, most, TILE_TOKENS);
            block(job, dtype, scratch, r, rows, t, tokens);
        }
    }
}

/* A function of its own for each shape and dtype: inlined into one, their loops would compete for registers. */
#define ALLOY_LINEAR(DTYPE, STREAM, FEW, MANY)                                                                         \
    static __attribute__((noinline)) void FEW(const alloy_linear_job *job, linear_scratch *scratch)                    \
    {                                                                                                                  \
        STREAM(job, DTYPE, scratch);                                                                                   \
    }                                                                                                                  \
    static __attribute__((noinline)) void MANY(const alloy_linear_job *job, linear_scratch *scratch)                   \
    {                                                                                                                  \
        blocks(job, DTYPE, scratch);                                                                                   \
    }
ALLOY_LINEAR(ALLOY_F32, stream, stream_f32, blocks_f32)
ALLOY_LINEAR(ALLOY_BF16, stream, stream_bf16, blocks_bf16)
ALLOY_LINEAR(ALLOY_F16, stream, stream_f16, blocks_f16)
ALLOY_LINEAR(ALLOY_F8_E4M3, stream_scaled, stream_f8_e4m3, blocks_f8_e4m3)
ALLOY_LINEAR(ALLOY_F4, stream_scaled, stream_f4, blocks_f4)

/* Do the job's scales suit whole loads, those of F4 its table, and does x fit into scratch? */
static bool streams_scaled(const alloy_linear_job *job)
{
    const alloy_scales *s = &job->scales;
    return job->k <= BLOCK_DOTS * LANES && (!s->data || s->columns % SCALED_AT_ONCE(job->dtype) == 0) &&
           (!s->data || job->dtype != ALLOY_F4 || s->dtype == ALLOY_F8_E8M0);
}

static void linear(const alloy_linear_job *job, void *scratch)
{
    const bool few = job->n <= FEW_TOKENS;
    const bool alone = job->n == 1 && streams_scaled(job);
    if (job->dtype == ALLOY_F32)
        few ? stream_f32(job, scratch) : blocks_f32(job, scratch);
    else if (job->dtype == ALLOY_BF16)
        few ? stream_bf16(job, scratch) : blocks_bf16(job, scratch);
    else if (job->dtype == ALLOY_F16)
        few ? stream_f16(job, scratch) : blocks_f16(job, scratch);
    else if (job->dtype == ALLOY_F8_E4M3)
        alone ? stream_f8_e4m3(job, scratch) : blocks_f8_e4m3(job, scratch);
    else
        alone ? stream_f4(job, scratch) : blocks_f4(job, scratch);
}

#endif
