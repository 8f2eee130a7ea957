/* qwen3_mlp: the dense SwiGLU feed-forward of Qwen, Llama and Mistral. */
#include "base/status.h"
#include "modules/swiglu.h"

static alloy_status check(const alloy_config *c)
{
    return alloy_config_require("intermediate_size", c->intermediate_size, 1, INT64_C(1) << 31);
}

static void params(alloy_params *p, const alloy_config *c)
{
    alloy_swiglu_params(p, false, 0, c->hidden_size, c->intermediate_size, c->mlp_bias);
}

static alloy_tensor *forward(alloy_pass *p, const alloy_config *c, const void *weights, alloy_tensor *x)
{
    (void)c;
    return alloy_swiglu_forward(p, weights, x, 0);
}

const alloy_ffn alloy_qwen3_mlp = {
    .name = "qwen3_mlp",
    .attr_name = "mlp",
    .summary = "dense SwiGLU",
    .weights_size = sizeof(struct alloy_swiglu_weights),
    .check = check,
    .params = params,
    .forward = forward,
};
