/* Norms over the last dimension: RMS norm (arXiv:1910.07467, eq. 4), the delta net's gated RMS norm, and l2 norm. */
#include "ops/ops.h"

static void count_rms(const alloy_args *a, alloy_cost *cost)
{
    alloy_wide n = (alloy_wide)a->in[0]->shape[0] * alloy_row_size(a->in[0]);
    alloy_wide per_element = a->in[1] ? 9 : a->weight[0] ? 4 : 3;
    alloy_wide_let(cost, n, per_element);
    alloy_wide_vector(cost, n * per_element);
    alloy_cost_weight(cost, a->weight[0], alloy_last_dimension(a->in[0]), n > 0); /* of entries there may be none */
}

static void count_l2(const alloy_args *a, alloy_cost *cost)
{
    const struct alloy_norm_options *o = a->options;
    alloy_wide n = (alloy_wide)a->in[0]->shape[0] * alloy_row_size(a->in[0]);
    alloy_wide per_element = o->scale == 1 ? 3 : 4;
    alloy_wide_let(cost, n, per_element);
    alloy_wide_vector(cost, n * per_element);
}

const alloy_op alloy_op_rms_norm = {"rms_norm", NULL, count_rms};
const alloy_op alloy_op_gated_rms_norm = {"gated_rms_norm", NULL, count_rms};
const alloy_op alloy_op_l2_norm = {"l2_norm", NULL, count_l2};

static alloy_tensor *apply(alloy_pass *p, const alloy_op *op, alloy_tensor *x, const alloy_weight *w,
                           alloy_tensor *gate, const struct alloy_norm_options *options)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    if (w && (w->ndim != 1 || w->shape[0] != alloy_last_dimension(x)))
        return alloy_shape_fail(p, op->name, "%s has %lld elements, x has rows of %lld", w->name,
                                (long long)w->shape[0], (long long)alloy_last_dimension(x));
    alloy_tensor *y = alloy_tensor_like(p, x);
    return y ? alloy_apply(
                   p, op,
                   &(alloy_args){
                       .in = {x, gate}, .out = {y}, .weight = {w}, .options = options, .options_size = sizeof *options})
             : NULL;
}

alloy_tensor *alloy_rms_norm(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, double eps, bool unit_offset)
{
    return apply(p, &alloy_op_rms_norm, x, w, NULL,
                 &(struct alloy_norm_options){.eps = eps, .scale = 1, .unit_offset = unit_offset});
}

alloy_tensor *alloy_gated_rms_norm(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, alloy_tensor *gate,
                                   double eps)
{
    if (alloy_pass_stopped(p, x) || !gate)
        return NULL;
    if (alloy_tensor_size(gate) != alloy_tensor_size(x))
        return alloy_shape_fail(p, "gated_rms_norm", "a gate of %lld elements for x of %lld",
                                (long long)alloy_tensor_size(gate), (long long)alloy_tensor_size(x));
    return apply(p, &alloy_op_gated_rms_norm, x, w, gate, &(struct alloy_norm_options){.eps = eps, .scale = 1});
}

alloy_tensor *alloy_l2_norm(alloy_pass *p, alloy_tensor *x, double eps, double scale)
{
    return apply(p, &alloy_op_l2_norm, x, NULL, NULL, &(struct alloy_norm_options){.eps = eps, .scale = scale});
}
