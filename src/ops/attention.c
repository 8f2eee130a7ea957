/* Causal softmax attention with grouped heads (arXiv:1706.03762, section 3.2.1; arXiv:2305.13245), computed block by
 * block with a running maximum (arXiv:1805.02867), in the canonical order:
 *
 *   keys in blocks of 64, aligned to absolute position; 64 blocks, aligned, are a key span. A key span starts from m =
 *   -inf, l = 0, o = 0 and takes its blocks in rising order; key spans are merged in rising order; y = o / l at the end
 *   (kernels.h has each step).
 *
 * So a token's result depends on its position and its keys only: not on the chunk, not on the batch, not on the slots
 * of a ring.
 *
 * Work is divided by (sequence, key-value head, tile of tokens). A tile's rows are all heads of the group for some
 * tokens. */
#include "ops/pairs.h"
#include "ops/pass.h"
#include "ops/state.h"

#include <math.h>
#include <string.h>

enum { BLOCK = ALLOY_ATTENTION_BLOCK, KEY_SPAN = 64 * BLOCK, MOST_ROWS = 64, TILE_BYTES = 224 * 1024 };

struct options {
    int64_t kv_heads, window; /* window 0: all */
    float scale;
    const alloy_rows *keys, *values;
};

struct tiling {
    const alloy_args *args;
    const struct options *o;
    int64_t heads, d, dv, group; /* group: query heads of a key-value head */
    int64_t tokens_a_tile;
    const int64_t *first_tile; /* [spans + 1] tiles before each span, of one key-value head */
};

/* The rows of one tile, in the worker's scratch. */
struct tile {
    const struct tiling *tiling;
    const alloy_span *span;
    int64_t span_index, kv_head;
    int64_t token, tokens, rows;     /* first token within the span; rows = tokens * group */
    float *q;                        /* [rows, d] */
    float *m, *l, *o;                /* [rows], [rows], [rows, dv]: all key spans so far */
    float *span_m, *span_l, *span_o; /* the key span in work */
    float *wide_k, *wide_v;          /* [64, d], [64, dv]: a block widened from a 16-bit cache */
    int32_t *from, *to;              /* [rows] */
    void *kernel_scratch;
};

/* The next `count` floats of the scratch, on a cache line. */
static float *take(char **scratch, int64_t count)
{
    float *taken = (float *)*scratch;
    *scratch += (count * (int64_t)sizeof(float) + 63) / 64 * 64;
    return taken;
}

static void lay_out(struct tile *tile, void *scratch)
{
    const struct tiling *g = tile->tiling;
    char *at = scratch;
    tile->q = take(&at, tile->rows * g->d);
    tile->o = take(&at, tile->rows * g->dv);
    tile->span_o = take(&at, tile->rows * g->dv);
    tile->m = take(&at, tile->rows);
    tile->l = take(&at, tile->rows);
    tile->span_m = take(&at, tile->rows);
    tile->span_l = take(&at, tile->rows);
    tile->from = (int32_t *)take(&at, tile->rows);
    tile->to = (int32_t *)take(&at, tile->rows);
    tile->wide_k = take(&at, BLOCK * g->d);
    tile->wide_v = take(&at, BLOCK * g->dv);
    tile->kernel_scratch = alloy_kernel_scratch(scratch);
}

/* Bytes of scratch that a tile of `rows` takes at most. */
static int64_t tile_bytes(int64_t rows, int64_t d, int64_t dv)
{
    return (int64_t)sizeof(float) * (rows * (d + 2 * dv + 6) + BLOCK * (d + dv)) + 11 * 64;
}

static void clear(float *m, float *l, float *o, int64_t rows, int64_t dv)
{
    for (int64_t i = 0; i < rows; i++) {
        m[i] = -INFINITY;
        l[i] = 0;
    }
    memset(o, 0, (size_t)(rows * dv) * sizeof *o);
}

static void gather_queries(const struct tile *tile)
{
    const struct tiling *g = tile->tiling;
    const float *q =
        g->args->in[0]->data + ((tile->span->first + tile->token) * g->heads + tile->kv_head * g->group) * g->d;
    for (int64_t t = 0; t < tile->tokens; t++)
        memcpy(tile->q + t * g->group * g->d, q + t * g->heads * g->d, (size_t)(g->group * g->d) * sizeof *q);
}

/* One head's part of a block of rows, in place or widened. */
static const float *block_of(const struct tile *tile, const alloy_rows *rows, int64_t position, int64_t width,
                             float *wide, int64_t keys, int64_t *stride)
{
    const alloy_state *state = rows->state;
    const alloy_state_store *store = &state->blocks[tile->span_index]->store[rows->part];
    int64_t row = state->spec->part[rows->part].width, slot = position % store->capacity;
    int64_t element = alloy_dtype_bits(state->rows_dtype) / 8;
    const char *at = (const char *)store->data + (slot * row + tile->kv_head * width) * element;
    *stride = row;
    if (state->rows_dtype == ALLOY_F32)
        return (const float *)at;
    for (int64_t j = 0; j < keys; j++)
        tile->tiling->args->pass->kernels->widen(wide + j * width, at + j * row * element, state->rows_dtype, width);
    *stride = width;
    return wide;
}

/* Which places of the block at `position` each row sees; the number of leading places that any row sees, 0 for none. */
static int64_t visible(const struct tile *tile, int64_t position)
{
    int64_t group = tile->tiling->group, window = tile->tiling->o->window, most = 0;
    for (int64_t t = 0; t < tile->tokens; t++) {
        int64_t at = tile->span->past + tile->token + t, oldest = window && at - window + 1 > 0 ? at - window + 1 : 0;
        int64_t from = oldest > position ? oldest - position : 0, to = at + 1 - position;
        from = from > BLOCK ? BLOCK : from;
        to = to < 0 ? 0 : to > BLOCK ? BLOCK : to;
        if (to > from && to > most)
            most = to;
        for (int64_t g = 0; g < group; g++) {
            tile->from[t * group + g] = (int32_t)from;
            tile->to[t * group + g] = (int32_t)to;
        }
    }
    return most;
}

static void take_block(const struct tile *tile, int64_t position)
{
    const struct tiling *g = tile->tiling;
    int64_t keys = visible(tile, position);
    if (keys == 0)
        return;
    alloy_attention_block block = {.q = tile->q,
                                   .q_stride = g->d,
                                   .rows = tile->rows,
                                   .from = tile->from,
                                   .to = tile->to,
                                   .d = g->d,
                                   .dv = g->dv,
                                   .scale = g->o->scale,
                                   .m = tile->span_m,
                                   .l = tile->span_l,
                                   .o = tile->span_o,
                                   .o_stride = g->dv};
    block.k = block_of(tile, g->o->keys, position, g->d, tile->wide_k, keys, &block.k_stride);
    block.v = block_of(tile, g->o->values, position, g->dv, tile->wide_v, keys, &block.v_stride);
    g->args->pass->kernels->attention_block(&block, tile->kernel_scratch);
}

/* From the first position that the tile's first token sees to its last token's own. */
static void take_keys(const struct tile *tile)
{
    const struct tiling *g = tile->tiling;
    const alloy_kernels *kernels = g->args->pass->kernels;
    int64_t at = tile->span->past + tile->token, end = at + tile->tokens;
    int64_t begin = g->o->window && at - g->o->window + 1 > 0 ? at - g->o->window + 1 : 0;
    clear(tile->m, tile->l, tile->o, tile->rows, g->dv);
    for (int64_t key_span = begin / KEY_SPAN * KEY_SPAN; key_span < end; key_span += KEY_SPAN) {
        int64_t last = key_span + KEY_SPAN < end ? key_span + KEY_SPAN : end;
        clear(tile->span_m, tile->span_l, tile->span_o, tile->rows, g->dv);
        for (int64_t block = key_span > begin ? key_span : begin / BLOCK * BLOCK; block < last; block += BLOCK)
            take_block(tile, block);
        kernels->attention_merge(tile->m, tile->l, tile->o, tile->span_m, tile->span_l, tile->span_o, tile->rows,
                                 g->dv);
    }
}

static void run_tile(void *context, int64_t index, void *scratch)
{
    const struct tiling *g = context;
    const alloy_pass *p = g->args->pass;
    struct tile tile = {.tiling = g, .kv_head = index % g->o->kv_heads};
    int64_t at = index / g->o->kv_heads;
    while (g->first_tile[tile.span_index + 1] <= at)
        tile.span_index++;
    tile.span = &p->spans[tile.span_index];
    tile.token = (at - g->first_tile[tile.span_index]) * g->tokens_a_tile;
    tile.tokens = tile.span->count - tile.token < g->tokens_a_tile ? tile.span->count - tile.token : g->tokens_a_tile;
    tile.rows = tile.tokens * g->group;
    lay_out(&tile, scratch);
    gather_queries(&tile);
    take_keys(&tile);
    float *y = g->args->out[0]->data + ((tile.span->first + tile.token) * g->heads + tile.kv_head * g->group) * g->dv;
    for (int64_t t = 0; t < tile.tokens; t++)
        p->kernels->attention_finish(y + t * g->heads * g->dv, g->dv, tile.l + t * g->group,
                                     tile.o + t * g->group * g->dv, g->group, g->dv);
}

static int64_t tokens_a_tile(int64_t group, int64_t d, int64_t dv)
{
    int64_t tokens = MOST_ROWS / group;
    while (tokens > 1 && tile_bytes(tokens * group, d, dv) > TILE_BYTES)
        tokens /= 2;
    return tokens < 1 ? 1 : tokens;
}

static void run(const alloy_args *a)
{
    alloy_pass *p = a->pass;
    const struct options *o = a->options;
    struct tiling g = {
        .args = a, .o = o, .heads = a->in[0]->shape[1], .d = a->in[0]->shape[2], .dv = a->out[0]->shape[2]};
    g.group = g.heads / o->kv_heads;
    g.tokens_a_tile = tokens_a_tile(g.group, g.d, g.dv);
    int64_t *first_tile = alloy_arena_take(p->arena, (size_t)p->span_count + 1, sizeof *first_tile);
    if (!first_tile) {
        p->status = ALLOY_NOMEM;
        return;
    }
    first_tile[0] = 0;
    for (int64_t i = 0; i < p->span_count; i++)
        first_tile[i + 1] = first_tile[i] + (p->spans[i].count + g.tokens_a_tile - 1) / g.tokens_a_tile;
    g.first_tile = first_tile;
    alloy_parallel(p->team, first_tile[p->span_count] * o->kv_heads, run_tile, &g);
}

/* What is visible, twice: the pairs, and the rectangle of the published convention. */
static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct options *o = a->options;
    alloy_count heads = a->in[0]->shape[1], d = a->in[0]->shape[2], dv = a->out[0]->shape[2],
                width = o->kv_heads * (d + dv);
    for (int64_t i = 0; i < a->pass->span_count; i++) {
        const alloy_span *s = &a->pass->spans[i];
        alloy_count repeat = s->repeat, q = s->count, past = s->past, total = q + past, window = o->window;
        alloy_count keys = window && window < total ? window : total, fresh = window && window < q ? window : q;
        alloy_count pairs = alloy_window_pairs(total, window) - alloy_window_pairs(past, window);
        alloy_cost_let(cost, heads, d, dv, q, past, total, window, keys, repeat, pairs);
        alloy_cost_tensor(cost, 2 * (d + dv) * repeat * heads * pairs);
        alloy_cost_vector(cost, 5 * repeat * heads * pairs);
        alloy_cost_classic(cost, 2 * (d + dv) * repeat * heads * q * keys);
        alloy_count kept = window && past > window - 1 ? window - 1 : past;
        alloy_cost_cache(cost, ALLOY_CACHE_KV, repeat * width * kept, 0, repeat * width * (keys - fresh), 0);
    }
}

static const alloy_op attention = {"attention", run, count};

static int64_t head_width(const alloy_rows *rows, int64_t kv_heads)
{
    return rows->state->spec->part[rows->part].width / kv_heads;
}

alloy_tensor *alloy_attention(alloy_pass *p, alloy_tensor *q, alloy_rows *keys, alloy_rows *values, int64_t kv_heads,
                              float scale, int64_t window)
{
    if (alloy_pass_stopped(p, q) || !keys || !values)
        return NULL;
    if (q->ndim != 3 || kv_heads < 1 || q->shape[1] % kv_heads != 0 || head_width(keys, kv_heads) != q->shape[2])
        return alloy_shape_fail(p, "attention", "queries [n, %lld, %lld] over %lld key heads of %lld",
                                (long long)q->shape[1], (long long)q->shape[2], (long long)kv_heads,
                                (long long)head_width(keys, kv_heads ? kv_heads : 1));
    int64_t group = q->shape[1] / kv_heads, dv = head_width(values, kv_heads);
    if (group > MOST_ROWS || tile_bytes(group, q->shape[2], dv) > ALLOY_TASK_SCRATCH)
        return alloy_pass_fail(p, ALLOY_UNSUPPORTED, "attention: %lld heads of %lld that share a key head",
                               (long long)group, (long long)q->shape[2]);
    alloy_tensor *y = alloy_tensor_new(p, 3, (int64_t[]){q->shape[0], q->shape[1], dv});
    struct options options = {kv_heads, window, scale, keys, values};
    return y ? alloy_apply(p, &attention,
                           &(alloy_args){.in = {q}, .out = {y}, .options = &options, .options_size = sizeof options})
             : NULL;
}
