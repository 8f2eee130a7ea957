/* All kernels of the template as static functions, over the vectors of the file that includes this (cpu/NAME/vector.h),
 * and the table of them. */
#ifndef ALLOY_KERNELS_CPU_TEMPLATE_KERNELS_H
#define ALLOY_KERNELS_CPU_TEMPLATE_KERNELS_H

#include <math.h>
#include <string.h>

#include "base/threads.h"
#include "kernels/cpu/generic/convert.h"
#include "kernels/cpu/generic/generic.h"

#include "kernels/cpu/template/functions.h"
#include "kernels/cpu/template/dot.h"
#include "kernels/cpu/template/convert.h"
#include "kernels/cpu/template/elementwise.h"
#include "kernels/cpu/template/norms.h"
#include "kernels/cpu/template/linear.h"
#include "kernels/cpu/template/attention.h"
#include "kernels/cpu/template/delta_rule.h"
#include "kernels/cpu/template/deepseek_v4.h"
#include "kernels/cpu/template/memory.h"

#define ALLOY_TEMPLATE_TABLE(NAME)                                                                                     \
    {                                                                                                                  \
        .name = NAME,                                                                                                  \
        .vector = {.size = sizeof(alloy_vector),                                                                       \
                   .dots = dots,                                                                                       \
                   .decay_add_outer = decay_add_outer,                                                                 \
                   .delta_rule = delta_rule,                                                                           \
                   .conv1d = conv1d,                                                                                   \
                   .add_scaled = add_scaled,                                                                           \
                   .add = add,                                                                                         \
                   .multiply = multiply,                                                                               \
                   .silu = silu,                                                                                       \
                   .sigmoid = sigmoid,                                                                                 \
                   .exp = exponential,                                                                                 \
                   .multiply_silu = multiply_silu,                                                                     \
                   .multiply_sigmoid = multiply_sigmoid},                                                              \
        .linear = linear, .rms_norm = rms_norm, .l2_norm = l2_norm, .softmax = softmax,                                \
        .attention_block = attention_block, .index_scores = index_scores, .compress = compress,                        \
        .hyper_weights = alloy_generic_hyper_weights, .sqrt_softplus = sqrt_softplus,                                  \
        .clamped_swiglu = clamped_swiglu, .rotary_pairs = rotary_pairs, .attention_merge = attention_merge,            \
        .attention_finish = attention_finish, .rotary = rotary, .widen = widen, .widen_row = widen_row,                \
        .narrow = narrow, .all_finite = all_finite, .read = read_all, .fill = fill, .copy = copy                       \
    }

#endif
