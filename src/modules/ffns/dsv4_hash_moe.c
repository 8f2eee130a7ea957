/* dsv4_hash_moe: DeepSeek-V4's experts, which a table names for each token id; the scores still weigh them. */
#include <stddef.h>
#include <string.h>

#include "base/status.h"
#include "modules/dsv4_experts.h"

struct weights {
    struct alloy_dsv4_experts_weights experts;
    const alloy_weight *tid2eid; /* [vocabulary, per token] */
};

static alloy_status check(void *shape)
{
    const struct alloy_dsv4_experts *c = shape;
    alloy_status status = alloy_dsv4_experts_check(shape);
    if (!status && strcmp(c->scoring_func, "softmax") == 0)
        return alloy_fail(ALLOY_UNSUPPORTED,
                          "scoring_func \"softmax\" is unsupported where a table chooses the experts");
    return status;
}

static void params(alloy_params *p, const void *shape)
{
    const struct alloy_dsv4_experts *c = shape;
    alloy_dsv4_experts_params(p, c, offsetof(struct weights, experts));
    alloy_param_indices(p, "gate.tid2eid", offsetof(struct weights, tid2eid), c->vocab_size, c->num_experts_per_tok,
                        c->n_routed_experts);
}

static alloy_tensor *forward(alloy_pass *p, const void *shape, const void *weights, alloy_tensor *x)
{
    const struct alloy_dsv4_experts *c = shape;
    const struct weights *w = weights;
    alloy_routes routes =
        alloy_route_by_id(p, x, w->experts.gate, w->tid2eid, c->scoring_func, c->routed_scaling_factor);
    return alloy_dsv4_experts_forward(p, c, &w->experts, x, routes);
}

static void foresee(alloy_pass *p, const void *shape, const void *weights)
{
    (void)shape;
    const struct weights *w = weights;
    alloy_foresee_by_id(p, w->tid2eid, &w->experts.experts);
}

const alloy_ffn alloy_dsv4_hash_moe = {
    .name = "dsv4_hash_moe",
    .attr_name = "mlp",
    .summary = "DeepSeek-V4: routed experts of clamped SwiGLU, chosen by token id, and a shared one",
    .weights_size = sizeof(struct weights),
    .fields = alloy_dsv4_experts_fields,
    .shape_size = sizeof(struct alloy_dsv4_experts),
    .check = check,
    .params = params,
    .forward = forward,
    .foresee = foresee,
};
