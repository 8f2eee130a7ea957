/* Rotary positions: halves of each head's leading channels are turned by the token's position (arXiv:2104.09864). */
#include "ops/ops.h"

static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_wide n = a->in[0]->shape[0], heads = a->in[0]->shape[1],
               channels = alloy_rotary_channels(a->options, a->in[0]->shape[2]);
    alloy_wide_let(cost, n, heads, channels);
    alloy_wide_vector(cost, 3 * n * heads * channels);
}

const alloy_op alloy_op_rotary = {"rotary", NULL, count};

alloy_tensor *alloy_rotary(alloy_pass *p, alloy_tensor *x, const alloy_rope *rope)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    int64_t channels = x->ndim == 3 ? alloy_rotary_channels(rope, x->shape[2]) : -1;
    if (channels < 2 || channels > x->shape[2])
        return alloy_shape_fail(p, "rotary", "%lld rotated channels of heads of %lld", (long long)channels,
                                (long long)x->shape[2]);
    alloy_tensor *y = alloy_tensor_like(p, x);
    return y ? alloy_apply(p, &alloy_op_rotary,
                           &(alloy_args){.in = {x}, .out = {y}, .options = rope, .options_size = sizeof *rope})
             : NULL;
}
