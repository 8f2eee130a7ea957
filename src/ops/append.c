/* Appends a chunk's rows to the state (layout: state.h). */
#include "ops/ops.h"

/* A ring keeps window - 1 rows beyond the forward. */
static void count(const alloy_args *a, alloy_cost *cost)
{
    const alloy_part_spec *part = alloy_part_spec_of(a->state[0]);
    alloy_wide written = 0;
    for (const alloy_span *s = a->pass->spans; s < a->pass->spans + a->pass->span_count; s++) {
        int64_t window = part->window;
        written += (alloy_wide)s->repeat * part->width * (window && s->count > window - 1 ? window - 1 : s->count);
    }
    alloy_wide_cache(cost, ALLOY_CACHE_KV, 0, written);
}

const alloy_op alloy_op_append = {"append", NULL, count};

alloy_state_part alloy_append(alloy_pass *p, const alloy_state *s, int part, alloy_tensor *x)
{
    static const alloy_state_part none;
    if (alloy_pass_stopped(p, x))
        return none;
    if (!alloy_state_has(s, part, ALLOY_STATE_ROWS, alloy_row_size(x))) {
        alloy_shape_fail(p, "append", "part %d of the state does not keep rows of %lld", part,
                         (long long)alloy_row_size(x));
        return none;
    }
    alloy_state_part rows = {s, part};
    alloy_apply(p, &alloy_op_append, &(alloy_args){.in = {x}, .state = {rows}});
    return p->status ? none : rows;
}
