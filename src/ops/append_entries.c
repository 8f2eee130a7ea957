/* Appends the entries that a forward closes to the state (layout: state.h). */
#include "ops/ops.h"

static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct alloy_append_entries_options *o = a->options;
    alloy_wide entries = a->in[0]->shape[0], width = a->in[0]->shape[1];
    alloy_wide_cache(cost, o->indexer ? ALLOY_CACHE_INDEXER : ALLOY_CACHE_KV, 0, entries * width);
}

const alloy_op alloy_op_append_entries = {"append_entries", NULL, count};

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
    struct alloy_append_entries_options options = {indexer};
    alloy_apply(p, &alloy_op_append_entries,
                &(alloy_args){.in = {x}, .state = {entries}, .options = &options, .options_size = sizeof options});
    return p->status ? none : entries;
}
