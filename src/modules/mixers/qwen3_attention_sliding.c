/* qwen3_attention_sliding: qwen3_attention over a sliding window. */
#include "modules/softmax_attention.h"

const alloy_mixer alloy_qwen3_attention_sliding = {
    .name = "qwen3_attention_sliding",
    .attr_name = "self_attn",
    .summary = "qwen3_attention over a sliding window",
    .mask_kind = ALLOY_MASK_SLIDING,
    .weights_size = sizeof(struct alloy_softmax_attention_weights),
    .fields = alloy_softmax_attention_fields,
    .shape_size = sizeof(struct alloy_softmax_attention),
    .check = alloy_sliding_attention_check,
    .params = alloy_softmax_attention_params_with_norms,
    .state = alloy_sliding_attention_state,
    .forward = alloy_sliding_attention_forward,
};
