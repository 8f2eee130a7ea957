/* qwen3_5_gdn: the gated delta net (arXiv:2412.06464) of Qwen3-Next and Qwen3.5.
 *
 *   q, k, v = silu(conv(in_proj_qkv x)); q, k normalised per head, q scaled by K^-1/2; beta = sigmoid(b); decay =
 *   exp(-exp(A_log) softplus(a + dt_bias)) y = delta rule(q, k, v, decay, beta); out_proj(norm(y) * silu(z))
 *
 * Checkpoints hold the input projections in two layouts: apart (Qwen3.5), or fused and interleaved by key head
 * (Qwen3-Next): in_proj_qkvz has for each key head its q [K], k [K], v [r * V], z [r * V], and in_proj_ba its b [r], a
 * [r], where r is the number of value heads of a key head. */
#include <math.h>
#include <stddef.h>

#include "alloy/extend.h"
#include "base/status.h"

enum { RECURRENT, TAIL };

static const double L2_NORM_EPS = 1e-6; /* fixed, whatever rms_norm_eps is */

enum { MOST_HEADS = 65536, MOST_HEAD_DIM = 8192, MOST_TAPS = 32 };

struct weights {
    const alloy_weight *in_proj_qkv, *in_proj_z, *in_proj_b, *in_proj_a; /* apart, */
    const alloy_weight *in_proj_qkvz, *in_proj_ba;                       /* or fused */
    const alloy_weight *conv1d, *A_log, *dt_bias, *norm, *out_proj;
};

struct shape {
    int64_t hidden_size;
    int64_t linear_num_key_heads, linear_num_value_heads, linear_key_head_dim, linear_value_head_dim,
        linear_conv_kernel_dim;
    bool linear_fused_inputs; /* new checkpoints hold the input projections fused, as Qwen3-Next's do */
    double rms_norm_eps;
};

#define FIELD(name, type, ...) ALLOY_FIELD(struct shape, name, type, __VA_ARGS__)
static const alloy_field fields[] = {
    FIELD(linear_num_key_heads, INTEGER, .least = 1, .most = MOST_HEADS, .fallback = 16),
    FIELD(linear_num_value_heads, INTEGER, .least = 1, .most = MOST_HEADS, .fallback = 16,
          .other = "linear_num_key_heads"),
    FIELD(linear_key_head_dim, INTEGER, .least = 1, .most = MOST_HEADS, .fallback = 128),
    FIELD(linear_value_head_dim, INTEGER, .least = 1, .most = MOST_HEADS, .fallback = 128),
    FIELD(linear_conv_kernel_dim, INTEGER, .least = 1, .most = 1024, .fallback = 4),
    FIELD(linear_fused_inputs, BOOL),
    FIELD(hidden_size, INTEGER),
    FIELD(rms_norm_eps, NUMBER),
    {0},
};
#undef FIELD

/* What the input projections give. */
struct inputs {
    alloy_tensor *qkv;   /* [n, 2 * keys + values] */
    alloy_tensor *z;     /* [n, values] */
    alloy_tensor *b, *a; /* [n, value heads] */
};

static int64_t keys(const struct shape *c)
{
    return c->linear_num_key_heads * c->linear_key_head_dim;
}

static int64_t values(const struct shape *c)
{
    return c->linear_num_value_heads * c->linear_value_head_dim;
}

static int64_t channels(const struct shape *c)
{
    return 2 * keys(c) + values(c);
}

static alloy_status check(void *shape)
{
    const struct shape *c = shape;
    alloy_status status = alloy_config_require("linear_num_key_heads", c->linear_num_key_heads, 1, MOST_HEADS);
    if (!status)
        status = alloy_config_require("linear_num_value_heads", c->linear_num_value_heads, 1, MOST_HEADS);
    if (!status)
        status = alloy_config_require("linear_key_head_dim", c->linear_key_head_dim, 1, MOST_HEAD_DIM);
    if (!status)
        status = alloy_config_require("linear_value_head_dim", c->linear_value_head_dim, 1, MOST_HEAD_DIM);
    if (!status)
        status = alloy_config_require("linear_conv_kernel_dim", c->linear_conv_kernel_dim, 2, MOST_TAPS);
    if (status)
        return status;
    if (c->linear_num_value_heads % c->linear_num_key_heads != 0)
        return alloy_fail(ALLOY_RANGE, "linear_num_value_heads: %lld is not a multiple of linear_num_key_heads = %lld",
                          (long long)c->linear_num_value_heads, (long long)c->linear_num_key_heads);
    return ALLOY_OK;
}

static void params(alloy_params *p, const void *shape)
{
    const struct shape *c = shape;
    int64_t hidden = c->hidden_size, heads = c->linear_num_value_heads;
#define AT(field) offsetof(struct weights, field)
    alloy_params_new_layout(p, c->linear_fused_inputs);
    alloy_params_layout(p, 0);
    alloy_param_linear(p, "in_proj_qkv.weight", AT(in_proj_qkv), channels(c), hidden);
    alloy_param_linear(p, "in_proj_z.weight", AT(in_proj_z), values(c), hidden);
    alloy_param_linear(p, "in_proj_b.weight", AT(in_proj_b), heads, hidden);
    alloy_param_linear(p, "in_proj_a.weight", AT(in_proj_a), heads, hidden);
    alloy_params_layout(p, 1);
    alloy_param_linear(p, "in_proj_qkvz.weight", AT(in_proj_qkvz), channels(c) + values(c), hidden);
    alloy_param_linear(p, "in_proj_ba.weight", AT(in_proj_ba), 2 * heads, hidden);
    alloy_params_layout(p, ALLOY_EVERY_LAYOUT);
    alloy_param(p, "conv1d.weight", AT(conv1d), ALLOY_SHAPE(channels(c), 1, c->linear_conv_kernel_dim),
                ALLOY_INIT_NORMAL);
    alloy_param(p, "A_log", AT(A_log), ALLOY_SHAPE(heads), ALLOY_INIT_LOG_UNIFORM | ALLOY_KEEPS_F32);
    alloy_param(p, "dt_bias", AT(dt_bias), ALLOY_SHAPE(heads), ALLOY_INIT_ONES | ALLOY_KEEPS_F32);
    alloy_param(p, "norm.weight", AT(norm), ALLOY_SHAPE(c->linear_value_head_dim), ALLOY_INIT_ONES);
    alloy_param_linear(p, "out_proj.weight", AT(out_proj), hidden, values(c));
#undef AT
}

static void state(alloy_state_spec *s, const void *shape)
{
    const struct shape *c = shape;
    alloy_state_keep_fixed(s, "recurrent",
                           c->linear_num_value_heads * c->linear_key_head_dim * c->linear_value_head_dim);
    alloy_state_keep_fixed(s, "tail", (c->linear_conv_kernel_dim - 1) * channels(c));
}

static struct inputs apart(alloy_pass *p, const struct weights *w, alloy_tensor *x)
{
    return (struct inputs){.qkv = alloy_linear(p, x, w->in_proj_qkv, NULL),
                           .z = alloy_linear(p, x, w->in_proj_z, NULL),
                           .b = alloy_linear(p, x, w->in_proj_b, NULL),
                           .a = alloy_linear(p, x, w->in_proj_a, NULL)};
}

/* The outputs are sorted, not the weights: they stay where the file holds them, and each output is the same dot. */
static struct inputs fused(alloy_pass *p, const struct shape *c, const struct weights *w, alloy_tensor *x)
{
    int64_t ratio = c->linear_num_value_heads / c->linear_num_key_heads, k = c->linear_key_head_dim,
            v = ratio * c->linear_value_head_dim;
    alloy_tensor *qkvz[4], *ba[2];
    alloy_split(p, alloy_linear(p, x, w->in_proj_qkvz, NULL), c->linear_num_key_heads, 4, (int64_t[]){k, k, v, v},
                qkvz);
    alloy_split(p, alloy_linear(p, x, w->in_proj_ba, NULL), c->linear_num_key_heads, 2, (int64_t[]){ratio, ratio}, ba);
    return (struct inputs){.qkv = alloy_concat(p, 3, qkvz), .z = qkvz[3], .b = ba[0], .a = ba[1]};
}

static alloy_tensor *forward(alloy_pass *p, const void *shape, const void *weights, const alloy_state *s,
                             alloy_tensor *x)
{
    const struct shape *c = shape;
    const struct weights *w = weights;
    struct inputs in = w->in_proj_qkvz ? fused(p, c, w, x) : apart(p, w, x);
    alloy_tensor *qkv[3];
    alloy_split(p, alloy_conv1d_silu(p, in.qkv, w->conv1d, s, TAIL), 1, 3, (int64_t[]){keys(c), keys(c), values(c)},
                qkv);
    double scale = 1 / sqrt((double)c->linear_key_head_dim);
    alloy_tensor *q = alloy_l2_norm(p, alloy_heads(p, qkv[0], c->linear_num_key_heads), L2_NORM_EPS, scale);
    alloy_tensor *k = alloy_l2_norm(p, alloy_heads(p, qkv[1], c->linear_num_key_heads), L2_NORM_EPS, 1);
    alloy_tensor *v = alloy_heads(p, qkv[2], c->linear_num_value_heads);
    alloy_tensor *decay = alloy_decay(p, in.a, w->A_log, w->dt_bias), *beta = alloy_sigmoid(p, in.b);
    alloy_tensor *y = alloy_delta_rule(p, q, k, v, decay, beta, s, RECURRENT);
    y = alloy_gated_rms_norm(p, y, w->norm, in.z, c->rms_norm_eps);
    return alloy_linear(p, y, w->out_proj, NULL);
}

const alloy_mixer alloy_qwen3_5_gdn = {
    .name = "qwen3_5_gdn",
    .attr_name = "linear_attn",
    .summary = "gated delta net: convolution, decay, delta rule, gated norm",
    .mask_kind = ALLOY_MASK_LINEAR,
    .weights_size = sizeof(struct weights),
    .fields = fields,
    .shape_size = sizeof(struct shape),
    .check = check,
    .params = params,
    .state = state,
    .forward = forward,
};
