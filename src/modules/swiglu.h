/* The SwiGLU feed-forward (arXiv:2002.05202) that dense FFNs and shared experts share: down(silu(gate x) * up x). */
#ifndef ALLOY_MODULES_SWIGLU_H
#define ALLOY_MODULES_SWIGLU_H

#include "alloy/extend.h"

struct alloy_swiglu_weights {
    const alloy_weight *gate, *up, *down;
    const alloy_weight *gate_bias, *up_bias, *down_bias; /* NULL: none */
};

/* `offset`: of the weights in the module's struct. A shared expert's names begin with "shared_expert."; it never has
 * biases. */
void alloy_swiglu_params(alloy_params *p, bool shared_expert, size_t offset, int64_t hidden, int64_t intermediate,
                         bool bias);

/* limit: of gate and up (alloy_swiglu_clamped); 0: none. */
alloy_tensor *alloy_swiglu_forward(alloy_pass *p, const struct alloy_swiglu_weights *w, alloy_tensor *x, double limit);

#endif
