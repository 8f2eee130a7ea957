/* The mixture of experts that Qwen's sparse FFNs share: a softmax router over experts of SwiGLU (arXiv:2401.06066 for
 * the fine-grained kind). */
#ifndef ALLOY_MODULES_SOFTMAX_MOE_H
#define ALLOY_MODULES_SOFTMAX_MOE_H

#include "alloy/extend.h"

struct alloy_softmax_moe_weights {
    const alloy_weight *gate; /* the router: [experts, hidden] */
    alloy_expert_weights experts;
};

struct alloy_softmax_moe {
    int64_t hidden_size, num_experts, num_experts_per_tok, moe_intermediate_size;
    bool norm_topk_prob;
    int64_t shared_expert_intermediate_size; /* of the modules that have one */
};

/* Rows of a table of fields. `divides`: are the chosen experts' weights divided by their sum where no field says? */
#define ALLOY_SOFTMAX_MOE_FIELD(name, type, ...) ALLOY_FIELD(struct alloy_softmax_moe, name, type, __VA_ARGS__)
#define ALLOY_SOFTMAX_MOE_FIELDS(divides)                                                                              \
    ALLOY_SOFTMAX_MOE_FIELD(num_experts, INTEGER, .most = 65536, .other = "n_routed_experts"),                         \
        ALLOY_SOFTMAX_MOE_FIELD(num_experts_per_tok, INTEGER, .least = 1, .most = 65536),                              \
        ALLOY_SOFTMAX_MOE_FIELD(moe_intermediate_size, INTEGER, .least = 1, .most = 1 << 20),                          \
        ALLOY_SOFTMAX_MOE_FIELD(norm_topk_prob, BOOL, .fallback = (divides)),                                          \
        ALLOY_SOFTMAX_MOE_FIELD(hidden_size, INTEGER)

alloy_status alloy_softmax_moe_check(void *shape);

/* `offset`: of the weights in the module's struct. */
void alloy_softmax_moe_params(alloy_params *p, const struct alloy_softmax_moe *c, size_t offset);

alloy_tensor *alloy_softmax_moe_forward(alloy_pass *p, const struct alloy_softmax_moe *c,
                                        const struct alloy_softmax_moe_weights *w, alloy_tensor *x);

#endif
