/* Norms and softmax. */
#include "backends/fp64/fp64.h"

static double sum_of_squares(const double *x, int64_t d)
{
    double sum = 0;
    for (int64_t i = 0; i < d; i++)
        sum += x[i] * x[i];
    return sum;
}

void alloy_fp64_rms_norm(double *y, const double *x, const double *w, int64_t d, double eps)
{
    double factor = 1 / sqrt(sum_of_squares(x, d) / (double)d + eps);
    for (int64_t i = 0; i < d; i++)
        y[i] = x[i] * factor * (w ? w[i] : 1);
}

void alloy_fp64_softmax(double *x, int64_t n)
{
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] = exp(x[i] - most);
    for (int64_t i = 0; i < n; i++)
        x[i] /= sum;
}

/* With a second input: the gated norm. */
void alloy_fp64_rms_norms(const alloy_args *a)
{
    const struct alloy_norm_options *o = a->options;
    int64_t d = alloy_last_dimension(a->in[0]), n = alloy_tensor_size(a->in[0]);
    double *w = a->weight[0] ? alloy_fp64_weight(a->pass, a->weight[0]) : NULL, *y = alloy_f64(a->out[0]);
    if (a->pass->status)
        return;
    for (int64_t i = 0; w && o->unit_offset && i < d; i++)
        w[i] += 1;
    for (int64_t at = 0; at < n; at += d)
        alloy_fp64_rms_norm(y + at, alloy_f64(a->in[0]) + at, w, d, o->eps);
    for (int64_t i = 0; a->in[1] && i < n; i++)
        y[i] *= alloy_fp64_silu(alloy_f64(a->in[1])[i]);
}

void alloy_fp64_l2_norm(const alloy_args *a)
{
    const struct alloy_norm_options *o = a->options;
    int64_t d = alloy_last_dimension(a->in[0]);
    const double *x = alloy_f64(a->in[0]);
    double *y = alloy_f64(a->out[0]);
    for (int64_t at = 0; at < alloy_tensor_size(a->in[0]); at += d) {
        double factor = o->scale / sqrt(sum_of_squares(x + at, d) + o->eps);
        for (int64_t i = at; i < at + d; i++)
            y[i] = x[i] * factor;
    }
}
