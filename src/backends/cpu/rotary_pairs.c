/* Rotary positions by pairs, forth and back. */
#include "backends/cpu/rotary_table.h"

enum { ROWS_A_PIECE = 16 };

struct rotation {
    const alloy_kernels *kernels;
    const alloy_tensor *x;
    float *y;
    const alloy_rotary_table *table;
    bool back;
};

/* The kernel takes a factor for each channel: (cos, cos), and (-sin, sin) for what the pair's other channel adds. */
static void rotate(void *context, int64_t first, int64_t count, void *scratch)
{
    const struct rotation *r = context;
    int64_t half = r->table->half, width = alloy_row_size(r->x);
    float *cosines = scratch, *sines = cosines + 2 * half;
    for (int64_t t = first; t < first + count; t++) {
        for (int64_t i = 0; i < half; i++) {
            float sine = r->table->sin[t * half + i];
            cosines[2 * i] = cosines[2 * i + 1] = r->table->cos[t * half + i];
            sines[2 * i] = r->back ? sine : -sine;
            sines[2 * i + 1] = r->back ? -sine : sine;
        }
        r->kernels->rotary_pairs(r->y + t * width, alloy_f32(r->x) + t * width, r->x->ndim == 3 ? r->x->shape[1] : 1,
                                 alloy_last_dimension(r->x), 2 * half, cosines, sines);
    }
}

void alloy_cpu_rotary_pairs(const alloy_args *a)
{
    const struct alloy_rotary_pairs_options *o = a->options;
    const alloy_rotary_table *table = alloy_rotary_table_of(a->pass, &o->rope, o->width, o->rate);
    struct rotation rotation = {a->pass->kernels, a->in[0], alloy_f32(a->out[0]), table, o->back};
    if (table)
        alloy_pass_ranges(a->pass, a->in[0]->shape[0], ROWS_A_PIECE, rotate, &rotation);
}
