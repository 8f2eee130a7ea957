/* deepseek_v4: three kinds of compressed attention, experts chosen by score or by token id, hyper-connections around
 * all.
 *
 * Mixers  layer_types, else compress_ratios (0 window, 4 CSA, 128 HCA; what passes the layers is cut), else HCA, HCA,
 * and
 *         HCA and CSA in turn.
 * FFNs    mlp_layer_types, else num_hash_layers (3 where absent) by token id and the others by score.
 * Rates   compress_rates, over which compress_rate_csa and compress_rate_hca win; 4 and 128.
 * Rotary  channels: head_dim times partial_rotary_factor, else qk_rope_head_dim, else 64 of 512. rope_parameters with
 *         "main" and "compress" are both; flat ones, and rope_scaling, are those of the compressed layers, while main
 * is
 *         plain.
 * Weights of the chosen experts are always divided by their sum, attention has no biases, mlp_bias is the shared
 * expert's, and there is one shared expert, whatever n_shared_experts says. */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "config/families/families.h"

static const char *const fields[] = {
    "mlp_bias",         "layer_types",    "mlp_layer_types",   "compress_ratios",   "num_hash_layers",
    "qk_rope_head_dim", "compress_rates", "compress_rate_csa", "compress_rate_hca", NULL};

static const char *const mixers[] = {
    "sliding_attention",
    "dsv4_sliding_attention",
    "compressed_sparse_attention",
    "dsv4_csa_attention",
    "heavily_compressed_attention",
    "dsv4_hca_attention",
    NULL,
};

static const char *const ffns[] = {"moe", "dsv4_moe", "hash_moe", "dsv4_hash_moe", NULL};

enum { RATE_OF_CSA = 4, RATE_OF_HCA = 128, HASH_LAYERS = 3 };

static const alloy_default defaults[] = {
    {.key = "vocab_size", .value = 129280},
    {.key = "hidden_size", .value = 4096},
    {.key = "num_hidden_layers", .value = 43},
    {.key = "max_position_embeddings", .value = 1048576},
    {.key = "eos_token_id", .id = 1},
    {.key = "num_attention_heads", .value = 64},
    {.key = "num_key_value_heads", .value = 1},
    {.key = "head_dim", .value = 512},
    {.key = "sliding_window", .value = 128},
    {.key = "n_routed_experts", .value = 256},
    {.key = "num_experts_per_tok", .value = 6},
    {.key = "moe_intermediate_size", .value = 2048},
    {.key = "scoring_func", .word = "sqrtsoftplus"},
    {.key = "routed_scaling_factor", .value = 1.5},
    {.key = "swiglu_limit", .value = 10},
    {.key = "router_aux_loss_coef", .value = 0.001},
    {.key = "q_lora_rank", .value = 1024},
    {.key = "o_groups", .value = 8},
    {.key = "o_lora_rank", .value = 1024},
    {.key = "index_n_heads", .value = 64},
    {.key = "index_head_dim", .value = 128},
    {.key = "index_topk", .value = 512},
    {.key = "hc_mult", .value = 4},
    {.key = "hc_sinkhorn_iters", .value = 20},
    {.key = "hc_eps", .value = 1e-6},
    {.key = "compress_rope_theta", .value = 160000},
    {0},
};

static const double ROTATED_SHARE = 64.0 / 512;

/* partial_rotary_factor and the number of channels that follows from it. */
static alloy_status translate_rotary(alloy_source *source)
{
    double head_dim = (double)alloy_source_integer(source, "head_dim");
    double share = alloy_source_has(source, "partial_rotary_factor") ? source->partial_rotary_factor
                   : alloy_source_has(source, "qk_rope_head_dim")
                       ? (double)alloy_source_integer(source, "qk_rope_head_dim") / head_dim
                       : ROTATED_SHARE;
    alloy_source_set(source, "partial_rotary_factor", share);
    alloy_source_set(source, "qk_rope_head_dim", (double)(int64_t)(head_dim * share));
    return ALLOY_OK;
}

/* Each layer's ratio must be one that means a mixer, and there must be one a layer. */
static alloy_status check_ratios(const alloy_config_reader *reader, const alloy_source *source)
{
    const alloy_integers *ratios = &source->compress_ratios;
    int64_t layers = source->config.num_hidden_layers;
    if (ratios->count < layers)
        return alloy_reader_fail(reader, ALLOY_FORMAT,
                                 "compress_ratios has %lld entries, num_hidden_layers is %lld: expected one a layer",
                                 (long long)ratios->count, (long long)layers);
    for (int64_t i = 0; i < layers; i++)
        if (ratios->items[i] != 0 && ratios->items[i] != RATE_OF_CSA && ratios->items[i] != RATE_OF_HCA)
            return alloy_reader_fail(reader, ALLOY_RANGE, "compress_ratios: %lld of layer %lld, expected 0, %d or %d",
                                     (long long)ratios->items[i], (long long)i, RATE_OF_CSA, RATE_OF_HCA);
    return ALLOY_OK;
}

static const alloy_default rates[] = {
    {.key = "compress_rate_csa", .value = RATE_OF_CSA}, {.key = "compress_rate_hca", .value = RATE_OF_HCA}, {0}};

static alloy_status translate(alloy_config_reader *reader, alloy_source *source)
{
    struct alloy_config *c = &source->config;
    alloy_source_set(source, "use_mhc", true);
    if (alloy_source_state(source, "bos_token_id") == ALLOY_FIELD_ABSENT) { /* 0 is an id: the defaults cannot say it */
        c->bos_token_id = 0;
        alloy_source_mark(source, "bos_token_id", ALLOY_FIELD_DEFAULT);
    }
    if (alloy_source_state(source, "intermediate_size") == ALLOY_FIELD_GIVEN &&
        alloy_source_state(source, "moe_intermediate_size") == ALLOY_FIELD_DEFAULT)
        alloy_source_set(
            source, "moe_intermediate_size",
            (double)alloy_source_integer(source, "intermediate_size")); /* another name of the same width */
    if (alloy_source_state(source, "num_hash_layers") != ALLOY_FIELD_GIVEN)
        source->num_hash_layers = HASH_LAYERS;
    if (!alloy_source_has(source, "compress_rates"))
        alloy_source_defaults(source, rates, ALLOY_FIELD_DEFAULT);
    if (alloy_source_state(source, "head_dim") == ALLOY_FIELD_NULL)
        return alloy_reader_fail(reader, ALLOY_RANGE, "head_dim is null, expected an integer in 1..65536");
    double limit;
    if (!alloy_config_get_double(c, "swiglu_limit", 0, &limit) && limit == 0)
        return alloy_reader_fail(reader, ALLOY_RANGE, "swiglu_limit is 0, expected a number above 0");
    alloy_status status = translate_rotary(source);
    if (!status && alloy_source_has(source, "compress_ratios") && !alloy_source_has(source, "layer_types"))
        status = check_ratios(reader, source);
    return status;
}

static const char *mixer_at(const alloy_source *source, int64_t layer)
{
    if (alloy_source_has(source, "compress_ratios")) {
        int64_t ratio = source->compress_ratios.items[layer];
        return ratio == 0             ? "dsv4_sliding_attention"
               : ratio == RATE_OF_CSA ? "dsv4_csa_attention"
                                      : "dsv4_hca_attention";
    }
    return layer < 2 || layer % 2 == 0 ? "dsv4_hca_attention" : "dsv4_csa_attention";
}

static const char *ffn_at(const alloy_source *source, int64_t layer)
{
    return layer < source->num_hash_layers ? "dsv4_hash_moe" : "dsv4_moe";
}

/* One number of rotated channels for both kinds of layer. */
static alloy_status check(const alloy_config_reader *reader, const alloy_source *source)
{
    const struct alloy_config *c = &source->config;
    double head_dim = (double)alloy_source_integer(source, "head_dim");
    int64_t main = (int64_t)(head_dim * c->rope.partial_rotary_factor),
            compress = (int64_t)(head_dim * c->rope_compress.partial_rotary_factor),
            beside = alloy_source_integer(source, "qk_rope_head_dim");
    if (main == beside && compress == beside)
        return ALLOY_OK;
    return alloy_reader_fail(reader, ALLOY_UNSUPPORTED,
                             "partial_rotary_factor: %lld channels in \"main\", %lld in \"compress\", and %lld beside "
                             "rope_parameters; one number is supported",
                             (long long)main, (long long)compress, (long long)beside);
}

const alloy_family alloy_family_deepseek_v4 = {
    .model_type = "deepseek_v4",
    .fields = fields,
    .defaults = defaults,
    .flat_rope_is_compressed = true,
    .cuts_lists = true,
    .translate = translate,
    .mixers = mixers,
    .ffns = ffns,
    .mixer_at = mixer_at,
    .ffn_at = ffn_at,
    .check = check,
};
