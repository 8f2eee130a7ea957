/* Mamba-2 (arXiv:2405.21060) as a mixer outside the library: "mamba2" in layer_types, this shared object in --plugin.
 *
 * Parameters have the names and shapes of the Hub's hybrids (Bamba, GraniteMoeHybrid), and so have the config's fields:
 *   mamba_d_head    channels of a head (64)
 *   mamba_n_heads   heads (2 * hidden_size / mamba_d_head)
 *   mamba_n_groups  groups of heads that share B and C (1)
 *   mamba_d_state   state size (128)
 *   mamba_d_conv    taps of the convolution (4)
 * The convolution has a bias and the projections have none, as in those models; the step d is not limited. */
#include <alloy/extend.h>
#include <stddef.h>

#include "ops.h"

/* The fields that it reads of a config, and where they go. */
#define FIELD(name, member, ...)                                                                                       \
    {                                                                                                                  \
        .key = name, .type = ALLOY_FIELD_INTEGER, .offset = offsetof(mamba2_shape, member), __VA_ARGS__                \
    }
static const alloy_field fields[] = {
    FIELD("mamba_d_head", head_dim, .least = 1, .most = 1 << 12, .fallback = 64),
    FIELD("mamba_n_heads", heads, .least = 1, .most = 1 << 16),
    FIELD("mamba_n_groups", groups, .least = 1, .most = 1 << 16, .fallback = 1),
    FIELD("mamba_d_state", state_size, .least = 1, .most = 1 << 12, .fallback = 128),
    FIELD("mamba_d_conv", taps, .least = 2, .most = 64, .fallback = 4),
    ALLOY_FIELD(mamba2_shape, hidden_size, INTEGER),
    ALLOY_FIELD(mamba2_shape, rms_norm_eps, NUMBER),
    {0},
};

static alloy_status check(void *shape)
{
    mamba2_shape *s = shape;
    if (s->heads == 0)
        s->heads = 2 * s->hidden_size / s->head_dim;
    alloy_status status = alloy_config_require("mamba_n_heads", s->heads, 1, 1 << 16);
    if (!status)
        status = alloy_config_require("mamba_n_groups", s->groups, 1, s->heads);
    return status ? status : alloy_config_require("mamba_n_heads modulo mamba_n_groups", s->heads % s->groups, 0, 0);
}

static void params(alloy_params *p, const void *shape)
{
    const mamba2_shape *s = shape;
    int64_t inner = mamba2_inner(s), channels = mamba2_channels(s);
#define AT(field) offsetof(struct mamba2_weights, field)
    alloy_param_linear(p, "in_proj.weight", AT(in_proj), inner + channels + s->heads, s->hidden_size);
    alloy_param(p, "conv1d.weight", AT(conv_weight), ALLOY_SHAPE(channels, 1, s->taps), ALLOY_INIT_NORMAL);
    alloy_param(p, "conv1d.bias", AT(conv_bias), ALLOY_SHAPE(channels), ALLOY_INIT_ZEROS);
    alloy_param(p, "A_log", AT(A_log), ALLOY_SHAPE(s->heads), ALLOY_INIT_LOG_UNIFORM);
    alloy_param(p, "D", AT(D), ALLOY_SHAPE(s->heads), ALLOY_INIT_ONES);
    alloy_param(p, "dt_bias", AT(dt_bias), ALLOY_SHAPE(s->heads), ALLOY_INIT_ZEROS);
    alloy_param(p, "norm.weight", AT(norm), ALLOY_SHAPE(inner), ALLOY_INIT_ONES);
    alloy_param_linear(p, "out_proj.weight", AT(out_proj), s->hidden_size, inner);
#undef AT
}

static void state(alloy_state_spec *spec, const void *shape)
{
    const mamba2_shape *s = shape;
    alloy_state_keep_fixed(spec, "recurrent", mamba2_inner(s) * s->state_size);
    alloy_state_keep_fixed(spec, "conv_tail", (s->taps - 1) * mamba2_channels(s));
}

static alloy_tensor *forward(alloy_pass *p, const void *shape, const void *weights, const alloy_state *state_,
                             alloy_tensor *x)
{
    const struct mamba2_weights *w = weights;
    const mamba2_shape *s = shape;
    enum { Z, XBC, DT, PARTS };
    alloy_tensor *part[PARTS];
    alloy_split(p, alloy_linear(p, x, w->in_proj, NULL), 1, PARTS,
                (int64_t[]){mamba2_inner(s), mamba2_channels(s), s->heads}, part);
    alloy_tensor *y = mamba2_scan(p, mamba2_conv(p, part[XBC], w, state_, s), part[DT], w, state_, s);
    y = alloy_rms_norm(p, alloy_swiglu(p, part[Z], y), w->norm, s->rms_norm_eps, false);
    return alloy_linear(p, y, w->out_proj, NULL);
}

static const alloy_mixer mamba2 = {
    .name = "mamba2",
    .attr_name = "mamba",
    .summary = "Mamba-2's state space recurrence (arXiv:2405.21060)",
    .mask_kind = ALLOY_MASK_LINEAR,
    .weights_size = sizeof(struct mamba2_weights),
    .fields = fields,
    .shape_size = sizeof(mamba2_shape),
    .check = check,
    .params = params,
    .state = state,
    .forward = forward,
};

ALLOY_PLUGIN("mamba2")
{
    return alloy_register_mixer(&mamba2);
}
