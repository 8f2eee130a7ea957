/* Routers, and the experts that they choose. */
#include "backends/fp64/fp64.h"

#include <string.h>

/* Is candidate `a` ranked before `b`? */
static bool is_before(const double *ranks, int64_t a, int64_t b)
{
    return ranks[a] > ranks[b] || (!(ranks[a] < ranks[b]) && a < b);
}

int32_t alloy_fp64_choose(const double *ranks, int64_t n, int64_t k, int32_t *chosen)
{
    int32_t have = 0;
    for (int64_t i = 0; i < n && have < k; i++) {
        int64_t better = 0;
        for (int64_t j = 0; j < n; j++)
            better += is_before(ranks, j, i);
        if (better < k)
            chosen[have++] = (int32_t)i;
    }
    return have;
}

/* Chooses for all tokens, and takes another run's choice where the pass follows one. */
static void choose_experts(const alloy_args *a, const double *ranks, int64_t experts)
{
    int64_t k = a->out[0]->shape[1];
    for (int64_t t = 0; t < a->out[0]->shape[0]; t++)
        alloy_fp64_choose(ranks + t * experts, experts, k, alloy_i32(a->out[0]) + t * k);
    if (a->pass->follow)
        a->pass->follow(a->pass->follow_user, a, ranks, experts);
}

/* The chosen scores of each token over (their sum + eps), times `scale`; `divides` false: as they are. */
static void weigh(const alloy_args *a, const double *scores, int64_t experts, bool divides, double eps, double scale)
{
    int64_t k = a->out[0]->shape[1];
    for (int64_t t = 0; t < a->out[0]->shape[0]; t++) {
        const int32_t *expert = alloy_i32(a->out[0]) + t * k;
        double *weight = alloy_f64(a->out[1]) + t * k, sum = eps;
        for (int64_t i = 0; i < k; i++)
            sum += weight[i] = scores[t * experts + expert[i]];
        for (int64_t i = 0; i < k; i++)
            weight[i] = (divides ? weight[i] / sum : weight[i]) * scale;
    }
}

static double *copy_of(const alloy_args *a)
{
    int64_t n = alloy_tensor_size(a->in[0]);
    double *copy = alloy_pass_take(a->pass, n, sizeof *copy);
    return copy ? memcpy(copy, alloy_f64(a->in[0]), (size_t)n * sizeof *copy) : NULL;
}

void alloy_fp64_route_softmax(const alloy_args *a)
{
    const struct alloy_route_softmax_options *o = a->options;
    int64_t n = a->in[0]->shape[0], experts = alloy_row_size(a->in[0]);
    double *scores = alloy_pass_check_finite(a->pass, a->in[0], NULL, ALLOY_ROUTER_LOGIT) ? copy_of(a) : NULL;
    if (!scores)
        return;
    choose_experts(a, alloy_f64(a->in[0]), experts);
    for (int64_t t = 0; t < n; t++)
        alloy_fp64_softmax(scores + t * experts, experts);
    weigh(a, scores, experts, o->normalize, 0, 1);
}

static void score(alloy_scoring scoring, double *x, int64_t n)
{
    if (scoring == ALLOY_SOFTMAX)
        alloy_fp64_softmax(x, n);
    for (int64_t i = 0; scoring != ALLOY_SOFTMAX && i < n; i++)
        x[i] = scoring == ALLOY_SIGMOID ? alloy_fp64_sigmoid(x[i])
                                        : sqrt(x[i] > 0 ? x[i] + log1p(exp(-x[i])) : log1p(exp(x[i])));
}

void alloy_fp64_route_scores(const alloy_args *a)
{
    const struct alloy_route_scores_options *o = a->options;
    int64_t n = a->in[0]->shape[0], experts = alloy_row_size(a->in[0]);
    const double *bias = alloy_fp64_weight(a->pass, a->weight[0]);
    double *scores = alloy_pass_check_finite(a->pass, a->in[0], NULL, ALLOY_ROUTER_LOGIT) ? copy_of(a) : NULL;
    double *ranks = alloy_pass_take(a->pass, n * experts, sizeof *ranks);
    if (!bias || !scores || !ranks)
        return;
    for (int64_t t = 0; t < n; t++)
        score(o->scoring, scores + t * experts, experts);
    for (int64_t i = 0; i < n * experts; i++)
        ranks[i] = scores[i] + bias[i % experts];
    choose_experts(a, ranks, experts);
    weigh(a, scores, experts, true, ALLOY_ROUTE_EPS, o->scale);
}

static void sort(int32_t *x, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        for (int64_t j = i; j > 0 && x[j] < x[j - 1]; j--) {
            int32_t other = x[j];
            x[j] = x[j - 1];
            x[j - 1] = other;
        }
}

/* All logits are computed; the table says which are used. */
void alloy_fp64_route_by_id(const alloy_args *a)
{
    const struct alloy_route_scores_options *o = a->options;
    int64_t n = a->in[0]->shape[0], experts = a->weight[0]->shape[0], k = a->out[0]->shape[1];
    alloy_tensor *logits = alloy_tensor_new(a->pass, 2, (int64_t[]){n, experts});
    if (!logits)
        return;
    double *scores = alloy_f64(logits);
    alloy_fp64_multiply(a->pass, &(alloy_fp64_product){alloy_f64(a->in[0]), alloy_row_size(a->in[0]), n, a->weight[0],
                                                       0, experts, NULL, scores, experts});
    if (!alloy_pass_check_finite(a->pass, logits, NULL, ALLOY_ROUTER_LOGIT))
        return;
    score(o->scoring, scores, n * experts);
    for (int64_t t = 0; t < n; t++) {
        for (int64_t i = 0; i < k; i++)
            alloy_i32(a->out[0])[t * k + i] = (int32_t)alloy_index_at(a->weight[1], alloy_i64(a->in[1])[t] * k + i);
        sort(alloy_i32(a->out[0]) + t * k, k);
    }
    if (a->pass->follow) /* there is nothing to choose, but each op that makes indices is told of */
        a->pass->follow(a->pass->follow_user, a, scores, experts);
    weigh(a, scores, experts, true, ALLOY_ROUTE_EPS, o->scale);
}

/* Expert by expert, the tokens that chose it one by one; `up` [2, I], y [H]. */
void alloy_fp64_experts(const alloy_args *a)
{
    const struct alloy_experts_options *o = a->options;
    const alloy_expert_weights *e = a->experts;
    alloy_pass *p = a->pass;
    int64_t hidden = alloy_row_size(a->in[0]), inner = e->gate[0].shape[0], k = a->in[1]->shape[1],
            rows = alloy_tensor_size(a->in[1]);
    double *up = alloy_pass_take(p, 2 * inner, sizeof *up), *y = alloy_pass_take(p, hidden, sizeof *y);
    memset(alloy_f64(a->out[0]), 0, (size_t)alloy_tensor_size(a->out[0]) * sizeof(double));
    for (int64_t i = 0; up && y && i < rows; i++) {
        int32_t expert = alloy_i32(a->in[1])[i];
        const double *x = alloy_f64(a->in[0]) + i / k * hidden;
        double *to = alloy_f64(a->out[0]) + i / k * hidden;
        alloy_fp64_multiply(p,
                            &(alloy_fp64_product){x, hidden, 1, &e->gate[expert], 0, inner, NULL, up + inner, inner});
        alloy_fp64_multiply(p, &(alloy_fp64_product){x, hidden, 1, &e->up[expert], 0, inner, NULL, up, inner});
        for (int64_t j = 0; j < inner; j++)
            up[j] = alloy_fp64_swiglu(up[inner + j], up[j], o->limit);
        alloy_fp64_multiply(p, &(alloy_fp64_product){up, inner, 1, &e->down[expert], 0, hidden, NULL, y, hidden});
        for (int64_t j = 0; j < hidden; j++)
            to[j] += alloy_f64(a->in[2])[i] * y[j];
    }
}
