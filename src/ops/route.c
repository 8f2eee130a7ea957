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

/* The k best of `logits`, in rising expert number. Insertion into a short sorted list: k is small. */
static void choose(const float *logits, int64_t experts, int64_t k, int32_t *chosen)
{
    int64_t have = 0;
    for (int64_t e = 0; e < experts; e++) {
        int64_t at = have;
        while (at > 0 && logits[e] > logits[chosen[at - 1]])
            at--;
        if (at == k)
            continue;
        have += have < k;
        for (int64_t i = have - 1; i > at; i--)
            chosen[i] = chosen[i - 1];
        chosen[at] = (int32_t)e;
    }
    for (int64_t i = 1; i < k; i++)
        for (int64_t j = i; j > 0 && chosen[j] < chosen[j - 1]; j--) {
            int32_t other = chosen[j];
            chosen[j] = chosen[j - 1];
            chosen[j - 1] = other;
        }
}

/* The sum of a token's weights is a dot with ones over the chosen, in rising expert number. */
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
        choose(logits, routes->experts, routes->per_token, expert);
        kernels->softmax(probability, logits, 1, routes->experts);
        for (int64_t i = 0; i < routes->per_token; i++)
            weight[i] = probability[expert[i]];
        if (!r->o->normalize)
            continue;
        for (int64_t i = 0; i < routes->per_token; i++)
            probability[i] = 1;
        float sum = alloy_canonical_dot(weight, probability, routes->per_token);
        for (int64_t i = 0; i < routes->per_token; i++)
            weight[i] = weight[i] / sum;
    }
}

static void run(const alloy_args *a)
{
    const alloy_tensor *logits = a->in[0];
    if (!a->pass->kernels->all_finite(logits->data, alloy_tensor_size(logits))) {
        alloy_pass_fail(a->pass, ALLOY_RANGE,
                        "router: a logit is not finite; the weights of the model are damaged or overflow fp32");
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
    alloy_routes *routes = alloy_arena_take_zeroed(p->arena, 1, sizeof *routes);
    if (!routes)
        return alloy_pass_fail(p, ALLOY_NOMEM, "out of memory");
    *routes = (alloy_routes){.tokens = logits->shape[0], .experts = experts, .per_token = k};
    if (p->reading == ALLOY_READ_RUN) {
        routes->expert = alloy_arena_take(p->arena, (size_t)(routes->tokens * k), sizeof *routes->expert);
        routes->weight = alloy_arena_take(p->arena, (size_t)(routes->tokens * k), sizeof *routes->weight);
        if (!routes->expert || !routes->weight)
            return alloy_pass_fail(p, ALLOY_NOMEM, "out of memory");
    }
    struct options options = {routes, normalize};
    alloy_apply(p, &route_softmax, &(alloy_args){.in = {logits}, .options = &options, .options_size = sizeof options});
    return p->status ? NULL : routes;
}
