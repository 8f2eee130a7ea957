/* dsv4_moe: DeepSeek-V4's experts, chosen by score and correction bias. */
#include <stddef.h>

#include "modules/dsv4_experts.h"

struct weights {
    struct alloy_dsv4_experts_weights experts;
    const alloy_weight *correction_bias; /* [experts] */
};

static void params(alloy_params *p, const void *shape)
{
    const struct alloy_dsv4_experts *c = shape;
    alloy_dsv4_experts_params(p, c, offsetof(struct weights, experts));
    alloy_param(p, "gate.e_score_correction_bias", offsetof(struct weights, correction_bias),
                ALLOY_SHAPE(c->n_routed_experts), ALLOY_INIT_ZEROS | ALLOY_KEEPS_F32 | ALLOY_BUFFER | ALLOY_ROUTES);
}

static alloy_tensor *forward(alloy_pass *p, const void *shape, const void *weights, alloy_tensor *x)
{
    const struct alloy_dsv4_experts *c = shape;
    const struct weights *w = weights;
    alloy_routes routes = alloy_route_scores(p, alloy_linear(p, x, w->experts.gate, NULL), w->correction_bias,
                                             c->num_experts_per_tok, c->scoring_func, c->routed_scaling_factor);
    return alloy_dsv4_experts_forward(p, c, &w->experts, x, routes);
}

const alloy_ffn alloy_dsv4_moe = {
    .name = "dsv4_moe",
    .attr_name = "mlp",
    .summary = "DeepSeek-V4: routed experts of clamped SwiGLU, chosen by score and bias, and a shared one",
    .weights_size = sizeof(struct weights),
    .fields = alloy_dsv4_experts_fields,
    .shape_size = sizeof(struct alloy_dsv4_experts),
    .check = alloy_dsv4_experts_check,
    .params = params,
    .forward = forward,
};
