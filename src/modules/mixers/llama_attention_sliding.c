/* llama_attention_sliding: llama_attention over a sliding window. */
#include "modules/softmax_attention.h"

const alloy_mixer alloy_llama_attention_sliding = {
    .name = "llama_attention_sliding",
    .attr_name = "self_attn",
    .summary = "llama_attention over a sliding window",
    .mask_kind = ALLOY_MASK_SLIDING,
    .weights_size = sizeof(struct alloy_softmax_attention_weights),
    .fields = alloy_softmax_attention_fields,
    .shape_size = sizeof(struct alloy_softmax_attention),
    .check = alloy_sliding_attention_check,
    .params = alloy_softmax_attention_params,
    .state = alloy_sliding_attention_state,
    .forward = alloy_sliding_attention_forward,
};
