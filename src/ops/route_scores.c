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
    alloy_routes *routes;
    enum score_kind kind;
    float scale;
};

struct routing {
    const alloy_args *args;
    const struct options *o;
    const float *bias;   /* [experts] */
    const float *logits; /* by id: [tokens, per_token] */
};

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
    int64_t k = r->o->routes->per_token;
    alloy_divide_by_sum(weight, k, SUM_EPS, scratch);
    for (int64_t i = 0; i < k; i++) {
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
    const alloy_routes *routes = r->o->routes;
    float *scores = scratch, *ranks = scores + routes->experts;
    for (int64_t t = first; t < first + count; t++) {
        int32_t *expert = routes->expert + t * routes->per_token;
        float *weight = routes->weight + t * routes->per_token;
        score(r, scores, r->args->in[0]->data + t * routes->experts, routes->experts);
        r->args->pass->kernels->add(ranks, scores, r->bias, routes->experts);
        alloy_choose_experts(ranks, routes->experts, routes->per_token, expert);
        for (int64_t i = 0; i < routes->per_token; i++)
            weight[i] = scores[expert[i]];
        finish(r, weight, ranks);
    }
}

static void run_by_score(const alloy_args *a)
{
    struct routing routing = {.args = a, .o = a->options, .bias = alloy_weight_widened(a->pass, a->weight[0])};
    if (routing.bias && are_finite(a, a->in[0]->data, alloy_tensor_size(a->in[0])))
        alloy_pass_ranges(a->pass, a->in[0]->shape[0], ROWS_A_PIECE, route_rows, &routing);
}

static void count_by_score(const alloy_args *a, alloy_cost *cost)
{
    const struct options *o = a->options;
    alloy_count n = o->routes->tokens, experts = o->routes->experts, k = o->routes->per_token;
    alloy_cost_let(cost, n, experts, k);
    alloy_cost_vector(cost, 5 * n * experts + n * experts + 2 * n * k + n * k); /* scores, choice, division, factor */
    alloy_cost_classic(cost, 5 * n * experts + 2 * n * k);
    alloy_cost_weight(cost, a->weight[0], experts, 1, 1);
}

static const alloy_op route_scores = {"route_scores", run_by_score, count_by_score};

alloy_routes *alloy_route_scores(alloy_pass *p, alloy_tensor *logits, const alloy_weight *bias, int64_t k,
                                 const char *scoring, double scale)
{
    if (alloy_pass_stopped(p, logits))
        return NULL;
    int64_t experts = alloy_row_size(logits);
    struct options options = {NULL, kind_of(scoring), (float)scale};
    if (k < 1 || k > experts || experts > ALLOY_TASK_SCRATCH / 2 / (int64_t)sizeof(float) || !bias ||
        bias->shape[0] != experts || options.kind == NO_SCORE)
        return alloy_shape_fail(p, "route_scores", "%lld of %lld experts, scored by %s", (long long)k,
                                (long long)experts, scoring);
    if (!(options.routes = alloy_routes_new(p, logits->shape[0], experts, k)))
        return NULL;
    alloy_apply(p, &route_scores,
                &(alloy_args){.in = {logits}, .weight = {bias}, .options = &options, .options_size = sizeof options});
    return p->status ? NULL : options.routes;
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
    const alloy_routes *routes = r->o->routes;
    int64_t k = routes->per_token, hidden = alloy_row_size(a->in[0]);
    for (int64_t t = 0; t < routes->tokens; t++) {
        int32_t *expert = routes->expert + t * k;
        read_experts(a->pass, a->weight[1], a->pass->ids[t], k, expert);
        alloy_sort_experts(expert, k);
        for (int64_t i = 0; i < k; i++) {
            alloy_linear_job *job = &jobs[t * k + i];
            *job = alloy_linear_job_of(a->weight[0], a->in[0]->data + t * hidden, 1, logits + t * k + i);
            job->w = (const char *)job->w + expert[i] * job->w_stride;
            job->rows = 1;
        }
    }
}

static void weigh_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    const struct routing *r = context;
    int64_t k = r->o->routes->per_token;
    for (int64_t t = first; t < first + count; t++) {
        float *weight = r->o->routes->weight + t * k;
        score(r, weight, r->logits + t * k, k);
        finish(r, weight, scratch);
    }
}

static void run_by_id(const alloy_args *a)
{
    const struct options *o = a->options;
    int64_t rows = o->routes->tokens * o->routes->per_token;
    alloy_linear_job *jobs = alloy_pass_take(a->pass, rows, sizeof *jobs);
    float *logits = alloy_pass_take(a->pass, rows, sizeof *logits);
    if (!jobs || !logits)
        return;
    struct routing routing = {.args = a, .o = o, .logits = logits};
    look_up(&routing, jobs, logits);
    alloy_run_linear_jobs(a->pass, jobs, rows, ALLOY_READ_BY_CHOICE);
    if (are_finite(a, logits, rows))
        alloy_pass_ranges(a->pass, o->routes->tokens, ROWS_A_PIECE, weigh_rows, &routing);
}

/* The published convention computes all logits. */
static void count_by_id(const alloy_args *a, alloy_cost *cost)
{
    const struct options *o = a->options;
    alloy_count n = o->routes->tokens, experts = o->routes->experts, k = o->routes->per_token,
                hidden = alloy_row_size(a->in[0]);
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
        read_experts(p, table, p->ids[t], k, expert);
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

alloy_routes *alloy_route_by_id(alloy_pass *p, alloy_tensor *x, const alloy_weight *gate, const alloy_weight *table,
                                const char *scoring, double scale)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    struct options options = {NULL, kind_of(scoring), (float)scale};
    bool fits = gate && table && gate->ndim == 2 && table->ndim == 2 && gate->shape[1] == alloy_row_size(x);
    if (!fits || options.kind == SOFTMAX || options.kind == NO_SCORE ||
        table->shape[1] > ALLOY_TASK_SCRATCH / (int64_t)sizeof(float))
        return alloy_shape_fail(p, "route_by_id", "x has rows of %lld, the router takes %lld, scored by %s",
                                (long long)alloy_row_size(x), gate ? (long long)gate->shape[1] : 0, scoring);
    if (!(options.routes = alloy_routes_new(p, x->shape[0], gate->shape[0], table->shape[1])))
        return NULL;
    options.routes->distinct = distinct(table->shape[0], x->shape[0]);
    alloy_apply(p, &route_by_id,
                &(alloy_args){.in = {x}, .weight = {gate, table}, .options = &options, .options_size = sizeof options});
    return p->status ? NULL : options.routes;
}
