/* The built-in ops: what each is named, what it counts, and its options. What they compute: extend.h, above the
 * function that applies them. How they run is a backend's (backends/cpu, backends/fp64).
 *
 * Which argument is which, where it is not as in the function's order:
 *
 *     embedding            in: ids. weight: the table
 *     swiglu               in: up, gate
 *     clamped_swiglu       in: up, gate
 *     token_gate           in: x [n, d], gate [n, 1]
 *     attention            in: q. state: keys, values
 *     shared_kv_attention  in: q and, where entries are chosen, which and how many. weight: sinks. state: rows that are
 *                          keys and values, and entries or none
 *     choose_entries       in: q, weights. out: which, how many. state: keys
 *     compress             in: kv, gate. weight: bias. state: `open` and, where windows overlap, `overlap`
 *     route_*              in: logits (by id: x, ids). out: experts, their weights
 *     experts              in: x, the routes' experts and weights
 *     hyper_expand         in: streams, weights, y */
#ifndef ALLOY_OPS_OPS_H
#define ALLOY_OPS_OPS_H

#include "ops/pass.h"
#include "ops/state.h"

extern const alloy_op alloy_op_add, alloy_op_multiply, alloy_op_silu, alloy_op_sigmoid, alloy_op_swiglu,
    alloy_op_clamped_swiglu, alloy_op_mul_sigmoid, alloy_op_token_gate;
extern const alloy_op alloy_op_embedding, alloy_op_linear, alloy_op_grouped_linear;
extern const alloy_op alloy_op_rms_norm, alloy_op_gated_rms_norm, alloy_op_l2_norm;
extern const alloy_op alloy_op_rotary, alloy_op_rotary_pairs;
extern const alloy_op alloy_op_append, alloy_op_attention;
extern const alloy_op alloy_op_compress, alloy_op_append_entries, alloy_op_choose_entries, alloy_op_shared_kv_attention;
extern const alloy_op alloy_op_conv1d_silu, alloy_op_decay, alloy_op_delta_rule;
extern const alloy_op alloy_op_route_softmax, alloy_op_route_scores, alloy_op_route_by_id, alloy_op_experts;
extern const alloy_op alloy_op_hyper_copies, alloy_op_hyper_weights, alloy_op_hyper_collapse, alloy_op_hyper_expand;
extern const alloy_op alloy_op_view, alloy_op_split, alloy_op_concat, alloy_op_pick_rows, alloy_op_copy;

/* The largest that there are, whatever runs them. */
enum {
    ALLOY_MOST_TAPS = 32,
    ALLOY_MOST_STREAMS = 64,
    ALLOY_MOST_ROTATED = ALLOY_TASK_SCRATCH / 16, /* channels of rotary_pairs */
    ALLOY_MOST_INDEX_HEADS = ALLOY_TASK_SCRATCH / 2 / (int)sizeof(float),
};

struct alloy_clamp_options {
    double limit;
};

struct alloy_norm_options {
    double eps, scale;
    bool unit_offset;
};

struct alloy_rotary_pairs_options {
    alloy_rope rope;
    int64_t width; /* what exponents are divided by; rotated: rounded up to an even number */
    int64_t rate;  /* tokens a row */
    bool back;
};

struct alloy_grouped_linear_options {
    int64_t groups;
};

struct alloy_attention_options {
    int64_t kv_heads, window; /* window 0: all */
    double scale;
};

struct alloy_shared_kv_attention_options {
    double scale;
    int64_t window;
};

struct alloy_append_entries_options {
    bool indexer;
};

struct alloy_compress_options {
    int64_t rate;
};

enum { ALLOY_COMPRESS_OPEN, ALLOY_COMPRESS_OVERLAP }; /* places among its states */

struct alloy_route_softmax_options {
    bool normalize;
};

typedef enum alloy_scoring { ALLOY_SQRT_SOFTPLUS, ALLOY_SIGMOID, ALLOY_SOFTMAX, ALLOY_NO_SCORING } alloy_scoring;

struct alloy_route_scores_options {
    alloy_scoring scoring;
    double scale;
};

struct alloy_experts_options {
    int64_t experts; /* that are chosen from */
    double distinct; /* in count: tokens that are expected to differ in where they go */
    double limit;    /* of gate and up; 0: none */
};

struct alloy_hyper_options {
    int64_t streams, iterations; /* iterations 0: of the head */
    double eps, norm_eps;
};

/* Of split and concat. */
struct alloy_parts_options {
    int count;
    int64_t groups;
    int64_t width[ALLOY_MOST_OUTPUTS]; /* floats of a part in one group */
};

/* Of both linears: one in blocks has a row of the weight for each output too. */
void alloy_count_linear(const alloy_args *args, alloy_cost *cost);

/* Weights are divided by their sum and this. */
#define ALLOY_ROUTE_EPS 1e-20

/* Do windows of a compressor overlap? */
static inline bool alloy_compress_overlaps(const alloy_args *a)
{
    return a->state[ALLOY_COMPRESS_OVERLAP].state != NULL;
}

/* The taps of a convolution's weight [channels, 1, taps] or [channels, taps]. */
static inline int64_t alloy_taps_of(const alloy_weight *w)
{
    return w->shape[w->ndim - 1];
}

/* Entries that the last token of any sequence sees. */
int64_t alloy_most_entries_seen(const alloy_pass *p, int64_t rate);

/* Can heads of these widths be attended? A block of keys and values and one row must fit a task's scratch. */
bool alloy_attention_fits(int64_t d, int64_t dv);

/* Bytes of scratch that a tile of `rows` queries takes at most; shared: keys are values. */
int64_t alloy_attention_tile_bytes(int64_t rows, int64_t d, int64_t dv, bool shared);

/* Rotary positions by halves: r, which the exponents are divided by, int(head_dim * partial_rotary_factor), and the
 * channels that are turned: r rounded up to an even number. */
int64_t alloy_rotary_width(const alloy_rope *rope, int64_t head_dim);
int64_t alloy_rotary_channels(const alloy_rope *rope, int64_t head_dim);

/* Inverse frequencies of ceil(width / 2) pairs, into `out`; returns what cos and sin are multiplied by. In fp64.
 *
 *   default  f_i = theta^(-2i / r), 2i < r (arXiv:2104.09864, section 3.4.3)
 *   linear   f_i / factor (arXiv:2306.15595)
 *   yarn     between f_i / factor and f_i by a ramp over i (arXiv:2309.00071, section 3.2); cos and sin times the
 *            attention factor (section 3.4)
 *   llama3   by wavelength: long ones f_i / factor, short ones f_i, a ramp between (Llama 3.1's rule) */
double alloy_rotary_frequencies(const alloy_rope *rope, int64_t width, double *out);

/* The experts of a token's id in the table of alloy_route_by_id: element `i` of I64 or I32. */
int64_t alloy_index_at(const alloy_weight *table, int64_t i);

#endif
