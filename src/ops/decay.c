/* The delta net's decay: exp(-exp(A_log) * softplus(a + dt_bias)) (arXiv:2312.00752, section 3.5.1, as the gated delta
 * net uses it). */
#include "ops/ops.h"

/* Add, softplus 3, multiply, exp: 6 an element. */
static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_wide n = a->in[0]->shape[0], heads = alloy_row_size(a->in[0]);
    alloy_wide_let(cost, n, heads);
    alloy_wide_vector(cost, 6 * n * heads);
    alloy_cost_weight(cost, a->weight[0], heads, 1);
    alloy_cost_weight(cost, a->weight[1], heads, 1);
}

const alloy_op alloy_op_decay = {"decay", NULL, count};

alloy_tensor *alloy_decay(alloy_pass *p, alloy_tensor *a, const alloy_weight *A_log, const alloy_weight *dt_bias)
{
    if (alloy_pass_stopped(p, a))
        return NULL;
    int64_t heads = alloy_row_size(a);
    if (A_log->shape[0] != heads || dt_bias->shape[0] != heads)
        return alloy_shape_fail(p, "decay", "%s has %lld elements, a has rows of %lld", A_log->name,
                                (long long)A_log->shape[0], (long long)heads);
    alloy_tensor *y = alloy_tensor_like(p, a);
    return y ? alloy_apply(p, &alloy_op_decay, &(alloy_args){.in = {a}, .out = {y}, .weight = {A_log, dt_bias}}) : NULL;
}
