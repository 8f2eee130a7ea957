/* What DeepSeek-V4's feed-forwards share (arXiv:2412.19437, section 2.1.2): routed experts of clamped SwiGLU, and a
 * shared one of the same width for every token. They differ in who chooses the experts. */
#ifndef ALLOY_MODULES_DSV4_EXPERTS_H
#define ALLOY_MODULES_DSV4_EXPERTS_H

#include "modules/swiglu.h"

struct alloy_dsv4_experts_weights {
    const alloy_weight *gate; /* the router: [experts, hidden] */
    alloy_expert_weights experts;
    struct alloy_swiglu_weights shared;
};

struct alloy_dsv4_experts {
    int64_t hidden_size, vocab_size, n_routed_experts, num_experts_per_tok, moe_intermediate_size;
    const char *scoring_func; /* "softmax", "sigmoid", "sqrtsoftplus" */
    double routed_scaling_factor, swiglu_limit;
    bool mlp_bias; /* of the shared expert */
};

extern const alloy_field alloy_dsv4_experts_fields[];

alloy_status alloy_dsv4_experts_check(void *shape);

/* `offset`: of the weights in the module's struct. */
void alloy_dsv4_experts_params(alloy_params *p, const struct alloy_dsv4_experts *c, size_t offset);

alloy_tensor *alloy_dsv4_experts_forward(alloy_pass *p, const struct alloy_dsv4_experts *c,
                                         const struct alloy_dsv4_experts_weights *w, alloy_tensor *x,
                                         alloy_routes routes);

#endif
