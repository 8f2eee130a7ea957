/* Ops of one element at a time: the work of an element is a row of a table. */
#include "kernels/counted.h"
#include "ops/pass.h"

enum { ELEMENTS_A_PIECE = 16 * 1024 };

/* Operations an element: add, multiply, exp and divide are 1 each; so sigmoid is 3, SiLU 4. */
enum {
    COST_ADD = 1,
    COST_MULTIPLY = 1,
    COST_SIGMOID = 3,
    COST_SILU = 4,
    COST_SWIGLU = 5,
    COST_CLAMPED_SWIGLU = 8,
    COST_MUL_SIGMOID = 4
};

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

static void count_with(const alloy_args *a, alloy_cost *cost, alloy_count exact, alloy_count classic)
{
    alloy_count n = (alloy_count)a->in[0]->shape[0] * alloy_row_size(a->in[0]);
    alloy_cost_let(cost, n, exact, classic);
    alloy_cost_vector(cost, n * exact);
    if (classic)
        alloy_cost_classic(cost, n * classic);
}

static void run_add(const alloy_args *a)
{
    run_with(a, NULL, a->pass->kernels->add);
}

static void count_add(const alloy_args *a, alloy_cost *cost)
{
    count_with(a, cost, COST_ADD, COST_ADD);
}

static void run_multiply(const alloy_args *a)
{
    run_with(a, NULL, a->pass->kernels->multiply);
}

static void count_multiply(const alloy_args *a, alloy_cost *cost)
{
    count_with(a, cost, COST_MULTIPLY, COST_MULTIPLY);
}

static void run_silu(const alloy_args *a)
{
    run_with(a, a->pass->kernels->silu, NULL);
}

static void count_silu(const alloy_args *a, alloy_cost *cost)
{
    count_with(a, cost, COST_SILU, 0);
}

static void run_sigmoid(const alloy_args *a)
{
    run_with(a, a->pass->kernels->sigmoid, NULL);
}

static void count_sigmoid(const alloy_args *a, alloy_cost *cost)
{
    count_with(a, cost, COST_SIGMOID, 0);
}

/* in: up, gate */
static void run_swiglu(const alloy_args *a)
{
    run_with(a, NULL, a->pass->kernels->multiply_silu);
}

static void count_swiglu(const alloy_args *a, alloy_cost *cost)
{
    count_with(a, cost, COST_SWIGLU, COST_SWIGLU);
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

/* in: up, gate */
static void run_clamped_swiglu(const alloy_args *a)
{
    struct clamp clamp = {a, *(const float *)a->options};
    alloy_pass_ranges(a->pass, alloy_tensor_size(a->in[0]), ELEMENTS_A_PIECE, clamp_piece, &clamp);
}

static void count_clamped_swiglu(const alloy_args *a, alloy_cost *cost)
{
    count_with(a, cost, COST_CLAMPED_SWIGLU, COST_SWIGLU);
}

static void run_mul_sigmoid(const alloy_args *a)
{
    run_with(a, NULL, a->pass->kernels->multiply_sigmoid);
}

static void count_mul_sigmoid(const alloy_args *a, alloy_cost *cost)
{
    count_with(a, cost, COST_MUL_SIGMOID, COST_MUL_SIGMOID);
}

/* One gate a token: in: x [n, d], gate [n, 1]. */
static void run_token_gate(const alloy_args *a)
{
    const alloy_kernels *kernels = a->pass->kernels;
    int64_t d = alloy_row_size(a->in[0]);
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++) {
        float gate, *y = alloy_f32(a->out[0]) + t * d;
        kernels->sigmoid(&gate, alloy_f32(a->in[1]) + t, 1);
        for (int64_t i = 0; i < d; i++) {
            y[i] = alloy_f32(a->in[0])[t * d + i] * gate;
            ALLOY_COUNT_VECTOR(COST_MULTIPLY);
        }
    }
}

static void count_token_gate(const alloy_args *a, alloy_cost *cost)
{
    alloy_count n = a->in[0]->shape[0], d = alloy_row_size(a->in[0]);
    alloy_cost_let(cost, n, d, COST_SIGMOID, COST_MULTIPLY);
    alloy_cost_vector(cost, n * COST_SIGMOID + n * d * COST_MULTIPLY);
    alloy_cost_classic(cost, n * COST_SIGMOID + n * d * COST_MULTIPLY);
}

static const alloy_op add = {"add", run_add, count_add};
static const alloy_op multiply = {"multiply", run_multiply, count_multiply};
static const alloy_op silu = {"silu", run_silu, count_silu};
static const alloy_op sigmoid = {"sigmoid", run_sigmoid, count_sigmoid};
static const alloy_op swiglu = {"swiglu", run_swiglu, count_swiglu};
static const alloy_op clamped_swiglu = {"clamped_swiglu", run_clamped_swiglu, count_clamped_swiglu};
static const alloy_op mul_sigmoid = {"mul_sigmoid", run_mul_sigmoid, count_mul_sigmoid};
static const alloy_op token_gate = {"mul_sigmoid", run_token_gate, count_token_gate};

static alloy_tensor *apply_one(alloy_pass *p, const alloy_op *op, alloy_tensor *x)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    alloy_tensor *y = alloy_tensor_like(p, x);
    return y ? alloy_apply(p, op, &(alloy_args){.in = {x}, .out = {y}}) : NULL;
}

static alloy_tensor *apply_two_with(alloy_pass *p, const alloy_op *op, alloy_tensor *a, alloy_tensor *b,
                                    const float *option)
{
    if (alloy_pass_stopped(p, a) || !b)
        return NULL;
    if (alloy_tensor_size(a) != alloy_tensor_size(b) || a->shape[0] != b->shape[0])
        return alloy_shape_fail(p, op->name, "%lld rows of %lld and %lld rows of %lld", (long long)a->shape[0],
                                (long long)alloy_row_size(a), (long long)b->shape[0], (long long)alloy_row_size(b));
    alloy_tensor *y = alloy_tensor_like(p, a);
    return y ? alloy_apply(
                   p, op,
                   &(alloy_args){
                       .in = {a, b}, .out = {y}, .options = option, .options_size = option ? sizeof *option : 0})
             : NULL;
}

static alloy_tensor *apply_two(alloy_pass *p, const alloy_op *op, alloy_tensor *a, alloy_tensor *b)
{
    return apply_two_with(p, op, a, b, NULL);
}

alloy_tensor *alloy_add(alloy_pass *p, alloy_tensor *a, alloy_tensor *b)
{
    return apply_two(p, &add, a, b);
}

alloy_tensor *alloy_multiply(alloy_pass *p, alloy_tensor *a, alloy_tensor *b)
{
    return apply_two(p, &multiply, a, b);
}

alloy_tensor *alloy_silu(alloy_pass *p, alloy_tensor *x)
{
    return apply_one(p, &silu, x);
}

alloy_tensor *alloy_sigmoid(alloy_pass *p, alloy_tensor *x)
{
    return apply_one(p, &sigmoid, x);
}

alloy_tensor *alloy_swiglu(alloy_pass *p, alloy_tensor *gate, alloy_tensor *up)
{
    return apply_two(p, &swiglu, up, gate);
}

alloy_tensor *alloy_swiglu_clamped(alloy_pass *p, alloy_tensor *gate, alloy_tensor *up, double limit)
{
    float rounded = (float)limit;
    return limit > 0 ? apply_two_with(p, &clamped_swiglu, up, gate, &rounded) : alloy_swiglu(p, gate, up);
}

alloy_tensor *alloy_mul_sigmoid(alloy_pass *p, alloy_tensor *x, alloy_tensor *gate)
{
    if (alloy_pass_stopped(p, x) || !gate)
        return NULL;
    if (alloy_row_size(gate) != 1 || alloy_row_size(x) == 1 || gate->shape[0] != x->shape[0])
        return apply_two(p, &mul_sigmoid, x, gate);
    alloy_tensor *y = alloy_tensor_like(p, x);
    return y ? alloy_apply(p, &token_gate, &(alloy_args){.in = {x, gate}, .out = {y}}) : NULL;
}
