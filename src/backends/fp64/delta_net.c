/* The gated delta net: convolution, decay and delta rule, token by token. */
#include "backends/fp64/fp64.h"

#include <string.h>

void alloy_fp64_conv1d_silu(const alloy_args *a)
{
    int64_t taps = alloy_taps_of(a->weight[0]), channels = alloy_row_size(a->in[0]);
    const double *w = alloy_fp64_weight(a->pass, a->weight[0]);
    for (int64_t s = 0; w && s < a->pass->span_count; s++) {
        const alloy_span *span = &a->pass->spans[s];
        double *tail = alloy_fp64_fixed(a->state[0], s); /* [taps - 1, channels] */
        for (int64_t t = span->first; t < span->first + span->count; t++) {
            const double *x = alloy_f64(a->in[0]) + t * channels;
            for (int64_t c = 0; c < channels; c++) {
                double sum = x[c] * w[c * taps + taps - 1];
                for (int64_t j = 0; j < taps - 1; j++)
                    sum += tail[j * channels + c] * w[c * taps + j];
                alloy_f64(a->out[0])[t * channels + c] = alloy_fp64_silu(sum);
            }
            memmove(tail, tail + channels, (size_t)((taps - 2) * channels) * sizeof *tail);
            memcpy(tail + (taps - 2) * channels, x, (size_t)channels * sizeof *tail);
        }
    }
}

void alloy_fp64_decay(const alloy_args *a)
{
    int64_t heads = alloy_row_size(a->in[0]);
    const double *A_log = alloy_fp64_weight(a->pass, a->weight[0]), *dt_bias = alloy_fp64_weight(a->pass, a->weight[1]);
    for (int64_t i = 0; A_log && dt_bias && i < alloy_tensor_size(a->in[0]); i++) {
        double x = alloy_f64(a->in[0])[i] + dt_bias[i % heads], softplus = x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
        alloy_f64(a->out[0])[i] = exp(-exp(A_log[i % heads]) * softplus);
    }
}

/* One token of one head: S [K, V], scratch [V]. */
static void step(double *S, int64_t K, int64_t V, const double *q, const double *k, const double *v, double decay,
                 double beta, double *y, double *scratch)
{
    for (int64_t j = 0; j < V; j++) {
        double recalled = 0;
        for (int64_t i = 0; i < K; i++)
            recalled += k[i] * (S[i * V + j] *= decay);
        scratch[j] = beta * (v[j] - recalled);
    }
    memset(y, 0, (size_t)V * sizeof *y);
    for (int64_t i = 0; i < K; i++)
        for (int64_t j = 0; j < V; j++) {
            S[i * V + j] += k[i] * scratch[j];
            y[j] += q[i] * S[i * V + j];
        }
}

struct steps {
    const alloy_args *a;
    int64_t span;
};

static void run_heads(void *context, int64_t first, int64_t count, void *scratch)
{
    const struct steps *s = context;
    const alloy_args *a = s->a;
    const alloy_span *span = &a->pass->spans[s->span];
    int64_t heads = a->in[2]->shape[1], V = a->in[2]->shape[2], key_heads = a->in[0]->shape[1], K = a->in[0]->shape[2];
    for (int64_t h = first; h < first + count; h++)
        for (int64_t t = span->first; t < span->first + span->count; t++) {
            int64_t key = (t * key_heads + h / (heads / key_heads)) * K, scalar = t * heads + h;
            step(alloy_fp64_fixed(a->state[0], s->span) + h * K * V, K, V, alloy_f64(a->in[0]) + key,
                 alloy_f64(a->in[1]) + key, alloy_f64(a->in[2]) + scalar * V, alloy_f64(a->in[3])[scalar],
                 alloy_f64(a->in[4])[scalar], alloy_f64(a->out[0]) + scalar * V, scratch);
        }
}

void alloy_fp64_delta_rule(const alloy_args *a)
{
    for (int64_t s = 0; s < a->pass->span_count; s++)
        alloy_pass_ranges(a->pass, a->in[2]->shape[1], 1, run_heads, &(struct steps){a, s});
}
