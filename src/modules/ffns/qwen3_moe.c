/* qwen3_moe: routed experts only (Qwen3-MoE). */
#include "modules/softmax_moe.h"

static void params(alloy_params *p, const alloy_config *c)
{
    alloy_softmax_moe_params(p, c, 0);
}

static alloy_tensor *forward(alloy_pass *p, const alloy_config *c, const void *weights, alloy_tensor *x)
{
    return alloy_softmax_moe_forward(p, c, weights, x);
}

const alloy_ffn alloy_qwen3_moe = {
    .name = "qwen3_moe",
    .attr_name = "mlp",
    .summary = "routed experts of SwiGLU, softmax router",
    .weights_size = sizeof(struct alloy_softmax_moe_weights),
    .check = alloy_softmax_moe_check,
    .params = params,
    .forward = forward,
};
