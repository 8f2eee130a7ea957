/* Rows of the embedding for the batch's ids. In count: ids are not known, a row is read for each token. */
#include "ops/ops.h"

static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_cost_ids(cost, a->pass->tokens);
    alloy_cost_weight(cost, a->weight[0], (alloy_wide)a->pass->tokens * a->weight[0]->shape[1], 1);
}

const alloy_op alloy_op_embedding = {"embedding", NULL, count};

alloy_tensor *alloy_embedding(alloy_pass *p, const alloy_weight *w)
{
    const int64_t *ids = alloy_i64(p->ids);
    for (int64_t t = 0; ids && t < p->tokens; t++)
        if (ids[t] < 0 || ids[t] >= w->shape[0])
            return alloy_pass_fail(p, ALLOY_RANGE, "token id %lld, the model knows 0 to %lld", (long long)ids[t],
                                   (long long)w->shape[0] - 1);
    alloy_tensor *y = alloy_tensor_new(p, 2, (int64_t[]){p->tokens, w->shape[1]});
    return y ? alloy_apply(p, &alloy_op_embedding, &(alloy_args){.in = {p->ids}, .out = {y}, .weight = {w}}) : NULL;
}
