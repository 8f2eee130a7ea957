/* Ops of one element at a time. */
#include "backends/fp64/fp64.h"

enum { ELEMENTS_A_PIECE = 4096 };

typedef double function(double a, double b);

struct elements {
    function *function;
    const double *a, *b; /* b NULL: of one argument */
    double *y;
};

static void run_piece(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct elements *e = context;
    for (int64_t i = first; i < first + count; i++)
        e->y[i] = e->function(e->a[i], e->b ? e->b[i] : 0);
}

static void run(const alloy_args *a, function *each)
{
    struct elements elements = {each, alloy_f64(a->in[0]), a->in[1] ? alloy_f64(a->in[1]) : NULL, alloy_f64(a->out[0])};
    alloy_pass_ranges(a->pass, alloy_tensor_size(a->in[0]), ELEMENTS_A_PIECE, run_piece, &elements);
}

double alloy_fp64_swiglu(double gate, double up, double limit)
{
    if (limit > 0) {
        gate = gate < limit ? gate : limit;
        up = up < -limit ? -limit : up > limit ? limit : up;
    }
    return alloy_fp64_silu(gate) * up;
}

static double add(double a, double b)
{
    return a + b;
}

static double multiply(double a, double b)
{
    return a * b;
}

static double silu(double a, double b)
{
    (void)b;
    return alloy_fp64_silu(a);
}

static double sigmoid(double a, double b)
{
    (void)b;
    return alloy_fp64_sigmoid(a);
}

static double swiglu(double up, double gate)
{
    return alloy_fp64_swiglu(gate, up, 0);
}

static double mul_sigmoid(double x, double gate)
{
    return x * alloy_fp64_sigmoid(gate);
}

void alloy_fp64_add(const alloy_args *a)
{
    run(a, add);
}

void alloy_fp64_multiply_elements(const alloy_args *a)
{
    run(a, multiply);
}

void alloy_fp64_silu_elements(const alloy_args *a)
{
    run(a, silu);
}

void alloy_fp64_sigmoid_elements(const alloy_args *a)
{
    run(a, sigmoid);
}

void alloy_fp64_swiglu_elements(const alloy_args *a)
{
    run(a, swiglu);
}

void alloy_fp64_mul_sigmoid(const alloy_args *a)
{
    run(a, mul_sigmoid);
}

void alloy_fp64_clamped_swiglu(const alloy_args *a)
{
    const struct alloy_clamp_options *o = a->options;
    const double *up = alloy_f64(a->in[0]), *gate = alloy_f64(a->in[1]);
    for (int64_t i = 0; i < alloy_tensor_size(a->in[0]); i++)
        alloy_f64(a->out[0])[i] = alloy_fp64_swiglu(gate[i], up[i], o->limit);
}

void alloy_fp64_token_gate(const alloy_args *a)
{
    int64_t d = alloy_row_size(a->in[0]);
    for (int64_t i = 0; i < alloy_tensor_size(a->in[0]); i++)
        alloy_f64(a->out[0])[i] = alloy_f64(a->in[0])[i] * alloy_fp64_sigmoid(alloy_f64(a->in[1])[i / d]);
}
