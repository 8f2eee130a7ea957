/* Norms over the last dimension: RMS norm (arXiv:1910.07467, eq. 4), the delta net's gated RMS norm, and l2 norm. Each
 * sum is a dot. */
#include "ops/pass.h"

enum { ELEMENTS_A_PIECE = 16 * 1024 };

struct options {
    float eps, scale;
    bool unit_offset;
};

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
        r->kernels->multiply_silu(r->y + at, r->y + at, r->gate + at, count * r->d);
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
    const struct options *o = a->options;
    return (struct rows){.kernels = a->pass->kernels,
                         .x = alloy_f32(a->in[0]),
                         .gate = a->in[1] ? alloy_f32(a->in[1]) : NULL,
                         .y = alloy_f32(a->out[0]),
                         .d = alloy_last_dimension(a->in[0]),
                         .eps = o->eps,
                         .scale = o->scale};
}

static void run_rows(const alloy_args *a, struct rows *rows, alloy_range_task *task)
{
    alloy_pass_ranges(a->pass, alloy_tensor_size(a->in[0]) / rows->d, ELEMENTS_A_PIECE / rows->d, task, rows);
}

static void run_rms(const alloy_args *a)
{
    const struct options *o = a->options;
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

static void run_l2(const alloy_args *a)
{
    struct rows rows = rows_of(a);
    run_rows(a, &rows, l2_rows);
}

static void count_rms(const alloy_args *a, alloy_cost *cost)
{
    alloy_count n = (alloy_count)a->in[0]->shape[0] * alloy_row_size(a->in[0]);
    alloy_count per_element = a->in[1] ? 9 : a->weight[0] ? 4 : 3;
    alloy_cost_let(cost, n, per_element);
    alloy_cost_vector(cost, n * per_element);
    if (a->pass->site.kind == ALLOY_SITE_FINAL_NORM)
        alloy_cost_classic(cost, n * per_element); /* all other norms are free there */
    alloy_cost_weight(cost, a->weight[0], alloy_last_dimension(a->in[0]), n > 0, 1); /* of entries there may be none */
}

static void count_l2(const alloy_args *a, alloy_cost *cost)
{
    const struct options *o = a->options;
    alloy_count n = (alloy_count)a->in[0]->shape[0] * alloy_row_size(a->in[0]);
    alloy_count per_element = o->scale == 1 ? 3 : 4;
    alloy_cost_let(cost, n, per_element);
    alloy_cost_vector(cost, n * per_element);
}

static const alloy_op rms_norm = {"rms_norm", run_rms, count_rms};
static const alloy_op gated_rms_norm = {"gated_rms_norm", run_rms, count_rms};
static const alloy_op l2_norm = {"l2_norm", run_l2, count_l2};

static alloy_tensor *apply(alloy_pass *p, const alloy_op *op, alloy_tensor *x, const alloy_weight *w,
                           alloy_tensor *gate, const struct options *options)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    if (w && (w->ndim != 1 || w->shape[0] != alloy_last_dimension(x)))
        return alloy_shape_fail(p, op->name, "%s has %lld elements, x has rows of %lld", w->name,
                                (long long)w->shape[0], (long long)alloy_last_dimension(x));
    alloy_tensor *y = alloy_tensor_like(p, x);
    return y ? alloy_apply(
                   p, op,
                   &(alloy_args){
                       .in = {x, gate}, .out = {y}, .weight = {w}, .options = options, .options_size = sizeof *options})
             : NULL;
}

alloy_tensor *alloy_rms_norm(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, double eps, bool unit_offset)
{
    return apply(p, &rms_norm, x, w, NULL,
                 &(struct options){.eps = (float)eps, .scale = 1, .unit_offset = unit_offset});
}

alloy_tensor *alloy_gated_rms_norm(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, alloy_tensor *gate,
                                   double eps)
{
    if (alloy_pass_stopped(p, x) || !gate)
        return NULL;
    if (alloy_tensor_size(gate) != alloy_tensor_size(x))
        return alloy_shape_fail(p, "gated_rms_norm", "a gate of %lld elements for x of %lld",
                                (long long)alloy_tensor_size(gate), (long long)alloy_tensor_size(x));
    return apply(p, &gated_rms_norm, x, w, gate, &(struct options){.eps = (float)eps, .scale = 1});
}

alloy_tensor *alloy_l2_norm(alloy_pass *p, alloy_tensor *x, double eps, float scale)
{
    return apply(p, &l2_norm, x, NULL, NULL, &(struct options){.eps = (float)eps, .scale = scale});
}
