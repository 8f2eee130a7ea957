/* Ops of one element at a time: the work of an element is a row of a table. */
#include "backends/cpu/cpu.h"

enum { ELEMENTS_A_PIECE = 16 * 1024 };

typedef void unary(float *y, const float *x, int64_t n);
typedef void binary(float *y, const float *a, const float *b, int64_t n);

struct pieces {
    unary *one;
    binary *two;
    const float *a, *b;
    float *y;
};

static void run_piece(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct pieces *c = context;
    if (c->one)
        c->one(c->y + first, c->a + first, count);
    else
        c->two(c->y + first, c->a + first, c->b + first, count);
}

static void run_with(const alloy_args *a, unary *one, binary *two)
{
    struct pieces pieces = {one, two, alloy_f32(a->in[0]), a->in[1] ? alloy_f32(a->in[1]) : NULL, alloy_f32(a->out[0])};
    alloy_pass_ranges(a->pass, alloy_tensor_size(a->in[0]), ELEMENTS_A_PIECE, run_piece, &pieces);
}

void alloy_cpu_add(const alloy_args *a)
{
    run_with(a, NULL, a->pass->kernels->vector.add);
}

void alloy_cpu_multiply(const alloy_args *a)
{
    run_with(a, NULL, a->pass->kernels->vector.multiply);
}

void alloy_cpu_silu(const alloy_args *a)
{
    run_with(a, a->pass->kernels->vector.silu, NULL);
}

void alloy_cpu_sigmoid(const alloy_args *a)
{
    run_with(a, a->pass->kernels->vector.sigmoid, NULL);
}

void alloy_cpu_swiglu(const alloy_args *a)
{
    run_with(a, NULL, a->pass->kernels->vector.multiply_silu);
}

struct clamp {
    const alloy_args *args;
    float limit;
};

static void clamp_piece(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct clamp *c = context;
    const alloy_args *a = c->args;
    a->pass->kernels->clamped_swiglu(alloy_f32(a->out[0]) + first, alloy_f32(a->in[0]) + first,
                                     alloy_f32(a->in[1]) + first, c->limit, count);
}

void alloy_cpu_clamped_swiglu(const alloy_args *a)
{
    const struct alloy_clamp_options *o = a->options;
    struct clamp clamp = {a, (float)o->limit};
    alloy_pass_ranges(a->pass, alloy_tensor_size(a->in[0]), ELEMENTS_A_PIECE, clamp_piece, &clamp);
}

void alloy_cpu_mul_sigmoid(const alloy_args *a)
{
    run_with(a, NULL, a->pass->kernels->vector.multiply_sigmoid);
}

/* One gate a token: in: x [n, d], gate [n, 1]. */
void alloy_cpu_token_gate(const alloy_args *a)
{
    const alloy_kernels *kernels = a->pass->kernels;
    int64_t d = alloy_row_size(a->in[0]);
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++) {
        float gate, *y = alloy_f32(a->out[0]) + t * d;
        kernels->vector.sigmoid(&gate, alloy_f32(a->in[1]) + t, 1);
        for (int64_t i = 0; i < d; i++)
            y[i] = alloy_f32(a->in[0])[t * d + i] * gate;
    }
}
