/* Orders. The norm and the products with fn are dots; sums over streams are column sums, in rising stream. */
#include "backends/cpu/cpu.h"

#include <string.h>

enum { TOKENS_A_PIECE = 4 };

/* ---- Weights ----------------------------------------------------------------------------------------------------- */

struct weighing {
    const alloy_args *args;
    const struct alloy_hyper_options *o;
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
                                     width, (float)w->o->norm_eps);
}

static void weigh(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct weighing *w = context;
    const struct alloy_hyper_options *o = w->o;
    int64_t mixes = alloy_row_size(w->args->out[0]);
    for (int64_t t = first; t < first + count; t++)
        w->args->pass->kernels->hyper_weights(alloy_f32(w->args->out[0]) + t * mixes, w->mixes + t * mixes, w->base,
                                              w->scale, o->streams, o->iterations, (float)o->eps);
}

void alloy_cpu_hyper_weights(const alloy_args *a)
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
            a->pass->kernels->vector.add_scaled(x, alloy_f32(a->in[1])[t * mixes + j],
                                                alloy_f32(a->in[0]) + (t * streams + j) * hidden, hidden);
    }
}

void alloy_cpu_hyper_collapse(const alloy_args *a)
{
    alloy_args copy = *a;
    alloy_pass_ranges(a->pass, a->in[0]->shape[0], TOKENS_A_PIECE, collapse_rows, &copy);
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
                kernels->vector.add_scaled(to, comb[j * streams + k], alloy_f32(a->in[0]) + (t * streams + j) * hidden,
                                           hidden);
            kernels->vector.add_scaled(to, post[k], alloy_f32(a->in[2]) + t * hidden, hidden);
        }
    }
}

void alloy_cpu_hyper_expand(const alloy_args *a)
{
    alloy_args copy = *a;
    alloy_pass_ranges(a->pass, a->in[0]->shape[0], TOKENS_A_PIECE, expand_rows, &copy);
}

/* ---- Copies ------------------------------------------------------------------------------------------------------ */

void alloy_cpu_hyper_copies(const alloy_args *a)
{
    int64_t hidden = alloy_row_size(a->in[0]), streams = alloy_row_size(a->out[0]) / hidden;
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++)
        for (int64_t j = 0; j < streams; j++)
            memcpy(alloy_f32(a->out[0]) + (t * streams + j) * hidden, alloy_f32(a->in[0]) + t * hidden,
                   (size_t)hidden * sizeof(float));
}
