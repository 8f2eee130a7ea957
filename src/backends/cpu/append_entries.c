/* Entries are rounded once to the cache's dtype. */
#include "backends/cpu/cpu.h"

void alloy_cpu_append_entries(const alloy_args *a)
{
    const alloy_part_spec *part = alloy_part_spec_of(a->state[0]);
    alloy_dtype dtype = a->state[0].state->rows_dtype;
    int64_t row = 0, row_bytes = part->width * alloy_dtype_bits(dtype) / 8;
    for (int64_t i = 0; i < a->pass->span_count; i++) {
        const alloy_span *s = &a->pass->spans[i];
        int64_t entries = alloy_entries_closed(s, part->rate), before = alloy_entries_before(s, part->rate);
        for (int64_t e = before; e < before + entries; e++, row++)
            a->pass->kernels->narrow(alloy_store_row(alloy_store_of(a->state[0], i), e, row_bytes),
                                     alloy_f32(a->in[0]) + row * part->width, dtype, part->width);
    }
}
