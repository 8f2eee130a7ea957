/* Softmax routing: probabilities over all experts, the k largest logits, their probabilities as weights, divided by
 * their sum where asked.
 *
 * Ranking: larger first, ties to the lower expert, -0 equals +0; a NaN is an error of the pass. */
#include "ops/routes.h"

enum { ROWS_A_PIECE = 16 };

struct options {
    alloy_routes *routes;
    bool normalize;
};

struct ranking {
    const alloy_args *args;
    const struct options *o;
};

static void route_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    const struct ranking *r = context;
    const alloy_routes *routes = r->o->routes;
    const alloy_kernels *kernels = r->args->pass->kernels;
    float *probability = scratch;
    for (int64_t t = first; t < first + count; t++) {
        const float *logits = r->args->in[0]->data + t * routes->experts;
        int32_t *expert = routes->expert + t * routes->per_token;
        float *weight = routes->weight + t * routes->per_token;
        alloy_choose_experts(logits, routes->experts, routes->per_token, expert);
        kernels->softmax(probability, logits, 1, routes->experts);
        for (int64_t i = 0; i < routes->per_token; i++)
            weight[i] = probability[expert[i]];
        if (r->o->normalize)
            alloy_divide_by_sum(weight, routes->per_token, 0, probability);
    }
}

static void run(const alloy_args *a)
{
    const alloy_tensor *logits = a->in[0];
    if (!a->pass->kernels->all_finite(logits->data, alloy_tensor_size(logits))) {
        alloy_pass_not_finite(a->pass, "a logit of a router");
        return;
    }
    struct ranking ranking = {a, a->options};
    alloy_pass_ranges(a->pass, logits->shape[0], ROWS_A_PIECE, route_rows, &ranking);
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct options *o = a->options;
    alloy_count n = o->routes->tokens, experts = o->routes->experts, k = o->routes->per_token;
    alloy_cost_let(cost, n, experts, k);
    alloy_cost_vector(cost, 5 * n * experts + n * experts);
    if (o->normalize)
        alloy_cost_vector(cost, 2 * n * k);
    alloy_cost_classic(cost, 5 * n * experts + 2 * n * k);
}

static const alloy_op route_softmax = {"route_softmax", run, count};

alloy_routes *alloy_route_softmax(alloy_pass *p, alloy_tensor *logits, int64_t k, bool normalize)
{
    if (alloy_pass_stopped(p, logits))
        return NULL;
    int64_t experts = alloy_row_size(logits);
    if (k < 1 || k > experts || experts > ALLOY_TASK_SCRATCH / (int64_t)sizeof(float))
        return alloy_shape_fail(p, "route_softmax", "%lld of %lld experts", (long long)k, (long long)experts);
    alloy_routes *routes = alloy_routes_new(p, logits->shape[0], experts, k);
    if (!routes)
        return NULL;
    struct options options = {routes, normalize};
    alloy_apply(p, &route_softmax, &(alloy_args){.in = {logits}, .options = &options, .options_size = sizeof options});
    return p->status ? NULL : routes;
}
