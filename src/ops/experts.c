/* Routed experts: for each token, y = sum over its experts, in rising expert number, of weight * down(silu(gate x) * up
 * x). A token's result does not depend on its neighbours. */
#include "ops/ops.h"

#include <math.h>

#include "kernels/math.h"

double alloy_even_routing(int64_t experts, int64_t per_token, double tokens)
{
    double missed = 1, base = 1 - (double)per_token / (double)experts, rest = tokens - floor(tokens);
    if (rest > 0)
        missed = base > 0 ? alloy_pow64(base, rest) : 0;
    for (int64_t n = (int64_t)tokens; n > 0; n >>= 1) {
        if (n & 1)
            missed *= base;
        base *= base;
    }
    return (double)experts * (1 - missed);
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct alloy_experts_options *o = a->options;
    const alloy_count_model *model = &a->pass->model;
    int64_t tokens = a->in[0]->shape[0], k = a->in[1]->shape[1];
    alloy_wide rows = (alloy_wide)tokens * k, hidden = alloy_row_size(a->in[0]);
    alloy_wide inner = a->experts->gate[0].shape[0];
    double read = model->experts_read
                      ? model->experts_read(model->user, a->pass->site.layer, o->experts, k, tokens, o->distinct)
                      : alloy_even_routing(o->experts, k, o->distinct);
    cost->tensors_read = rows / k * hidden;   /* x without the routes */
    alloy_wide swiglu = o->limit > 0 ? 8 : 5; /* operations an element */
    alloy_wide_let(cost, rows, hidden, inner, swiglu);
    alloy_wide_tensor(cost, rows * 6 * hidden * inner);
    alloy_wide_vector(cost, swiglu * rows * inner + 2 * rows * hidden);
    alloy_cost_weight(cost, &a->experts->gate[0], hidden * inner, read);
    alloy_cost_weight(cost, &a->experts->up[0], hidden * inner, read);
    alloy_cost_weight(cost, &a->experts->down[0], hidden * inner, read);
}

const alloy_op alloy_op_experts = {"experts", NULL, count};

alloy_tensor *alloy_experts(alloy_pass *p, alloy_tensor *x, alloy_routes routes, const alloy_expert_weights *experts)
{
    return alloy_experts_clamped(p, x, routes, experts, 0);
}

alloy_tensor *alloy_experts_clamped(alloy_pass *p, alloy_tensor *x, alloy_routes routes,
                                    const alloy_expert_weights *experts, double limit)
{
    if (alloy_pass_stopped(p, x) || !routes.expert)
        return NULL;
    if (routes.experts != experts->count || experts->gate[0].shape[1] != alloy_row_size(x))
        return alloy_shape_fail(p, "experts", "%lld experts of rows of %lld; routes over %lld, x has rows of %lld",
                                (long long)experts->count, (long long)experts->gate[0].shape[1],
                                (long long)routes.experts, (long long)alloy_row_size(x));
    alloy_tensor *y = alloy_tensor_new(p, 2, (int64_t[]){x->shape[0], alloy_row_size(x)});
    struct alloy_experts_options options = {experts->count, routes.distinct, limit};
    return y ? alloy_apply(p, &alloy_op_experts,
                           &(alloy_args){.in = {x, routes.expert, routes.weight},
                                         .out = {y},
                                         .experts = experts,
                                         .options = &options,
                                         .options_size = sizeof options})
             : NULL;
}
