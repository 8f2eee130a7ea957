/* Appends the entries that a forward closes to the state (layout: state.h), rounded once to the cache's dtype. */
#include "ops/pass.h"
#include "ops/state.h"

struct options {
    bool indexer;
};

static void run(const alloy_args *a)
{
    const alloy_state_part *part = &a->state->spec->part[a->part];
    int64_t row = 0;
    for (int64_t i = 0; i < a->pass->span_count; i++) {
        const alloy_span *s = &a->pass->spans[i];
        int64_t entries = alloy_entries_closed(s, part->rate), before = alloy_entries_before(s, part->rate);
        char *store = a->state->blocks[i]->store[a->part].data;
        if (entries > 0)
            a->pass->kernels->narrow(store + before * part->width * alloy_dtype_bits(a->state->rows_dtype) / 8,
                                     a->in[0]->data + row * part->width, a->state->rows_dtype, entries * part->width);
        row += entries;
    }
}

/* The published convention counts entries where attention reads them. */
static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct options *o = a->options;
    alloy_count entries = a->in[0]->shape[0], width = a->in[0]->shape[1];
    alloy_cost_cache(cost, o->indexer ? ALLOY_CACHE_INDEXER : ALLOY_CACHE_KV, 0, entries * width, 0, 0);
}

static const alloy_op append_entries = {"append_entries", run, count};

alloy_rows *alloy_append_entries(alloy_pass *p, const alloy_state *s, int part, alloy_tensor *x, bool indexer)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    const alloy_state_part *kept = part >= 0 && part < s->spec->count ? &s->spec->part[part] : NULL;
    if (!kept || kept->kind != ALLOY_STATE_ROWS || kept->window != 0 || kept->width != alloy_row_size(x) ||
        x->ndim != 2 || x->shape[0] != alloy_entries_of_pass(p, kept->rate))
        return alloy_shape_fail(p, "append_entries", "part %d of the state does not keep %lld entries of %lld", part,
                                (long long)x->shape[0], (long long)alloy_row_size(x));
    alloy_rows *rows = alloy_pass_take(p, 1, sizeof *rows);
    if (!rows)
        return NULL;
    *rows = (alloy_rows){s, part};
    struct options options = {indexer};
    alloy_apply(
        p, &append_entries,
        &(alloy_args){.in = {x}, .state = s, .part = part, .options = &options, .options_size = sizeof options});
    return p->status ? NULL : rows;
}
