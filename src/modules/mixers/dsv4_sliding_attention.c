/* dsv4_sliding_attention: DeepSeek-V4's layers that see a window only; they rotate by the main rope. */
#include "modules/dsv4_attention.h"

static alloy_tensor *forward(alloy_pass *p, const void *shape, const void *weights, const alloy_state *s,
                             alloy_tensor *x)
{
    const struct alloy_dsv4_attention *c = shape;
    return alloy_dsv4_attend(p, c, weights, s, x, alloy_dsv4_low_rank_queries(p, c, weights, x), &c->rope_parameters,
                             NULL, NULL);
}

const alloy_mixer alloy_dsv4_sliding_attention = {
    .name = "dsv4_sliding_attention",
    .attr_name = "self_attn",
    .summary = "DeepSeek-V4: low-rank queries, one key-value head, sinks, over a sliding window",
    .mask_kind = ALLOY_MASK_SLIDING,
    .weights_size = sizeof(struct alloy_dsv4_attention_weights),
    .fields = alloy_dsv4_attention_fields,
    .shape_size = sizeof(struct alloy_dsv4_attention),
    .check = alloy_dsv4_attention_check,
    .params = alloy_dsv4_attention_params,
    .state = alloy_dsv4_attention_state,
    .forward = forward,
};
