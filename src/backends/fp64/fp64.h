/* The oracle in the box: every op as plain loops in double precision, as the formulas above the functions of extend.h
 * read. Nothing is rounded to fp32 in it: not activations, not what sequences keep, not tables or scales. A weight is
 * what its file says, for FP8 and FP4 the value times the scale rounded once to fp32, which is what such a weight means
 * (docs/files.md). Sums rise with their index; functions are libm's.
 *
 * Where it has to choose (experts, entries), it may be told what another run chose: pass.h, alloy_follow_function. */
#ifndef ALLOY_BACKENDS_FP64_FP64_H
#define ALLOY_BACKENDS_FP64_FP64_H

#include <math.h>

#include "ops/ops.h"

extern const alloy_backend alloy_fp64;

/* Elements of a weight in fp64, in the pass's arena; NULL, and the pass failed, when memory is short. */
double *alloy_fp64_weight(alloy_pass *p, const alloy_weight *w);

/* `count` of its elements from `first`. */
void alloy_fp64_read(const alloy_weight *w, int64_t first, int64_t count, double *out);

/* y [rows, O] = x W^T (+ bias), x rows `x_stride` apart, y rows `y_stride`; rows first .. first + count - 1 of W. */
typedef struct alloy_fp64_product {
    const double *x;
    int64_t x_stride, rows;
    const alloy_weight *w;
    int64_t first, count;
    const double *bias; /* [count], NULL: none */
    double *y;
    int64_t y_stride;
} alloy_fp64_product;
void alloy_fp64_multiply(alloy_pass *p, const alloy_fp64_product *product);

static inline double alloy_fp64_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static inline double alloy_fp64_silu(double x)
{
    return x / (1 + exp(-x));
}

/* silu(gate) * up; limit above 0: both clamped before (alloy_swiglu_clamped). */
double alloy_fp64_swiglu(double gate, double up, double limit);

/* A row of x over its root mean square, times w (NULL: 1); w and y may be x's. */
void alloy_fp64_rms_norm(double *y, const double *x, const double *w, int64_t d, double eps);

/* exp(x - most) over their sum, in place. */
void alloy_fp64_softmax(double *x, int64_t n);

/* The k largest of n ranks, ties to the lower index, in rising order; their number, at most k. */
int32_t alloy_fp64_choose(const double *ranks, int64_t n, int64_t k, int32_t *chosen);

/* The row of a position (of an entry: its number) in a part of a sequence. */
static inline double *alloy_fp64_row(alloy_state_part part, int64_t span, int64_t position)
{
    int64_t bytes = alloy_part_spec_of(part)->width * (int64_t)sizeof(double);
    return (double *)(void *)alloy_store_row(alloy_store_of(part, span), position, bytes);
}

/* What a sequence keeps as a whole. */
static inline double *alloy_fp64_fixed(alloy_state_part part, int64_t span)
{
    return alloy_store_of(part, span)->data;
}

/* ---- Runs, one an op --------------------------------------------------------------------------------------------- */

extern alloy_run alloy_fp64_add, alloy_fp64_multiply_elements, alloy_fp64_silu_elements, alloy_fp64_sigmoid_elements,
    alloy_fp64_swiglu_elements, alloy_fp64_clamped_swiglu, alloy_fp64_mul_sigmoid, alloy_fp64_token_gate;
extern alloy_run alloy_fp64_embedding, alloy_fp64_linear, alloy_fp64_grouped_linear;
extern alloy_run alloy_fp64_rms_norms, alloy_fp64_l2_norm;
extern alloy_run alloy_fp64_rotary, alloy_fp64_rotary_pairs;
extern alloy_run alloy_fp64_append, alloy_fp64_append_entries, alloy_fp64_attention, alloy_fp64_shared_kv_attention;
extern alloy_run alloy_fp64_compress, alloy_fp64_choose_entries;
extern alloy_run alloy_fp64_conv1d_silu, alloy_fp64_decay, alloy_fp64_delta_rule;
extern alloy_run alloy_fp64_route_softmax, alloy_fp64_route_scores, alloy_fp64_route_by_id, alloy_fp64_experts;
extern alloy_run alloy_fp64_hyper_copies, alloy_fp64_hyper_weights, alloy_fp64_hyper_collapse, alloy_fp64_hyper_expand;
extern alloy_run alloy_fp64_split, alloy_fp64_concat, alloy_fp64_pick_rows, alloy_fp64_copy;

/* Runs an op of a plug-in, or any that is not above, on the CPU: in F32, through copies of what it reads and writes. */
extern alloy_run alloy_fp64_fall_back;

#endif
