/* dsv4_hca_attention: DeepSeek-V4's heavily compressed attention: the window, and one entry for each
 * `compress_rate_hca` tokens before, all of which a token sees. */
#include <stddef.h>

#include "base/status.h"
#include "modules/dsv4_attention.h"

enum { OPEN = ALLOY_DSV4_WINDOW + 1, ENTRIES };

struct weights {
    struct alloy_dsv4_attention_weights attention;
    struct alloy_dsv4_compressor_weights compressor;
};

static alloy_status check(void *shape)
{
    const struct alloy_dsv4_attention *c = shape;
    alloy_status status = alloy_dsv4_attention_check(shape);
    return status ? status : alloy_config_require("compress_rate_hca", c->compress_rate_hca, 1, 1 << 20);
}

static void params(alloy_params *p, const void *shape)
{
    const struct alloy_dsv4_attention *c = shape;
    alloy_dsv4_attention_params(p, c);
    alloy_dsv4_compressor_params(p, c, alloy_dsv4_compressor_names, offsetof(struct weights, compressor),
                                 c->compress_rate_hca, c->head_dim, c->head_dim);
}

static void state(alloy_state_spec *s, const void *shape)
{
    const struct alloy_dsv4_attention *c = shape;
    alloy_dsv4_attention_state(s, c);
    alloy_state_keep_fixed(s, "open", c->compress_rate_hca * 2 * c->head_dim);
    alloy_state_keep_entries(s, "entries", c->head_dim, c->compress_rate_hca);
}

static alloy_tensor *forward(alloy_pass *p, const void *shape, const void *weights, const alloy_state *s,
                             alloy_tensor *x)
{
    const struct alloy_dsv4_attention *c = shape;
    static const struct alloy_dsv4_compressor_parts parts = {OPEN, -1, ENTRIES};
    const struct weights *w = weights;
    alloy_state_part entries = alloy_dsv4_compress(p, c, &w->compressor, s, &parts, x, c->compress_rate_hca, false);
    alloy_tensor *low_rank = alloy_dsv4_low_rank_queries(p, c, &w->attention, x);
    return alloy_dsv4_attend(p, c, &w->attention, s, x, low_rank, &c->compress, &entries, NULL);
}

const alloy_mixer alloy_dsv4_hca_attention = {
    .name = "dsv4_hca_attention",
    .attr_name = "self_attn",
    .summary = "DeepSeek-V4: a sliding window, and heavily compressed entries of all tokens before",
    .mask_kind = ALLOY_MASK_CAUSAL,
    .weights_size = sizeof(struct weights),
    .fields = alloy_dsv4_attention_fields,
    .shape_size = sizeof(struct alloy_dsv4_attention),
    .check = check,
    .params = params,
    .state = state,
    .forward = forward,
};
