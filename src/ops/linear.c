/* y = x W^T + bias: a dot of each row of x with each row of W (canonical: kernels.h).
 *
 * Work is divided by rows of W, never along a sum. A piece of rows goes with all tokens, so that a piece of weights is
 * read and widened once. */
#include "ops/pass.h"

#include "base/status.h"

/* Rows of weights in a piece: small enough to spread over threads, and large enough that the tokens' rows are
 * reused. */
enum { ROWS_OF_DECODE = 128, ROWS_OF_PREFILL = 96, TOKENS_OF_DECODE = 8 };

struct pieces {
    const alloy_linear_job *jobs;
    const int64_t *first_piece; /* [count + 1] pieces before each job */
    int64_t count, rows;
    const alloy_kernels *kernels;
};

static void run_piece(void *context, int64_t index, void *scratch)
{
    const struct pieces *pieces = context;
    int64_t low = 0, high = pieces->count;
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (pieces->first_piece[middle] <= index)
            low = middle;
        else
            high = middle;
    }
    alloy_linear_job job = pieces->jobs[low];
    int64_t row = (index - pieces->first_piece[low]) * pieces->rows;
    job.w = (const char *)job.w + row * job.w_stride;
    job.scales.first += row;
    job.y += row;
    job.bias = job.bias ? job.bias + row : NULL;
    job.rows = job.rows - row < pieces->rows ? job.rows - row : pieces->rows;
    pieces->kernels->linear(&job, alloy_kernel_scratch(scratch));
}

void alloy_run_linear_jobs(alloy_pass *p, const alloy_linear_job *jobs, int64_t count)
{
    int64_t *first_piece = alloy_pass_take(p, count + 1, sizeof *first_piece);
    if (!first_piece)
        return;
    int64_t rows = count > 0 && jobs[0].n <= TOKENS_OF_DECODE ? ROWS_OF_DECODE : ROWS_OF_PREFILL;
    struct pieces pieces = {jobs, first_piece, count, rows, p->kernels};
    int64_t total = 0;
    for (int64_t i = 0; i < count; i++) {
        first_piece[i] = total;
        total += (jobs[i].rows + rows - 1) / rows;
    }
    first_piece[count] = total;
    alloy_parallel(p->team, total, run_piece, &pieces);
}

alloy_linear_job alloy_linear_job_of(const alloy_weight *w, const float *x, int64_t n, float *y)
{
    return (alloy_linear_job){.y = y,
                              .y_stride = w->shape[0],
                              .x = x,
                              .x_stride = w->shape[1],
                              .n = n,
                              .k = w->shape[1],
                              .w = w->data,
                              .dtype = w->dtype,
                              .w_stride = w->shape[1] * alloy_dtype_bits(w->dtype) / 8,
                              .scales = w->scales,
                              .rows = w->shape[0],
                              .scale = 1};
}

static void run(const alloy_args *a)
{
    alloy_linear_job job = alloy_linear_job_of(a->weight[0], a->in[0]->data, a->in[0]->shape[0], a->out[0]->data);
    if (a->weight[1] && !(job.bias = alloy_weight_widened(a->pass, a->weight[1])))
        return;
    alloy_run_linear_jobs(a->pass, &job, 1);
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_count n = a->in[0]->shape[0], rows = a->weight[0]->shape[0], k = a->weight[0]->shape[1];
    alloy_cost_let(cost, n, rows, k);
    alloy_cost_tensor(cost, 2 * n * rows * k);
    alloy_cost_classic(cost, 2 * n * rows * k);
    alloy_cost_weight(cost, a->weight[0], rows * k, 1, 1);
    if (!a->weight[1])
        return;
    alloy_cost_vector(cost, n * rows);
    alloy_cost_classic(cost, n * rows);
    alloy_cost_weight(cost, a->weight[1], rows, 1, 1);
}

static const alloy_op linear = {"linear", run, count};

static bool fits(alloy_pass *p, const alloy_tensor *x, const alloy_weight *w, const alloy_weight *bias)
{
    if (!w || w->ndim != 2 || w->shape[1] != alloy_row_size(x)) {
        alloy_shape_fail(p, "linear", "%s takes rows of %lld, x has rows of %lld", w ? w->name : "(no weight)",
                         w ? (long long)w->shape[1] : 0, (long long)alloy_row_size(x));
        return false;
    }
    if (bias && (bias->ndim != 1 || bias->shape[0] != w->shape[0])) {
        alloy_shape_fail(p, "linear", "%s has %lld elements, %s has %lld rows", bias->name, (long long)bias->shape[0],
                         w->name, (long long)w->shape[0]);
        return false;
    }
    return true;
}

alloy_tensor *alloy_linear(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, const alloy_weight *bias)
{
    if (alloy_pass_stopped(p, x) || !fits(p, x, w, bias))
        return NULL;
    alloy_tensor *y = alloy_tensor_new(p, 2, (int64_t[]){x->shape[0], w->shape[0]});
    return y ? alloy_apply(p, &linear, &(alloy_args){.in = {x}, .out = {y}, .weight = {w, bias}}) : NULL;
}

alloy_tensor *alloy_linear_into(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, float *data)
{
    if (alloy_pass_stopped(p, x) || !fits(p, x, w, NULL))
        return NULL;
    alloy_tensor *y = alloy_tensor_over(p, data, 2, (int64_t[]){x->shape[0], w->shape[0]});
    return y ? alloy_apply(p, &linear, &(alloy_args){.in = {x}, .out = {y}, .weight = {w}}) : NULL;
}
