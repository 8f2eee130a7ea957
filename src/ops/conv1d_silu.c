/* Depthwise causal convolution over tokens, then SiLU. The state is the last taps - 1 rows of the input, oldest
 * first. */
#include "ops/ops.h"

static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_wide n = a->in[0]->shape[0], channels = alloy_row_size(a->in[0]), taps = alloy_taps_of(a->weight[0]);
    alloy_wide_let(cost, n, channels, taps);
    alloy_wide_tensor(cost, 2 * n * taps * channels);
    alloy_wide_vector(cost, 4 * n * channels);
    alloy_cost_weight(cost, a->weight[0], taps * channels, 1);
    alloy_wide read = 0, written = 0;
    for (const alloy_span *s = a->pass->spans; s < a->pass->spans + a->pass->span_count; s++) {
        int64_t total = s->past + s->count, kept = alloy_taps_of(a->weight[0]) - 1;
        read += s->repeat * channels * (s->past < kept ? s->past : kept);
        written += s->repeat * channels * (total < kept ? total : kept);
    }
    alloy_wide_cache(cost, ALLOY_CACHE_CONV, read, written);
}

const alloy_op alloy_op_conv1d_silu = {"conv1d_silu", NULL, count};

alloy_tensor *alloy_conv1d_silu(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, const alloy_state *s, int part)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    int64_t taps = alloy_taps_of(w), channels = alloy_row_size(x);
    if (w->ndim < 2 || w->shape[0] != channels || w->shape[0] * taps != w->shape[0] * w->shape[1] * w->shape[2] ||
        taps < 2 || taps > ALLOY_MOST_TAPS)
        return alloy_shape_fail(p, "conv1d_silu", "%s [%lld, .., %lld] over %lld channels; 2 to %d taps are possible",
                                w->name, (long long)w->shape[0], (long long)taps, (long long)channels, ALLOY_MOST_TAPS);
    if (!alloy_state_has(s, part, ALLOY_STATE_FIXED, (taps - 1) * channels))
        return alloy_shape_fail(p, "conv1d_silu", "part %d of the state does not keep %lld rows of %lld", part,
                                (long long)taps - 1, (long long)channels);
    alloy_tensor *y = alloy_tensor_like(p, x);
    return y ? alloy_apply(p, &alloy_op_conv1d_silu,
                           &(alloy_args){.in = {x}, .out = {y}, .weight = {w}, .state = {{s, part}}})
             : NULL;
}
