/* qwen3_mlp: the dense SwiGLU feed-forward of Qwen, Llama and Mistral. */
#include "base/status.h"
#include "modules/swiglu.h"

struct shape {
    int64_t hidden_size, intermediate_size;
    bool mlp_bias;
};

static const alloy_field fields[] = {
    ALLOY_FIELD(struct shape, intermediate_size, INTEGER, .flags = ALLOY_FIELD_COMMON, .least = 1, .most = 1 << 20,
                .fallback = 8192),
    ALLOY_FIELD(struct shape, mlp_bias, BOOL),
    ALLOY_FIELD(struct shape, hidden_size, INTEGER),
    {0},
};

static alloy_status check(void *shape)
{
    const struct shape *c = shape;
    return alloy_config_require("intermediate_size", c->intermediate_size, 1, INT64_C(1) << 31);
}

static void params(alloy_params *p, const void *shape)
{
    const struct shape *c = shape;
    alloy_swiglu_params(p, false, 0, c->hidden_size, c->intermediate_size, c->mlp_bias);
}

static alloy_tensor *forward(alloy_pass *p, const void *shape, const void *weights, alloy_tensor *x)
{
    (void)shape;
    return alloy_swiglu_forward(p, weights, x, 0);
}

const alloy_ffn alloy_qwen3_mlp = {
    .name = "qwen3_mlp",
    .attr_name = "mlp",
    .summary = "dense SwiGLU",
    .weights_size = sizeof(struct alloy_swiglu_weights),
    .fields = fields,
    .shape_size = sizeof(struct shape),
    .check = check,
    .params = params,
    .forward = forward,
};
