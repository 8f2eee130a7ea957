/* DeepSeek's routers, by score and by id. */
#include "backends/cpu/routes.h"

#include <string.h>

enum { ROWS_A_PIECE = 16 };

static const float SUM_EPS = (float)ALLOY_ROUTE_EPS;

struct routing {
    const alloy_args *args;
    const struct alloy_route_scores_options *o;
    int64_t experts, k;
    const float *bias;   /* [experts] */
    const float *logits; /* by id: [tokens, k] */
};

/* Those of a token. */
static int32_t *experts_of(const struct routing *r, int64_t token)
{
    return alloy_i32(r->args->out[0]) + token * r->k;
}

static float *weights_of(const struct routing *r, int64_t token)
{
    return alloy_f32(r->args->out[1]) + token * r->k;
}

static void score(const struct routing *r, float *scores, const float *logits, int64_t n)
{
    const alloy_kernels *kernels = r->args->pass->kernels;
    if (r->o->scoring == ALLOY_SQRT_SOFTPLUS)
        kernels->sqrt_softplus(scores, logits, n);
    else if (r->o->scoring == ALLOY_SIGMOID)
        kernels->vector.sigmoid(scores, logits, n);
    else
        kernels->softmax(scores, logits, 1, n);
}

static void finish(const struct routing *r, float *weight, float *scratch)
{
    const float scale = (float)r->o->scale;
    alloy_divide_by_sum(weight, r->k, SUM_EPS, scratch);
    for (int64_t i = 0; i < r->k; i++)
        weight[i] = weight[i] * scale;
}

/* ---- By score ---------------------------------------------------------------------------------------------------- */

static void route_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    const struct routing *r = context;
    float *scores = scratch, *ranks = scores + r->experts;
    for (int64_t t = first; t < first + count; t++) {
        int32_t *expert = experts_of(r, t);
        float *weight = weights_of(r, t);
        score(r, scores, alloy_f32(r->args->in[0]) + t * r->experts, r->experts);
        r->args->pass->kernels->vector.add(ranks, scores, r->bias, r->experts);
        alloy_choose_experts(ranks, r->experts, r->k, expert);
        for (int64_t i = 0; i < r->k; i++)
            weight[i] = scores[expert[i]];
        finish(r, weight, ranks);
    }
}

void alloy_cpu_route_scores(const alloy_args *a)
{
    struct routing routing = {.args = a,
                              .o = a->options,
                              .experts = alloy_row_size(a->in[0]),
                              .k = a->out[0]->shape[1],
                              .bias = alloy_weight_widened(a->pass, a->weight[0])};
    if (routing.bias && alloy_pass_check_finite(a->pass, a->in[0], NULL, ALLOY_ROUTER_LOGIT))
        alloy_pass_ranges(a->pass, a->in[0]->shape[0], ROWS_A_PIECE, route_rows, &routing);
}

/* ---- By id ------------------------------------------------------------------------------------------------------- */

/* The k experts of a token's id. */
static void read_experts(alloy_pass *p, const alloy_weight *table, int64_t id, int64_t k, int32_t *expert)
{
    alloy_weight_hold(p->residency, table, id * k, k, ALLOY_READ_BY_CHOICE);
    for (int64_t i = 0; i < k; i++)
        expert[i] = (int32_t)alloy_index_at(table, id * k + i);
    alloy_weight_let_go(p->residency, table, id * k, k, ALLOY_READ_BY_CHOICE);
}

/* The experts of each token, and a product of one row for each. */
static void look_up(const struct routing *r, alloy_linear_job *jobs, float *logits)
{
    const alloy_args *a = r->args;
    int64_t k = r->k, hidden = alloy_row_size(a->in[0]);
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++) {
        int32_t *expert = experts_of(r, t);
        read_experts(a->pass, a->weight[1], alloy_i64(a->in[1])[t], k, expert);
        alloy_sort_experts(expert, k);
        for (int64_t i = 0; i < k; i++) {
            alloy_linear_job *job = &jobs[t * k + i];
            *job = alloy_linear_job_of(a->weight[0], alloy_f32(a->in[0]) + t * hidden, 1, logits + t * k + i);
            job->w = (const char *)job->w + expert[i] * job->w_stride;
            job->rows = 1;
        }
    }
}

static void weigh_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    const struct routing *r = context;
    for (int64_t t = first; t < first + count; t++) {
        float *weight = weights_of(r, t);
        score(r, weight, r->logits + t * r->k, r->k);
        finish(r, weight, scratch);
    }
}

void alloy_cpu_route_by_id(const alloy_args *a)
{
    int64_t tokens = a->in[0]->shape[0], k = a->out[0]->shape[1], rows = tokens * k;
    alloy_linear_job *jobs = alloy_pass_take(a->pass, rows, sizeof *jobs);
    alloy_tensor *logits = alloy_tensor_new(a->pass, 2, a->out[0]->shape);
    if (!jobs || !logits)
        return;
    struct routing routing = {.args = a, .o = a->options, .k = k, .logits = alloy_f32(logits)};
    look_up(&routing, jobs, alloy_f32(logits));
    alloy_run_linear_jobs(a->pass, jobs, rows, ALLOY_READ_BY_CHOICE);
    if (alloy_pass_check_finite(a->pass, logits, NULL, ALLOY_ROUTER_LOGIT))
        alloy_pass_ranges(a->pass, tokens, ROWS_A_PIECE, weigh_rows, &routing);
}

void alloy_foresee_by_id(alloy_pass *p, const alloy_weight *table, const alloy_expert_weights *experts)
{
    int64_t k = table->shape[1];
    if (!p->residency || p->status)
        return;
    int32_t *expert = alloy_pass_take(p, k, sizeof *expert);
    for (int64_t t = 0; expert && t < p->tokens; t++) {
        read_experts(p, table, alloy_i64(p->ids)[t], k, expert);
        for (int64_t i = 0; i < k; i++) {
            const alloy_weight *parts[] = {&experts->gate[expert[i]], &experts->up[expert[i]],
                                           &experts->down[expert[i]]};
            for (int part = 0; part < 3; part++)
                if (!alloy_weight_announce(p->residency, parts[part], 0, parts[part]->shape[0] * parts[part]->shape[1]))
                    return;
        }
    }
}
