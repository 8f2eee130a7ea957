/* Where the two accountings differ (differences.h).
 *
 * Ops are summed by (module, op) in both accountings; what is not equal then goes to the item of its module and cause.
 * The causes below only name differences: an op without a row of its own is named by what differs, so that nothing is
 * left out whatever ops there are. */
#include "roofline/differences.h"

#include <string.h>

#include "base/memory.h"
#include "roofline/analysis.h"

/* What can differ. */
enum part { PRODUCTS, FLOPS, WEIGHTS, CACHES, STATE, TENSORS, PARTS };

/* The first row that fits names the cause. NULL fits everything. */
static const struct {
    const char *kind, *name, *op;
    int parts; /* bits */
    const char *cause;
} causes[] = {
    {"norm", "norm", NULL, ~0, "norms and sums before modules, which classic has no row for"},
    {"embedding", NULL, "embedding", ~0, "token ids, 8 bytes each"},
    {"embedding", NULL, NULL, ~0, "residual streams: each is written"},
    {"residual", NULL, "hyper_weights", 1 << WEIGHTS, "parameters that stay fp32"},
    {"residual", NULL, NULL, ~0, "residual streams: their own sums and traffic, not an fp32 copy"},
    {NULL, NULL, "attention", 1 << PRODUCTS, "visible pairs, not the rectangle"},
    {NULL, NULL, "shared_kv_attention", 1 << PRODUCTS, "visible pairs, not the rectangle"},
    {NULL, NULL, "choose_entries", 1 << PRODUCTS, "visible pairs, not the rectangle"},
    {NULL, NULL, "delta_rule", 1 << FLOPS, "form of the delta rule"},
    {NULL, NULL, "route_by_id", 1 << FLOPS, "scores of the chosen experts only"},
    {NULL, NULL, "experts", 1 << WEIGHTS, "experts that are expected, not min(E, N*k)"},
    {NULL, NULL, NULL, 1 << FLOPS, "vector work: free in classic, or at other rates"},
    {NULL, NULL, NULL, 1 << WEIGHTS, "small parameters: free in classic, or at the model's dtype"},
    {NULL, NULL, NULL, 1 << CACHES, "rows of windows and entries: read before, written after"},
    {NULL, NULL, NULL, 1 << STATE, "state in fp32, tails and open windows"},
    {NULL, NULL, NULL, 1 << PRODUCTS | 1 << TENSORS, "tensors between ops"},
};

static const char LAST_ROWS[] = "the last token of each sequence, not every one";

/* A module's op in both accountings. */
struct pair {
    const char *kind, *name, *op;
    alloy_work by[2];
};

struct pairs {
    struct pair *items;
    int64_t count, capacity;
};

static bool is(const char *wanted, const char *actual)
{
    return !wanted || strcmp(wanted, actual) == 0;
}

/* ---- Pairs ------------------------------------------------------------------------------------------------------- */

static struct pair *pair_of(struct pairs *pairs, const alloy_roofline_row *row)
{
    for (int64_t i = 0; i < pairs->count; i++) {
        struct pair *p = &pairs->items[i];
        if (is(p->op, row->op) && is(p->name, row->name) && is(p->kind, row->kind))
            return p;
    }
    void *grown = alloy_memory_grow(pairs->items, pairs->count, &pairs->capacity, sizeof *pairs->items);
    if (!grown)
        return NULL;
    pairs->items = grown;
    pairs->items[pairs->count] = (struct pair){.kind = row->kind, .name = row->name, .op = row->op};
    return &pairs->items[pairs->count++];
}

static alloy_status add_ops(struct pairs *pairs, const alloy_roofline *roofline, alloy_accounting accounting)
{
    int64_t count = alloy_roofline_row_count(roofline, ALLOY_LEVEL_OPS);
    for (int64_t i = 0; i < count; i++) {
        alloy_roofline_row row = alloy_roofline_row_at(roofline, ALLOY_LEVEL_OPS, i);
        struct pair *pair = pair_of(pairs, &row);
        if (!pair)
            return ALLOY_NOMEM;
        alloy_work_add(&pair->by[accounting], row.work, 1);
    }
    return ALLOY_OK;
}

/* ---- Items ------------------------------------------------------------------------------------------------------- */

static const char *cause_of(const struct pair *pair, enum part part, bool last_rows)
{
    bool behind_layers = is("lm_head", pair->name) || is("final_norm", pair->name) || is("hc_head", pair->name);
    if (last_rows && behind_layers)
        return LAST_ROWS;
    size_t i = 0;
    while (!(is(causes[i].kind, pair->kind) && is(causes[i].name, pair->name) && is(causes[i].op, pair->op) &&
             causes[i].parts & 1 << part))
        i++; /* the last rows fit everything */
    return causes[i].cause;
}

static alloy_difference *item_of(alloy_differences *out, const struct pair *pair, const char *cause)
{
    for (int64_t i = 0; i < out->count; i++) {
        alloy_difference *item = &out->items[i];
        if (item->cause == cause && is(item->name, pair->name) && is(item->kind, pair->kind))
            return item;
    }
    void *grown = alloy_memory_grow(out->items, out->count, &out->capacity, sizeof *out->items);
    if (!grown)
        return NULL;
    out->items = grown;
    out->items[out->count] = (alloy_difference){.kind = pair->kind, .name = pair->name, .cause = cause};
    return &out->items[out->count++];
}

static enum part part_of(alloy_traffic traffic)
{
    static const enum part parts[ALLOY_TRAFFIC_COUNT] = {
        [ALLOY_TRAFFIC_WEIGHTS] = WEIGHTS, [ALLOY_TRAFFIC_ACTIVATIONS] = TENSORS, [ALLOY_TRAFFIC_KV] = CACHES,
        [ALLOY_TRAFFIC_STATE] = STATE,     [ALLOY_TRAFFIC_INDEXER] = CACHES,      [ALLOY_TRAFFIC_LOGITS] = TENSORS,
        [ALLOY_TRAFFIC_ROUTER] = WEIGHTS,
    };
    return parts[traffic];
}

/* Do products and the rest differ for causes of their own? */
static bool is_split(const char *op)
{
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (causes[i].op && strcmp(causes[i].op, op) == 0 && causes[i].parts == 1 << PRODUCTS)
            return true;
    return false;
}

/* The work of one part alone. */
static alloy_work only(const alloy_work *work, enum part part, bool split)
{
    alloy_work out = {0};
    if (part == (split ? PRODUCTS : FLOPS))
        out.tensor_flops = work->tensor_flops;
    if (part == FLOPS)
        out.vector_flops = work->vector_flops;
    for (int t = 0; t < ALLOY_TRAFFIC_COUNT; t++)
        if (part_of((alloy_traffic)t) == part) {
            out.read[t] = work->read[t];
            out.written[t] = work->written[t];
        }
    return out;
}

static alloy_status add_part(alloy_differences *out, const struct pair *pair, enum part part, bool last_rows)
{
    bool split = is_split(pair->op);
    alloy_wide flops[2], read[2], written[2];
    for (int a = 0; a < 2; a++) {
        alloy_work work = only(&pair->by[a], part, split);
        flops[a] = alloy_wide_of(work.tensor_flops) + alloy_wide_of(work.vector_flops);
        read[a] = alloy_wide_of(alloy_work_read(&work));
        written[a] = alloy_wide_of(alloy_work_written(&work));
    }
    if (flops[0] == flops[1] && read[0] == read[1] && written[0] == written[1])
        return ALLOY_OK;
    alloy_difference *item = item_of(out, pair, cause_of(pair, part, last_rows));
    if (!item)
        return ALLOY_NOMEM;
    for (int a = 0; a < 2; a++) {
        item->by[a].flops += flops[a];
        item->by[a].read += read[a];
        item->by[a].written += written[a];
    }
    return ALLOY_OK;
}

alloy_status alloy_differences_open(alloy_differences *out, const alloy_roofline *classic, const alloy_roofline *exact)
{
    struct pairs pairs = {0};
    *out = (alloy_differences){0};
    alloy_status status = add_ops(&pairs, classic, ALLOY_CLASSIC);
    if (!status)
        status = add_ops(&pairs, exact, ALLOY_EXACT);
    for (int64_t i = 0; i < pairs.count; i++)
        for (int part = 0; part < PARTS && !status; part++)
            status = add_part(out, &pairs.items[i], (enum part)part, !exact->terms.all_logits);
    alloy_memory_free(pairs.items);
    if (status)
        alloy_differences_close(out);
    return status;
}

void alloy_differences_close(alloy_differences *differences)
{
    alloy_memory_free(differences->items);
    *differences = (alloy_differences){0};
}
