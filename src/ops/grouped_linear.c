/* A linear in blocks (alloy_grouped_linear): each group of channels has its own rows of the weight. Work is divided as
 * that of many linears. */
#include "ops/pass.h"

struct options {
    int64_t groups;
};

static void run(const alloy_args *a)
{
    const struct options *o = a->options;
    const alloy_weight *w = a->weight[0];
    alloy_linear_job *jobs = alloy_pass_take(a->pass, o->groups, sizeof *jobs);
    if (!jobs)
        return;
    int64_t rows = w->shape[0] / o->groups;
    float *y = alloy_f32(a->out[0]);
    for (int64_t g = 0; g < o->groups; g++) {
        alloy_linear_job whole = alloy_linear_job_of(w, alloy_f32(a->in[0]) + g * w->shape[1], a->in[0]->shape[0], y);
        whole.x_stride = alloy_row_size(a->in[0]);
        jobs[g] = alloy_linear_job_rows(&whole, g * rows, rows);
    }
    alloy_run_linear_jobs(a->pass, jobs, o->groups, ALLOY_READ_IN_TURN);
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_count n = a->in[0]->shape[0], rows = a->weight[0]->shape[0], k = a->weight[0]->shape[1];
    alloy_cost_let(cost, n, rows, k);
    alloy_cost_tensor(cost, 2 * n * rows * k);
    alloy_cost_classic(cost, 2 * n * rows * k);
    alloy_cost_weight(cost, a->weight[0], rows * k, 1, 1);
}

static const alloy_op grouped_linear = {"grouped_linear", run, count};

alloy_tensor *alloy_grouped_linear(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, int64_t groups)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    if (!w || w->ndim != 2 || groups < 1 || w->shape[0] % groups != 0 || w->shape[1] * groups != alloy_row_size(x))
        return alloy_shape_fail(p, "grouped_linear", "%lld groups of %s, [%lld, %lld]; x has rows of %lld",
                                (long long)groups, w ? w->name : "(no weight)", w ? (long long)w->shape[0] : 0,
                                w ? (long long)w->shape[1] : 0, (long long)alloy_row_size(x));
    alloy_tensor *y = alloy_tensor_new(p, 2, (int64_t[]){x->shape[0], w->shape[0]});
    struct options options = {groups};
    return y ? alloy_apply(
                   p, &grouped_linear,
                   &(alloy_args){
                       .in = {x}, .out = {y}, .weight = {w}, .options = &options, .options_size = sizeof options})
             : NULL;
}
