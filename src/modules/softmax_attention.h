/* What the softmax attentions of Qwen3 and Llama share: grouped heads, rotary positions, optional biases, and norms of
 * q and k, output gate and window where a family has them. Each mixer is a file that says which of these functions are
 * its own. */
#ifndef ALLOY_MODULES_SOFTMAX_ATTENTION_H
#define ALLOY_MODULES_SOFTMAX_ATTENTION_H

#include "alloy/extend.h"

struct alloy_softmax_attention_weights {
    const alloy_weight *q_proj, *k_proj, *v_proj, *o_proj;
    const alloy_weight *q_bias, *k_bias, *v_bias, *o_bias; /* NULL: none */
    const alloy_weight *q_norm, *k_norm;                   /* NULL: none */
};

/* Parameters: without norms of q and k, or with them and, where attn_output_gate says so, an output gate. */
void alloy_softmax_attention_params(alloy_params *p, const alloy_config *c);
void alloy_softmax_attention_params_with_norms(alloy_params *p, const alloy_config *c);

/* Over all positions. */
alloy_status alloy_softmax_attention_check(const alloy_config *c);
void alloy_softmax_attention_state(alloy_state_spec *s, const alloy_config *c);
alloy_tensor *alloy_softmax_attention_forward(alloy_pass *p, const alloy_config *c, const void *weights,
                                              const alloy_state *s, alloy_tensor *x);

/* Over the last sliding_window positions. */
alloy_status alloy_sliding_attention_check(const alloy_config *c);
void alloy_sliding_attention_state(alloy_state_spec *s, const alloy_config *c);
alloy_tensor *alloy_sliding_attention_forward(alloy_pass *p, const alloy_config *c, const void *weights,
                                              const alloy_state *s, alloy_tensor *x);

#endif
