/* llama, qwen2 and mistral: attention without norms on queries and keys, dense.
 *
 * Biases   llama: attention_bias is that of all four projections, mlp_bias that of all three. qwen2: q, k and v, and
 *          never o. mistral: none.
 * Windows  llama: none. qwen2: as qwen3. mistral: every layer, unless sliding_window is null. */
#include "config/families/families.h"

/* ---- llama ------------------------------------------------------------------------------------------------------- */

static const char *const llama_fields[] = {"attention_bias", "mlp_bias", NULL};

static const alloy_default llama_defaults[] = {
    {.key = "vocab_size", .value = 32000},
    {.key = "hidden_size", .value = 4096},
    {.key = "intermediate_size", .value = 11008},
    {.key = "num_hidden_layers", .value = 32},
    {.key = "num_attention_heads", .value = 32},
    {.key = "max_position_embeddings", .value = 2048},
    {.key = "bos_token_id", .value = 1},
    {.key = "eos_token_id", .id = 2},
    {0},
};

static alloy_status translate_llama(alloy_config_reader *reader, alloy_source *source)
{
    if (!alloy_source_has(source, "num_key_value_heads")) /* absent is as null: one for each query head */
        alloy_source_mark(source, "num_key_value_heads", ALLOY_FIELD_NULL);
    alloy_warn_if_unused(reader, source, "layer_types");
    return ALLOY_OK;
}

const alloy_family alloy_family_llama = {
    .model_type = "llama",
    .fields = llama_fields,
    .defaults = llama_defaults,
    .translate = translate_llama,
    .mixer = "llama_attention",
    .ffn = "qwen3_mlp",
};

/* ---- qwen2 ------------------------------------------------------------------------------------------------------- */

static const char *const qwen2_fields[] = {"use_sliding_window", "layer_types", NULL};

static const char *const qwen2_mixers[] = {
    "full_attention", "llama_attention", "sliding_attention", "llama_attention_sliding", NULL,
};

static const alloy_default qwen2_defaults[] = {
    {.key = "vocab_size", .value = 151936},
    {.key = "hidden_size", .value = 4096},
    {.key = "intermediate_size", .value = 22016},
    {.key = "num_hidden_layers", .value = 32},
    {.key = "num_attention_heads", .value = 32},
    {.key = "num_key_value_heads", .value = 32},
    {.key = "sliding_window", .value = 4096},
    {.key = "max_window_layers", .value = 28},
    {0},
};

static alloy_status translate_qwen2(alloy_config_reader *reader, alloy_source *source)
{
    (void)reader;
    alloy_drop_unused_window(source);
    alloy_source_set(source, "attention_bias", true);
    alloy_source_set(source, "attention_output_bias", false);
    return ALLOY_OK;
}

const alloy_family alloy_family_qwen2 = {
    .model_type = "qwen2",
    .fields = qwen2_fields,
    .defaults = qwen2_defaults,
    .translate = translate_qwen2,
    .mixers = qwen2_mixers,
    .mixer = "llama_attention",
    .sliding_mixer = "llama_attention_sliding",
    .ffn = "qwen3_mlp",
};

/* ---- mistral ----------------------------------------------------------------------------------------------------- */

static const char *const mistral_fields[] = {NULL};

static const alloy_default mistral_defaults[] = {
    {.key = "vocab_size", .value = 32000},
    {.key = "hidden_size", .value = 4096},
    {.key = "intermediate_size", .value = 14336},
    {.key = "num_hidden_layers", .value = 32},
    {.key = "num_attention_heads", .value = 32},
    {.key = "num_key_value_heads", .value = 8},
    {.key = "max_position_embeddings", .value = 131072},
    {.key = "bos_token_id", .value = 1},
    {.key = "eos_token_id", .id = 2},
    {.key = "sliding_window", .value = 4096},
    {0},
};

static alloy_status translate_mistral(alloy_config_reader *reader, alloy_source *source)
{
    alloy_warn_if_unused(reader, source, "layer_types");
    return ALLOY_OK;
}

const alloy_family alloy_family_mistral = {
    .model_type = "mistral",
    .fields = mistral_fields,
    .defaults = mistral_defaults,
    .translate = translate_mistral,
    .mixer = "llama_attention",
    .sliding_mixer = "llama_attention_sliding",
    .ffn = "qwen3_mlp",
};
