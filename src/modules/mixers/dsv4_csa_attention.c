/* dsv4_csa_attention: DeepSeek-V4's compressed sparse attention: the window, and entries of overlapping windows of
 * `compress_rate_csa` tokens, of which a token sees those that its indexer chooses. The indexer has a compressor of its
 * own, whose entries are its keys. */
#include <stddef.h>

#include "base/status.h"
#include "modules/dsv4_attention.h"

enum { OPEN = ALLOY_DSV4_WINDOW + 1, OVERLAP, ENTRIES, INDEXER_OPEN, INDEXER_OVERLAP, INDEXER_KEYS };

enum { MOST_HEADS = 65536, MOST_RATE = 1 << 20 };

struct weights {
    struct alloy_dsv4_attention_weights attention;
    struct alloy_dsv4_compressor_weights compressor, indexer;
    const alloy_weight *indexer_q_b_proj, *indexer_weights_proj;
};

static alloy_status check(void *shape)
{
    const struct alloy_dsv4_attention *c = shape;
    alloy_status status = alloy_dsv4_attention_check(shape);
    if (!status)
        status = alloy_config_require("compress_rate_csa", c->compress_rate_csa, 1, MOST_RATE);
    if (!status)
        status = alloy_config_require("index_n_heads", c->index_n_heads, 1, MOST_HEADS);
    if (!status) /* as many channels are rotated as in the heads of attention */
        status =
            alloy_config_require("index_head_dim", c->index_head_dim, (c->qk_rope_head_dim + 1) / 2 * 2, MOST_HEADS);
    if (!status)
        status = alloy_config_require("index_topk", c->index_topk, 1, INT64_C(1) << 40);
    return status;
}

static void params(alloy_params *p, const void *shape)
{
    const struct alloy_dsv4_attention *c = shape;
    static const char *const indexer_names[] = {
        "compressor.indexer.kv_proj.weight", "compressor.indexer.gate_proj.weight", "compressor.indexer.position_bias",
        "compressor.indexer.kv_norm.weight"};
    alloy_dsv4_attention_params(p, c);
    alloy_dsv4_compressor_params(p, c, alloy_dsv4_compressor_names, offsetof(struct weights, compressor),
                                 c->compress_rate_csa, 2 * c->head_dim, c->head_dim);
    alloy_dsv4_compressor_params(p, c, indexer_names, offsetof(struct weights, indexer), c->compress_rate_csa,
                                 2 * c->index_head_dim, c->index_head_dim);
    alloy_param_linear(p, "compressor.indexer.q_b_proj.weight", offsetof(struct weights, indexer_q_b_proj),
                       c->index_n_heads * c->index_head_dim, c->q_lora_rank);
    alloy_param_linear(p, "compressor.indexer.scorer.weights_proj.weight",
                       offsetof(struct weights, indexer_weights_proj), c->index_n_heads, c->hidden_size);
}

/* An open window's rows are of two widths each in kv and gate, an overlap's of one. */
static void keep_windows(alloy_state_spec *s, const char *open, const char *overlap, const char *entries, int64_t width,
                         int64_t rate)
{
    alloy_state_keep_fixed(s, open, rate * 4 * width);
    alloy_state_keep_fixed(s, overlap, rate * 2 * width);
    alloy_state_keep_entries(s, entries, width, rate);
}

static void state(alloy_state_spec *s, const void *shape)
{
    const struct alloy_dsv4_attention *c = shape;
    alloy_dsv4_attention_state(s, c);
    keep_windows(s, "open", "overlap", "entries", c->head_dim, c->compress_rate_csa);
    keep_windows(s, "indexer open", "indexer overlap", "indexer keys", c->index_head_dim, c->compress_rate_csa);
}

/* Which entries each token sees; its queries come from the same low-rank ones as attention's. */
static alloy_chosen choose(alloy_pass *p, const struct alloy_dsv4_attention *c, const struct weights *w,
                           const alloy_state *s, alloy_tensor *x, alloy_tensor *low_rank)
{
    static const struct alloy_dsv4_compressor_parts parts = {INDEXER_OPEN, INDEXER_OVERLAP, INDEXER_KEYS};
    alloy_state_part keys = alloy_dsv4_compress(p, c, &w->indexer, s, &parts, x, c->compress_rate_csa, true);
    alloy_tensor *q = alloy_heads(p, alloy_linear(p, low_rank, w->indexer_q_b_proj, NULL), c->index_n_heads);
    q = alloy_rotary_pairs(p, q, &c->compress, c->qk_rope_head_dim, false);
    return alloy_choose_entries(p, q, alloy_linear(p, x, w->indexer_weights_proj, NULL), keys, c->index_topk);
}

static alloy_tensor *forward(alloy_pass *p, const void *shape, const void *weights, const alloy_state *s,
                             alloy_tensor *x)
{
    const struct alloy_dsv4_attention *c = shape;
    static const struct alloy_dsv4_compressor_parts parts = {OPEN, OVERLAP, ENTRIES};
    const struct weights *w = weights;
    alloy_tensor *low_rank = alloy_dsv4_low_rank_queries(p, c, &w->attention, x);
    alloy_state_part entries = alloy_dsv4_compress(p, c, &w->compressor, s, &parts, x, c->compress_rate_csa, false);
    alloy_chosen chosen = choose(p, c, w, s, x, low_rank);
    return alloy_dsv4_attend(p, c, &w->attention, s, x, low_rank, &c->compress, &entries, &chosen);
}

const alloy_mixer alloy_dsv4_csa_attention = {
    .name = "dsv4_csa_attention",
    .attr_name = "self_attn",
    .summary = "DeepSeek-V4: a sliding window, and compressed entries that an indexer chooses",
    .mask_kind = ALLOY_MASK_CAUSAL,
    .weights_size = sizeof(struct weights),
    .fields = alloy_dsv4_attention_fields,
    .shape_size = sizeof(struct alloy_dsv4_attention),
    .check = check,
    .params = params,
    .state = state,
    .forward = forward,
};
