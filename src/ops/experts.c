/* Routed experts: for each token, y = sum over its experts, in rising expert number, of weight * down(silu(gate x) * up
 * x).
 *
 * Tokens are gathered by expert, so that an expert's weights are read once for all of its tokens; each (token, expert)
 * has an output row of its own, and a token's rows are combined at the end: acc = fma(weight, row, acc) from +0. So a
 * token's result does not depend on its neighbours. */
#include "ops/routes.h"

#include <math.h>
#include <string.h>

#include "kernels/math.h"

enum { ROWS_A_PIECE = 16 };

/* in: x, the routes' experts and weights. */
struct options {
    int64_t experts; /* that are chosen from */
    double distinct; /* in count: tokens that are expected to differ in where they go */
    float limit;     /* of gate and up; 0: none */
};

struct work {
    const alloy_args *args;
    const struct options *o;
    const alloy_expert_weights *weights;
    const int32_t *expert;                 /* [tokens, k] */
    int64_t k, hidden, intermediate, rows; /* rows: tokens * k */
    int64_t *first;                        /* [experts + 1] rows before each expert */
    int64_t *row;                          /* [tokens, k] the row of each choice */
    int64_t *token;                        /* [rows] */
    float *x, *gate, *up, *y;              /* [rows, hidden], [rows, I], [rows, I], [rows, hidden] */
    alloy_linear_job *jobs;                /* [2 * experts] */
};

static bool take_all(struct work *w)
{
    alloy_pass *p = w->args->pass;
    return (w->first = alloy_pass_take(p, w->weights->count + 1, sizeof *w->first)) &&
           (w->row = alloy_pass_take(p, w->rows, sizeof *w->row)) &&
           (w->token = alloy_pass_take(p, w->rows, sizeof *w->token)) &&
           (w->x = alloy_pass_take(p, w->rows * w->hidden, sizeof *w->x)) &&
           (w->gate = alloy_pass_take(p, w->rows * w->intermediate, sizeof *w->gate)) &&
           (w->up = alloy_pass_take(p, w->rows * w->intermediate, sizeof *w->up)) &&
           (w->y = alloy_pass_take(p, w->rows * w->hidden, sizeof *w->y)) &&
           (w->jobs = alloy_pass_take(p, 2 * w->weights->count, sizeof *w->jobs));
}

/* Counting sort of the choices by expert. */
static void sort_by_expert(struct work *w)
{
    int64_t experts = w->weights->count;
    memset(w->first, 0, (size_t)(experts + 1) * sizeof *w->first);
    for (int64_t i = 0; i < w->rows; i++)
        w->first[w->expert[i] + 1]++;
    for (int64_t e = 0; e < experts; e++)
        w->first[e + 1] += w->first[e];
    for (int64_t i = 0; i < w->rows; i++) {
        int64_t row = w->first[w->expert[i]]++;
        w->row[i] = row;
        w->token[row] = i / w->k;
    }
    for (int64_t e = experts; e > 0; e--)
        w->first[e] = w->first[e - 1];
    w->first[0] = 0;
}

static void gather(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct work *w = context;
    for (int64_t row = first; row < first + count; row++)
        memcpy(w->x + row * w->hidden, alloy_f32(w->args->in[0]) + w->token[row] * w->hidden,
               (size_t)w->hidden * sizeof(float));
}

/* One product for every expert that has tokens; returns the number of jobs. */
static int64_t add_jobs(const struct work *w, int64_t count, const alloy_weight *weights, const float *x, float *y)
{
    for (int64_t e = 0; e < w->weights->count; e++) {
        int64_t row = w->first[e], rows = w->first[e + 1] - row;
        if (rows > 0)
            w->jobs[count++] =
                alloy_linear_job_of(&weights[e], x + row * weights[e].shape[1], rows, y + row * weights[e].shape[0]);
    }
    return count;
}

/* Reading all that was chosen begins, as far as there is room, before the first expert is computed. */
static void announce(const struct work *w)
{
    const alloy_expert_weights *e = w->weights;
    alloy_pass *p = w->args->pass;
    int64_t count = p->residency ? add_jobs(w, add_jobs(w, 0, e->gate, w->x, w->gate), e->up, w->x, w->up) : 0, i = 0;
    while (i < count && alloy_announce_linear_job(p, &w->jobs[i]))
        i++;
    if (i < count || !p->residency)
        return;
    count = add_jobs(w, 0, e->down, w->up, w->y);
    for (i = 0; i < count && alloy_announce_linear_job(p, &w->jobs[i]);)
        i++;
}

static void activate(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct work *w = context;
    const alloy_kernels *kernels = w->args->pass->kernels;
    int64_t at = first * w->intermediate, n = count * w->intermediate;
    if (w->o->limit > 0)
        kernels->clamped_swiglu(w->up + at, w->up + at, w->gate + at, w->o->limit, n);
    else
        kernels->multiply_silu(w->up + at, w->up + at, w->gate + at, n);
}

static void combine(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct work *w = context;
    const float *weight = alloy_f32(w->args->in[2]);
    for (int64_t t = first; t < first + count; t++) {
        float *y = alloy_f32(w->args->out[0]) + t * w->hidden;
        memset(y, 0, (size_t)w->hidden * sizeof *y);
        for (int64_t i = t * w->k; i < (t + 1) * w->k; i++)
            w->args->pass->kernels->add_scaled(y, weight[i], w->y + w->row[i] * w->hidden, w->hidden);
    }
}

static void run(const alloy_args *a)
{
    const alloy_expert_weights *e = a->experts;
    int64_t tokens = a->in[0]->shape[0], k = a->in[1]->shape[1];
    struct work w = {.args = a,
                     .o = a->options,
                     .weights = e,
                     .expert = alloy_i32(a->in[1]),
                     .k = k,
                     .hidden = alloy_row_size(a->in[0]),
                     .intermediate = e->gate[0].shape[0],
                     .rows = tokens * k};
    if (!take_all(&w))
        return;
    sort_by_expert(&w);
    if (a->pass->routed)
        a->pass->routed(a->pass->routed_user, a->pass->site.layer, e->count, w.rows, w.expert);
    alloy_pass_ranges(a->pass, w.rows, ROWS_A_PIECE, gather, &w);
    announce(&w);
    alloy_run_linear_jobs(a->pass, w.jobs, add_jobs(&w, add_jobs(&w, 0, e->gate, w.x, w.gate), e->up, w.x, w.up),
                          ALLOY_READ_BY_CHOICE);
    alloy_pass_ranges(a->pass, w.rows, ROWS_A_PIECE, activate, &w);
    alloy_run_linear_jobs(a->pass, w.jobs, add_jobs(&w, 0, e->down, w.up, w.y), ALLOY_READ_BY_CHOICE);
    alloy_pass_ranges(a->pass, tokens, ROWS_A_PIECE, combine, &w);
}

double alloy_even_routing(int64_t experts, int64_t per_token, double tokens)
{
    double missed = 1, base = 1 - (double)per_token / (double)experts, rest = tokens - floor(tokens);
    if (rest > 0)
        missed = base > 0 ? alloy_pow64(base, rest) : 0;
    for (int64_t n = (int64_t)tokens; n > 0; n >>= 1) {
        if (n & 1)
            missed *= base;
        base *= base;
    }
    return (double)experts * (1 - missed);
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct options *o = a->options;
    const alloy_count_model *model = &a->pass->model;
    int64_t tokens = a->in[0]->shape[0], k = a->in[1]->shape[1];
    alloy_count rows = (alloy_count)tokens * k, hidden = alloy_row_size(a->in[0]);
    alloy_count inner = a->experts->gate[0].shape[0], experts = o->experts;
    double read = model->experts_read
                      ? model->experts_read(model->user, a->pass->site.layer, o->experts, k, tokens, o->distinct)
                      : alloy_even_routing(o->experts, k, o->distinct);
    cost->tensors_read = rows / k * hidden; /* x without the routes */
    double classic_read = (double)(rows < experts ? rows : experts);
    alloy_count swiglu = o->limit > 0 ? 8 : 5; /* operations an element */
    alloy_cost_let(cost, rows, hidden, inner, swiglu);
    alloy_cost_tensor(cost, rows * 6 * hidden * inner);
    alloy_cost_vector(cost, swiglu * rows * inner + 2 * rows * hidden);
    alloy_cost_classic(cost, rows * (6 * hidden * inner + 5 * inner));
    alloy_cost_weight(cost, &a->experts->gate[0], hidden * inner, read, classic_read);
    alloy_cost_weight(cost, &a->experts->up[0], hidden * inner, read, classic_read);
    alloy_cost_weight(cost, &a->experts->down[0], hidden * inner, read, classic_read);
}

static const alloy_op experts_op = {"experts", run, count};

alloy_tensor *alloy_experts(alloy_pass *p, alloy_tensor *x, alloy_routes routes, const alloy_expert_weights *experts)
{
    return alloy_experts_clamped(p, x, routes, experts, 0);
}

alloy_tensor *alloy_experts_clamped(alloy_pass *p, alloy_tensor *x, alloy_routes routes,
                                    const alloy_expert_weights *experts, double limit)
{
    if (alloy_pass_stopped(p, x) || !routes.expert)
        return NULL;
    if (routes.experts != experts->count || experts->gate[0].shape[1] != alloy_row_size(x))
        return alloy_shape_fail(p, "experts", "%lld experts of rows of %lld; routes over %lld, x has rows of %lld",
                                (long long)experts->count, (long long)experts->gate[0].shape[1],
                                (long long)routes.experts, (long long)alloy_row_size(x));
    alloy_tensor *y = alloy_tensor_new(p, 2, (int64_t[]){x->shape[0], alloy_row_size(x)});
    struct options options = {experts->count, routes.distinct, (float)limit};
    return y ? alloy_apply(p, &experts_op,
                           &(alloy_args){.in = {x, routes.expert, routes.weight},
                                         .out = {y},
                                         .experts = experts,
                                         .options = &options,
                                         .options_size = sizeof options})
             : NULL;
}
