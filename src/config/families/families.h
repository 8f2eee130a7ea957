/* The model families that Alloy reads: one file each, translating its config to Alloy's by the family's own rules. */
#ifndef ALLOY_CONFIG_FAMILIES_H
#define ALLOY_CONFIG_FAMILIES_H

#include "config/source.h"

extern const alloy_family alloy_family_alloy;
extern const alloy_family alloy_family_qwen3, alloy_family_qwen3_moe;
extern const alloy_family alloy_family_qwen3_next;
extern const alloy_family alloy_family_qwen3_5, alloy_family_qwen3_5_text, alloy_family_qwen3_5_moe,
    alloy_family_qwen3_5_moe_text;
extern const alloy_family alloy_family_deepseek_v4;
extern const alloy_family alloy_family_llama, alloy_family_qwen2, alloy_family_mistral;

/* Is this layer's FFN made of experts? By num_experts, decoder_sparse_step and mlp_only_layers. */
bool alloy_layer_is_sparse(const alloy_source *source, int64_t layer);

/* sliding_window counts only with use_sliding_window. */
void alloy_drop_unused_window(alloy_source *source);

/* What the hybrids have in common: their fields; one delta net, and attention of 256 channels a head of which a quarter
 * is rotated. */
#define ALLOY_HYBRID_FIELDS "attention_bias", "layer_types"
#define ALLOY_HYBRID_DEFAULTS                                                                                          \
    {.key = "head_dim", .value = 256}, {.key = "linear_num_key_heads", .value = 16},                                   \
        {.key = "linear_num_value_heads", .value = 32}, {.key = "linear_key_head_dim", .value = 128},                  \
        {.key = "linear_value_head_dim", .value = 128}, {.key = "linear_conv_kernel_dim", .value = 4},                 \
        {.key = "partial_rotary_factor", .value = 0.25},                                                               \
    {                                                                                                                  \
        .key = "full_attention_interval", .value = 4                                                                   \
    }

/* Of the hybrids: every full_attention_interval-th layer is full attention, the others are delta nets. */
const char *alloy_hybrid_mixer_at(const alloy_source *source, int64_t layer);
extern const char *const alloy_hybrid_mixers[]; /* alloy_family.mixers */

/* The hybrids' attention has an output gate, and their norms but the delta net's are (1 + w). */
void alloy_set_hybrid(alloy_source *source);

/* Warns when the file has a field that others use and that this family, like transformers, takes no notice of. */
void alloy_warn_if_unused(const alloy_config_reader *reader, const alloy_source *source, const char *key);

#endif
