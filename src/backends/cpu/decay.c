/* The decay in fp64 with our own functions (kernels/math.h), rounded once: a state is multiplied by thousands of these,
 * and an exponent in fp32 was the largest error of a hybrid (logits of an 8-layer case against fp64: 5.0e-4, 2.0e-4
 * with this). One number a token and head: it costs nothing. */
#include "backends/cpu/cpu.h"
#include "kernels/math.h"

enum { ROWS_A_PIECE = 32 };

struct decays {
    const float *a, *A_log, *dt_bias;
    float *y;
    int64_t heads;
};

/* log(1 + u), 0 <= u <= 1; for a small u by its series, where 1 + u would round it away. */
static double log_of_one_and(double u)
{
    return u < 1e-5 ? u - u * u / 2 + u * u * u / 3 : alloy_log64(1 + u);
}

static double softplus(double x)
{
    return x > 0 ? x + log_of_one_and(alloy_exp64(-x)) : log_of_one_and(alloy_exp64(x));
}

static void decay_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct decays *d = context;
    for (int64_t h = 0; h < d->heads; h++) {
        double rate = alloy_exp64((double)d->A_log[h]);
        for (int64_t t = first; t < first + count; t++) {
            d->y[t * d->heads + h] =
                (float)alloy_exp64(-rate * softplus((double)d->a[t * d->heads + h] + (double)d->dt_bias[h]));
        }
    }
}

void alloy_cpu_decay(const alloy_args *a)
{
    alloy_pass *p = a->pass;
    struct decays d = {alloy_f32(a->in[0]), alloy_weight_widened(p, a->weight[0]),
                       alloy_weight_widened(p, a->weight[1]), alloy_f32(a->out[0]), alloy_row_size(a->in[0])};
    if (d.A_log && d.dt_bias)
        alloy_pass_ranges(p, a->in[0]->shape[0], ROWS_A_PIECE, decay_rows, &d);
}
