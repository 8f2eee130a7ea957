/* Moving numbers. */
#include "backends/fp64/fp64.h"

#include <string.h>

static void move_parts(const struct alloy_parts_options *o, int64_t rows, double *whole, alloy_tensor *const *parts,
                       bool to_whole)
{
    for (int64_t group = 0; group < rows * o->groups; group++)
        for (int i = 0; i < o->count; whole += o->width[i++]) {
            double *part = alloy_f64(parts[i]) + group * o->width[i];
            memcpy(to_whole ? whole : part, to_whole ? part : whole, (size_t)o->width[i] * sizeof *whole);
        }
}

void alloy_fp64_split(const alloy_args *a)
{
    move_parts(a->options, a->in[0]->shape[0], alloy_f64(a->in[0]), a->out, false);
}

void alloy_fp64_concat(const alloy_args *a)
{
    move_parts(a->options, a->out[0]->shape[0], alloy_f64(a->out[0]), a->in, true);
}

void alloy_fp64_pick_rows(const alloy_args *a)
{
    int64_t width = alloy_row_size(a->in[0]);
    for (int64_t i = 0; i < a->in[1]->shape[0]; i++)
        memcpy(alloy_f64(a->out[0]) + i * width, alloy_f64(a->in[0]) + alloy_i64(a->in[1])[i] * width,
               (size_t)width * sizeof(double));
}

void alloy_fp64_copy(const alloy_args *a)
{
    memcpy(alloy_f64(a->out[0]), alloy_f64(a->in[0]), (size_t)alloy_tensor_size(a->in[0]) * sizeof(double));
}

void alloy_fp64_hyper_copies(const alloy_args *a)
{
    int64_t hidden = alloy_row_size(a->in[0]), streams = alloy_row_size(a->out[0]) / hidden;
    for (int64_t i = 0; i < a->in[0]->shape[0] * streams; i++)
        memcpy(alloy_f64(a->out[0]) + i * hidden, alloy_f64(a->in[0]) + i / streams * hidden,
               (size_t)hidden * sizeof(double));
}
