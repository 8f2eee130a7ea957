/* Rows are rounded once to the cache's dtype; every reader sees the rounded values. */
#include "backends/cpu/cpu.h"

static void append_span(const alloy_args *a, int64_t i)
{
    const alloy_span *span = &a->pass->spans[i];
    const alloy_part_spec *part = alloy_part_spec_of(a->state[0]);
    const alloy_state_store *store = alloy_store_of(a->state[0], i);
    alloy_dtype dtype = a->state[0].state->rows_dtype;
    int64_t row_bytes = part->width * alloy_dtype_bits(dtype) / 8;
    for (int64_t t = 0; t < span->count;) {
        int64_t left = ALLOY_ATTENTION_BLOCK - (span->past + t) % ALLOY_ATTENTION_BLOCK;
        int64_t rows = left < span->count - t ? left : span->count - t;
        a->pass->kernels->narrow(alloy_store_row(store, span->past + t, row_bytes),
                                 alloy_f32(a->in[0]) + (span->first + t) * part->width, dtype, rows * part->width);
        t += rows;
    }
}

void alloy_cpu_append(const alloy_args *a)
{
    for (int64_t i = 0; i < a->pass->span_count; i++)
        append_span(a, i);
}
