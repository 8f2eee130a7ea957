/* Rows of the embedding for the batch's ids. In count: ids are not known, a row is read for each token. */
#include "ops/pass.h"

#include <string.h>

enum { ROWS_A_PIECE = 64 };

static void copy_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const alloy_args *a = context;
    const alloy_weight *w = a->weight[0];
    const int64_t *ids = alloy_i64(a->in[0]);
    int64_t d = w->shape[1];
    for (int64_t t = first; t < first + count; t++)
        alloy_weight_widen(a->pass->kernels, w, ids[t] * d, d, alloy_f32(a->out[0]) + t * d);
}

/* Row by row, since rows lie anywhere; all that fit are asked for before the first is read. */
static void run_held(const alloy_args *a)
{
    alloy_pass *p = a->pass;
    const alloy_weight *w = a->weight[0];
    const int64_t *ids = alloy_i64(a->in[0]);
    int64_t d = w->shape[1];
    for (int64_t t = 0, ahead = 0; t < p->tokens; t++) {
        while (ahead < p->tokens && alloy_weight_announce(p->residency, w, ids[ahead] * d, d))
            ahead++;
        alloy_weight_hold(p->residency, w, ids[t] * d, d, ALLOY_READ_BY_CHOICE);
        copy_rows((void *)a, t, 1, NULL);
        alloy_weight_let_go(p->residency, w, ids[t] * d, d, ALLOY_READ_BY_CHOICE);
        ahead = ahead > t ? ahead : t + 1;
    }
}

static void run(const alloy_args *a)
{
    alloy_args copy = *a;
    if (a->pass->residency)
        run_held(&copy);
    else
        alloy_pass_ranges(a->pass, a->pass->tokens, ROWS_A_PIECE, copy_rows, &copy);
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_cost_ids(cost, a->pass->tokens);
    alloy_cost_weight(cost, a->weight[0], (alloy_count)a->pass->tokens * a->weight[0]->shape[1], 1, 1);
}

static const alloy_op embedding = {"embedding", run, count};

alloy_tensor *alloy_embedding(alloy_pass *p, const alloy_weight *w)
{
    const int64_t *ids = alloy_i64(p->ids);
    for (int64_t t = 0; ids && t < p->tokens; t++)
        if (ids[t] < 0 || ids[t] >= w->shape[0])
            return alloy_pass_fail(p, ALLOY_RANGE, "token id %lld, the model knows 0 to %lld", (long long)ids[t],
                                   (long long)w->shape[0] - 1);
    alloy_tensor *y = alloy_tensor_new(p, 2, (int64_t[]){p->tokens, w->shape[1]});
    return y ? alloy_apply(p, &embedding, &(alloy_args){.in = {p->ids}, .out = {y}, .weight = {w}}) : NULL;
}
