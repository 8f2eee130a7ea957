/* qwen3_5 and qwen3_5_moe: delta nets and gated attention, dense or with experts and a shared one in every layer, whose
 * weights are always divided by their sum. The names without _text are those of the multimodal models: their
 * text_config is the model that Alloy runs. */
#include "config/families/families.h"

/* ---- Dense ------------------------------------------------------------------------------------------------------- */

static const char *const dense_fields[] = {
    "attention_bias",
    "layer_types",
    "full_attention_interval",
    "linear_num_key_heads",
    "linear_num_value_heads",
    "linear_key_head_dim",
    "linear_value_head_dim",
    "linear_conv_kernel_dim",
    NULL,
};

static const alloy_source dense_defaults = {
    .config =
        {
            .vocab_size = 248320,
            .hidden_size = 4096,
            .intermediate_size = 12288,
            .num_hidden_layers = 32,
            .num_attention_heads = 16,
            .num_key_value_heads = 4,
            .head_dim = 256,
            .linear_num_key_heads = 16,
            .linear_num_value_heads = 32,
            .linear_key_head_dim = 128,
            .linear_value_head_dim = 128,
            .linear_conv_kernel_dim = 4,
        },
    .partial_rotary_factor = 0.25,
    .full_attention_interval = 4,
};

static alloy_status translate_dense(alloy_config_reader *reader, alloy_source *source)
{
    (void)reader;
    alloy_set_hybrid(source);
    return ALLOY_OK;
}

static const char *dense_ffn_at(const alloy_source *source, int64_t layer)
{
    (void)source;
    (void)layer;
    return "qwen3_mlp";
}

#define DENSE(name, wraps_text)                                                                                        \
    {                                                                                                                  \
        .model_type = (name), .wraps = (wraps_text), .fields = dense_fields, .defaults = &dense_defaults,              \
        .translate = translate_dense, .mixers = alloy_hybrid_mixers, .mixer_at = alloy_hybrid_mixer_at,                \
        .ffn_at = dense_ffn_at,                                                                                        \
    }

const alloy_family alloy_family_qwen3_5 = DENSE("qwen3_5", true);
const alloy_family alloy_family_qwen3_5_text = DENSE("qwen3_5_text", false);

/* ---- With experts ------------------------------------------------------------------------------------------------ */

static const char *const moe_fields[] = {
    "attention_bias",
    "layer_types",
    "full_attention_interval",
    "linear_num_key_heads",
    "linear_num_value_heads",
    "linear_key_head_dim",
    "linear_value_head_dim",
    "linear_conv_kernel_dim",
    "num_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "shared_expert_intermediate_size",
    "router_aux_loss_coef",
    NULL,
};

static const alloy_source moe_defaults = {
    .config =
        {
            .vocab_size = 248320,
            .hidden_size = 2048,
            .num_hidden_layers = 40,
            .num_attention_heads = 16,
            .num_key_value_heads = 2,
            .head_dim = 256,
            .linear_num_key_heads = 16,
            .linear_num_value_heads = 32,
            .linear_key_head_dim = 128,
            .linear_value_head_dim = 128,
            .linear_conv_kernel_dim = 4,
            .num_experts = 256,
            .num_experts_per_tok = 8,
            .moe_intermediate_size = 512,
            .shared_expert_intermediate_size = 512,
            .router_aux_loss_coef = 0.001,
        },
    .partial_rotary_factor = 0.25,
    .full_attention_interval = 4,
};

static alloy_status translate_moe(alloy_config_reader *reader, alloy_source *source)
{
    (void)reader;
    alloy_set_hybrid(source);
    alloy_set_bool(source, "norm_topk_prob", true);
    return ALLOY_OK;
}

static const char *moe_ffn_at(const alloy_source *source, int64_t layer)
{
    (void)source;
    (void)layer;
    return "qwen3_5_moe";
}

#define MOE(name, wraps_text)                                                                                          \
    {                                                                                                                  \
        .model_type = (name), .wraps = (wraps_text), .fields = moe_fields, .defaults = &moe_defaults,                  \
        .translate = translate_moe, .mixers = alloy_hybrid_mixers, .mixer_at = alloy_hybrid_mixer_at,                  \
        .ffn_at = moe_ffn_at,                                                                                          \
    }

const alloy_family alloy_family_qwen3_5_moe = MOE("qwen3_5_moe", true);
const alloy_family alloy_family_qwen3_5_moe_text = MOE("qwen3_5_moe_text", false);
