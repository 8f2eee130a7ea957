/* Softmax routing: probabilities over all experts, the k largest logits, their probabilities as weights, divided by
 * their sum where asked.
 *
 * Ranking: larger first, ties to the lower expert, -0 equals +0; a NaN is an error of the pass. */
#include "ops/routes.h"

enum { ROWS_A_PIECE = 16 };

struct options {
    bool normalize;
};

static void route_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    const alloy_args *a = context;
    const struct options *o = a->options;
    int64_t experts = alloy_row_size(a->in[0]), k = a->out[0]->shape[1];
    float *probability = scratch;
    for (int64_t t = first; t < first + count; t++) {
        const float *logits = alloy_f32(a->in[0]) + t * experts;
        int32_t *expert = alloy_i32(a->out[0]) + t * k;
        float *weight = alloy_f32(a->out[1]) + t * k;
        alloy_choose_experts(logits, experts, k, expert);
        a->pass->kernels->softmax(probability, logits, 1, experts);
        for (int64_t i = 0; i < k; i++)
            weight[i] = probability[expert[i]];
        if (o->normalize)
            alloy_divide_by_sum(weight, k, 0, probability);
    }
}

static void run(const alloy_args *a)
{
    const alloy_tensor *logits = a->in[0];
    alloy_args copy = *a;
    if (!a->pass->kernels->all_finite(alloy_f32(logits), alloy_tensor_size(logits))) {
        alloy_pass_not_finite(a->pass, "a logit of a router");
        return;
    }
    alloy_pass_ranges(a->pass, logits->shape[0], ROWS_A_PIECE, route_rows, &copy);
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct options *o = a->options;
    alloy_count n = a->in[0]->shape[0], experts = alloy_row_size(a->in[0]), k = a->out[0]->shape[1];
    cost->tensors_written = 0; /* routes */
    alloy_cost_let(cost, n, experts, k);
    alloy_cost_vector(cost, 5 * n * experts + n * experts);
    if (o->normalize)
        alloy_cost_vector(cost, 2 * n * k);
    alloy_cost_classic(cost, 5 * n * experts + 2 * n * k);
}

static const alloy_op route_softmax = {"route_softmax", run, count};

alloy_routes alloy_route_softmax(alloy_pass *p, alloy_tensor *logits, int64_t k, bool normalize)
{
    static const alloy_routes none;
    if (alloy_pass_stopped(p, logits))
        return none;
    int64_t experts = alloy_row_size(logits);
    if (k < 1 || k > experts || experts > ALLOY_TASK_SCRATCH / (int64_t)sizeof(float)) {
        alloy_shape_fail(p, "route_softmax", "%lld of %lld experts", (long long)k, (long long)experts);
        return none;
    }
    struct options options = {normalize};
    return alloy_route(p, &route_softmax,
                       (alloy_args){.in = {logits}, .options = &options, .options_size = sizeof options}, experts, k);
}
