/* DeepSeek-V4's experts (dsv4_experts.h). */
#include "modules/dsv4_experts.h"

#include <stddef.h>

#include "base/status.h"

enum { MOST_EXPERTS = 65536, MOST_WIDTH = 1 << 20 };

alloy_status alloy_dsv4_experts_check(const alloy_config *c)
{
    alloy_status status = alloy_config_require("num_experts", c->num_experts, 1, MOST_EXPERTS);
    if (!status)
        status = alloy_config_require("num_experts_per_tok", c->num_experts_per_tok, 1, c->num_experts);
    if (!status)
        status = alloy_config_require("moe_intermediate_size", c->moe_intermediate_size, 1, MOST_WIDTH);
    if (!status && !c->scoring_func)
        return alloy_fail(ALLOY_RANGE,
                          "scoring_func is missing, expected \"sqrtsoftplus\", \"sigmoid\" or \"softmax\"");
    return status;
}

void alloy_dsv4_experts_params(alloy_params *p, const alloy_config *c, size_t offset)
{
    int64_t hidden = c->hidden_size, inner = c->moe_intermediate_size;
#define AT(field) (offset + offsetof(struct alloy_dsv4_experts_weights, field))
    alloy_param(p, "gate.weight", AT(gate), ALLOY_SHAPE(c->num_experts, hidden), ALLOY_INIT_NORMAL | ALLOY_ROUTES);
    alloy_param_experts(p, "experts", AT(experts), c->num_experts, inner, hidden);
    alloy_param_linear(p, "shared_experts.gate_proj.weight", AT(shared.gate), inner, hidden);
    alloy_param_linear(p, "shared_experts.up_proj.weight", AT(shared.up), inner, hidden);
    alloy_param_linear(p, "shared_experts.down_proj.weight", AT(shared.down), hidden, inner);
    if (!c->mlp_bias)
        return;
    alloy_param(p, "shared_experts.gate_proj.bias", AT(shared.gate_bias), ALLOY_SHAPE(inner), ALLOY_INIT_ZEROS);
    alloy_param(p, "shared_experts.up_proj.bias", AT(shared.up_bias), ALLOY_SHAPE(inner), ALLOY_INIT_ZEROS);
    alloy_param(p, "shared_experts.down_proj.bias", AT(shared.down_bias), ALLOY_SHAPE(hidden), ALLOY_INIT_ZEROS);
#undef AT
}

alloy_tensor *alloy_dsv4_experts_forward(alloy_pass *p, const alloy_config *c,
                                         const struct alloy_dsv4_experts_weights *w, alloy_tensor *x,
                                         alloy_routes routes)
{
    alloy_tensor *routed = alloy_experts_clamped(p, x, routes, &w->experts, c->swiglu_limit);
    return alloy_add(p, routed, alloy_swiglu_forward(p, &w->shared, x, c->swiglu_limit));
}
