/* Manifold-constrained hyper-connections (arXiv:2512.24880): several residual streams, which each module reads through
 * one weighted sum (collapse), and which its output and the streams themselves are mixed into (expand). The weights of
 * a token come from its own streams.
 *
 * Orders. The norm and the products with fn are dots; sums over streams are column sums, in rising stream. */
#include "ops/pass.h"

#include <string.h>

enum { TOKENS_A_PIECE = 4, MOST_STREAMS = 64 };

struct options {
    int64_t streams, iterations; /* iterations 0: of the head */
    float eps, norm_eps;
};

/* ---- Weights ----------------------------------------------------------------------------------------------------- */

struct weighing {
    const alloy_args *args;
    const struct options *o;
    const float *base, *scale;
    float *norm;  /* [tokens, streams * H] */
    float *mixes; /* [tokens, mixes] */
};

static void normalise(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct weighing *w = context;
    int64_t width = alloy_row_size(w->args->in[0]);
    w->args->pass->kernels->rms_norm(w->norm + first * width, alloy_f32(w->args->in[0]) + first * width, NULL, count,
                                     width, w->o->norm_eps);
}

static void weigh(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct weighing *w = context;
    const struct options *o = w->o;
    int64_t mixes = alloy_row_size(w->args->out[0]);
    for (int64_t t = first; t < first + count; t++)
        w->args->pass->kernels->hyper_weights(alloy_f32(w->args->out[0]) + t * mixes, w->mixes + t * mixes, w->base,
                                              w->scale, o->streams, o->iterations, o->eps);
}

static void run_weights(const alloy_args *a)
{
    alloy_pass *p = a->pass;
    int64_t n = a->in[0]->shape[0];
    struct weighing w = {.args = a,
                         .o = a->options,
                         .norm = alloy_pass_take(p, alloy_tensor_size(a->in[0]), sizeof *w.norm),
                         .base = alloy_weight_widened(p, a->weight[1]),
                         .scale = alloy_weight_widened(p, a->weight[2]),
                         .mixes = alloy_pass_take(p, alloy_tensor_size(a->out[0]), sizeof *w.mixes)};
    if (!w.norm || !w.base || !w.scale || !w.mixes)
        return;
    alloy_pass_ranges(p, n, TOKENS_A_PIECE, normalise, &w);
    alloy_linear_job job = alloy_linear_job_of(a->weight[0], w.norm, n, w.mixes);
    alloy_run_linear_jobs(p, &job, 1, ALLOY_READ_IN_TURN);
    alloy_pass_ranges(p, n, TOKENS_A_PIECE, weigh, &w);
}

/* Exact: the norm 3, sigmoid with scale, base and eps or factor 6, softmax with scale, base and eps 8, a half round of
 * Sinkhorn's a sum and a division. */
static void count_weights(const alloy_args *a, alloy_cost *cost)
{
    const struct options *o = a->options;
    bool head = o->iterations == 0;
    alloy_count n = a->in[0]->shape[0], width = alloy_row_size(a->in[0]), mixes = a->weight[0]->shape[0];
    alloy_count streams = o->streams, iterations = o->iterations;
    alloy_cost_let(cost, n, width, mixes, streams, iterations);
    alloy_cost_tensor(cost, 2 * n * width * mixes);
    alloy_cost_vector(cost, 3 * n * width + 6 * n * streams);
    if (!head)
        alloy_cost_vector(cost, 6 * n * streams + (8 + 4 * iterations - 2) * n * streams * streams);
    alloy_cost_classic(cost,
                       4 * n * width + 2 * n * width * mixes + 4 * n * mixes + 4 * iterations * n * streams * streams);
    alloy_cost_classic_f32_copy(cost, n * width);
    alloy_cost_weight(cost, a->weight[0], mixes * width, 1, 1);
    alloy_cost_weight(cost, a->weight[1], mixes, 1, 1);
    alloy_cost_weight(cost, a->weight[2], head ? 1 : 3, 1, 1);
}

static const alloy_op hyper_weights = {"hyper_weights", run_weights, count_weights};

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
    if (streams < 1 || streams > MOST_STREAMS || iterations < 0 || width % streams != 0 || !is(fn, 2, mixes, width) ||
        !is(base, 1, mixes, 1) || !is(scale, 1, iterations ? 3 : 1, 1))
        return alloy_shape_fail(p, "hyper_weights", "%lld streams in rows of %lld; fn has %lld rows of %lld",
                                (long long)streams, (long long)width, fn ? (long long)fn->shape[0] : 0,
                                fn ? (long long)fn->shape[1] : 0);
    alloy_tensor *y = alloy_tensor_new(p, 2, (int64_t[]){h->shape[0], mixes});
    struct options options = {streams, iterations, (float)eps, (float)norm_eps};
    return y ? alloy_apply(p, &hyper_weights,
                           &(alloy_args){.in = {h},
                                         .out = {y},
                                         .weight = {fn, base, scale},
                                         .options = &options,
                                         .options_size = sizeof options})
             : NULL;
}

/* ---- Collapse and expand ----------------------------------------------------------------------------------------- */

static void collapse_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const alloy_args *a = context;
    int64_t hidden = alloy_row_size(a->out[0]), streams = alloy_row_size(a->in[0]) / hidden,
            mixes = alloy_row_size(a->in[1]);
    for (int64_t t = first; t < first + count; t++) {
        float *x = alloy_f32(a->out[0]) + t * hidden;
        memset(x, 0, (size_t)hidden * sizeof *x);
        for (int64_t j = 0; j < streams; j++)
            a->pass->kernels->add_scaled(x, alloy_f32(a->in[1])[t * mixes + j],
                                         alloy_f32(a->in[0]) + (t * streams + j) * hidden, hidden);
    }
}

static void run_collapse(const alloy_args *a)
{
    alloy_args copy = *a;
    alloy_pass_ranges(a->pass, a->in[0]->shape[0], TOKENS_A_PIECE, collapse_rows, &copy);
}

static void count_collapse(const alloy_args *a, alloy_cost *cost)
{
    alloy_count n = a->in[0]->shape[0], hidden = alloy_row_size(a->out[0]), streams = alloy_row_size(a->in[0]) / hidden;
    alloy_cost_let(cost, n, hidden, streams);
    alloy_cost_vector(cost, (2 * streams - 1) * n * hidden);
    alloy_cost_classic(cost, 2 * n * streams * hidden);
}

static void expand_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const alloy_args *a = context;
    const alloy_kernels *kernels = a->pass->kernels;
    int64_t hidden = alloy_row_size(a->in[2]), streams = alloy_row_size(a->in[0]) / hidden,
            mixes = alloy_row_size(a->in[1]);
    for (int64_t t = first; t < first + count; t++) {
        const float *post = alloy_f32(a->in[1]) + t * mixes + streams, *comb = post + streams;
        for (int64_t k = 0; k < streams; k++) {
            float *to = alloy_f32(a->out[0]) + (t * streams + k) * hidden;
            memset(to, 0, (size_t)hidden * sizeof *to);
            for (int64_t j = 0; j < streams; j++)
                kernels->add_scaled(to, comb[j * streams + k], alloy_f32(a->in[0]) + (t * streams + j) * hidden,
                                    hidden);
            kernels->add_scaled(to, post[k], alloy_f32(a->in[2]) + t * hidden, hidden);
        }
    }
}

static void run_expand(const alloy_args *a)
{
    alloy_args copy = *a;
    alloy_pass_ranges(a->pass, a->in[0]->shape[0], TOKENS_A_PIECE, expand_rows, &copy);
}

/* The published convention leaves this side out. */
static void count_expand(const alloy_args *a, alloy_cost *cost)
{
    alloy_count n = a->in[0]->shape[0], hidden = alloy_row_size(a->in[2]), streams = alloy_row_size(a->in[0]) / hidden;
    alloy_cost_let(cost, n, hidden, streams);
    alloy_cost_tensor(cost, 2 * n * streams * streams * hidden);
    alloy_cost_vector(cost, n * streams * hidden + n * streams * hidden);
}

static const alloy_op hyper_collapse = {"hyper_collapse", run_collapse, count_collapse};
static const alloy_op hyper_expand = {"hyper_expand", run_expand, count_expand};

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
    return x ? alloy_apply(p, &hyper_collapse, &(alloy_args){.in = {h, weights}, .out = {x}}) : NULL;
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
    return to ? alloy_apply(p, &hyper_expand, &(alloy_args){.in = {h, weights, y}, .out = {to}}) : NULL;
}

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

static void run_copies(const alloy_args *a)
{
    int64_t hidden = alloy_row_size(a->in[0]), streams = alloy_row_size(a->out[0]) / hidden;
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++)
        for (int64_t j = 0; j < streams; j++)
            memcpy(alloy_f32(a->out[0]) + (t * streams + j) * hidden, alloy_f32(a->in[0]) + t * hidden,
                   (size_t)hidden * sizeof(float));
}

static void count_copies(const alloy_args *a, alloy_cost *cost)
{
    (void)a, (void)cost; /* no work; what is written, alloy_apply has put into the record */
}

static const alloy_op hyper_copies = {"hyper_copies", run_copies, count_copies};

alloy_tensor *alloy_hyper_copies(alloy_pass *p, alloy_tensor *x, int64_t streams)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    alloy_tensor *h = alloy_tensor_new(p, 2, (int64_t[]){x->shape[0], streams * alloy_row_size(x)});
    return h ? alloy_apply(p, &hyper_copies, &(alloy_args){.in = {x}, .out = {h}}) : NULL;
}
