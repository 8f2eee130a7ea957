/* Softmax-routed experts (softmax_moe.h). */
#include "modules/softmax_moe.h"

#include <stddef.h>

#include "base/status.h"

enum { MOST_EXPERTS = 65536 };

alloy_status alloy_softmax_moe_check(void *shape)
{
    const struct alloy_softmax_moe *c = shape;
    alloy_status status = alloy_config_require("num_experts", c->num_experts, 1, MOST_EXPERTS);
    if (!status)
        status = alloy_config_require("num_experts_per_tok", c->num_experts_per_tok, 1, c->num_experts);
    if (!status)
        status = alloy_config_require("moe_intermediate_size", c->moe_intermediate_size, 1, INT64_C(1) << 31);
    return status;
}

void alloy_softmax_moe_params(alloy_params *p, const struct alloy_softmax_moe *c, size_t offset)
{
    alloy_param(p, "gate.weight", offset + offsetof(struct alloy_softmax_moe_weights, gate),
                ALLOY_SHAPE(c->num_experts, c->hidden_size), ALLOY_INIT_NORMAL | ALLOY_ROUTES);
    alloy_param_experts(p, "experts", offset + offsetof(struct alloy_softmax_moe_weights, experts), c->num_experts,
                        c->moe_intermediate_size, c->hidden_size);
}

alloy_tensor *alloy_softmax_moe_forward(alloy_pass *p, const struct alloy_softmax_moe *c,
                                        const struct alloy_softmax_moe_weights *w, alloy_tensor *x)
{
    alloy_routes routes =
        alloy_route_softmax(p, alloy_linear(p, x, w->gate, NULL), c->num_experts_per_tok, c->norm_topk_prob);
    return alloy_experts(p, x, routes, &w->experts);
}
