/* Ops of one element at a time. */
#include "ops/ops.h"

/* Operations an element: add, multiply, exp and divide are 1 each; so sigmoid is 3, SiLU 4. */
enum {
    COST_ADD = 1, /* or multiply */
    COST_MULTIPLY = 1,
    COST_SIGMOID = 3,
    COST_SILU = 4,
    COST_SWIGLU = 5,
    COST_CLAMPED_SWIGLU = 8,
    COST_MUL_SIGMOID = 4
};

static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_wide n = (alloy_wide)a->in[0]->shape[0] * alloy_row_size(a->in[0]);
    alloy_wide per_element = a->op == &alloy_op_sigmoid          ? COST_SIGMOID
                             : a->op == &alloy_op_silu           ? COST_SILU
                             : a->op == &alloy_op_swiglu         ? COST_SWIGLU
                             : a->op == &alloy_op_clamped_swiglu ? COST_CLAMPED_SWIGLU
                             : a->op == &alloy_op_mul_sigmoid    ? COST_MUL_SIGMOID
                                                                 : COST_ADD;
    alloy_wide_let(cost, n, per_element);
    alloy_wide_vector(cost, n * per_element);
}

/* One gate a token. */
static void count_token_gate(const alloy_args *a, alloy_cost *cost)
{
    alloy_wide n = a->in[0]->shape[0], d = alloy_row_size(a->in[0]);
    alloy_wide_let(cost, n, d, COST_SIGMOID, COST_MULTIPLY);
    alloy_wide_vector(cost, n * COST_SIGMOID + n * d * COST_MULTIPLY);
}

const alloy_op alloy_op_add = {"add", NULL, count};
const alloy_op alloy_op_multiply = {"multiply", NULL, count};
const alloy_op alloy_op_silu = {"silu", NULL, count};
const alloy_op alloy_op_sigmoid = {"sigmoid", NULL, count};
const alloy_op alloy_op_swiglu = {"swiglu", NULL, count};
const alloy_op alloy_op_clamped_swiglu = {"clamped_swiglu", NULL, count};
const alloy_op alloy_op_mul_sigmoid = {"mul_sigmoid", NULL, count};
const alloy_op alloy_op_token_gate = {"mul_sigmoid", NULL, count_token_gate};

static alloy_tensor *apply_one(alloy_pass *p, const alloy_op *op, alloy_tensor *x)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    alloy_tensor *y = alloy_tensor_like(p, x);
    return y ? alloy_apply(p, op, &(alloy_args){.in = {x}, .out = {y}}) : NULL;
}

static alloy_tensor *apply_two_with(alloy_pass *p, const alloy_op *op, alloy_tensor *a, alloy_tensor *b,
                                    const struct alloy_clamp_options *option)
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
    return apply_two(p, &alloy_op_add, a, b);
}

alloy_tensor *alloy_multiply(alloy_pass *p, alloy_tensor *a, alloy_tensor *b)
{
    return apply_two(p, &alloy_op_multiply, a, b);
}

alloy_tensor *alloy_silu(alloy_pass *p, alloy_tensor *x)
{
    return apply_one(p, &alloy_op_silu, x);
}

alloy_tensor *alloy_sigmoid(alloy_pass *p, alloy_tensor *x)
{
    return apply_one(p, &alloy_op_sigmoid, x);
}

alloy_tensor *alloy_swiglu(alloy_pass *p, alloy_tensor *gate, alloy_tensor *up)
{
    return apply_two(p, &alloy_op_swiglu, up, gate);
}

alloy_tensor *alloy_swiglu_clamped(alloy_pass *p, alloy_tensor *gate, alloy_tensor *up, double limit)
{
    struct alloy_clamp_options options = {limit};
    return limit > 0 ? apply_two_with(p, &alloy_op_clamped_swiglu, up, gate, &options) : alloy_swiglu(p, gate, up);
}

alloy_tensor *alloy_mul_sigmoid(alloy_pass *p, alloy_tensor *x, alloy_tensor *gate)
{
    if (alloy_pass_stopped(p, x) || !gate)
        return NULL;
    if (alloy_row_size(gate) != 1 || alloy_row_size(x) == 1 || gate->shape[0] != x->shape[0])
        return apply_two(p, &alloy_op_mul_sigmoid, x, gate);
    alloy_tensor *y = alloy_tensor_like(p, x);
    return y ? alloy_apply(p, &alloy_op_token_gate, &(alloy_args){.in = {x, gate}, .out = {y}}) : NULL;
}
