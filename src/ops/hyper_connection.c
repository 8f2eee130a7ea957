/* Manifold-constrained hyper-connections (arXiv:2512.24880): several residual streams, which each module reads through
 * one weighted sum (collapse), and which its output and the streams themselves are mixed into (expand). The weights of
 * a token come from its own streams. */
#include "ops/ops.h"

/* Exact: the norm 3, sigmoid with scale, base and eps or factor 6, softmax with scale, base and eps 8, a half round of
 * Sinkhorn's a sum and a division. */
static void count_weights(const alloy_args *a, alloy_cost *cost)
{
    const struct alloy_hyper_options *o = a->options;
    bool head = o->iterations == 0;
    alloy_wide n = a->in[0]->shape[0], width = alloy_row_size(a->in[0]), mixes = a->weight[0]->shape[0];
    alloy_wide streams = o->streams, iterations = o->iterations;
    alloy_wide_let(cost, n, width, mixes, streams, iterations);
    alloy_wide_tensor(cost, 2 * n * width * mixes);
    alloy_wide_vector(cost, 3 * n * width + 6 * n * streams);
    if (!head)
        alloy_wide_vector(cost, 6 * n * streams + (8 + 4 * iterations - 2) * n * streams * streams);
    alloy_cost_weight(cost, a->weight[0], mixes * width, 1);
    alloy_cost_weight(cost, a->weight[1], mixes, 1);
    alloy_cost_weight(cost, a->weight[2], head ? 1 : 3, 1);
}

const alloy_op alloy_op_hyper_weights = {"hyper_weights", NULL, count_weights};

static bool is(const alloy_weight *w, int ndim, int64_t first, int64_t second)
{
    return w && w->ndim == ndim && w->shape[0] == first && w->shape[1] == second;
}

alloy_tensor *alloy_hyper_weights(alloy_pass *p, alloy_tensor *h, const alloy_weight *fn, const alloy_weight *base,
                                  const alloy_weight *scale, int64_t streams, int64_t iterations, double eps,
                                  double norm_eps)
{
    if (alloy_pass_stopped(p, h))
        return NULL;
    int64_t width = alloy_row_size(h), mixes = iterations ? (2 + streams) * streams : streams;
    if (streams < 1 || streams > ALLOY_MOST_STREAMS || iterations < 0 || width % streams != 0 ||
        !is(fn, 2, mixes, width) || !is(base, 1, mixes, 1) || !is(scale, 1, iterations ? 3 : 1, 1))
        return alloy_shape_fail(p, "hyper_weights", "%lld streams in rows of %lld; fn has %lld rows of %lld",
                                (long long)streams, (long long)width, fn ? (long long)fn->shape[0] : 0,
                                fn ? (long long)fn->shape[1] : 0);
    alloy_tensor *y = alloy_tensor_new(p, 2, (int64_t[]){h->shape[0], mixes});
    struct alloy_hyper_options options = {streams, iterations, eps, norm_eps};
    return y ? alloy_apply(p, &alloy_op_hyper_weights,
                           &(alloy_args){.in = {h},
                                         .out = {y},
                                         .weight = {fn, base, scale},
                                         .options = &options,
                                         .options_size = sizeof options})
             : NULL;
}

static void count_collapse(const alloy_args *a, alloy_cost *cost)
{
    alloy_wide n = a->in[0]->shape[0], hidden = alloy_row_size(a->out[0]), streams = alloy_row_size(a->in[0]) / hidden;
    alloy_wide_let(cost, n, hidden, streams);
    alloy_wide_vector(cost, (2 * streams - 1) * n * hidden);
}

static void count_expand(const alloy_args *a, alloy_cost *cost)
{
    alloy_wide n = a->in[0]->shape[0], hidden = alloy_row_size(a->in[2]), streams = alloy_row_size(a->in[0]) / hidden;
    alloy_wide_let(cost, n, hidden, streams);
    alloy_wide_tensor(cost, 2 * n * streams * streams * hidden);
    alloy_wide_vector(cost, n * streams * hidden + n * streams * hidden);
}

const alloy_op alloy_op_hyper_collapse = {"hyper_collapse", NULL, count_collapse};
const alloy_op alloy_op_hyper_expand = {"hyper_expand", NULL, count_expand};

static bool fits(alloy_pass *p, const char *op, const alloy_tensor *h, const alloy_tensor *weights, int64_t streams,
                 int64_t least)
{
    if (streams >= 1 && alloy_row_size(h) % streams == 0 && alloy_row_size(weights) >= least &&
        weights->shape[0] == h->shape[0])
        return true;
    alloy_shape_fail(p, op, "%lld streams in rows of %lld, %lld weights", (long long)streams,
                     (long long)alloy_row_size(h), (long long)alloy_row_size(weights));
    return false;
}

alloy_tensor *alloy_hyper_collapse(alloy_pass *p, alloy_tensor *h, alloy_tensor *weights, int64_t streams)
{
    if (alloy_pass_stopped(p, h) || !weights || !fits(p, "hyper_collapse", h, weights, streams, streams))
        return NULL;
    alloy_tensor *x = alloy_tensor_new(p, 2, (int64_t[]){h->shape[0], alloy_row_size(h) / streams});
    return x ? alloy_apply(p, &alloy_op_hyper_collapse, &(alloy_args){.in = {h, weights}, .out = {x}}) : NULL;
}

alloy_tensor *alloy_hyper_expand(alloy_pass *p, alloy_tensor *h, alloy_tensor *weights, alloy_tensor *y,
                                 int64_t streams)
{
    if (alloy_pass_stopped(p, h) || !weights || !y ||
        !fits(p, "hyper_expand", h, weights, streams, (2 + streams) * streams))
        return NULL;
    if (alloy_row_size(y) * streams != alloy_row_size(h))
        return alloy_shape_fail(p, "hyper_expand", "%lld streams in rows of %lld, y has rows of %lld",
                                (long long)streams, (long long)alloy_row_size(h), (long long)alloy_row_size(y));
    alloy_tensor *to = alloy_tensor_like(p, h);
    return to ? alloy_apply(p, &alloy_op_hyper_expand, &(alloy_args){.in = {h, weights, y}, .out = {to}}) : NULL;
}

static void count_copies(const alloy_args *a, alloy_cost *cost)
{
    (void)a, (void)cost; /* no work; what is written, alloy_apply has put into the record */
}

const alloy_op alloy_op_hyper_copies = {"hyper_copies", NULL, count_copies};

alloy_tensor *alloy_hyper_copies(alloy_pass *p, alloy_tensor *x, int64_t streams)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    alloy_tensor *h = alloy_tensor_new(p, 2, (int64_t[]){x->shape[0], streams * alloy_row_size(x)});
    return h ? alloy_apply(p, &alloy_op_hyper_copies, &(alloy_args){.in = {x}, .out = {h}}) : NULL;
}
