/* llama_attention: attention without norms of q and k, over all positions (Llama, Qwen2, Mistral). */
#include "modules/softmax_attention.h"

static alloy_status check(const alloy_config *c)
{
    return alloy_softmax_attention_check(c, false);
}

static void params(alloy_params *p, const alloy_config *c)
{
    alloy_softmax_attention_params(p, c, false);
}

static void state(alloy_state_spec *s, const alloy_config *c)
{
    alloy_softmax_attention_state(s, c, 0);
}

static alloy_tensor *forward(alloy_pass *p, const alloy_config *c, const void *weights, const alloy_state *s,
                             alloy_tensor *x)
{
    return alloy_softmax_attention_forward(p, c, weights, s, x, 0, false);
}

const alloy_mixer alloy_llama_attention = {
    .name = "llama_attention",
    .attr_name = "self_attn",
    .summary = "softmax attention over all positions, no q and k norms",
    .mask_kind = ALLOY_MASK_CAUSAL,
    .weights_size = sizeof(struct alloy_softmax_attention_weights),
    .check = check,
    .params = params,
    .state = state,
    .forward = forward,
};
