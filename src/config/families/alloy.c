/* model_type "alloy": any mixer and any FFN at any depth, named by layer_types and ffn_types. Its defaults are in
 * source.c, since what a family lacks takes them too. ffn_types may be absent: qwen3_mlp everywhere. */
#include <string.h>

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

/* The family of qwen3_5_moe always divides the chosen experts' weights by their sum; that of qwen3_moe does where it is
 * told to. */
static bool module_defaults(alloy_source *source, const char *module)
{
    if (strcmp(module, "qwen3_5_moe") != 0 || alloy_source_has(source, "norm_topk_prob"))
        return false;
    source->config.norm_topk_prob = true;
    return true;
}

const alloy_family alloy_family_alloy = {
    .model_type = "alloy",
    .mixers = mixers,
    .ffn = "qwen3_mlp",
    .module_defaults = module_defaults,
};
