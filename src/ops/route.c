/* Softmax routing: probabilities over all experts, the k largest logits, their probabilities as weights, divided by
 * their sum where asked.
 *
 * Ranking: larger first, ties to the lower expert, -0 equals +0; a NaN is an error of the pass. */
#include "ops/ops.h"
#include "ops/routes.h"

static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct alloy_route_softmax_options *o = a->options;
    alloy_wide n = a->in[0]->shape[0], experts = alloy_row_size(a->in[0]), k = a->out[0]->shape[1];
    cost->tensors_written = 0; /* routes */
    alloy_wide_let(cost, n, experts, k);
    alloy_wide_vector(cost, 5 * n * experts + n * experts);
    if (o->normalize)
        alloy_wide_vector(cost, 2 * n * k);
}

const alloy_op alloy_op_route_softmax = {"route_softmax", NULL, count};

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
    struct alloy_route_softmax_options options = {normalize};
    return alloy_route(p, &alloy_op_route_softmax,
                       (alloy_args){.in = {logits}, .options = &options, .options_size = sizeof options}, experts, k);
}
