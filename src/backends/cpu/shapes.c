/* Moving numbers: split and concat are the same copy in two directions. */
#include "backends/cpu/cpu.h"

#include <string.h>

enum { ROWS_A_PIECE = 64 };

/* ---- Split and concat: the same copy in two directions. ---------------------------------------------------------- */

struct copy {
    const struct alloy_parts_options *parts;
    alloy_tensor *whole, *const *part;
    bool to_whole;
};

static void copy_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct copy *c = context;
    for (int64_t t = first; t < first + count; t++) {
        float *whole = alloy_f32(c->whole) + t * alloy_row_size(c->whole);
        for (int64_t g = 0; g < c->parts->groups; g++)
            for (int i = 0; i < c->parts->count; i++) {
                int64_t width = c->parts->width[i];
                float *part = alloy_f32(c->part[i]) + (t * c->parts->groups + g) * width;
                memcpy(c->to_whole ? whole : part, c->to_whole ? part : whole, (size_t)width * sizeof *whole);
                whole += width;
            }
    }
}

void alloy_cpu_split(const alloy_args *a)
{
    struct copy copy = {a->options, a->in[0], a->out, false};
    alloy_pass_ranges(a->pass, a->in[0]->shape[0], ROWS_A_PIECE, copy_rows, &copy);
}

void alloy_cpu_concat(const alloy_args *a)
{
    struct copy copy = {a->options, a->out[0], a->in, true};
    alloy_pass_ranges(a->pass, a->out[0]->shape[0], ROWS_A_PIECE, copy_rows, &copy);
}

/* ---- Rows picked from a batch, and a copy ------------------------------------------------------------------------ */

void alloy_cpu_pick_rows(const alloy_args *a)
{
    int64_t width = alloy_row_size(a->in[0]);
    for (int64_t i = 0; i < a->in[1]->shape[0]; i++)
        memcpy(alloy_f32(a->out[0]) + i * width, alloy_f32(a->in[0]) + alloy_i64(a->in[1])[i] * width,
               (size_t)width * sizeof(float));
}

void alloy_cpu_copy(const alloy_args *a)
{
    memcpy(alloy_f32(a->out[0]), alloy_f32(a->in[0]), (size_t)alloy_tensor_size(a->in[0]) * sizeof(float));
}
