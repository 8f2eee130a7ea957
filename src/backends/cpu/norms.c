/* Norms: each sum is a dot. */
#include "backends/cpu/cpu.h"

enum { ELEMENTS_A_PIECE = 16 * 1024 };

/* One norm over many rows, whichever it is. */
struct rows {
    const alloy_kernels *kernels;
    const float *x, *w, *gate;
    float *y;
    int64_t d;
    float eps, scale;
};

static void rms_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct rows *r = context;
    int64_t at = first * r->d;
    r->kernels->rms_norm(r->y + at, r->x + at, r->w, count, r->d, r->eps);
    if (r->gate)
        r->kernels->vector.multiply_silu(r->y + at, r->y + at, r->gate + at, count * r->d);
}

static void l2_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct rows *r = context;
    int64_t at = first * r->d;
    r->kernels->l2_norm(r->y + at, r->x + at, count, r->d, r->eps, r->scale);
}

static struct rows rows_of(const alloy_args *a)
{
    const struct alloy_norm_options *o = a->options;
    return (struct rows){.kernels = a->pass->kernels,
                         .x = alloy_f32(a->in[0]),
                         .gate = a->in[1] ? alloy_f32(a->in[1]) : NULL,
                         .y = alloy_f32(a->out[0]),
                         .d = alloy_last_dimension(a->in[0]),
                         .eps = (float)o->eps,
                         .scale = (float)o->scale};
}

static void run_rows(const alloy_args *a, struct rows *rows, alloy_range_task *task)
{
    alloy_pass_ranges(a->pass, alloy_tensor_size(a->in[0]) / rows->d, ELEMENTS_A_PIECE / rows->d, task, rows);
}

void alloy_cpu_rms_norm(const alloy_args *a)
{
    const struct alloy_norm_options *o = a->options;
    struct rows rows = rows_of(a);
    if (alloy_tensor_size(a->in[0]) == 0) /* no window of a compressor has closed */
        return;
    if (a->weight[0]) {
        float *w = alloy_weight_widened(a->pass, a->weight[0]);
        if (!w)
            return;
        for (int64_t i = 0; o->unit_offset && i < rows.d; i++)
            w[i] = 1.0f + w[i];
        rows.w = w;
    }
    run_rows(a, &rows, rms_rows);
}

void alloy_cpu_l2_norm(const alloy_args *a)
{
    struct rows rows = rows_of(a);
    run_rows(a, &rows, l2_rows);
}
