/* A linear in blocks (alloy_grouped_linear): each group of channels has its own rows of the weight. */
#include "ops/ops.h"

const alloy_op alloy_op_grouped_linear = {"grouped_linear", NULL, alloy_count_linear};

alloy_tensor *alloy_grouped_linear(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, int64_t groups)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    if (!w || w->ndim != 2 || groups < 1 || w->shape[0] % groups != 0 || w->shape[1] * groups != alloy_row_size(x))
        return alloy_shape_fail(p, "grouped_linear", "%lld groups of %s, [%lld, %lld]; x has rows of %lld",
                                (long long)groups, w ? w->name : "(no weight)", w ? (long long)w->shape[0] : 0,
                                w ? (long long)w->shape[1] : 0, (long long)alloy_row_size(x));
    alloy_tensor *y = alloy_tensor_new(p, 2, (int64_t[]){x->shape[0], w->shape[0]});
    struct alloy_grouped_linear_options options = {groups};
    return y ? alloy_apply(
                   p, &alloy_op_grouped_linear,
                   &(alloy_args){
                       .in = {x}, .out = {y}, .weight = {w}, .options = &options, .options_size = sizeof options})
             : NULL;
}
