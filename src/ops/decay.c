/* The delta net's decay: exp(-exp(A_log) * softplus(a + dt_bias)) (arXiv:2312.00752, section 3.5.1, as the gated delta
 * net uses it).
 *
 * In fp64 with our own functions (kernels/math.h), rounded once: a state is multiplied by thousands of these, and an
 * exponent in fp32 was the largest error of a hybrid (logits of an 8-layer case against fp64: 5.0e-4, 2.0e-4 with
 * this). One number a token and head: it costs nothing. */
#include "kernels/counted.h"
#include "kernels/math.h"
#include "ops/pass.h"

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
            ALLOY_COUNT_VECTOR(6); /* an add, softplus, a product, exp */
            d->y[t * d->heads + h] =
                (float)alloy_exp64(-rate * softplus((double)d->a[t * d->heads + h] + (double)d->dt_bias[h]));
        }
    }
}

static void run(const alloy_args *a)
{
    alloy_pass *p = a->pass;
    struct decays d = {alloy_f32(a->in[0]), alloy_weight_widened(p, a->weight[0]),
                       alloy_weight_widened(p, a->weight[1]), alloy_f32(a->out[0]), alloy_row_size(a->in[0])};
    if (d.A_log && d.dt_bias)
        alloy_pass_ranges(p, a->in[0]->shape[0], ROWS_A_PIECE, decay_rows, &d);
}

/* Add, softplus 3, multiply, exp: 6 an element. */
static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_count n = a->in[0]->shape[0], heads = alloy_row_size(a->in[0]);
    alloy_cost_let(cost, n, heads);
    alloy_cost_vector(cost, 6 * n * heads);
    alloy_cost_weight_f32(cost, a->weight[0], heads);
    alloy_cost_weight_f32(cost, a->weight[1], heads);
}

static const alloy_op decay = {"decay", run, count};

alloy_tensor *alloy_decay(alloy_pass *p, alloy_tensor *a, const alloy_weight *A_log, const alloy_weight *dt_bias)
{
    if (alloy_pass_stopped(p, a))
        return NULL;
    int64_t heads = alloy_row_size(a);
    if (A_log->shape[0] != heads || dt_bias->shape[0] != heads)
        return alloy_shape_fail(p, "decay", "%s has %lld elements, a has rows of %lld", A_log->name,
                                (long long)A_log->shape[0], (long long)heads);
    alloy_tensor *y = alloy_tensor_like(p, a);
    return y ? alloy_apply(p, &decay, &(alloy_args){.in = {a}, .out = {y}, .weight = {A_log, dt_bias}}) : NULL;
}
