/* mhc: manifold-constrained hyper-connections (arXiv:2512.24880), hc_mult streams around any mixer and FFN. A module
 * sees one weighted sum of the streams; its output is added to each, and the streams are mixed by a doubly stochastic
 * matrix. The head sees a weighted sum too, with weights of its own. */
#include <stddef.h>

#include "modules/modules.h"

struct weights {
    const alloy_weight *fn, *base, *scale;
};

struct shape {
    int64_t hidden_size, hc_mult, hc_sinkhorn_iters;
    double hc_eps, rms_norm_eps;
};

#define FIELD(name, type, ...) ALLOY_FIELD(struct shape, name, type, __VA_ARGS__)
static const alloy_field fields[] = {
    FIELD(hc_mult, INTEGER, .flags = ALLOY_FIELD_MODEL, .least = 1, .most = 64, .fallback = 4),
    FIELD(hc_sinkhorn_iters, INTEGER, .flags = ALLOY_FIELD_MODEL, .least = 1, .most = 1000, .fallback = 20),
    FIELD(hc_eps, NUMBER, .flags = ALLOY_FIELD_MODEL, .most = 1, .fallback = 1e-6),
    FIELD(hidden_size, INTEGER),
    FIELD(rms_norm_eps, NUMBER),
    {0},
};
#undef FIELD

static int64_t streams(const void *shape)
{
    const struct shape *c = shape;
    return c->hc_mult;
}

enum { KEPT = ALLOY_KEEPS_F32 };

static void params(alloy_params *p, const void *shape)
{
    const struct shape *c = shape;
    int64_t n = c->hc_mult, mixes = (2 + n) * n;
    alloy_param(p, "fn", offsetof(struct weights, fn), ALLOY_SHAPE(mixes, n * c->hidden_size),
                ALLOY_INIT_NORMAL | KEPT);
    alloy_param(p, "base", offsetof(struct weights, base), ALLOY_SHAPE(mixes), ALLOY_INIT_ZEROS | KEPT);
    alloy_param(p, "scale", offsetof(struct weights, scale), ALLOY_SHAPE(3), ALLOY_INIT_ONES | KEPT);
}

static void head_params(alloy_params *p, const void *shape)
{
    const struct shape *c = shape;
    int64_t n = c->hc_mult;
    alloy_param(p, "hc_fn", offsetof(struct weights, fn), ALLOY_SHAPE(n, n * c->hidden_size), ALLOY_INIT_NORMAL | KEPT);
    alloy_param(p, "hc_base", offsetof(struct weights, base), ALLOY_SHAPE(n), ALLOY_INIT_ZEROS | KEPT);
    alloy_param(p, "hc_scale", offsetof(struct weights, scale), ALLOY_SHAPE(1), ALLOY_INIT_ONES | KEPT);
}

static alloy_tensor *begin(alloy_pass *p, const void *shape, alloy_tensor *x)
{
    const struct shape *c = shape;
    return alloy_hyper_copies(p, x, c->hc_mult);
}

static alloy_tensor *collapse(alloy_pass *p, const struct shape *c, const struct weights *w, alloy_tensor *h,
                              int64_t iterations, alloy_tensor **carry)
{
    *carry = alloy_hyper_weights(p, h, w->fn, w->base, w->scale, c->hc_mult, iterations, c->hc_eps, c->rms_norm_eps);
    return alloy_hyper_collapse(p, h, *carry, c->hc_mult);
}

static alloy_tensor *before(alloy_pass *p, const void *shape, const void *weights, alloy_tensor *h,
                            alloy_tensor **carry)
{
    const struct shape *c = shape;
    return collapse(p, c, weights, h, c->hc_sinkhorn_iters, carry);
}

static alloy_tensor *after(alloy_pass *p, const void *shape, const void *weights, alloy_tensor *h, alloy_tensor *carry,
                           alloy_tensor *y)
{
    const struct shape *c = shape;
    (void)weights;
    return alloy_hyper_expand(p, h, carry, y, c->hc_mult);
}

static alloy_tensor *end(alloy_pass *p, const void *shape, const void *weights, alloy_tensor *h)
{
    alloy_tensor *carry;
    return collapse(p, shape, weights, h, 0, &carry);
}

const alloy_residual alloy_mhc = {
    .name = "mhc",
    .summary = "manifold-constrained hyper-connections: hc_mult streams",
    .weights_size = sizeof(struct weights),
    .head_weights_size = sizeof(struct weights),
    .norms_keep_f32 = true,
    .fields = fields,
    .shape_size = sizeof(struct shape),
    .params = params,
    .head_params = head_params,
    .streams = streams,
    .begin = begin,
    .end = end,
    .before = before,
    .after = after,
};
