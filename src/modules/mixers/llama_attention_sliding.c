/* llama_attention_sliding: llama_attention over a sliding window. */
#include "modules/softmax_attention.h"

static alloy_status check(const alloy_config *c)
{
    return alloy_softmax_attention_check(c, true);
}

static void params(alloy_params *p, const alloy_config *c)
{
    alloy_softmax_attention_params(p, c, false);
}

static void state(alloy_state_spec *s, const alloy_config *c)
{
    alloy_softmax_attention_state(s, c, c->sliding_window);
}

static alloy_tensor *forward(alloy_pass *p, const alloy_config *c, const void *weights, const alloy_state *s,
                             alloy_tensor *x)
{
    return alloy_softmax_attention_forward(p, c, weights, s, x, c->sliding_window, false);
}

const alloy_mixer alloy_llama_attention_sliding = {
    .name = "llama_attention_sliding",
    .attr_name = "self_attn",
    .summary = "llama_attention over a sliding window",
    .mask_kind = ALLOY_MASK_SLIDING,
    .weights_size = sizeof(struct alloy_softmax_attention_weights),
    .check = check,
    .params = params,
    .state = state,
    .forward = forward,
};
