/* What the softmax attentions of Qwen3 and Llama share: grouped heads, rotary positions, optional biases, q and k
 * norms, output gate and window. Each family's mixer is a file that says which of them it has. */
#ifndef ALLOY_MODULES_SOFTMAX_ATTENTION_H
#define ALLOY_MODULES_SOFTMAX_ATTENTION_H

#include "alloy/extend.h"

struct alloy_softmax_attention_weights {
    const alloy_weight *q_proj, *k_proj, *v_proj, *o_proj;
    const alloy_weight *q_bias, *k_bias, *v_bias, *o_bias; /* NULL: none */
    const alloy_weight *q_norm, *k_norm;                   /* NULL: none */
};

/* Heads, widths and rotary size are sound; with `sliding`, a window is there. */
alloy_status alloy_softmax_attention_check(const alloy_config *c, bool sliding);

/* `q_k_norm`: with norms of q and k. */
void alloy_softmax_attention_params(alloy_params *p, const alloy_config *c, bool q_k_norm);

void alloy_softmax_attention_state(alloy_state_spec *s, const alloy_config *c, int64_t window);

/* window 0: all positions. The gate is there when the config says attn_output_gate and `gated` allows it. */
alloy_tensor *alloy_softmax_attention_forward(alloy_pass *p, const alloy_config *c,
                                              const struct alloy_softmax_attention_weights *w, const alloy_state *s,
                                              alloy_tensor *x, int64_t window, bool gated);

#endif
