/* llama_attention: attention without norms of q and k, over all positions (Llama, Qwen2, Mistral). */
#include "modules/softmax_attention.h"

const alloy_mixer alloy_llama_attention = {
    .name = "llama_attention",
    .attr_name = "self_attn",
    .summary = "softmax attention over all positions, no q and k norms",
    .mask_kind = ALLOY_MASK_CAUSAL,
    .weights_size = sizeof(struct alloy_softmax_attention_weights),
    .fields = alloy_softmax_attention_fields,
    .shape_size = sizeof(struct alloy_softmax_attention),
    .check = alloy_softmax_attention_check,
    .params = alloy_softmax_attention_params,
    .state = alloy_softmax_attention_state,
    .forward = alloy_softmax_attention_forward,
};
