/* Tables of cos and sin for the positions of a batch: frequencies and angles in fp64 (ops.h), rounded once to fp32. */
#ifndef ALLOY_BACKENDS_CPU_ROTARY_TABLE_H
#define ALLOY_BACKENDS_CPU_ROTARY_TABLE_H

#include "backends/cpu/cpu.h"

struct alloy_rotary_table {
    alloy_rope rope;
    int64_t width;    /* r: int(head_dim * partial_rotary_factor); may be odd */
    int64_t rate;     /* tokens a row: 1, or of entries their rate */
    int64_t half;     /* rotated pairs: ceil(r / 2) */
    float *cos, *sin; /* [rows, half] */
    alloy_rotary_table *next;
};

/* The table for a pass's positions (rate 1), or for those of the entries that it closes, made when first asked for;
 * NULL and the pass failed when memory is short. */
const alloy_rotary_table *alloy_rotary_table_of(alloy_pass *p, const alloy_rope *rope, int64_t width, int64_t rate);

#endif
