/* Appends the entries that a forward closes to the state (layout: state.h), rounded once to the cache's dtype. */
#include "ops/pass.h"
#include "ops/state.h"

struct options {
    bool indexer;
};

static void run(const alloy_args *a)
{
    const alloy_part_spec *part = alloy_part_spec_of(a->state[0]);
    alloy_dtype dtype = a->state[0].state->rows_dtype;
    int64_t row = 0;
    for (int64_t i = 0; i < a->pass->span_count; i++) {
        const alloy_span *s = &a->pass->spans[i];
        int64_t entries = alloy_entries_closed(s, part->rate), before = alloy_entries_before(s, part->rate);
        char *store = alloy_store_of(a->state[0], i)->data;
        if (entries > 0)
            a->pass->kernels->narrow(store + before * part->width * alloy_dtype_bits(dtype) / 8,
                                     alloy_f32(a->in[0]) + row * part->width, dtype, entries * part->width);
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

alloy_state_part alloy_append_entries(alloy_pass *p, const alloy_state *s, int part, alloy_tensor *x, bool indexer)
{
    static const alloy_state_part none;
    if (alloy_pass_stopped(p, x))
        return none;
    if (!alloy_state_has(s, part, ALLOY_STATE_ROWS, alloy_row_size(x)) || s->spec->part[part].window != 0 ||
        x->ndim != 2 || x->shape[0] != alloy_entries_of_pass(p, s->spec->part[part].rate)) {
        alloy_shape_fail(p, "append_entries", "part %d of the state does not keep %lld entries of %lld", part,
                         (long long)x->shape[0], (long long)alloy_row_size(x));
        return none;
    }
    alloy_state_part entries = {s, part};
    struct options options = {indexer};
    alloy_apply(p, &append_entries,
                &(alloy_args){.in = {x}, .state = {entries}, .options = &options, .options_size = sizeof options});
    return p->status ? none : entries;
}
