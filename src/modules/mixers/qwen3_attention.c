/* qwen3_attention: attention with q and k norms, an optional output gate, over all positions (Qwen3, Qwen3-Next,
 * Qwen3.5). */
#include "modules/softmax_attention.h"

const alloy_mixer alloy_qwen3_attention = {
    .name = "qwen3_attention",
    .attr_name = "self_attn",
    .summary = "softmax attention over all positions, q and k norms, optional output gate",
    .mask_kind = ALLOY_MASK_CAUSAL,
    .weights_size = sizeof(struct alloy_softmax_attention_weights),
    .fields = alloy_softmax_attention_fields,
    .shape_size = sizeof(struct alloy_softmax_attention),
    .check = alloy_softmax_attention_check,
    .params = alloy_softmax_attention_params_with_norms,
    .state = alloy_softmax_attention_state,
    .forward = alloy_softmax_attention_forward,
};
