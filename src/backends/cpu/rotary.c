/* Rotary positions by halves. */
#include "backends/cpu/rotary_table.h"

enum { TOKENS_A_PIECE = 16 };

struct rotation {
    const alloy_kernels *kernels;
    const alloy_tensor *x;
    float *y;
    const alloy_rotary_table *table;
};

static void rotate(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct rotation *r = context;
    int64_t half = r->table->half, width = alloy_row_size(r->x);
    for (int64_t t = first; t < first + count; t++)
        r->kernels->rotary(r->y + t * width, alloy_f32(r->x) + t * width, r->x->shape[1], r->x->shape[2], half,
                           r->table->cos + t * half, r->table->sin + t * half);
}

void alloy_cpu_rotary(const alloy_args *a)
{
    const alloy_rope *rope = a->options;
    const alloy_rotary_table *table =
        alloy_rotary_table_of(a->pass, rope, alloy_rotary_width(rope, a->in[0]->shape[2]), 1);
    struct rotation rotation = {a->pass->kernels, a->in[0], alloy_f32(a->out[0]), table};
    if (table)
        alloy_pass_ranges(a->pass, a->in[0]->shape[0], TOKENS_A_PIECE, rotate, &rotation);
}
