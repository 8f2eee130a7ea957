/* The mixture of experts that Qwen's sparse FFNs share: a softmax router over experts of SwiGLU (arXiv:2401.06066 for
 * the fine-grained kind). */
#ifndef ALLOY_MODULES_SOFTMAX_MOE_H
#define ALLOY_MODULES_SOFTMAX_MOE_H

#include "alloy/extend.h"

struct alloy_softmax_moe_weights {
    const alloy_weight *gate; /* the router: [experts, hidden] */
    alloy_expert_weights experts;
};

alloy_status alloy_softmax_moe_check(const alloy_config *c);

/* `offset`: of the weights in the module's struct. */
void alloy_softmax_moe_params(alloy_params *p, const alloy_config *c, size_t offset);

alloy_tensor *alloy_softmax_moe_forward(alloy_pass *p, const alloy_config *c, const struct alloy_softmax_moe_weights *w,
                                        alloy_tensor *x);

#endif
