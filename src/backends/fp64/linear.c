/* Weights, products and rows of the embedding. */
#include "backends/fp64/fp64.h"

enum { PIECE = 512, ROWS_A_PIECE = 8 };

void alloy_fp64_read(const alloy_weight *w, int64_t first, int64_t count, double *out)
{
    float wide[PIECE];
    for (int64_t n; count > 0; first += n, out += n, count -= n) {
        n = count < PIECE ? count : PIECE;
        alloy_weight_read(w, first, n, wide);
        for (int64_t i = 0; i < n; i++)
            out[i] = (double)wide[i];
    }
}

double *alloy_fp64_weight(alloy_pass *p, const alloy_weight *w)
{
    int64_t n = w->shape[0] * w->shape[1] * w->shape[2] * w->shape[3];
    double *wide = alloy_pass_take(p, n, sizeof *wide);
    if (wide)
        alloy_fp64_read(w, 0, n, wide);
    return wide;
}

/* Row r of W meets all rows of x; a task's scratch holds the part of the row that is widened. */
static void multiply_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    const alloy_fp64_product *m = context;
    const int64_t k = m->w->shape[1], most = ALLOY_TASK_SCRATCH / (int64_t)sizeof(double);
    double *row = scratch;
    for (int64_t r = first; r < first + count; r++)
        for (int64_t at = 0; at < k; at += most) {
            int64_t n = k - at < most ? k - at : most;
            alloy_fp64_read(m->w, (m->first + r) * k + at, n, row);
            for (int64_t t = 0; t < m->rows; t++) {
                double sum = at ? m->y[t * m->y_stride + r] : m->bias ? m->bias[r] : 0;
                for (int64_t i = 0; i < n; i++)
                    sum += m->x[t * m->x_stride + at + i] * row[i];
                m->y[t * m->y_stride + r] = sum;
            }
        }
}

void alloy_fp64_multiply(alloy_pass *p, const alloy_fp64_product *product)
{
    alloy_fp64_product copy = *product;
    alloy_pass_ranges(p, product->count, ROWS_A_PIECE, multiply_rows, &copy);
}

void alloy_fp64_linear(const alloy_args *a)
{
    const alloy_weight *w = a->weight[0];
    const double *bias = a->weight[1] ? alloy_fp64_weight(a->pass, a->weight[1]) : NULL;
    if (!a->pass->status)
        alloy_fp64_multiply(a->pass, &(alloy_fp64_product){.x = alloy_f64(a->in[0]),
                                                           .x_stride = w->shape[1],
                                                           .rows = a->in[0]->shape[0],
                                                           .w = w,
                                                           .count = w->shape[0],
                                                           .bias = bias,
                                                           .y = alloy_f64(a->out[0]),
                                                           .y_stride = w->shape[0]});
}

void alloy_fp64_grouped_linear(const alloy_args *a)
{
    const struct alloy_grouped_linear_options *o = a->options;
    const alloy_weight *w = a->weight[0];
    int64_t rows = w->shape[0] / o->groups;
    for (int64_t g = 0; g < o->groups; g++)
        alloy_fp64_multiply(a->pass, &(alloy_fp64_product){.x = alloy_f64(a->in[0]) + g * w->shape[1],
                                                           .x_stride = alloy_row_size(a->in[0]),
                                                           .rows = a->in[0]->shape[0],
                                                           .w = w,
                                                           .first = g * rows,
                                                           .count = rows,
                                                           .y = alloy_f64(a->out[0]) + g * rows,
                                                           .y_stride = w->shape[0]});
}

void alloy_fp64_embedding(const alloy_args *a)
{
    int64_t d = a->weight[0]->shape[1];
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++)
        alloy_fp64_read(a->weight[0], alloy_i64(a->in[0])[t] * d, d, alloy_f64(a->out[0]) + t * d);
}
