/* DeepSeek's rotary positions: pairs (2i, 2i + 1) of each head's trailing channels are turned by a position
 * (arXiv:2104.09864, eq. 34), of a token or of an entry, or turned back by it. */
#include "ops/ops.h"

static int64_t rotated(const struct alloy_rotary_pairs_options *o)
{
    return (o->width + 1) / 2 * 2;
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct alloy_rotary_pairs_options *o = a->options;
    alloy_wide n = a->in[0]->shape[0], channels = rotated(o),
               heads = alloy_row_size(a->in[0]) / alloy_last_dimension(a->in[0]);
    alloy_wide_let(cost, n, heads, channels);
    alloy_wide_vector(cost, 3 * n * heads * channels);
}

const alloy_op alloy_op_rotary_pairs = {"rotary_pairs", NULL, count};

static alloy_tensor *apply(alloy_pass *p, alloy_tensor *x, int ndim, const struct alloy_rotary_pairs_options *options)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    if (x->ndim != ndim || options->width < 1 || rotated(options) > alloy_last_dimension(x) ||
        rotated(options) > ALLOY_MOST_ROTATED)
        return alloy_shape_fail(p, "rotary_pairs", "%lld rotated channels of heads of %lld",
                                (long long)rotated(options), (long long)alloy_last_dimension(x));
    alloy_tensor *y = alloy_tensor_like(p, x);
    return y ? alloy_apply(p, &alloy_op_rotary_pairs,
                           &(alloy_args){.in = {x}, .out = {y}, .options = options, .options_size = sizeof *options})
             : NULL;
}

alloy_tensor *alloy_rotary_pairs(alloy_pass *p, alloy_tensor *x, const alloy_rope *rope, int64_t channels, bool back)
{
    return apply(p, x, 3, &(struct alloy_rotary_pairs_options){*rope, channels, 1, back});
}

alloy_tensor *alloy_rotary_entries(alloy_pass *p, alloy_tensor *x, const alloy_rope *rope, int64_t channels,
                                   int64_t rate)
{
    return apply(p, x, 2, &(struct alloy_rotary_pairs_options){*rope, channels, rate, false});
}
