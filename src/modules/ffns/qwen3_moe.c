/* qwen3_moe: routed experts only (Qwen3-MoE). */
#include "modules/softmax_moe.h"

static const alloy_field fields[] = {ALLOY_SOFTMAX_MOE_FIELDS(false), {0}};

static void params(alloy_params *p, const void *shape)
{
    alloy_softmax_moe_params(p, shape, 0);
}

static alloy_tensor *forward(alloy_pass *p, const void *shape, const void *weights, alloy_tensor *x)
{
    return alloy_softmax_moe_forward(p, shape, weights, x);
}

const alloy_ffn alloy_qwen3_moe = {
    .name = "qwen3_moe",
    .attr_name = "mlp",
    .summary = "routed experts of SwiGLU, softmax router",
    .weights_size = sizeof(struct alloy_softmax_moe_weights),
    .fields = fields,
    .shape_size = sizeof(struct alloy_softmax_moe),
    .check = alloy_softmax_moe_check,
    .params = params,
    .forward = forward,
};
