/* qwen3_5 and qwen3_5_moe: delta nets and gated attention, dense or with experts and a shared one in every layer, whose
 * weights are always divided by their sum. The names without _text are those of the multimodal models: their
 * text_config is the model that Alloy runs. */
#include "config/families/families.h"

/* ---- Dense ------------------------------------------------------------------------------------------------------- */

static const char *const dense_fields[] = {ALLOY_HYBRID_FIELDS, NULL};

static const alloy_default dense_defaults[] = {
    {.key = "vocab_size", .value = 248320},
    {.key = "hidden_size", .value = 4096},
    {.key = "intermediate_size", .value = 12288},
    {.key = "num_hidden_layers", .value = 32},
    {.key = "num_attention_heads", .value = 16},
    {.key = "num_key_value_heads", .value = 4},
    ALLOY_HYBRID_DEFAULTS,
    {0},
};

static alloy_status translate_dense(alloy_config_reader *reader, alloy_source *source)
{
    (void)reader;
    alloy_set_hybrid(source);
    return ALLOY_OK;
}

#define DENSE(name, wraps_text)                                                                                        \
    {                                                                                                                  \
        .model_type = (name), .wraps = (wraps_text), .fields = dense_fields, .defaults = dense_defaults,               \
        .translate = translate_dense, .mixers = alloy_hybrid_mixers, .mixer_at = alloy_hybrid_mixer_at,                \
        .ffn = "qwen3_mlp",                                                                                            \
    }

const alloy_family alloy_family_qwen3_5 = DENSE("qwen3_5", true);
const alloy_family alloy_family_qwen3_5_text = DENSE("qwen3_5_text", false);

/* ---- With experts ------------------------------------------------------------------------------------------------ */

static const char *const moe_fields[] = {ALLOY_HYBRID_FIELDS, NULL};

static const alloy_default moe_defaults[] = {
    {.key = "vocab_size", .value = 248320},
    {.key = "hidden_size", .value = 2048},
    {.key = "num_hidden_layers", .value = 40},
    {.key = "num_attention_heads", .value = 16},
    {.key = "num_key_value_heads", .value = 2},
    {.key = "num_experts", .value = 256},
    {.key = "num_experts_per_tok", .value = 8},
    {.key = "moe_intermediate_size", .value = 512},
    {.key = "shared_expert_intermediate_size", .value = 512},
    {.key = "router_aux_loss_coef", .value = 0.001},
    ALLOY_HYBRID_DEFAULTS,
    {0},
};

static alloy_status translate_moe(alloy_config_reader *reader, alloy_source *source)
{
    (void)reader;
    alloy_set_hybrid(source);
    alloy_source_set(source, "norm_topk_prob", true);
    return ALLOY_OK;
}

#define MOE(name, wraps_text)                                                                                          \
    {                                                                                                                  \
        .model_type = (name), .wraps = (wraps_text), .fields = moe_fields, .defaults = moe_defaults,                   \
        .translate = translate_moe, .mixers = alloy_hybrid_mixers, .mixer_at = alloy_hybrid_mixer_at,                  \
        .ffn = "qwen3_5_moe",                                                                                          \
    }

const alloy_family alloy_family_qwen3_5_moe = MOE("qwen3_5_moe", true);
const alloy_family alloy_family_qwen3_5_moe_text = MOE("qwen3_5_moe_text", false);
