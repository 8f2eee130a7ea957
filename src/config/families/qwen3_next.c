/* qwen3_next: delta nets and gated attention, three to one unless layer_types or full_attention_interval say otherwise,
 * and experts with a shared one. The delta net's input projections are fused in its checkpoints. norm_topk_prob is true
 * unless the file says false. */
#include "config/families/families.h"

static const char *const fields[] = {
    ALLOY_HYBRID_FIELDS,
    "decoder_sparse_step",
    "mlp_only_layers",
    "num_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "shared_expert_intermediate_size",
    "norm_topk_prob",
    "router_aux_loss_coef",
    NULL,
};

static const alloy_source defaults = {
    .config =
        {
            .vocab_size = 151936,
            .hidden_size = 2048,
            .intermediate_size = 5632,
            .num_hidden_layers = 48,
            .num_attention_heads = 16,
            .num_key_value_heads = 2,
            ALLOY_HYBRID_SIZES,
            .num_experts = 512,
            .num_experts_per_tok = 10,
            .moe_intermediate_size = 512,
            .shared_expert_intermediate_size = 512,
            .norm_topk_prob = true,
            .router_aux_loss_coef = 0.001,
        },
    ALLOY_HYBRID_RULES,
    .decoder_sparse_step = 1,
};

static alloy_status translate(alloy_config_reader *reader, alloy_source *source)
{
    (void)reader;
    alloy_set_hybrid(source);
    alloy_set_bool(source, "linear_fused_inputs", true);
    return ALLOY_OK;
}

static const char *ffn_at(const alloy_source *source, int64_t layer)
{
    return alloy_layer_is_sparse(source, layer) ? "qwen3_5_moe" : "qwen3_mlp";
}

const alloy_family alloy_family_qwen3_next = {
    .model_type = "qwen3_next",
    .fields = fields,
    .defaults = &defaults,
    .translate = translate,
    .mixers = alloy_hybrid_mixers,
    .mixer_at = alloy_hybrid_mixer_at,
    .ffn_at = ffn_at,
};
