/* DeepSeek-V4's Lightning Indexer: each token scores the entries that it sees and keeps the best.
 *
 *     score = dot over heads h of (w[h] * heads^-1/2) and (max(0, dot(q[h], key)) * d^-1/2)
 *
 * Ranking: larger first, ties to the earlier entry, -0 equals +0; a NaN is an error of the pass. Chosen entries are
 * kept in rising order. */
#include "ops/ops.h"
#include "ops/pairs.h"

int64_t alloy_most_entries_seen(const alloy_pass *p, int64_t rate)
{
    int64_t most = 0;
    for (int64_t i = 0; i < p->span_count; i++) {
        int64_t seen = (p->spans[i].past + p->spans[i].count) / rate;
        most = seen > most ? seen : most;
    }
    return most;
}

/* A score: per head a dot, then max, two products and a sum; choosing compares once a score. */
static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_wide heads = a->in[0]->shape[1], d = a->in[0]->shape[2], rate = alloy_part_spec_of(a->state[0])->rate;
    alloy_wide scores = 0, keys = 0;
    for (const alloy_span *s = a->pass->spans; s < a->pass->spans + a->pass->span_count; s++) {
        alloy_wide past = s->past, total = past + s->count;
        scores += s->repeat * (alloy_entry_pairs(total, rate) - alloy_entry_pairs(past, rate));
        keys += s->repeat * (past / rate);
    }
    alloy_wide_let(cost, heads, d, scores);
    alloy_wide_tensor(cost, 2 * heads * d * scores);
    alloy_wide_vector(cost, 4 * heads * scores + scores);
    alloy_wide_cache(cost, ALLOY_CACHE_INDEXER, keys * d, 0);
}

const alloy_op alloy_op_choose_entries = {"choose_entries", NULL, count};

static bool fits(alloy_pass *p, const alloy_tensor *q, const alloy_tensor *weights, const alloy_part_spec *part,
                 int64_t most)
{
    if (q->ndim == 3 && part->width == q->shape[2] && alloy_row_size(weights) == q->shape[1] && most >= 1)
        return true;
    alloy_shape_fail(p, "choose_entries", "queries [n, %lld, %lld], %lld weights, keys of %lld", (long long)q->shape[1],
                     (long long)q->shape[2], (long long)alloy_row_size(weights), (long long)part->width);
    return false;
}

/* In count no token is known to see fewer than `most`. */
alloy_chosen alloy_choose_entries(alloy_pass *p, alloy_tensor *q, alloy_tensor *weights, alloy_state_part keys,
                                  int64_t most)
{
    alloy_chosen chosen = {0};
    if (alloy_pass_stopped(p, q) || !weights || !keys.state || !fits(p, q, weights, alloy_part_spec_of(keys), most))
        return chosen;
    if (p->reading == ALLOY_READ_RUN) {
        int64_t seen = alloy_most_entries_seen(p, alloy_part_spec_of(keys)->rate);
        most = seen < most ? seen : most;
        if (q->shape[1] > ALLOY_MOST_INDEX_HEADS)
            alloy_pass_fail(p, ALLOY_UNSUPPORTED, "indexer: %lld heads, %d are possible", (long long)q->shape[1],
                            ALLOY_MOST_INDEX_HEADS);
        else if (most > INT32_MAX)
            alloy_pass_fail(p, ALLOY_UNSUPPORTED, "indexer: %lld entries of a token, %d are possible", (long long)most,
                            INT32_MAX);
    }
    alloy_tensor *entry = alloy_tensor_of(p, ALLOY_I32, 2, (int64_t[]){p->tokens, most});
    alloy_tensor *count = alloy_tensor_of(p, ALLOY_I32, 1, (int64_t[]){p->tokens});
    if (entry && count &&
        alloy_apply(p, &alloy_op_choose_entries,
                    &(alloy_args){.in = {q, weights}, .out = {entry, count}, .state = {keys}}))
        chosen = (alloy_chosen){entry, count};
    return chosen;
}
