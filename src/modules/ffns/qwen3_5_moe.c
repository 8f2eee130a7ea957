/* qwen3_5_moe: routed experts and one shared expert with a sigmoid gate (Qwen3-Next, Qwen3.5-MoE). */
#include <stddef.h>

#include "base/status.h"
#include "modules/softmax_moe.h"
#include "modules/swiglu.h"

struct weights {
    struct alloy_softmax_moe_weights routed;
    struct alloy_swiglu_weights shared;
    const alloy_weight *shared_expert_gate; /* [1, hidden] */
};

static const alloy_field fields[] = {
    ALLOY_SOFTMAX_MOE_FIELDS(true),
    ALLOY_SOFTMAX_MOE_FIELD(shared_expert_intermediate_size, INTEGER, .least = 1, .most = 1 << 20),
    {0},
};

static alloy_status check(void *shape)
{
    const struct alloy_softmax_moe *c = shape;
    alloy_status status = alloy_softmax_moe_check(shape);
    return status ? status
                  : alloy_config_require("shared_expert_intermediate_size", c->shared_expert_intermediate_size, 1,
                                         INT64_C(1) << 31);
}

static void params(alloy_params *p, const void *shape)
{
    const struct alloy_softmax_moe *c = shape;
    alloy_softmax_moe_params(p, c, offsetof(struct weights, routed));
    alloy_swiglu_params(p, true, offsetof(struct weights, shared), c->hidden_size, c->shared_expert_intermediate_size,
                        false);
    alloy_param_linear(p, "shared_expert_gate.weight", offsetof(struct weights, shared_expert_gate), 1, c->hidden_size);
}

static alloy_tensor *forward(alloy_pass *p, const void *shape, const void *weights, alloy_tensor *x)
{
    const struct weights *w = weights;
    alloy_tensor *routed = alloy_softmax_moe_forward(p, shape, &w->routed, x);
    alloy_tensor *shared = alloy_swiglu_forward(p, &w->shared, x, 0);
    return alloy_add(p, routed, alloy_mul_sigmoid(p, shared, alloy_linear(p, x, w->shared_expert_gate, NULL)));
}

const alloy_ffn alloy_qwen3_5_moe = {
    .name = "qwen3_5_moe",
    .attr_name = "mlp",
    .summary = "routed experts of SwiGLU and a gated shared expert",
    .weights_size = sizeof(struct weights),
    .fields = fields,
    .shape_size = sizeof(struct alloy_softmax_moe),
    .check = check,
    .params = params,
    .forward = forward,
};
