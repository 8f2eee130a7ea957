/* The kernels in plain C: the definition of every row of the table (kernels.h), which other tables fall back to. */
#ifndef ALLOY_KERNELS_CPU_GENERIC_GENERIC_H
#define ALLOY_KERNELS_CPU_GENERIC_GENERIC_H

#include "kernels/kernels.h"

extern const alloy_kernels alloy_kernels_generic;

void alloy_generic_linear(const alloy_linear_job *job, void *scratch);
void alloy_generic_rms_norm(float *y, const float *x, const float *w, int64_t rows, int64_t d, float eps);
void alloy_generic_l2_norm(float *y, const float *x, int64_t rows, int64_t d, float eps, float scale);
void alloy_generic_softmax(float *y, const float *x, int64_t rows, int64_t d);
void alloy_generic_attention_block(const alloy_attention_block *block, void *scratch);

void alloy_generic_index_scores(float *y, const float *s, int64_t s_stride, const float *w, int64_t heads,
                                int64_t entries);

void alloy_generic_dots(float *y, const float *x, const float *w, int64_t w_stride, int64_t rows, int64_t n);
void alloy_generic_decay_add_outer(float *s, int64_t s_stride, float decay, const float *a, const float *x,
                                   int64_t rows, int64_t n);
void alloy_generic_conv1d(float *y, const float *const *x, const float *w, int64_t taps, int64_t channels);
void alloy_generic_delta_rule(const alloy_delta_job *job);
void alloy_generic_compress(float *y, const alloy_compress_segment *segments, int count, int64_t channels);
void alloy_generic_hyper_weights(float *y, const float *mixes, const float *base, const float *scale, int64_t n,
                                 int64_t iterations, float eps);
void alloy_generic_add_scaled(float *y, float a, const float *x, int64_t n);
void alloy_generic_attention_merge(float *m, float *l, float *o, const float *m2, const float *l2, const float *o2,
                                   int64_t rows, int64_t dv);
void alloy_generic_attention_finish(float *y, int64_t y_stride, const float *l, const float *o, int64_t rows,
                                    int64_t dv);

void alloy_generic_add(float *y, const float *a, const float *b, int64_t n);
void alloy_generic_multiply(float *y, const float *a, const float *b, int64_t n);
void alloy_generic_silu(float *y, const float *x, int64_t n);
void alloy_generic_sigmoid(float *y, const float *x, int64_t n);
void alloy_generic_exp(float *y, const float *x, int64_t n);
void alloy_generic_sqrt_softplus(float *y, const float *x, int64_t n);
void alloy_generic_clamped_swiglu(float *y, const float *x, const float *gate, float limit, int64_t n);
void alloy_generic_multiply_silu(float *y, const float *x, const float *gate, int64_t n);
void alloy_generic_multiply_sigmoid(float *y, const float *x, const float *gate, int64_t n);
void alloy_generic_rotary(float *y, const float *x, int64_t heads, int64_t d, int64_t half, const float *cos,
                          const float *sin);
void alloy_generic_rotary_pairs(float *y, const float *x, int64_t heads, int64_t d, int64_t channels, const float *cos,
                                const float *sin);

void alloy_generic_widen(float *y, const void *x, alloy_dtype dtype, int64_t n);
void alloy_generic_widen_row(float *y, const void *x, alloy_dtype dtype, const alloy_scales *scales, int64_t row,
                             int64_t n);
void alloy_generic_narrow(void *y, const float *x, alloy_dtype dtype, int64_t n);
bool alloy_generic_all_finite(const float *x, int64_t n);

uint32_t alloy_generic_read(const float *x, int64_t n);
void alloy_generic_fill(float *y, float value, int64_t n);
void alloy_generic_copy(float *y, const float *x, int64_t n);

#endif
