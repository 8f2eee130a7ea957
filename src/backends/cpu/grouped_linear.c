/* A linear in blocks: work is divided as that of many linears. */
#include "backends/cpu/cpu.h"

void alloy_cpu_grouped_linear(const alloy_args *a)
{
    const struct alloy_grouped_linear_options *o = a->options;
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
