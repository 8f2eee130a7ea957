/* Tokens are gathered by expert, so that an expert's weights are read once for all of its tokens; each (token, expert)
 * has an output row of its own, and a token's rows are combined at the end: acc = fma(weight, row, acc) from +0. */
#include "backends/cpu/routes.h"

#include <string.h>

enum { ROWS_A_PIECE = 16 };

struct work {
    const alloy_args *args;
    const struct alloy_experts_options *o;
    const alloy_expert_weights *weights;
    const int32_t *expert;                 /* [tokens, k] */
    int64_t k, hidden, intermediate, rows; /* rows: tokens * k */
    int64_t *first;                        /* [experts + 1] rows before each expert */
    int64_t *row;                          /* [tokens, k] the row of each choice */
    int64_t *token;                        /* [rows] */
    float *x, *gate, *up, *y;              /* [rows, hidden], [rows, I], [rows, I], [rows, hidden] */
    alloy_linear_job *jobs;                /* [2 * experts] */
};

static bool take_all(struct work *w)
{
    alloy_pass *p = w->args->pass;
    return (w->first = alloy_pass_take(p, w->weights->count + 1, sizeof *w->first)) &&
           (w->row = alloy_pass_take(p, w->rows, sizeof *w->row)) &&
           (w->token = alloy_pass_take(p, w->rows, sizeof *w->token)) &&
           (w->x = alloy_pass_take(p, w->rows * w->hidden, sizeof *w->x)) &&
           (w->gate = alloy_pass_take(p, w->rows * w->intermediate, sizeof *w->gate)) &&
           (w->up = alloy_pass_take(p, w->rows * w->intermediate, sizeof *w->up)) &&
           (w->y = alloy_pass_take(p, w->rows * w->hidden, sizeof *w->y)) &&
           (w->jobs = alloy_pass_take(p, 2 * w->weights->count, sizeof *w->jobs));
}

/* Counting sort of the choices by expert. */
static void sort_by_expert(struct work *w)
{
    int64_t experts = w->weights->count;
    memset(w->first, 0, (size_t)(experts + 1) * sizeof *w->first);
    for (int64_t i = 0; i < w->rows; i++)
        w->first[w->expert[i] + 1]++;
    for (int64_t e = 0; e < experts; e++)
        w->first[e + 1] += w->first[e];
    for (int64_t i = 0; i < w->rows; i++) {
        int64_t row = w->first[w->expert[i]]++;
        w->row[i] = row;
        w->token[row] = i / w->k;
    }
    for (int64_t e = experts; e > 0; e--)
        w->first[e] = w->first[e - 1];
    w->first[0] = 0;
}

static void gather(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct work *w = context;
    for (int64_t row = first; row < first + count; row++)
        memcpy(w->x + row * w->hidden, alloy_f32(w->args->in[0]) + w->token[row] * w->hidden,
               (size_t)w->hidden * sizeof(float));
}

/* One product for every expert that has tokens; returns the number of jobs. */
static int64_t add_jobs(const struct work *w, int64_t count, const alloy_weight *weights, const float *x, float *y)
{
    for (int64_t e = 0; e < w->weights->count; e++) {
        int64_t row = w->first[e], rows = w->first[e + 1] - row;
        if (rows > 0)
            w->jobs[count++] =
                alloy_linear_job_of(&weights[e], x + row * weights[e].shape[1], rows, y + row * weights[e].shape[0]);
    }
    return count;
}

/* Reading all that was chosen begins, as far as there is room, before the first expert is computed. */
static void announce(const struct work *w)
{
    const alloy_expert_weights *e = w->weights;
    alloy_pass *p = w->args->pass;
    int64_t count = p->residency ? add_jobs(w, add_jobs(w, 0, e->gate, w->x, w->gate), e->up, w->x, w->up) : 0, i = 0;
    while (i < count && alloy_announce_linear_job(p, &w->jobs[i]))
        i++;
    if (i < count || !p->residency)
        return;
    count = add_jobs(w, 0, e->down, w->up, w->y);
    for (i = 0; i < count && alloy_announce_linear_job(p, &w->jobs[i]);)
        i++;
}

static void activate(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct work *w = context;
    const alloy_kernels *kernels = w->args->pass->kernels;
    const float limit = (float)w->o->limit;
    int64_t at = first * w->intermediate, n = count * w->intermediate;
    if (limit > 0)
        kernels->clamped_swiglu(w->up + at, w->up + at, w->gate + at, limit, n);
    else
        kernels->vector.multiply_silu(w->up + at, w->up + at, w->gate + at, n);
}

static void combine(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct work *w = context;
    const float *weight = alloy_f32(w->args->in[2]);
    for (int64_t t = first; t < first + count; t++) {
        float *y = alloy_f32(w->args->out[0]) + t * w->hidden;
        memset(y, 0, (size_t)w->hidden * sizeof *y);
        for (int64_t i = t * w->k; i < (t + 1) * w->k; i++)
            w->args->pass->kernels->vector.add_scaled(y, weight[i], w->y + w->row[i] * w->hidden, w->hidden);
    }
}

void alloy_cpu_experts(const alloy_args *a)
{
    const alloy_expert_weights *e = a->experts;
    int64_t tokens = a->in[0]->shape[0], k = a->in[1]->shape[1];
    struct work w = {.args = a,
                     .o = a->options,
                     .weights = e,
                     .expert = alloy_i32(a->in[1]),
                     .k = k,
                     .hidden = alloy_row_size(a->in[0]),
                     .intermediate = e->gate[0].shape[0],
                     .rows = tokens * k};
    if (!take_all(&w))
        return;
    sort_by_expert(&w);
    if (a->pass->routed)
        a->pass->routed(a->pass->routed_user, a->pass->site.layer, e->count, w.rows, w.expert);
    alloy_pass_ranges(a->pass, w.rows, ROWS_A_PIECE, gather, &w);
    announce(&w);
    alloy_run_linear_jobs(a->pass, w.jobs, add_jobs(&w, add_jobs(&w, 0, e->gate, w.x, w.gate), e->up, w.x, w.up),
                          ALLOY_READ_BY_CHOICE);
    alloy_pass_ranges(a->pass, w.rows, ROWS_A_PIECE, activate, &w);
    alloy_run_linear_jobs(a->pass, w.jobs, add_jobs(&w, 0, e->down, w.up, w.y), ALLOY_READ_BY_CHOICE);
    alloy_pass_ranges(a->pass, tokens, ROWS_A_PIECE, combine, &w);
}
