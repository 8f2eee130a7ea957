/* The table of plain C. */
#include "kernels/cpu/generic/generic.h"

const alloy_kernels alloy_kernels_generic = {
    .name = "generic",
    .vector = {.size = sizeof(alloy_vector),
               .dots = alloy_generic_dots,
               .decay_add_outer = alloy_generic_decay_add_outer,
               .delta_rule = alloy_generic_delta_rule,
               .conv1d = alloy_generic_conv1d,
               .add_scaled = alloy_generic_add_scaled,
               .add = alloy_generic_add,
               .multiply = alloy_generic_multiply,
               .silu = alloy_generic_silu,
               .sigmoid = alloy_generic_sigmoid,
               .exp = alloy_generic_exp,
               .multiply_silu = alloy_generic_multiply_silu,
               .multiply_sigmoid = alloy_generic_multiply_sigmoid},

    .linear = alloy_generic_linear,
    .rms_norm = alloy_generic_rms_norm,
    .l2_norm = alloy_generic_l2_norm,
    .softmax = alloy_generic_softmax,
    .attention_block = alloy_generic_attention_block,
    .index_scores = alloy_generic_index_scores,

    .compress = alloy_generic_compress,
    .hyper_weights = alloy_generic_hyper_weights,
    .attention_merge = alloy_generic_attention_merge,
    .attention_finish = alloy_generic_attention_finish,

    .sqrt_softplus = alloy_generic_sqrt_softplus,
    .clamped_swiglu = alloy_generic_clamped_swiglu,
    .rotary = alloy_generic_rotary,
    .rotary_pairs = alloy_generic_rotary_pairs,

    .widen = alloy_generic_widen,
    .widen_row = alloy_generic_widen_row,
    .narrow = alloy_generic_narrow,
    .all_finite = alloy_generic_all_finite,

    .read = alloy_generic_read,
    .fill = alloy_generic_fill,
    .copy = alloy_generic_copy,
};
