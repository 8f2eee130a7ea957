/* Routed experts: for each token, y = sum over its experts, in rising expert number, of weight * down(silu(gate x) * up
 * x).
 *
 * Tokens are gathered by expert, so that an expert's weights are read once for all of its tokens; each (token, expert)
 * has an output row of its own, and a token's rows are combined at the end: acc = fma(weight, row, acc) from +0. So a
 * token's result does not depend on its neighbours. */
#include "ops/routes.h"

#include <math.h>
#include <string.h>

#include "kernels/math.h"

enum { ROWS_A_PIECE = 16 };

struct options {
    const alloy_routes *routes;
    const alloy_expert_weights *experts;
    float limit; /* of gate and up; 0: none */
};

struct work {
    const alloy_args *args;
    const struct options *o;
    int64_t hidden, intermediate, rows; /* rows: tokens * per_token */
    int64_t *first;                     /* [experts + 1] rows before each expert */
    int64_t *row;                       /* [tokens, per_token] the row of each choice */
    int64_t *token;                     /* [rows] */
    float *x, *gate, *up, *y;           /* [rows, hidden], [rows, I], [rows, I], [rows, hidden] */
    alloy_linear_job *jobs;             /* [2 * experts] */
};

static bool take_all(struct work *w)
{
    alloy_pass *p = w->args->pass;
    return (w->first = alloy_pass_take(p, w->o->experts->count + 1, sizeof *w->first)) &&
           (w->row = alloy_pass_take(p, w->rows, sizeof *w->row)) &&
           (w->token = alloy_pass_take(p, w->rows, sizeof *w->token)) &&
           (w->x = alloy_pass_take(p, w->rows * w->hidden, sizeof *w->x)) &&
           (w->gate = alloy_pass_take(p, w->rows * w->intermediate, sizeof *w->gate)) &&
           (w->up = alloy_pass_take(p, w->rows * w->intermediate, sizeof *w->up)) &&
           (w->y = alloy_pass_take(p, w->rows * w->hidden, sizeof *w->y)) &&
           (w->jobs = alloy_pass_take(p, 2 * w->o->experts->count, sizeof *w->jobs));
}

/* Counting sort of the choices by expert. */
static void sort_by_expert(struct work *w)
{
    const alloy_routes *r = w->o->routes;
    int64_t experts = w->o->experts->count;
    memset(w->first, 0, (size_t)(experts + 1) * sizeof *w->first);
    for (int64_t i = 0; i < w->rows; i++)
        w->first[r->expert[i] + 1]++;
    for (int64_t e = 0; e < experts; e++)
        w->first[e + 1] += w->first[e];
    for (int64_t i = 0; i < w->rows; i++) {
        int64_t row = w->first[r->expert[i]]++;
        w->row[i] = row;
        w->token[row] = i / r->per_token;
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
        memcpy(w->x + row * w->hidden, w->args->in[0]->data + w->token[row] * w->hidden,
               (size_t)w->hidden * sizeof(float));
}

/* One product for every expert that has tokens; returns the number of jobs. */
static int64_t add_jobs(const struct work *w, int64_t count, const alloy_weight *weights, const float *x, float *y)
{
    for (int64_t e = 0; e < w->o->experts->count; e++) {
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
    const alloy_expert_weights *e = w->o->experts;
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
    int64_t at = first * w->intermediate, n = count * w->intermediate;
    if (w->o->limit > 0)
        kernels->clamped_swiglu(w->up + at, w->up + at, w->gate + at, w->o->limit, n);
    else
        kernels->multiply_silu(w->up + at, w->up + at, w->gate + at, n);
}

static void combine(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct work *w = context;
    const alloy_routes *r = w->o->routes;
    for (int64_t t = first; t < first + count; t++) {
        float *y = w->args->out[0]->data + t * w->hidden;
        memset(y, 0, (size_t)w->hidden * sizeof *y);
        for (int64_t i = t * r->per_token; i < (t + 1) * r->per_token; i++)
            w->args->pass->kernels->add_scaled(y, r->weight[i], w->y + w->row[i] * w->hidden, w->hidden);
    }
}

static void run(const alloy_args *a)
{
    const struct options *o = a->options;
    const alloy_expert_weights *e = o->experts;
    struct work w = {.args = a,
                     .o = o,
                     .hidden = alloy_row_size(a->in[0]),
                     .intermediate = e->gate[0].shape[0],
                     .rows = o->routes->tokens * o->routes->per_token};
    if (!take_all(&w))
        return;
    sort_by_expert(&w);
    if (a->pass->routed)
        a->pass->routed(a->pass->routed_user, a->pass->site.layer, e->count, w.rows, o->routes->expert);
    alloy_pass_ranges(a->pass, w.rows, ROWS_A_PIECE, gather, &w);
    announce(&w);
    alloy_run_linear_jobs(a->pass, w.jobs, add_jobs(&w, add_jobs(&w, 0, e->gate, w.x, w.gate), e->up, w.x, w.up),
                          ALLOY_READ_BY_CHOICE);
    alloy_pass_ranges(a->pass, w.rows, ROWS_A_PIECE, activate, &w);
    alloy_run_linear_jobs(a->pass, w.jobs, add_jobs(&w, 0, e->down, w.up, w.y), ALLOY_READ_BY_CHOICE);
    alloy_pass_ranges(a->pass, o->routes->tokens, ROWS_A_PIECE, combine, &w);
}

double alloy_even_routing(int64_t experts, int64_t per_token, double tokens)
{
    double missed = 1, base = 1 - (double)per_token / (double)experts, rest = tokens - floor(tokens);
    if (rest > 0)
        missed = base > 0 ? alloy_pow64(base, rest) : 0;
    for (int64_t n = (int64_t)tokens; n > 0; n >>= 1) {
        if (n & 1)
            missed *= base;
        base *= base;
    }
    return (double)experts * (1 - missed);
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct options *o = a->options;
    const alloy_count_model *model = &a->pass->model;
    alloy_count rows = (alloy_count)o->routes->tokens * o->routes->per_token, hidden = alloy_row_size(a->in[0]);
    alloy_count inner = o->experts->gate[0].shape[0], experts = o->experts->count;
    double read = model->experts_read
                      ? model->experts_read(model->user, a->pass->site.layer, o->experts->count, o->routes->per_token,
                                            o->routes->tokens, o->routes->distinct)
                      : alloy_even_routing(o->experts->count, o->routes->per_token, o->routes->distinct);
    double classic_read = (double)(rows < experts ? rows : experts);
    alloy_count swiglu = o->limit > 0 ? 8 : 5; /* operations an element */
    alloy_cost_let(cost, rows, hidden, inner, swiglu);
    alloy_cost_tensor(cost, rows * 6 * hidden * inner);
    alloy_cost_vector(cost, swiglu * rows * inner + 2 * rows * hidden);
    alloy_cost_classic(cost, rows * (6 * hidden * inner + 5 * inner));
    alloy_cost_weight(cost, &o->experts->gate[0], hidden * inner, read, classic_read);
    alloy_cost_weight(cost, &o->experts->up[0], hidden * inner, read, classic_read);
    alloy_cost_weight(cost, &o->experts->down[0], hidden * inner, read, classic_read);
}

static const alloy_op experts_op = {"experts", run, count};

alloy_tensor *alloy_experts(alloy_pass *p, alloy_tensor *x, alloy_routes *routes, const alloy_expert_weights *experts)
{
    return alloy_experts_clamped(p, x, routes, experts, 0);
}

alloy_tensor *alloy_experts_clamped(alloy_pass *p, alloy_tensor *x, alloy_routes *routes,
                                    const alloy_expert_weights *experts, double limit)
{
    if (alloy_pass_stopped(p, x) || !routes)
        return NULL;
    if (routes->experts != experts->count || experts->gate[0].shape[1] != alloy_row_size(x))
        return alloy_shape_fail(p, "experts", "%lld experts of rows of %lld; routes over %lld, x has rows of %lld",
                                (long long)experts->count, (long long)experts->gate[0].shape[1],
                                (long long)routes->experts, (long long)alloy_row_size(x));
    alloy_tensor *y = alloy_tensor_new(p, 2, (int64_t[]){x->shape[0], alloy_row_size(x)});
    struct options options = {routes, experts, (float)limit};
    return y ? alloy_apply(p, &experts_op,
                           &(alloy_args){.in = {x}, .out = {y}, .options = &options, .options_size = sizeof options})
             : NULL;
}
