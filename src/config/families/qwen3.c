/* qwen3 and qwen3_moe: attention with norms on queries and keys, dense or with experts.
 *
 * Windows count only with use_sliding_window. qwen3: explicit layer_types, else the layers from max_window_layers on.
 * qwen3_moe: every layer or none. attention_bias is that of all four projections. head_dim is 128 in qwen3, and follows
 * from the heads in qwen3_moe. */
#include "config/families/families.h"

/* ---- qwen3 ------------------------------------------------------------------------------------------------------- */

static const char *const qwen3_fields[] = {
    "attention_bias", "use_sliding_window", "sliding_window", "max_window_layers", "layer_types", NULL,
};

static const char *const qwen3_mixers[] = {
    "full_attention", "qwen3_attention", "sliding_attention", "qwen3_attention_sliding", NULL,
};

static const alloy_source qwen3_defaults = {
    .config =
        {
            .vocab_size = 151936,
            .hidden_size = 4096,
            .intermediate_size = 22016,
            .num_hidden_layers = 32,
            .num_attention_heads = 32,
            .num_key_value_heads = 32,
            .head_dim = 128,
            .sliding_window = 4096,
        },
    .max_window_layers = 28,
};

static alloy_status translate(alloy_config_reader *reader, alloy_source *source)
{
    alloy_drop_unused_window(source);
    if (reader->family == &alloy_family_qwen3_moe)
        alloy_warn_if_unused(reader, source, "layer_types");
    return ALLOY_OK;
}

const alloy_family alloy_family_qwen3 = {
    .model_type = "qwen3",
    .fields = qwen3_fields,
    .defaults = &qwen3_defaults,
    .translate = translate,
    .mixers = qwen3_mixers,
    .mixer = "qwen3_attention",
    .sliding_mixer = "qwen3_attention_sliding",
    .ffn = "qwen3_mlp",
};

/* ---- qwen3_moe --------------------------------------------------------------------------------------------------- */

static const char *const moe_fields[] = {
    "attention_bias",
    "use_sliding_window",
    "sliding_window",
    "decoder_sparse_step",
    "mlp_only_layers",
    "num_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "norm_topk_prob",
    "router_aux_loss_coef",
    NULL,
};

static const alloy_source moe_defaults = {
    .config =
        {
            .vocab_size = 151936,
            .hidden_size = 2048,
            .intermediate_size = 6144,
            .num_hidden_layers = 24,
            .num_attention_heads = 32,
            .num_key_value_heads = 4,
            .sliding_window = 4096,
            .num_experts = 128,
            .num_experts_per_tok = 8,
            .moe_intermediate_size = 768,
            .router_aux_loss_coef = 0.001,
        },
    .decoder_sparse_step = 1,
};

static const char *moe_ffn_at(const alloy_source *source, int64_t layer)
{
    return alloy_layer_is_sparse(source, layer) ? "qwen3_moe" : "qwen3_mlp";
}

const alloy_family alloy_family_qwen3_moe = {
    .model_type = "qwen3_moe",
    .fields = moe_fields,
    .defaults = &moe_defaults,
    .translate = translate,
    .mixer = "qwen3_attention",
    .sliding_mixer = "qwen3_attention_sliding",
    .ffn_at = moe_ffn_at,
};
