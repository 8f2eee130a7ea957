/* qwen3_attention: attention with q and k norms, an optional output gate, over all positions (Qwen3, Qwen3-Next,
 * Qwen3.5). */
#include "modules/softmax_attention.h"

static alloy_status check(const alloy_config *c)
{
    return alloy_softmax_attention_check(c, false);
}

static void params(alloy_params *p, const alloy_config *c)
{
    alloy_softmax_attention_params(p, c, true);
}

static void state(alloy_state_spec *s, const alloy_config *c)
{
    alloy_softmax_attention_state(s, c, 0);
}

static alloy_tensor *forward(alloy_pass *p, const alloy_config *c, const void *weights, const alloy_state *s,
                             alloy_tensor *x)
{
    return alloy_softmax_attention_forward(p, c, weights, s, x, 0, true);
}

const alloy_mixer alloy_qwen3_attention = {
    .name = "qwen3_attention",
    .attr_name = "self_attn",
    .summary = "softmax attention over all positions, q and k norms, optional output gate",
    .mask_kind = ALLOY_MASK_CAUSAL,
    .weights_size = sizeof(struct alloy_softmax_attention_weights),
    .check = check,
    .params = params,
    .state = state,
    .forward = forward,
};
