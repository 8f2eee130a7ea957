/* The recurrence of Mamba-2 (ops.h), token by token, so that a prompt in one chunk and in many gives the same bits. A
 * task is one head of one sequence: heads are independent, and a head's state stays in the first caches while its
 * tokens pass. */
#include <alloy/canonical.h>

#include "ops.h"

struct scan_job {
    const alloy_args *args;
    const alloy_span *spans;
    const mamba2_shape *shape; /* tasks = spans * heads */
};

/* What is constant over the tokens of a head. */
struct head {
    float rate; /* -exp(A_log) */
    float D;
    float dt_bias;
};

static struct head read_head(const alloy_args *a, int64_t index)
{
    struct head head;
    float A_log;
    alloy_weight_read(a->weight[0], index, 1, &A_log);
    alloy_weight_read(a->weight[1], index, 1, &head.D);
    alloy_weight_read(a->weight[2], index, 1, &head.dt_bias);
    head.rate = -alloy_canonical_exp(A_log);
    return head;
}

enum { MOST_CHANNELS = 1 << 12 }; /* of a head, as mamba2.c checks */
_Static_assert(MOST_CHANNELS * sizeof(float) <= ALLOY_TASK_SCRATCH, "d x of a head fits");

/* One token of one head: h [head_dim, state_size], x, y and dx [head_dim], B and C [state_size]. */
static void step(const alloy_vector *v, const mamba2_shape *s, const struct head *head, float dt, const float *x,
                 const float *B, const float *C, float *h, float *y, float *dx)
{
    float d = alloy_canonical_softplus(dt + head->dt_bias);
    float decay = alloy_canonical_exp(head->rate * d);
    for (int64_t i = 0; i < s->head_dim; i++)
        dx[i] = d * x[i];
    v->decay_add_outer(h, s->state_size, decay, dx, B, s->head_dim, s->state_size);
    v->dots(y, C, h, s->state_size, s->head_dim, s->state_size);
    v->add_scaled(y, head->D, x, s->head_dim);
}

static void scan_task(void *context, int64_t index, void *scratch)
{
    const struct scan_job *job = context;
    const alloy_args *a = job->args;
    const mamba2_shape *s = job->shape;
    int64_t span = index / s->heads, number = index % s->heads;
    int64_t inner = mamba2_inner(s), channels = mamba2_channels(s), group = number / (s->heads / s->groups);
    float *h = alloy_state_fixed(a, 0, span) + number * s->head_dim * s->state_size;
    struct head head = read_head(a, number);

    int64_t first = job->spans[span].first, end = first + job->spans[span].count;
    for (int64_t t = first; t < end; t++) {
        const float *row = alloy_f32(a->in[0]) + t * channels;
        const float *B = row + inner + group * s->state_size;
        const float *C = B + s->groups * s->state_size;
        float *y = alloy_f32(a->out[0]) + t * inner + number * s->head_dim;
        step(alloy_pass_vector(a->pass), s, &head, alloy_f32(a->in[1])[t * s->heads + number],
             row + number * s->head_dim, B, C, h, y, scratch);
    }
}

static void run(const alloy_args *a)
{
    int64_t spans;
    struct scan_job job = {.args = a, .spans = alloy_pass_spans(a->pass, &spans), .shape = a->options};
    alloy_pass_parallel(a->pass, spans * job.shape->heads, scan_task, &job);
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    const mamba2_shape *s = a->options;
    int64_t tokens = alloy_pass_tokens(a->pass), state = mamba2_inner(s) * s->state_size;
    int64_t inner = mamba2_inner(s), heads = s->heads;
    /* The state's decay, product and sum, and the output's product and sum; then d x, D x and its sum; then d and the
     * decay of each head. */
    alloy_cost_let(cost, tokens, state, inner, heads);
    alloy_cost_vector(cost, tokens * (5 * state + 3 * inner + 6 * heads));
    for (int i = 0; i < 3; i++)
        alloy_cost_weight(cost, a->weight[i], heads, 1);

    int64_t spans;
    const alloy_span *span = alloy_pass_spans(a->pass, &spans);
    for (int64_t i = 0; i < spans; i++) {
        int64_t written = span[i].repeat * state, read = span[i].past ? written : 0;
        alloy_cost_cache(cost, ALLOY_CACHE_STATE, read, written);
    }
}

static const alloy_op scan = {"mamba2_scan", run, count};

alloy_tensor *mamba2_scan(alloy_pass *p, alloy_tensor *xBC, alloy_tensor *dt, const struct mamba2_weights *w,
                          const alloy_state *state, const mamba2_shape *shape)
{
    if (!xBC || !dt)
        return NULL;
    int64_t result[] = {xBC->shape[0], mamba2_inner(shape)};
    alloy_args args = {
        .in = {xBC, dt},
        .out = {alloy_tensor_new(p, 2, result)},
        .weight = {w->A_log, w->D, w->dt_bias},
        .state = {{state, MAMBA2_RECURRENT}},
        .options = shape,
        .options_size = sizeof *shape,
    };
    return alloy_apply(p, &scan, &args);
}
