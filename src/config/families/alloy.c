/* model_type "alloy": any mixer and any FFN at any depth, named by layer_types and ffn_types. Its defaults are in
 * source.c, since what a family lacks takes them too, and those of modules stand beside their fields. ffn_types may be
 * absent: qwen3_mlp everywhere. */
#include "config/families/families.h"

static const char *const mixers[] = {
    "full_attention",
    "qwen3_attention",
    "sliding_attention",
    "qwen3_attention_sliding",
    "linear_attention",
    "qwen3_5_gdn",
    "compressed_sparse_attention",
    "dsv4_csa_attention",
    "heavily_compressed_attention",
    "dsv4_hca_attention",
    NULL,
};

const alloy_family alloy_family_alloy = {
    .model_type = "alloy",
    .mixers = mixers,
    .ffn = "qwen3_mlp",
};
