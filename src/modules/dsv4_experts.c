/* DeepSeek-V4's experts (dsv4_experts.h). */
#include "modules/dsv4_experts.h"

#include <stddef.h>

#include "base/status.h"

enum { MOST_EXPERTS = 65536, MOST_WIDTH = 1 << 20 };

static const char *const scorings[] = {"softmax", "sigmoid", "sqrtsoftplus", NULL};

#define FIELD(name, type, ...) ALLOY_FIELD(struct alloy_dsv4_experts, name, type, __VA_ARGS__)
const alloy_field alloy_dsv4_experts_fields[] = {
    FIELD(n_routed_experts, INTEGER, .most = MOST_EXPERTS, .other = "num_experts"),
    FIELD(num_experts_per_tok, INTEGER),
    FIELD(moe_intermediate_size, INTEGER),
    FIELD(scoring_func, STRING, .words = scorings),
    FIELD(routed_scaling_factor, NUMBER, .flags = ALLOY_FIELD_ABOVE, .most = 1e6, .fallback = 1),
    FIELD(swiglu_limit, NUMBER, .most = 1e6),
    FIELD(mlp_bias, BOOL),
    FIELD(hidden_size, INTEGER),
    FIELD(vocab_size, INTEGER),
    {0},
};
#undef FIELD

alloy_status alloy_dsv4_experts_check(void *shape)
{
    const struct alloy_dsv4_experts *c = shape;
    alloy_status status = alloy_config_require("n_routed_experts", c->n_routed_experts, 1, MOST_EXPERTS);
    if (!status)
        status = alloy_config_require("num_experts_per_tok", c->num_experts_per_tok, 1, c->n_routed_experts);
    if (!status)
        status = alloy_config_require("moe_intermediate_size", c->moe_intermediate_size, 1, MOST_WIDTH);
    if (!status && !c->scoring_func)
        return alloy_fail(ALLOY_RANGE,
                          "scoring_func is missing, expected \"sqrtsoftplus\", \"sigmoid\" or \"softmax\"");
    return status;
}

void alloy_dsv4_experts_params(alloy_params *p, const struct alloy_dsv4_experts *c, size_t offset)
{
    int64_t hidden = c->hidden_size, inner = c->moe_intermediate_size;
#define AT(field) (offset + offsetof(struct alloy_dsv4_experts_weights, field))
    alloy_param(p, "gate.weight", AT(gate), ALLOY_SHAPE(c->n_routed_experts, hidden), ALLOY_INIT_NORMAL | ALLOY_ROUTES);
    alloy_param_experts(p, "experts", AT(experts), c->n_routed_experts, inner, hidden);
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

alloy_tensor *alloy_dsv4_experts_forward(alloy_pass *p, const struct alloy_dsv4_experts *c,
                                         const struct alloy_dsv4_experts_weights *w, alloy_tensor *x,
                                         alloy_routes routes)
{
    alloy_tensor *routed = alloy_experts_clamped(p, x, routes, &w->experts, c->swiglu_limit);
    return alloy_add(p, routed, alloy_swiglu_forward(p, &w->shared, x, c->swiglu_limit));
}
