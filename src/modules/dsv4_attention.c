/* DeepSeek-V4's attention (dsv4_attention.h).
 *
 *   r = norm(q_a x); q = rotary(norm without weight, per head(q_b r)); kv = rotary(norm(kv_proj x))
 *   y = attention(q, window of kv, entries; sinks) * 1 / sqrt(d); o_b (o_a in groups of heads (rotary back(y)))
 */
#include "modules/dsv4_attention.h"

#include <math.h>
#include <stddef.h>

#include "base/status.h"

enum { MOST_HEADS = 65536, MOST_WIDTH = 1 << 20 };

#define FIELD(name, type, ...) ALLOY_FIELD(struct alloy_dsv4_attention, name, type, __VA_ARGS__)
const alloy_field alloy_dsv4_attention_fields[] = {
    FIELD(num_attention_heads, INTEGER, .fallback = 16),
    FIELD(head_dim, INTEGER),
    FIELD(sliding_window, INTEGER),
    FIELD(q_lora_rank, INTEGER, .least = 1, .most = MOST_WIDTH),
    FIELD(qk_rope_head_dim, INTEGER, .flags = ALLOY_FIELD_NULLABLE, .least = 1, .most = MOST_HEADS),
    FIELD(o_groups, INTEGER, .least = 1, .most = MOST_HEADS),
    FIELD(o_lora_rank, INTEGER, .least = 1, .most = MOST_HEADS),
    FIELD(index_n_heads, INTEGER, .least = 1, .most = MOST_HEADS),
    FIELD(index_head_dim, INTEGER, .least = 1, .most = MOST_HEADS),
    FIELD(index_topk, INTEGER, .least = 1, .most = 1099511627776.0 /* 2^40 */),
    FIELD(compress_rate_csa, INTEGER, .flags = ALLOY_FIELD_NULLABLE, .least = 1, .most = MOST_WIDTH),
    FIELD(compress_rate_hca, INTEGER, .flags = ALLOY_FIELD_NULLABLE, .least = 1, .most = MOST_WIDTH),
    FIELD(hidden_size, INTEGER),
    FIELD(rms_norm_eps, NUMBER),
    FIELD(rope_parameters, ROPE),
    FIELD(compress, ROPE),
    {0},
};
#undef FIELD

alloy_status alloy_dsv4_attention_check(void *shape)
{
    struct alloy_dsv4_attention *c = shape;
    if (c->head_dim == 0 && c->num_attention_heads > 0 && c->hidden_size % c->num_attention_heads == 0)
        c->head_dim = c->hidden_size / c->num_attention_heads;
    alloy_status status = alloy_config_require("num_attention_heads", c->num_attention_heads, 1, MOST_HEADS);
    if (!status)
        status = alloy_config_require("head_dim", c->head_dim, 2, MOST_HEADS);
    if (!status)
        status = alloy_config_require("q_lora_rank", c->q_lora_rank, 1, MOST_WIDTH);
    if (!status) /* an odd number is rounded up */
        status = alloy_config_require("qk_rope_head_dim", c->qk_rope_head_dim, 1, c->head_dim / 2 * 2);
    if (!status)
        status = alloy_config_require("o_lora_rank", c->o_lora_rank, 1, MOST_WIDTH);
    if (!status)
        status = alloy_config_require("o_groups", c->o_groups, 1, MOST_HEADS);
    if (!status)
        status = alloy_config_require("sliding_window", c->sliding_window, 1, INT64_C(1) << 40);
    if (status)
        return status;
    if (c->num_attention_heads * c->head_dim % c->o_groups != 0)
        return alloy_fail(ALLOY_RANGE, "o_groups: %lld heads of %lld do not divide into %lld groups",
                          (long long)c->num_attention_heads, (long long)c->head_dim, (long long)c->o_groups);
    return ALLOY_OK;
}

void alloy_dsv4_attention_params(alloy_params *p, const void *shape)
{
    const struct alloy_dsv4_attention *c = shape;
    int64_t hidden = c->hidden_size, heads = c->num_attention_heads * c->head_dim, groups = c->o_groups;
#define AT(field) offsetof(struct alloy_dsv4_attention_weights, field)
    alloy_param_linear(p, "q_a_proj.weight", AT(q_a_proj), c->q_lora_rank, hidden);
    alloy_param(p, "q_a_norm.weight", AT(q_a_norm), ALLOY_SHAPE(c->q_lora_rank), ALLOY_INIT_ONES | ALLOY_KEEPS_F32);
    alloy_param_linear(p, "q_b_proj.weight", AT(q_b_proj), heads, c->q_lora_rank);
    alloy_param_linear(p, "kv_proj.weight", AT(kv_proj), c->head_dim, hidden);
    alloy_param(p, "kv_norm.weight", AT(kv_norm), ALLOY_SHAPE(c->head_dim), ALLOY_INIT_ONES | ALLOY_KEEPS_F32);
    alloy_param_linear(p, "o_a_proj.weight", AT(o_a_proj), groups * c->o_lora_rank, heads / groups);
    alloy_param_linear(p, "o_b_proj.weight", AT(o_b_proj), hidden, groups * c->o_lora_rank);
    alloy_param(p, "sinks", AT(sinks), ALLOY_SHAPE(c->num_attention_heads), ALLOY_INIT_ZEROS | ALLOY_KEEPS_F32);
#undef AT
}

void alloy_dsv4_attention_state(alloy_state_spec *s, const void *shape)
{
    const struct alloy_dsv4_attention *c = shape;
    alloy_state_keep_rows(s, "window", c->head_dim, c->sliding_window);
}

const char *const alloy_dsv4_compressor_names[4] = {"compressor.kv_proj.weight", "compressor.gate_proj.weight",
                                                    "compressor.position_bias", "compressor.kv_norm.weight"};

void alloy_dsv4_compressor_params(alloy_params *p, const struct alloy_dsv4_attention *c, const char *const names[4],
                                  size_t offset, int64_t rate, int64_t row, int64_t width)
{
#define AT(field) (offset + offsetof(struct alloy_dsv4_compressor_weights, field))
    alloy_param_linear(p, names[0], AT(kv_proj), row, c->hidden_size);
    alloy_param_linear(p, names[1], AT(gate_proj), row, c->hidden_size);
    alloy_param(p, names[2], AT(position_bias), ALLOY_SHAPE(rate, row), ALLOY_INIT_ZEROS | ALLOY_KEEPS_F32);
    alloy_param(p, names[3], AT(kv_norm), ALLOY_SHAPE(width), ALLOY_INIT_ONES | ALLOY_KEEPS_F32);
#undef AT
}

alloy_state_part alloy_dsv4_compress(alloy_pass *p, const struct alloy_dsv4_attention *c,
                                     const struct alloy_dsv4_compressor_weights *w, const alloy_state *s,
                                     const struct alloy_dsv4_compressor_parts *parts, alloy_tensor *x, int64_t rate,
                                     bool indexer)
{
    alloy_tensor *kv = alloy_linear(p, x, w->kv_proj, NULL), *gate = alloy_linear(p, x, w->gate_proj, NULL);
    alloy_tensor *entries = alloy_compress(p, kv, gate, w->position_bias, rate, s, parts->open, parts->overlap);
    entries = alloy_rms_norm(p, entries, w->kv_norm, c->rms_norm_eps, false);
    entries = alloy_rotary_entries(p, entries, &c->compress, c->qk_rope_head_dim, rate);
    return alloy_append_entries(p, s, parts->entries, entries, indexer);
}

alloy_tensor *alloy_dsv4_low_rank_queries(alloy_pass *p, const struct alloy_dsv4_attention *c,
                                          const struct alloy_dsv4_attention_weights *w, alloy_tensor *x)
{
    return alloy_rms_norm(p, alloy_linear(p, x, w->q_a_proj, NULL), w->q_a_norm, c->rms_norm_eps, false);
}

alloy_tensor *alloy_dsv4_attend(alloy_pass *p, const struct alloy_dsv4_attention *c,
                                const struct alloy_dsv4_attention_weights *w, const alloy_state *s, alloy_tensor *x,
                                alloy_tensor *low_rank, const alloy_rope *rope, const alloy_state_part *entries,
                                const alloy_chosen *chosen)
{
    int64_t heads = c->num_attention_heads, rotated = c->qk_rope_head_dim;
    alloy_tensor *q = alloy_heads(p, alloy_linear(p, low_rank, w->q_b_proj, NULL), heads);
    q = alloy_rotary_pairs(p, alloy_rms_norm(p, q, NULL, c->rms_norm_eps, false), rope, rotated, false);
    alloy_tensor *kv = alloy_rms_norm(p, alloy_linear(p, x, w->kv_proj, NULL), w->kv_norm, c->rms_norm_eps, false);
    kv = alloy_rotary_pairs(p, alloy_heads(p, kv, 1), rope, rotated, false);
    double scale = 1 / sqrt((double)c->head_dim);
    alloy_tensor *y = alloy_shared_kv_attention(p, q, alloy_append(p, s, ALLOY_DSV4_WINDOW, kv), entries, chosen,
                                                w->sinks, scale, c->sliding_window);
    y = alloy_flatten(p, alloy_rotary_pairs(p, y, rope, rotated, true));
    return alloy_linear(p, alloy_grouped_linear(p, y, w->o_a_proj, c->o_groups), w->o_b_proj, NULL);
}
