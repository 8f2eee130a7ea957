/* Softmax attention of the Qwen3 and Llama kind (softmax_attention.h; arXiv:2305.13245 for grouped heads). */
#include "modules/softmax_attention.h"

#include <math.h>
#include <stddef.h>

#include "base/status.h"
#include "ops/ops.h"

enum { KEYS, VALUES };

enum { MOST_HEADS = 65536, MOST_HEAD_DIM = 8192 };

#define FIELD(name, type, ...) ALLOY_FIELD(struct alloy_softmax_attention, name, type, __VA_ARGS__)
const alloy_field alloy_softmax_attention_fields[] = {
    FIELD(num_attention_heads, INTEGER, .flags = ALLOY_FIELD_COMMON, .least = 1, .most = MOST_HEADS, .fallback = 16),
    FIELD(num_key_value_heads, INTEGER, .flags = ALLOY_FIELD_COMMON | ALLOY_FIELD_NULLABLE, .least = 1,
          .most = MOST_HEADS, .fallback = 2),
    FIELD(head_dim, INTEGER, .flags = ALLOY_FIELD_COMMON | ALLOY_FIELD_NULLABLE, .least = 1, .most = MOST_HEADS),
    FIELD(attention_bias, BOOL),
    FIELD(attention_output_bias, BOOL, .other = "attention_bias"),
    FIELD(attn_output_gate, BOOL),
    FIELD(sliding_window, INTEGER, .flags = ALLOY_FIELD_NULLABLE, .most = 1099511627776.0 /* 2^40 */),
    FIELD(hidden_size, INTEGER),
    FIELD(rms_norm_eps, NUMBER),
    FIELD(rms_norm_unit_offset, BOOL),
    FIELD(rope_parameters, ROPE),
    {0},
};
#undef FIELD

/* Null key-value heads: one for each query head. */
alloy_status alloy_softmax_attention_check(void *shape)
{
    struct alloy_softmax_attention *c = shape;
    if (c->num_key_value_heads == 0)
        c->num_key_value_heads = c->num_attention_heads;
    if (c->head_dim == 0 && c->num_attention_heads > 0 && c->hidden_size % c->num_attention_heads == 0)
        c->head_dim = c->hidden_size / c->num_attention_heads;
    alloy_status status = alloy_config_require("num_attention_heads", c->num_attention_heads, 1, MOST_HEADS);
    if (!status)
        status = alloy_config_require("num_key_value_heads", c->num_key_value_heads, 1, c->num_attention_heads);
    if (!status)
        status = alloy_config_require("head_dim", c->head_dim, 2, MOST_HEAD_DIM);
    if (status)
        return status;
    if (c->num_attention_heads % c->num_key_value_heads != 0)
        return alloy_fail(ALLOY_RANGE,
                          "num_attention_heads: %lld does not divide into num_key_value_heads = %lld groups",
                          (long long)c->num_attention_heads, (long long)c->num_key_value_heads);
    int64_t rotated = alloy_rotary_channels(&c->rope_parameters, c->head_dim);
    if (rotated < 2 || rotated > c->head_dim)
        return alloy_fail(ALLOY_RANGE,
                          "partial_rotary_factor: %g of head_dim %lld is %lld channels, expected 2 to %lld",
                          c->rope_parameters.partial_rotary_factor, (long long)c->head_dim, (long long)rotated,
                          (long long)c->head_dim);
    return ALLOY_OK;
}

alloy_status alloy_sliding_attention_check(void *shape)
{
    const struct alloy_softmax_attention *c = shape;
    alloy_status status = alloy_softmax_attention_check(shape);
    return status ? status : alloy_config_require("sliding_window", c->sliding_window, 1, INT64_C(1) << 40);
}

static void params(alloy_params *p, const struct alloy_softmax_attention *c, bool norms)
{
    int64_t hidden = c->hidden_size, heads = c->num_attention_heads * c->head_dim,
            kv = c->num_key_value_heads * c->head_dim;
    int64_t q = norms && c->attn_output_gate ? 2 * heads : heads;
    int norm = c->rms_norm_unit_offset ? ALLOY_INIT_ZEROS : ALLOY_INIT_ONES;
#define AT(field) offsetof(struct alloy_softmax_attention_weights, field)
    alloy_param_linear(p, "q_proj.weight", AT(q_proj), q, hidden);
    alloy_param_linear(p, "k_proj.weight", AT(k_proj), kv, hidden);
    alloy_param_linear(p, "v_proj.weight", AT(v_proj), kv, hidden);
    alloy_param_linear(p, "o_proj.weight", AT(o_proj), hidden, heads);
    if (c->attention_bias) {
        alloy_param(p, "q_proj.bias", AT(q_bias), ALLOY_SHAPE(q), ALLOY_INIT_ZEROS);
        alloy_param(p, "k_proj.bias", AT(k_bias), ALLOY_SHAPE(kv), ALLOY_INIT_ZEROS);
        alloy_param(p, "v_proj.bias", AT(v_bias), ALLOY_SHAPE(kv), ALLOY_INIT_ZEROS);
    }
    if (c->attention_output_bias)
        alloy_param(p, "o_proj.bias", AT(o_bias), ALLOY_SHAPE(hidden), ALLOY_INIT_ZEROS);
    if (norms) {
        alloy_param(p, "q_norm.weight", AT(q_norm), ALLOY_SHAPE(c->head_dim), norm);
        alloy_param(p, "k_norm.weight", AT(k_norm), ALLOY_SHAPE(c->head_dim), norm);
    }
#undef AT
}

void alloy_softmax_attention_params(alloy_params *p, const void *shape)
{
    params(p, shape, false);
}

void alloy_softmax_attention_params_with_norms(alloy_params *p, const void *shape)
{
    params(p, shape, true);
}

static void keep(alloy_state_spec *s, const struct alloy_softmax_attention *c, int64_t window)
{
    alloy_state_keep_rows(s, "keys", c->num_key_value_heads * c->head_dim, window);
    alloy_state_keep_rows(s, "values", c->num_key_value_heads * c->head_dim, window);
}

void alloy_softmax_attention_state(alloy_state_spec *s, const void *shape)
{
    keep(s, shape, 0);
}

void alloy_sliding_attention_state(alloy_state_spec *s, const void *shape)
{
    const struct alloy_softmax_attention *c = shape;
    keep(s, c, c->sliding_window);
}

/* Norm, where there is one, and rotation of q or k. */
static alloy_tensor *positioned(alloy_pass *p, const struct alloy_softmax_attention *c, alloy_tensor *x,
                                const alloy_weight *norm)
{
    if (norm)
        x = alloy_rms_norm(p, x, norm, c->rms_norm_eps, c->rms_norm_unit_offset);
    return alloy_rotary(p, x, &c->rope_parameters);
}

/* window 0: all positions. */
static alloy_tensor *attend(alloy_pass *p, const struct alloy_softmax_attention *c,
                            const struct alloy_softmax_attention_weights *w, const alloy_state *s, alloy_tensor *x,
                            int64_t window)
{
    int64_t heads = c->num_attention_heads, kv_heads = c->num_key_value_heads;
    alloy_tensor *q = alloy_linear(p, x, w->q_proj, w->q_bias), *gate = NULL; /* [n, heads * (d, or d and its gate)] */
    alloy_tensor *k = alloy_heads(p, alloy_linear(p, x, w->k_proj, w->k_bias), kv_heads);
    alloy_tensor *v = alloy_heads(p, alloy_linear(p, x, w->v_proj, w->v_bias), kv_heads);
    if (w->q_norm && c->attn_output_gate) {
        alloy_tensor *parts[2];
        q = alloy_split(p, q, heads, 2, (int64_t[]){c->head_dim, c->head_dim}, parts);
        gate = parts[1];
    }
    q = positioned(p, c, alloy_heads(p, q, heads), w->q_norm);
    k = positioned(p, c, k, w->k_norm);
    double scale = 1 / sqrt((double)c->head_dim);
    alloy_tensor *y =
        alloy_attention(p, q, alloy_append(p, s, KEYS, k), alloy_append(p, s, VALUES, v), kv_heads, scale, window);
    y = alloy_flatten(p, y);
    if (gate)
        y = alloy_mul_sigmoid(p, y, gate);
    return alloy_linear(p, y, w->o_proj, w->o_bias);
}

alloy_tensor *alloy_softmax_attention_forward(alloy_pass *p, const void *shape, const void *weights,
                                              const alloy_state *s, alloy_tensor *x)
{
    return attend(p, shape, weights, s, x, 0);
}

alloy_tensor *alloy_sliding_attention_forward(alloy_pass *p, const void *shape, const void *weights,
                                              const alloy_state *s, alloy_tensor *x)
{
    const struct alloy_softmax_attention *c = shape;
    return attend(p, c, weights, s, x, c->sliding_window);
}
