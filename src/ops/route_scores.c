/* DeepSeek's routers. Scores of the logits (arXiv:2412.19437, eq. 15 for the sigmoid); the experts with the largest
 * score + bias, or those that a table names for the token's id; weights are the scores alone, over (their sum + 1e-20),
 * times a factor.
 *
 * Ranking: larger first, ties to the lower expert, -0 equals +0; a NaN is an error of the pass. */
#include "kernels/counted.h"
#include "ops/routes.h"

#include <string.h>

#include "kernels/math.h"

enum { ROWS_A_PIECE = 16 };

static const float SUM_EPS = 1e-20f;

enum score_kind { SQRT_SOFTPLUS, SIGMOID, SOFTMAX, NO_SCORE };

struct options {
    enum score_kind kind;
    float scale;
};

struct routing {
    const alloy_args *args;
    const struct options *o;
    int64_t experts, k;
    const float *bias;   /* [experts] */
    const float *logits; /* by id: [tokens, k] */
};

/* Those of a token. */
static int32_t *experts_of(const struct routing *r, int64_t token)
{
    return alloy_i32(r->args->out[0]) + token * r->k;
}

static float *weights_of(const struct routing *r, int64_t token)
{
    return alloy_f32(r->args->out[1]) + token * r->k;
}

static enum score_kind kind_of(const char *name)
{
    return strcmp(name, "sqrtsoftplus") == 0 ? SQRT_SOFTPLUS
           : strcmp(name, "sigmoid") == 0    ? SIGMOID
           : strcmp(name, "softmax") == 0    ? SOFTMAX
                                             : NO_SCORE;
}

static void score(const struct routing *r, float *scores, const float *logits, int64_t n)
{
    const alloy_kernels *kernels = r->args->pass->kernels;
    if (r->o->kind == SQRT_SOFTPLUS)
        kernels->sqrt_softplus(scores, logits, n);
    else if (r->o->kind == SIGMOID)
        kernels->sigmoid(scores, logits, n);
    else
        kernels->softmax(scores, logits, 1, n);
}

static void finish(const struct routing *r, float *weight, float *scratch)
{
    alloy_divide_by_sum(weight, r->k, SUM_EPS, scratch);
    for (int64_t i = 0; i < r->k; i++) {
        weight[i] = weight[i] * r->o->scale;
        ALLOY_COUNT_VECTOR(1);
    }
}

static bool are_finite(const alloy_args *a, const float *logits, int64_t n)
{
    if (a->pass->kernels->all_finite(logits, n))
        return true;
    alloy_pass_not_finite(a->pass, "a logit of a router");
    return false;
}

/* ---- By score ---------------------------------------------------------------------------------------------------- */

static void route_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    const struct routing *r = context;
    float *scores = scratch, *ranks = scores + r->experts;
    for (int64_t t = first; t < first + count; t++) {
        int32_t *expert = experts_of(r, t);
        float *weight = weights_of(r, t);
        score(r, scores, alloy_f32(r->args->in[0]) + t * r->experts, r->experts);
        r->args->pass->kernels->add(ranks, scores, r->bias, r->experts);
        alloy_choose_experts(ranks, r->experts, r->k, expert);
        for (int64_t i = 0; i < r->k; i++)
            weight[i] = scores[expert[i]];
        finish(r, weight, ranks);
    }
}

static void run_by_score(const alloy_args *a)
{
    struct routing routing = {.args = a,
                              .o = a->options,
                              .experts = alloy_row_size(a->in[0]),
                              .k = a->out[0]->shape[1],
                              .bias = alloy_weight_widened(a->pass, a->weight[0])};
    if (routing.bias && are_finite(a, alloy_f32(a->in[0]), alloy_tensor_size(a->in[0])))
        alloy_pass_ranges(a->pass, a->in[0]->shape[0], ROWS_A_PIECE, route_rows, &routing);
}

static void count_by_score(const alloy_args *a, alloy_cost *cost)
{
    alloy_count n = a->in[0]->shape[0], experts = alloy_row_size(a->in[0]), k = a->out[0]->shape[1];
    cost->tensors_written = 0; /* routes */
    alloy_cost_let(cost, n, experts, k);
    alloy_cost_vector(cost, 5 * n * experts + n * experts + 2 * n * k + n * k); /* scores, choice, division, factor */
    alloy_cost_classic(cost, 5 * n * experts + 2 * n * k);
    alloy_cost_weight(cost, a->weight[0], experts, 1, 1);
}

static const alloy_op route_scores = {"route_scores", run_by_score, count_by_score};

alloy_routes alloy_route_scores(alloy_pass *p, alloy_tensor *logits, const alloy_weight *bias, int64_t k,
                                const char *scoring, double scale)
{
    static const alloy_routes none;
    if (alloy_pass_stopped(p, logits))
        return none;
    int64_t experts = alloy_row_size(logits);
    struct options options = {kind_of(scoring), (float)scale};
    if (k < 1 || k > experts || experts > ALLOY_TASK_SCRATCH / 2 / (int64_t)sizeof(float) || !bias ||
        bias->shape[0] != experts || options.kind == NO_SCORE) {
        alloy_shape_fail(p, "route_scores", "%lld of %lld experts, scored by %s", (long long)k, (long long)experts,
                         scoring);
        return none;
    }
    alloy_args args = {.in = {logits}, .weight = {bias}, .options = &options, .options_size = sizeof options};
    return alloy_route(p, &route_scores, args, experts, k);
}

/* ---- By id ------------------------------------------------------------------------------------------------------- */

static int64_t index_at(const alloy_weight *table, int64_t i)
{
    int64_t wide;
    int32_t narrow;
    if (table->dtype == ALLOY_I64) {
        memcpy(&wide, (const char *)table->data + i * (int64_t)sizeof wide, sizeof wide);
        return wide;
    }
    memcpy(&narrow, (const char *)table->data + i * (int64_t)sizeof narrow, sizeof narrow);
    return narrow;
}

/* The k experts of a token's id. */
static void read_experts(alloy_pass *p, const alloy_weight *table, int64_t id, int64_t k, int32_t *expert)
{
    alloy_weight_hold(p->residency, table, id * k, k, ALLOY_READ_BY_CHOICE);
    for (int64_t i = 0; i < k; i++)
        expert[i] = (int32_t)index_at(table, id * k + i);
    alloy_weight_let_go(p->residency, table, id * k, k, ALLOY_READ_BY_CHOICE);
}

/* The experts of each token, and a product of one row for each. */
static void look_up(const struct routing *r, alloy_linear_job *jobs, float *logits)
{
    const alloy_args *a = r->args;
    int64_t k = r->k, hidden = alloy_row_size(a->in[0]);
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++) {
        int32_t *expert = experts_of(r, t);
        read_experts(a->pass, a->weight[1], alloy_i64(a->in[1])[t], k, expert);
        alloy_sort_experts(expert, k);
        for (int64_t i = 0; i < k; i++) {
            alloy_linear_job *job = &jobs[t * k + i];
            *job = alloy_linear_job_of(a->weight[0], alloy_f32(a->in[0]) + t * hidden, 1, logits + t * k + i);
            job->w = (const char *)job->w + expert[i] * job->w_stride;
            job->rows = 1;
        }
    }
}

static void weigh_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    const struct routing *r = context;
    for (int64_t t = first; t < first + count; t++) {
        float *weight = weights_of(r, t);
        score(r, weight, r->logits + t * r->k, r->k);
        finish(r, weight, scratch);
    }
}

static void run_by_id(const alloy_args *a)
{
    int64_t tokens = a->in[0]->shape[0], k = a->out[0]->shape[1], rows = tokens * k;
    alloy_linear_job *jobs = alloy_pass_take(a->pass, rows, sizeof *jobs);
    float *logits = alloy_pass_take(a->pass, rows, sizeof *logits);
    if (!jobs || !logits)
        return;
    struct routing routing = {.args = a, .o = a->options, .k = k, .logits = logits};
    look_up(&routing, jobs, logits);
    alloy_run_linear_jobs(a->pass, jobs, rows, ALLOY_READ_BY_CHOICE);
    if (are_finite(a, logits, rows))
        alloy_pass_ranges(a->pass, tokens, ROWS_A_PIECE, weigh_rows, &routing);
}

/* The published convention computes all logits. */
static void count_by_id(const alloy_args *a, alloy_cost *cost)
{
    alloy_count n = a->in[0]->shape[0], experts = a->weight[0]->shape[0], k = a->out[0]->shape[1],
                hidden = alloy_row_size(a->in[0]);
    cost->tensors_written = 0; /* routes */
    alloy_cost_let(cost, n, hidden, experts, k);
    alloy_cost_tensor(cost, 2 * n * hidden * k);
    alloy_cost_vector(cost, 5 * n * k + 2 * n * k + n * k);
    alloy_cost_classic(cost, 2 * n * hidden * experts + 5 * n * experts + 2 * n * k);
    alloy_cost_weight(cost, a->weight[0], experts * hidden, 1, 1);
    alloy_cost_weight(cost, a->weight[1], n * k, 1, 1);
}

static const alloy_op route_by_id = {"route_by_id", run_by_id, count_by_id};

void alloy_foresee_by_id(alloy_pass *p, const alloy_weight *table, const alloy_expert_weights *experts)
{
    int64_t k = table->shape[1];
    if (!p->residency || p->status)
        return;
    int32_t *expert = alloy_pass_take(p, k, sizeof *expert);
    for (int64_t t = 0; expert && t < p->tokens; t++) {
        read_experts(p, table, alloy_i64(p->ids)[t], k, expert);
        for (int64_t i = 0; i < k; i++) {
            const alloy_weight *parts[] = {&experts->gate[expert[i]], &experts->up[expert[i]],
                                           &experts->down[expert[i]]};
            for (int part = 0; part < 3; part++)
                if (!alloy_weight_announce(p->residency, parts[part], 0, parts[part]->shape[0] * parts[part]->shape[1]))
                    return;
        }
    }
}

/* Distinct ids among n of `ids` that are equally likely. */
static double distinct(int64_t ids, int64_t n)
{
    return n == 1 ? 1 : (double)ids * (1 - alloy_pow64(1 - 1 / (double)ids, (double)n));
}

alloy_routes alloy_route_by_id(alloy_pass *p, alloy_tensor *x, const alloy_weight *gate, const alloy_weight *table,
                               const char *scoring, double scale)
{
    static const alloy_routes none;
    if (alloy_pass_stopped(p, x))
        return none;
    struct options options = {kind_of(scoring), (float)scale};
    bool fits = gate && table && gate->ndim == 2 && table->ndim == 2 && gate->shape[1] == alloy_row_size(x);
    if (!fits || options.kind == SOFTMAX || options.kind == NO_SCORE ||
        table->shape[1] > ALLOY_TASK_SCRATCH / (int64_t)sizeof(float)) {
        alloy_shape_fail(p, "route_by_id", "x has rows of %lld, the router takes %lld, scored by %s",
                         (long long)alloy_row_size(x), gate ? (long long)gate->shape[1] : 0, scoring);
        return none;
    }
    alloy_args args = {.in = {x, p->ids}, .weight = {gate, table}, .options = &options, .options_size = sizeof options};
    alloy_routes routes = alloy_route(p, &route_by_id, args, gate->shape[0], table->shape[1]);
    routes.distinct = distinct(table->shape[0], x->shape[0]);
    return routes;
}
