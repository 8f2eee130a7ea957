/* qwen3_next: delta nets and gated attention, three to one unless layer_types or full_attention_interval say otherwise,
 * and experts with a shared one. The delta net's input projections are fused in its checkpoints. norm_topk_prob is true
 * unless the file says false. */
#include "config/families/families.h"

static const char *const fields[] = {ALLOY_HYBRID_FIELDS, "mlp_only_layers", NULL};

static const alloy_default defaults[] = {
    {.key = "vocab_size", .value = 151936},
    {.key = "hidden_size", .value = 2048},
    {.key = "intermediate_size", .value = 5632},
    {.key = "num_hidden_layers", .value = 48},
    {.key = "num_attention_heads", .value = 16},
    {.key = "num_key_value_heads", .value = 2},
    {.key = "num_experts", .value = 512},
    {.key = "num_experts_per_tok", .value = 10},
    {.key = "moe_intermediate_size", .value = 512},
    {.key = "shared_expert_intermediate_size", .value = 512},
    {.key = "norm_topk_prob", .value = true},
    {.key = "router_aux_loss_coef", .value = 0.001},
    {.key = "decoder_sparse_step", .value = 1},
    ALLOY_HYBRID_DEFAULTS,
    {0},
};

static alloy_status translate(alloy_config_reader *reader, alloy_source *source)
{
    (void)reader;
    alloy_set_hybrid(source);
    alloy_source_set(source, "linear_fused_inputs", true);
    return ALLOY_OK;
}

static const char *ffn_at(const alloy_source *source, int64_t layer)
{
    return alloy_layer_is_sparse(source, layer) ? "qwen3_5_moe" : "qwen3_mlp";
}

const alloy_family alloy_family_qwen3_next = {
    .model_type = "qwen3_next",
    .fields = fields,
    .defaults = defaults,
    .translate = translate,
    .mixers = alloy_hybrid_mixers,
    .mixer_at = alloy_hybrid_mixer_at,
    .ffn_at = ffn_at,
};
