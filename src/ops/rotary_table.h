/* Tables of cos and sin for the positions of a batch: inverse frequencies, ramps and angles in fp64, rounded once to
 * fp32.
 *
 *   default  f_i = theta^(-2i / r), 2i < r (arXiv:2104.09864, section 3.4.3)
 *   linear   f_i / factor (arXiv:2306.15595)
 *   yarn     between f_i / factor and f_i by a ramp over i (arXiv:2309.00071, section 3.2); cos and sin times the
 *            attention factor (section 3.4)
 *   llama3   by wavelength: long ones f_i / factor, short ones f_i, a ramp between (Llama 3.1's rule) */
#ifndef ALLOY_OPS_ROTARY_TABLE_H
#define ALLOY_OPS_ROTARY_TABLE_H

#include "ops/pass.h"

struct alloy_rotary_table {
    alloy_rope rope;
    int64_t width;    /* r: int(head_dim * partial_rotary_factor); may be odd */
    int64_t rate;     /* tokens a row: 1, or of entries their rate */
    int64_t half;     /* rotated pairs: ceil(r / 2) */
    float *cos, *sin; /* [rows, half] */
    alloy_rotary_table *next;
};

/* r, which the exponents are divided by, and the channels that are turned: r rounded up to an even number. */
int64_t alloy_rotary_width(const alloy_rope *rope, int64_t head_dim);
int64_t alloy_rotary_channels(const alloy_rope *rope, int64_t head_dim);

/* Inverse frequencies of ceil(width / 2) pairs, into `out`; returns what cos and sin are multiplied by. */
double alloy_rotary_frequencies(const alloy_rope *rope, int64_t width, double *out);

/* The table for a pass's positions (rate 1), or for those of the entries that it closes, made when first asked for;
 * NULL and the pass failed when memory is short. */
const alloy_rotary_table *alloy_rotary_table_of(alloy_pass *p, const alloy_rope *rope, int64_t width, int64_t rate);

#endif
