/* y = x W^T + bias. */
#include "ops/ops.h"

void alloy_count_linear(const alloy_args *a, alloy_cost *cost)
{
    alloy_wide n = a->in[0]->shape[0], rows = a->weight[0]->shape[0], k = a->weight[0]->shape[1];
    alloy_wide_let(cost, n, rows, k);
    alloy_wide_tensor(cost, 2 * n * rows * k);
    alloy_cost_weight(cost, a->weight[0], rows * k, 1);
    if (!a->weight[1])
        return;
    alloy_wide_vector(cost, n * rows);
    alloy_cost_weight(cost, a->weight[1], rows, 1);
}

const alloy_op alloy_op_linear = {"linear", NULL, alloy_count_linear};

static bool fits(alloy_pass *p, const alloy_tensor *x, const alloy_weight *w, const alloy_weight *bias)
{
    if (!w || w->ndim != 2 || w->shape[1] != alloy_row_size(x)) {
        alloy_shape_fail(p, "linear", "%s takes rows of %lld, x has rows of %lld", w ? w->name : "(no weight)",
                         w ? (long long)w->shape[1] : 0, (long long)alloy_row_size(x));
        return false;
    }
    if (bias && (bias->ndim != 1 || bias->shape[0] != w->shape[0])) {
        alloy_shape_fail(p, "linear", "%s has %lld elements, %s has %lld rows", bias->name, (long long)bias->shape[0],
                         w->name, (long long)w->shape[0]);
        return false;
    }
    return true;
}

alloy_tensor *alloy_linear(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, const alloy_weight *bias)
{
    if (alloy_pass_stopped(p, x) || !fits(p, x, w, bias))
        return NULL;
    alloy_tensor *y = alloy_tensor_new(p, 2, (int64_t[]){x->shape[0], w->shape[0]});
    return y ? alloy_apply(p, &alloy_op_linear, &(alloy_args){.in = {x}, .out = {y}, .weight = {w, bias}}) : NULL;
}

alloy_tensor *alloy_linear_into(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, void *data)
{
    if (alloy_pass_stopped(p, x) || !fits(p, x, w, NULL))
        return NULL;
    alloy_tensor *y = alloy_tensor_over(p, data, alloy_pass_dtype(p), 2, (int64_t[]){x->shape[0], w->shape[0]});
    return y ? alloy_apply(p, &alloy_op_linear, &(alloy_args){.in = {x}, .out = {y}, .weight = {w}}) : NULL;
}
