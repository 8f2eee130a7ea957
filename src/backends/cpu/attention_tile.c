/* Attention by tiles, block by block with a running maximum (arXiv:1805.02867), in the canonical order:
 *
 *   keys in blocks of 64, aligned to absolute position; 64 blocks, aligned, are a key span. A key span starts from m =
 *   -inf, l = 0, o = 0 and takes its blocks in rising order; key spans are merged in rising order. Entries come after
 *   all positions, in blocks and spans of their own numbers; chosen ones in blocks and spans of the list of a token's
 *   choice, which rises. A sink is merged last as m = sink, l = 1, o = 0; then y = o / l (kernels.h has each step).
 *
 * So a token's result depends on its position and its keys only: not on the chunk, not on the batch, not on the slots
 * of a ring.
 *
 * Work is divided by (sequence, tile of tokens, key-value head, tile of its heads). A tile's rows are all heads of the
 * group for some tokens, or some heads of one token where a group is too large. */
#include "backends/cpu/attention_tile.h"

#include <math.h>
#include <string.h>

enum { BLOCK = ALLOY_ATTENTION_BLOCK, KEY_SPAN = 64 * BLOCK, MOST_ROWS = 64, TILE_BYTES = 224 * 1024 };

struct tiling {
    const alloy_pass *p;
    const alloy_attention_plan *plan;
    int64_t group;         /* query heads of a key-value head */
    int64_t tokens, heads; /* of a tile; tokens is 1 where heads is less than the group */
    int64_t head_tiles;    /* of a group */
    const int64_t *first;  /* [spans + 1] tiles of tokens before each span */
};

/* The rows of one tile, in the worker's scratch. */
struct tile {
    const struct tiling *tiling;
    const alloy_span *span;
    int64_t span_index, kv_head;
    int64_t head, heads;             /* query heads, counted over all */
    int64_t token, tokens, rows;     /* first token within the span; rows = tokens * heads */
    float *q;                        /* [rows, d] */
    float *m, *l, *o;                /* [rows], [rows], [rows, dv]: all key spans so far */
    float *span_m, *span_l, *span_o; /* the key span in work */
    float *wide_k, *wide_v;          /* [64, d], [64, dv]: a block widened from a 16-bit cache, or gathered */
    int32_t *from, *to;              /* [rows] */
    void *kernel_scratch;
};

/* Are keys and values the same rows? */
static bool is_shared(const alloy_attention_plan *plan)
{
    return plan->keys.state == plan->values.state && plan->keys.part == plan->values.part;
}

/* ---- A tile's memory --------------------------------------------------------------------------------------------- */

/* The next `count` floats of the scratch, on a cache line. */
static float *take(char **scratch, int64_t count)
{
    float *taken = (float *)*scratch;
    *scratch += (count * (int64_t)sizeof(float) + 63) / 64 * 64;
    return taken;
}

static void lay_out(struct tile *tile, void *scratch)
{
    const alloy_attention_plan *plan = tile->tiling->plan;
    char *at = scratch;
    tile->q = take(&at, tile->rows * plan->d);
    tile->o = take(&at, tile->rows * plan->dv);
    tile->span_o = take(&at, tile->rows * plan->dv);
    tile->m = take(&at, tile->rows);
    tile->l = take(&at, tile->rows);
    tile->span_m = take(&at, tile->rows);
    tile->span_l = take(&at, tile->rows);
    tile->from = (int32_t *)take(&at, tile->rows);
    tile->to = (int32_t *)take(&at, tile->rows);
    tile->wide_k = take(&at, BLOCK * plan->d);
    tile->wide_v = is_shared(plan) ? tile->wide_k : take(&at, BLOCK * plan->dv);
    tile->kernel_scratch = alloy_kernel_scratch(scratch);
}

/* As many tokens with all heads of the group as fit well; else one, with as many heads as fit at all. */
static void choose_sizes(struct tiling *g)
{
    const alloy_attention_plan *plan = g->plan;
    bool shared = is_shared(plan);
    g->heads = g->group < MOST_ROWS ? g->group : MOST_ROWS;
    while (g->heads > 1 && alloy_attention_tile_bytes(g->heads, plan->d, plan->dv, shared) > ALLOY_TASK_SCRATCH)
        g->heads = (g->heads + 1) / 2;
    g->head_tiles = (g->group + g->heads - 1) / g->heads;
    g->tokens = g->head_tiles > 1 ? 1 : MOST_ROWS / g->group;
    while (g->tokens > 1 && alloy_attention_tile_bytes(g->tokens * g->heads, plan->d, plan->dv, shared) > TILE_BYTES)
        g->tokens /= 2;
}

static void clear(float *m, float *l, float *o, int64_t rows, int64_t dv)
{
    for (int64_t i = 0; i < rows; i++) {
        m[i] = -INFINITY;
        l[i] = 0;
    }
    memset(o, 0, (size_t)(rows * dv) * sizeof *o);
}

/* Where a token's row of the tile begins among the heads of q (d) or y (dv). */
static int64_t place_of(const struct tile *tile, int64_t token, int64_t width)
{
    return ((tile->span->first + tile->token + token) * tile->tiling->plan->heads + tile->head) * width;
}

static void gather_queries(const struct tile *tile)
{
    const alloy_attention_plan *plan = tile->tiling->plan;
    size_t floats = (size_t)(tile->heads * plan->d);
    for (int64_t t = 0; t < tile->tokens; t++)
        memcpy(tile->q + (size_t)t * floats, plan->q + place_of(tile, t, plan->d), floats * sizeof *tile->q);
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

/* Of one head, at a position (of entries: by number). */
static const char *row_at(const struct tile *tile, alloy_state_part rows, int64_t position, int64_t head, int64_t width)
{
    int64_t bits = alloy_dtype_bits(rows.state->rows_dtype), row = alloy_part_spec_of(rows)->width * bits / 8;
    return alloy_store_row(alloy_store_of(rows, tile->span_index), position, row) + head * width * bits / 8;
}

/* `count` rows from the beginning of a block on, of one head: in place, or widened. */
static const float *rows_at(const struct tile *tile, alloy_state_part rows, int64_t position, int64_t head,
                            int64_t width, int64_t count, float *wide, int64_t *stride)
{
    const alloy_state *state = rows.state;
    const char *at = row_at(tile, rows, position, head, width);
    *stride = alloy_part_spec_of(rows)->width;
    if (state->rows_dtype == ALLOY_F32)
        return (const float *)(const void *)at;
    int64_t bytes = *stride * alloy_dtype_bits(state->rows_dtype) / 8;
    for (int64_t j = 0; j < count; j++)
        tile->tiling->p->kernels->widen(wide + j * width, at + j * bytes, state->rows_dtype, width);
    *stride = width;
    return wide;
}

/* Of the tile's rows from `row` on, `rows` of them; keys and values are the caller's. */
static alloy_attention_block block_of(const struct tile *tile, int64_t row, int64_t rows)
{
    const alloy_attention_plan *plan = tile->tiling->plan;
    return (alloy_attention_block){.q = tile->q + row * plan->d,
                                   .q_stride = plan->d,
                                   .rows = rows,
                                   .from = tile->from + row,
                                   .to = tile->to + row,
                                   .d = plan->d,
                                   .dv = plan->dv,
                                   .scale = plan->scale,
                                   .m = tile->span_m + row,
                                   .l = tile->span_l + row,
                                   .o = tile->span_o + row * plan->dv,
                                   .o_stride = plan->dv};
}

static void take_block(const struct tile *tile, const alloy_attention_block *block)
{
    tile->tiling->p->kernels->attention_block(block, tile->kernel_scratch);
}

/* Which places of a block a token's rows see. */
static void see(const struct tile *tile, int64_t token, int64_t from, int64_t to)
{
    for (int64_t row = token * tile->heads; row < (token + 1) * tile->heads; row++) {
        tile->from[row] = (int32_t)from;
        tile->to[row] = (int32_t)to;
    }
}

static int64_t within_block(int64_t place)
{
    return place < 0 ? 0 : place > BLOCK ? BLOCK : place;
}

static int64_t position_of(const struct tile *tile, int64_t token)
{
    return tile->span->past + tile->token + token;
}

/* The key span in work joins the others. `row`, `rows`: of a part of the tile. */
static void begin_span(const struct tile *tile, int64_t row, int64_t rows)
{
    int64_t dv = tile->tiling->plan->dv;
    clear(tile->span_m + row, tile->span_l + row, tile->span_o + row * dv, rows, dv);
}

static void end_span(const struct tile *tile, int64_t row, int64_t rows)
{
    int64_t dv = tile->tiling->plan->dv;
    tile->tiling->p->kernels->attention_merge(tile->m + row, tile->l + row, tile->o + row * dv, tile->span_m + row,
                                              tile->span_l + row, tile->span_o + row * dv, rows, dv);
}

/* ---- Positions --------------------------------------------------------------------------------------------------- */

/* What each row sees of the block at `position`; the number of leading places that any row sees, 0 for none. */
static int64_t see_positions(const struct tile *tile, int64_t position)
{
    int64_t window = tile->tiling->plan->window, most = 0;
    for (int64_t t = 0; t < tile->tokens; t++) {
        int64_t at = position_of(tile, t), oldest = window && at - window + 1 > 0 ? at - window + 1 : 0;
        int64_t from = within_block(oldest - position), to = within_block(at + 1 - position);
        if (to > from && to > most)
            most = to;
        see(tile, t, from, to);
    }
    return most;
}

static void take_positions_block(const struct tile *tile, int64_t position)
{
    const alloy_attention_plan *plan = tile->tiling->plan;
    int64_t keys = see_positions(tile, position);
    if (keys == 0)
        return;
    alloy_attention_block block = block_of(tile, 0, tile->rows);
    block.k = rows_at(tile, plan->keys, position, tile->kv_head, plan->d, keys, tile->wide_k, &block.k_stride);
    block.v = block.k;
    block.v_stride = block.k_stride;
    if (!is_shared(plan))
        block.v = rows_at(tile, plan->values, position, tile->kv_head, plan->dv, keys, tile->wide_v, &block.v_stride);
    take_block(tile, &block);
}

/* From the first position that the tile's first token sees to its last token's own. */
static void take_positions(const struct tile *tile)
{
    int64_t window = tile->tiling->plan->window, at = position_of(tile, 0), end = at + tile->tokens;
    int64_t begin = window && at - window + 1 > 0 ? at - window + 1 : 0;
    for (int64_t key_span = begin / KEY_SPAN * KEY_SPAN; key_span < end; key_span += KEY_SPAN) {
        int64_t last = key_span + KEY_SPAN < end ? key_span + KEY_SPAN : end;
        begin_span(tile, 0, tile->rows);
        for (int64_t block = key_span > begin ? key_span : begin / BLOCK * BLOCK; block < last; block += BLOCK)
            take_positions_block(tile, block);
        end_span(tile, 0, tile->rows);
    }
}

/* ---- Entries ----------------------------------------------------------------------------------------------------- */

static int64_t entries_seen(const struct tile *tile, int64_t token)
{
    return (position_of(tile, token) + 1) / alloy_part_spec_of(tile->tiling->plan->entries)->rate;
}

/* All closed entries that each row sees: those of the tile's last token are the most. */
static void take_all_entries(const struct tile *tile)
{
    const alloy_attention_plan *plan = tile->tiling->plan;
    int64_t end = entries_seen(tile, tile->tokens - 1);
    for (int64_t key_span = 0; key_span < end; key_span += KEY_SPAN) {
        int64_t last = key_span + KEY_SPAN < end ? key_span + KEY_SPAN : end;
        begin_span(tile, 0, tile->rows);
        for (int64_t entry = key_span; entry < last; entry += BLOCK) {
            for (int64_t t = 0; t < tile->tokens; t++)
                see(tile, t, 0, within_block(entries_seen(tile, t) - entry));
            alloy_attention_block block = block_of(tile, 0, tile->rows);
            block.k = rows_at(tile, plan->entries, entry, 0, plan->d, within_block(end - entry), tile->wide_k,
                              &block.k_stride);
            block.v = block.k;
            block.v_stride = block.k_stride;
            take_block(tile, &block);
        }
        end_span(tile, 0, tile->rows);
    }
}

/* `count` entries of a list, side by side. */
static void gather_entries(const struct tile *tile, const int32_t *entry, int64_t count)
{
    const alloy_attention_plan *plan = tile->tiling->plan;
    for (int64_t j = 0; j < count; j++)
        tile->tiling->p->kernels->widen(tile->wide_k + j * plan->d, row_at(tile, plan->entries, entry[j], 0, plan->d),
                                        plan->entries.state->rows_dtype, plan->d);
}

/* The entries that one token chose. */
static void take_chosen_entries(const struct tile *tile, int64_t token)
{
    const alloy_attention_plan *plan = tile->tiling->plan;
    int64_t at = tile->span->first + tile->token + token, row = token * tile->heads, end = alloy_i32(plan->some)[at];
    const int32_t *entry = alloy_i32(plan->chosen) + at * plan->chosen->shape[1];
    for (int64_t key_span = 0; key_span < end; key_span += KEY_SPAN) {
        int64_t last = key_span + KEY_SPAN < end ? key_span + KEY_SPAN : end;
        begin_span(tile, row, tile->heads);
        for (int64_t place = key_span; place < last; place += BLOCK) {
            int64_t count = within_block(end - place);
            see(tile, token, 0, count);
            gather_entries(tile, entry + place, count);
            alloy_attention_block block = block_of(tile, row, tile->heads);
            block.k = block.v = tile->wide_k;
            block.k_stride = block.v_stride = plan->d;
            take_block(tile, &block);
        }
        end_span(tile, row, tile->heads);
    }
}

/* Where every visible entry is chosen, the list is the entries themselves. */
static void take_entries(const struct tile *tile)
{
    const alloy_tensor *chosen = tile->tiling->plan->chosen;
    if (!chosen || entries_seen(tile, tile->tokens - 1) <= chosen->shape[1]) {
        take_all_entries(tile);
        return;
    }
    for (int64_t t = 0; t < tile->tokens; t++)
        take_chosen_entries(tile, t);
}

static void take_sinks(const struct tile *tile)
{
    begin_span(tile, 0, tile->rows);
    for (int64_t row = 0; row < tile->rows; row++) {
        tile->span_m[row] = tile->tiling->plan->sinks[tile->head + row % tile->heads];
        tile->span_l[row] = 1;
    }
    end_span(tile, 0, tile->rows);
}

/* ---- Tiles ------------------------------------------------------------------------------------------------------- */

static struct tile tile_at(const struct tiling *g, int64_t index)
{
    struct tile tile = {.tiling = g};
    int64_t head_tile = index % g->head_tiles, at = index / g->head_tiles / g->plan->kv_heads;
    tile.kv_head = index / g->head_tiles % g->plan->kv_heads;
    while (g->first[tile.span_index + 1] <= at)
        tile.span_index++;
    tile.span = &g->p->spans[tile.span_index];
    tile.token = (at - g->first[tile.span_index]) * g->tokens;
    tile.tokens = tile.span->count - tile.token < g->tokens ? tile.span->count - tile.token : g->tokens;
    tile.head = tile.kv_head * g->group + head_tile * g->heads;
    tile.heads = g->group - head_tile * g->heads < g->heads ? g->group - head_tile * g->heads : g->heads;
    tile.rows = tile.tokens * tile.heads;
    return tile;
}

static void run_tile(void *context, int64_t index, void *scratch)
{
    const struct tiling *g = context;
    const alloy_attention_plan *plan = g->plan;
    struct tile tile = tile_at(g, index);
    lay_out(&tile, scratch);
    gather_queries(&tile);
    clear(tile.m, tile.l, tile.o, tile.rows, plan->dv);
    take_positions(&tile);
    if (plan->entries.state)
        take_entries(&tile);
    if (plan->sinks)
        take_sinks(&tile);
    for (int64_t t = 0; t < tile.tokens; t++)
        g->p->kernels->attention_finish(plan->y + place_of(&tile, t, plan->dv), plan->dv, tile.l + t * tile.heads,
                                        tile.o + t * tile.heads * plan->dv, tile.heads, plan->dv);
}

void alloy_attention_run(alloy_pass *p, const alloy_attention_plan *plan)
{
    struct tiling g = {.p = p, .plan = plan, .group = plan->heads / plan->kv_heads};
    choose_sizes(&g);
    int64_t *first = alloy_pass_take(p, p->span_count + 1, sizeof *first);
    if (!first)
        return;
    first[0] = 0;
    for (int64_t i = 0; i < p->span_count; i++)
        first[i + 1] = first[i] + (p->spans[i].count + g.tokens - 1) / g.tokens;
    g.first = first;
    alloy_parallel(p->team, first[p->span_count] * plan->kv_heads * g.head_tiles, run_tile, &g);
}
