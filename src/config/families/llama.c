/* llama, qwen2 and mistral: attention without norms on queries and keys, dense.
 *
 * Biases   llama: attention_bias is that of all four projections, mlp_bias that of all three. qwen2: q, k and v, and
 *          never o. mistral: none.
 * Windows  llama: none. qwen2: as qwen3. mistral: every layer, unless sliding_window is null. */
#include "config/families/families.h"

/* ---- llama ------------------------------------------------------------------------------------------------------- */

static const char *const llama_fields[] = {"attention_bias", "mlp_bias", NULL};

static const int64_t end_of_sequence[] = {2};

static const alloy_source llama_defaults = {
    .config =
        {
            .vocab_size = 32000,
            .hidden_size = 4096,
            .intermediate_size = 11008,
            .num_hidden_layers = 32,
            .num_attention_heads = 32,
            .max_position_embeddings = 2048,
            .bos_token_id = 1,
            .eos_token_ids = end_of_sequence,
            .eos_token_count = 1,
        },
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
    .defaults = &llama_defaults,
    .translate = translate_llama,
    .mixer = "llama_attention",
    .ffn = "qwen3_mlp",
};

/* ---- qwen2 ------------------------------------------------------------------------------------------------------- */

static const char *const qwen2_fields[] = {"use_sliding_window", "sliding_window", "max_window_layers", "layer_types",
                                           NULL};

static const char *const qwen2_mixers[] = {
    "full_attention", "llama_attention", "sliding_attention", "llama_attention_sliding", NULL,
};

static const alloy_source qwen2_defaults = {
    .config =
        {
            .vocab_size = 151936,
            .hidden_size = 4096,
            .intermediate_size = 22016,
            .num_hidden_layers = 32,
            .num_attention_heads = 32,
            .num_key_value_heads = 32,
            .sliding_window = 4096,
        },
    .max_window_layers = 28,
};

static alloy_status translate_qwen2(alloy_config_reader *reader, alloy_source *source)
{
    (void)reader;
    alloy_drop_unused_window(source);
    alloy_set_bool(source, "attention_bias", true);
    alloy_set_bool(source, "attention_output_bias", false);
    return ALLOY_OK;
}

const alloy_family alloy_family_qwen2 = {
    .model_type = "qwen2",
    .fields = qwen2_fields,
    .defaults = &qwen2_defaults,
    .translate = translate_qwen2,
    .mixers = qwen2_mixers,
    .mixer = "llama_attention",
    .sliding_mixer = "llama_attention_sliding",
    .ffn = "qwen3_mlp",
};

/* ---- mistral ----------------------------------------------------------------------------------------------------- */

static const char *const mistral_fields[] = {"sliding_window", NULL};

static const alloy_source mistral_defaults = {
    .config =
        {
            .vocab_size = 32000,
            .hidden_size = 4096,
            .intermediate_size = 14336,
            .num_hidden_layers = 32,
            .num_attention_heads = 32,
            .num_key_value_heads = 8,
            .max_position_embeddings = 131072,
            .bos_token_id = 1,
            .eos_token_ids = end_of_sequence,
            .eos_token_count = 1,
            .sliding_window = 4096,
        },
};

static alloy_status translate_mistral(alloy_config_reader *reader, alloy_source *source)
{
    alloy_warn_if_unused(reader, source, "layer_types");
    return ALLOY_OK;
}

const alloy_family alloy_family_mistral = {
    .model_type = "mistral",
    .fields = mistral_fields,
    .defaults = &mistral_defaults,
    .translate = translate_mistral,
    .mixer = "llama_attention",
    .sliding_mixer = "llama_attention_sliding",
    .ffn = "qwen3_mlp",
};
