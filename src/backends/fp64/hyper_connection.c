/* Hyper-connections: the weights of each token's streams, their sums. */
#include "backends/fp64/fp64.h"

#include <string.h>

/* Divides by the sums of columns + eps, or of rows. */
static void balance(double *comb, int64_t n, bool columns, double eps)
{
    int64_t along = columns ? n : 1, across = columns ? 1 : n;
    for (int64_t i = 0; i < n; i++) {
        double sum = eps;
        for (int64_t j = 0; j < n; j++)
            sum += comb[i * across + j * along];
        for (int64_t j = 0; j < n; j++)
            comb[i * across + j * along] /= sum;
    }
}

/* pre, post, comb of one token, from its mixes in y (alloy_hyper_weights). */
static void weigh(double *y, const double *base, const double *scale, const struct alloy_hyper_options *o)
{
    int64_t n = o->streams;
    for (int64_t i = 0; i < n; i++)
        y[i] = alloy_fp64_sigmoid(y[i] * scale[0] + base[i]) + o->eps;
    if (o->iterations == 0)
        return;
    for (int64_t i = n; i < 2 * n; i++)
        y[i] = alloy_fp64_sigmoid(y[i] * scale[1] + base[i]) * 2;
    double *comb = y + 2 * n;
    for (int64_t i = 0; i < n * n; i++)
        comb[i] = comb[i] * scale[2] + base[2 * n + i];
    for (int64_t j = 0; j < n; j++)
        alloy_fp64_softmax(comb + j * n, n);
    for (int64_t i = 0; i < n * n; i++)
        comb[i] += o->eps;
    balance(comb, n, true, o->eps);
    for (int64_t i = 1; i < o->iterations; i++) {
        balance(comb, n, false, o->eps);
        balance(comb, n, true, o->eps);
    }
}

void alloy_fp64_hyper_weights(const alloy_args *a)
{
    const struct alloy_hyper_options *o = a->options;
    alloy_pass *p = a->pass;
    int64_t n = a->in[0]->shape[0], width = alloy_row_size(a->in[0]), mixes = alloy_row_size(a->out[0]);
    double *norm = alloy_pass_take(p, n * width, sizeof *norm), *y = alloy_f64(a->out[0]);
    const double *base = alloy_fp64_weight(p, a->weight[1]), *scale = alloy_fp64_weight(p, a->weight[2]);
    if (!norm || !base || !scale)
        return;
    for (int64_t t = 0; t < n; t++)
        alloy_fp64_rms_norm(norm + t * width, alloy_f64(a->in[0]) + t * width, NULL, width, o->norm_eps);
    alloy_fp64_multiply(p, &(alloy_fp64_product){norm, width, n, a->weight[0], 0, mixes, NULL, y, mixes});
    for (int64_t t = 0; t < n; t++)
        weigh(y + t * mixes, base, scale, o);
}

void alloy_fp64_hyper_collapse(const alloy_args *a)
{
    int64_t hidden = alloy_row_size(a->out[0]), streams = alloy_row_size(a->in[0]) / hidden,
            mixes = alloy_row_size(a->in[1]);
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++)
        for (int64_t i = 0; i < hidden; i++) {
            double sum = 0;
            for (int64_t j = 0; j < streams; j++)
                sum += alloy_f64(a->in[1])[t * mixes + j] * alloy_f64(a->in[0])[(t * streams + j) * hidden + i];
            alloy_f64(a->out[0])[t * hidden + i] = sum;
        }
}

void alloy_fp64_hyper_expand(const alloy_args *a)
{
    int64_t hidden = alloy_row_size(a->in[2]), streams = alloy_row_size(a->in[0]) / hidden,
            mixes = alloy_row_size(a->in[1]);
    const double *h = alloy_f64(a->in[0]);
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++) {
        const double *post = alloy_f64(a->in[1]) + t * mixes + streams, *comb = post + streams;
        for (int64_t k = 0; k < streams; k++)
            for (int64_t i = 0; i < hidden; i++) {
                double sum = post[k] * alloy_f64(a->in[2])[t * hidden + i];
                for (int64_t j = 0; j < streams; j++)
                    sum += comb[j * streams + k] * h[(t * streams + j) * hidden + i];
                alloy_f64(a->out[0])[(t * streams + k) * hidden + i] = sum;
            }
    }
}
