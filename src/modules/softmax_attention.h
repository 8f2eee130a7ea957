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

struct alloy_softmax_attention {
    int64_t hidden_size, num_attention_heads, num_key_value_heads, head_dim;
    bool attention_bias;        /* q, k, v projections */
    bool attention_output_bias; /* o projection */
    bool attn_output_gate;
    int64_t sliding_window; /* tokens, the token itself included; 0: absent */
    double rms_norm_eps;
    bool rms_norm_unit_offset;
    alloy_rope rope_parameters;
};

extern const alloy_field alloy_softmax_attention_fields[];

/* Parameters: without norms of q and k, or with them and, where attn_output_gate says so, an output gate. */
void alloy_softmax_attention_params(alloy_params *p, const void *shape);
void alloy_softmax_attention_params_with_norms(alloy_params *p, const void *shape);

/* Over all positions. */
alloy_status alloy_softmax_attention_check(void *shape);
void alloy_softmax_attention_state(alloy_state_spec *s, const void *shape);
alloy_tensor *alloy_softmax_attention_forward(alloy_pass *p, const void *shape, const void *weights,
                                              const alloy_state *s, alloy_tensor *x);

/* Over the last sliding_window positions. */
alloy_status alloy_sliding_attention_check(void *shape);
void alloy_sliding_attention_state(alloy_state_spec *s, const void *shape);
alloy_tensor *alloy_sliding_attention_forward(alloy_pass *p, const void *shape, const void *weights,
                                              const alloy_state *s, alloy_tensor *x);

#endif
