/* qwen3_5 and qwen3_5_moe: delta nets and gated attention, dense or with experts and a shared one in every layer, whose
 * weights are always divided by their sum. The names without _text are those of the multimodal models: their
 * text_config is the model that Alloy runs. */
#include "config/families/families.h"

/* ---- Dense ------------------------------------------------------------------------------------------------------- */

static const char *const dense_fields[] = {
    ALLOY_HYBRID_FIELDS,
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
            ALLOY_HYBRID_SIZES,
        },
    ALLOY_HYBRID_RULES,
};

static alloy_status translate_dense(alloy_config_reader *reader, alloy_source *source)
{
    (void)reader;
    alloy_set_hybrid(source);
    return ALLOY_OK;
}

#define DENSE(name, wraps_text)                                                                                        \
    {                                                                                                                  \
        .model_type = (name), .wraps = (wraps_text), .fields = dense_fields, .defaults = &dense_defaults,              \
        .translate = translate_dense, .mixers = alloy_hybrid_mixers, .mixer_at = alloy_hybrid_mixer_at,                \
        .ffn = "qwen3_mlp",                                                                                            \
    }

const alloy_family alloy_family_qwen3_5 = DENSE("qwen3_5", true);
const alloy_family alloy_family_qwen3_5_text = DENSE("qwen3_5_text", false);

/* ---- With experts ------------------------------------------------------------------------------------------------ */

static const char *const moe_fields[] = {
    ALLOY_HYBRID_FIELDS,
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
            ALLOY_HYBRID_SIZES,
            .num_experts = 256,
            .num_experts_per_tok = 8,
            .moe_intermediate_size = 512,
            .shared_expert_intermediate_size = 512,
            .router_aux_loss_coef = 0.001,
        },
    ALLOY_HYBRID_RULES,
};

static alloy_status translate_moe(alloy_config_reader *reader, alloy_source *source)
{
    (void)reader;
    alloy_set_hybrid(source);
    alloy_set_bool(source, "norm_topk_prob", true);
    return ALLOY_OK;
}

#define MOE(name, wraps_text)                                                                                          \
    {                                                                                                                  \
        .model_type = (name), .wraps = (wraps_text), .fields = moe_fields, .defaults = &moe_defaults,                  \
        .translate = translate_moe, .mixers = alloy_hybrid_mixers, .mixer_at = alloy_hybrid_mixer_at,                  \
        .ffn = "qwen3_5_moe",                                                                                          \
    }

const alloy_family alloy_family_qwen3_5_moe = MOE("qwen3_5_moe", true);
const alloy_family alloy_family_qwen3_5_moe_text = MOE("qwen3_5_moe_text", false);
