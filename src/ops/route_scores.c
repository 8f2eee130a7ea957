/* DeepSeek's routers. Scores of the logits (arXiv:2412.19437, eq. 15 for the sigmoid); the experts with the largest
 * score + bias, or those that a table names for the token's id; weights are the scores alone, over (their sum + 1e-20),
 * times a factor.
 *
 * Ranking: larger first, ties to the lower expert, -0 equals +0; a NaN is an error of the pass. */
#include "ops/ops.h"

#include <string.h>

#include "kernels/math.h"
#include "ops/routes.h"

static alloy_scoring kind_of(const char *name)
{
    return strcmp(name, "sqrtsoftplus") == 0 ? ALLOY_SQRT_SOFTPLUS
           : strcmp(name, "sigmoid") == 0    ? ALLOY_SIGMOID
           : strcmp(name, "softmax") == 0    ? ALLOY_SOFTMAX
                                             : ALLOY_NO_SCORING;
}

static void count_by_score(const alloy_args *a, alloy_cost *cost)
{
    alloy_wide n = a->in[0]->shape[0], experts = alloy_row_size(a->in[0]), k = a->out[0]->shape[1];
    cost->tensors_written = 0; /* routes */
    alloy_wide_let(cost, n, experts, k);
    alloy_wide_vector(cost, 5 * n * experts + n * experts + 2 * n * k + n * k); /* scores, choice, division, factor */
    alloy_cost_weight(cost, a->weight[0], experts, 1);
}

const alloy_op alloy_op_route_scores = {"route_scores", NULL, count_by_score};

alloy_routes alloy_route_scores(alloy_pass *p, alloy_tensor *logits, const alloy_weight *bias, int64_t k,
                                const char *scoring, double scale)
{
    static const alloy_routes none;
    if (alloy_pass_stopped(p, logits))
        return none;
    int64_t experts = alloy_row_size(logits);
    struct alloy_route_scores_options options = {kind_of(scoring), scale};
    if (k < 1 || k > experts || experts > ALLOY_TASK_SCRATCH / 2 / (int64_t)sizeof(float) || !bias ||
        bias->shape[0] != experts || options.scoring == ALLOY_NO_SCORING) {
        alloy_shape_fail(p, "route_scores", "%lld of %lld experts, scored by %s", (long long)k, (long long)experts,
                         scoring);
        return none;
    }
    alloy_args args = {.in = {logits}, .weight = {bias}, .options = &options, .options_size = sizeof options};
    return alloy_route(p, &alloy_op_route_scores, args, experts, k);
}

static void count_by_id(const alloy_args *a, alloy_cost *cost)
{
    alloy_wide n = a->in[0]->shape[0], experts = a->weight[0]->shape[0], k = a->out[0]->shape[1],
               hidden = alloy_row_size(a->in[0]);
    cost->tensors_written = 0; /* routes */
    alloy_wide_let(cost, n, hidden, experts, k);
    alloy_wide_tensor(cost, 2 * n * hidden * k);
    alloy_wide_vector(cost, 5 * n * k + 2 * n * k + n * k);
    alloy_cost_weight(cost, a->weight[0], experts * hidden, 1);
    alloy_cost_weight(cost, a->weight[1], n * k, 1);
}

const alloy_op alloy_op_route_by_id = {"route_by_id", NULL, count_by_id};

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
    struct alloy_route_scores_options options = {kind_of(scoring), scale};
    bool fits = gate && table && gate->ndim == 2 && table->ndim == 2 && gate->shape[1] == alloy_row_size(x);
    if (!fits || options.scoring == ALLOY_SOFTMAX || options.scoring == ALLOY_NO_SCORING ||
        table->shape[1] > ALLOY_TASK_SCRATCH / (int64_t)sizeof(float)) {
        alloy_shape_fail(p, "route_by_id", "x has rows of %lld, the router takes %lld, scored by %s",
                         (long long)alloy_row_size(x), gate ? (long long)gate->shape[1] : 0, scoring);
        return none;
    }
    alloy_args args = {.in = {x, p->ids}, .weight = {gate, table}, .options = &options, .options_size = sizeof options};
    alloy_routes routes = alloy_route(p, &alloy_op_route_by_id, args, gate->shape[0], table->shape[1]);
    routes.distinct = distinct(table->shape[0], x->shape[0]);
    return routes;
}

int64_t alloy_index_at(const alloy_weight *table, int64_t i)
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
