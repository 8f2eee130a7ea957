/* qwen3 and qwen3_moe: attention with norms on queries and keys, dense or with experts.
 *
 * Windows count only with use_sliding_window. qwen3: explicit layer_types, else the layers from max_window_layers on.
 * qwen3_moe: every layer or none. attention_bias is that of all four projections. head_dim is 128 in qwen3, and follows
 * from the heads in qwen3_moe. */
#include "config/families/families.h"

/* ---- qwen3 ------------------------------------------------------------------------------------------------------- */

static const char *const qwen3_fields[] = {"attention_bias", "use_sliding_window", "layer_types", NULL};

static const char *const qwen3_mixers[] = {
    "full_attention", "qwen3_attention", "sliding_attention", "qwen3_attention_sliding", NULL,
};

static const alloy_default qwen3_defaults[] = {
    {.key = "vocab_size", .value = 151936},
    {.key = "hidden_size", .value = 4096},
    {.key = "intermediate_size", .value = 22016},
    {.key = "num_hidden_layers", .value = 32},
    {.key = "num_attention_heads", .value = 32},
    {.key = "num_key_value_heads", .value = 32},
    {.key = "head_dim", .value = 128},
    {.key = "sliding_window", .value = 4096},
    {.key = "max_window_layers", .value = 28},
    {0},
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
    .defaults = qwen3_defaults,
    .translate = translate,
    .mixers = qwen3_mixers,
    .mixer = "qwen3_attention",
    .sliding_mixer = "qwen3_attention_sliding",
    .ffn = "qwen3_mlp",
};

/* ---- qwen3_moe --------------------------------------------------------------------------------------------------- */

static const char *const moe_fields[] = {"attention_bias", "use_sliding_window", "mlp_only_layers", "norm_topk_prob",
                                         NULL};

static const alloy_default moe_defaults[] = {
    {.key = "vocab_size", .value = 151936},
    {.key = "hidden_size", .value = 2048},
    {.key = "intermediate_size", .value = 6144},
    {.key = "num_hidden_layers", .value = 24},
    {.key = "num_attention_heads", .value = 32},
    {.key = "num_key_value_heads", .value = 4},
    {.key = "sliding_window", .value = 4096},
    {.key = "num_experts", .value = 128},
    {.key = "num_experts_per_tok", .value = 8},
    {.key = "moe_intermediate_size", .value = 768},
    {.key = "router_aux_loss_coef", .value = 0.001},
    {.key = "decoder_sparse_step", .value = 1},
    {0},
};

static const char *moe_ffn_at(const alloy_source *source, int64_t layer)
{
    return alloy_layer_is_sparse(source, layer) ? "qwen3_moe" : "qwen3_mlp";
}

const alloy_family alloy_family_qwen3_moe = {
    .model_type = "qwen3_moe",
    .fields = moe_fields,
    .defaults = moe_defaults,
    .translate = translate,
    .mixer = "qwen3_attention",
    .sliding_mixer = "qwen3_attention_sliding",
    .ffn_at = moe_ffn_at,
};
