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

/* The config's fields, or the first failure. */
static alloy_status read_shape(const alloy_config *c, mamba2_shape *s)
{
    alloy_status status = alloy_config_get_int64(c, "mamba_d_head", 64, &s->head_dim);
    if (!status)
        status = alloy_config_require("mamba_d_head", s->head_dim, 1, 1 << 12);
    if (!status)
        status = alloy_config_get_int64(c, "mamba_n_heads", 2 * c->hidden_size / s->head_dim, &s->heads);
    if (!status)
        status = alloy_config_get_int64(c, "mamba_n_groups", 1, &s->groups);
    if (!status)
        status = alloy_config_get_int64(c, "mamba_d_state", 128, &s->state_size);
    if (!status)
        status = alloy_config_get_int64(c, "mamba_d_conv", 4, &s->taps);
    return status;
}

static alloy_status check(const alloy_config *c)
{
    mamba2_shape s;
    alloy_status status = read_shape(c, &s);
    if (!status)
        status = alloy_config_require("mamba_n_heads", s.heads, 1, 1 << 16);
    if (!status)
        status = alloy_config_require("mamba_n_groups", s.groups, 1, s.heads);
    if (!status)
        status = alloy_config_require("mamba_n_heads modulo mamba_n_groups", s.heads % s.groups, 0, 0);
    if (!status)
        status = alloy_config_require("mamba_d_state", s.state_size, 1, 1 << 12);
    if (!status)
        status = alloy_config_require("mamba_d_conv", s.taps, 2, 64);
    return status;
}

/* The shape of a config that `check` found sound. */
static mamba2_shape shape_of(const alloy_config *c)
{
    mamba2_shape s = {0};
    (void)read_shape(c, &s);
    return s;
}

static void params(alloy_params *p, const alloy_config *c)
{
    mamba2_shape s = shape_of(c);
    int64_t inner = mamba2_inner(&s), channels = mamba2_channels(&s);
#define AT(field) offsetof(struct mamba2_weights, field)
    alloy_param_linear(p, "in_proj.weight", AT(in_proj), inner + channels + s.heads, c->hidden_size);
    alloy_param(p, "conv1d.weight", AT(conv_weight), ALLOY_SHAPE(channels, 1, s.taps), ALLOY_INIT_NORMAL);
    alloy_param(p, "conv1d.bias", AT(conv_bias), ALLOY_SHAPE(channels), ALLOY_INIT_ZEROS);
    alloy_param(p, "A_log", AT(A_log), ALLOY_SHAPE(s.heads), ALLOY_INIT_LOG_UNIFORM);
    alloy_param(p, "D", AT(D), ALLOY_SHAPE(s.heads), ALLOY_INIT_ONES);
    alloy_param(p, "dt_bias", AT(dt_bias), ALLOY_SHAPE(s.heads), ALLOY_INIT_ZEROS);
    alloy_param(p, "norm.weight", AT(norm), ALLOY_SHAPE(inner), ALLOY_INIT_ONES);
    alloy_param_linear(p, "out_proj.weight", AT(out_proj), c->hidden_size, inner);
#undef AT
}

static void state(alloy_state_spec *spec, const alloy_config *c)
{
    mamba2_shape s = shape_of(c);
    alloy_state_keep_fixed(spec, "recurrent", mamba2_inner(&s) * s.state_size);
    alloy_state_keep_fixed(spec, "conv_tail", (s.taps - 1) * mamba2_channels(&s));
}

static alloy_tensor *forward(alloy_pass *p, const alloy_config *c, const void *weights, const alloy_state *state_,
                             alloy_tensor *x)
{
    const struct mamba2_weights *w = weights;
    mamba2_shape s = shape_of(c);
    enum { Z, XBC, DT, PARTS };
    alloy_tensor *part[PARTS];
    alloy_split(p, alloy_linear(p, x, w->in_proj, NULL), 1, PARTS,
                (int64_t[]){mamba2_inner(&s), mamba2_channels(&s), s.heads}, part);
    alloy_tensor *y = mamba2_scan(p, mamba2_conv(p, part[XBC], w, state_, &s), part[DT], w, state_, &s);
    y = alloy_rms_norm(p, alloy_swiglu(p, part[Z], y), w->norm, c->rms_norm_eps, false);
    return alloy_linear(p, y, w->out_proj, NULL);
}

static const alloy_mixer mamba2 = {
    .name = "mamba2",
    .attr_name = "mamba",
    .summary = "Mamba-2's state space recurrence (arXiv:2405.21060)",
    .mask_kind = ALLOY_MASK_LINEAR,
    .weights_size = sizeof(struct mamba2_weights),
    .check = check,
    .params = params,
    .state = state,
    .forward = forward,
};

ALLOY_PLUGIN("mamba2")
{
    return alloy_register_mixer(&mamba2);
}
