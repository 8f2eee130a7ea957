/* The two ops that Mamba-2 needs and Alloy does not have. Each lies in its own file, its two readings side by side.
 *
 * Arithmetic: what is done to arrays is done by the library's vector functions (alloy/vector.h), fast on each
 * instruction set and with the same bits on all; the rest rounds as it is written. So the bits depend on the model and
 * the tokens alone (docs/numerics.md), and `alloy verify` holds this plug-in to it. */
#ifndef MAMBA2_OPS_H
#define MAMBA2_OPS_H

#include <alloy/extend.h>

/* Shapes of the recurrence; heads is a multiple of groups. */
typedef struct mamba2_shape {
    int64_t hidden_size;
    double rms_norm_eps;
    int64_t heads;
    int64_t head_dim;
    int64_t groups;     /* heads of a group share B and C */
    int64_t state_size; /* floats of B, C and of a row of the state */
    int64_t taps;       /* of the convolution */
} mamba2_shape;

/* Channels of x, and of [x, B, C], which the convolution sees. */
static inline int64_t mamba2_inner(const mamba2_shape *s)
{
    return s->heads * s->head_dim;
}

static inline int64_t mamba2_channels(const mamba2_shape *s)
{
    return mamba2_inner(s) + 2 * s->groups * s->state_size;
}

/* Parameters by the names that transformers gives them (Bamba, GraniteMoeHybrid). */
struct mamba2_weights {
    const alloy_weight *in_proj;             /* [inner + channels + heads, hidden]: z, then x, B, C, then dt */
    const alloy_weight *conv_weight;         /* [channels, 1, taps] */
    const alloy_weight *conv_bias;           /* [channels] */
    const alloy_weight *A_log, *D, *dt_bias; /* [heads] */
    const alloy_weight *norm;                /* [inner] */
    const alloy_weight *out_proj;            /* [hidden, inner] */
};

/* Parts of the state. */
enum { MAMBA2_RECURRENT, MAMBA2_CONV_TAIL };

/* y[t][c] = silu(sum over j of w[c][j] x[t - taps + 1 + j][c] + bias[c]); x and y [n, channels]. The tail of taps - 1
 * rows is MAMBA2_CONV_TAIL. */
alloy_tensor *mamba2_conv(alloy_pass *p, alloy_tensor *x, const struct mamba2_weights *w, const alloy_state *state,
                          const mamba2_shape *shape);

/* The state space recurrence (arXiv:2405.21060, eq. 1 with scalar A) of each head, over xBC [n, channels] and dt [n,
 * heads]:
 *   d = softplus(dt + dt_bias);  h = exp(-exp(A_log) d) h + (d x) B^T;  y = h C + D x
 * y [n, inner]. h [head_dim, state_size] of each head is MAMBA2_RECURRENT. */
alloy_tensor *mamba2_scan(alloy_pass *p, alloy_tensor *xBC, alloy_tensor *dt, const struct mamba2_weights *w,
                          const alloy_state *state, const mamba2_shape *shape);

#endif
