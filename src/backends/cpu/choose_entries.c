/* The Lightning Indexer. The k-th best score is found by its bits, a byte a step, so that no score is copied or moved.
 *
 * Tokens are taken in groups whose scores fit into memory; of a group, (token, block of entries) are scored in
 * parallel, then tokens choose in parallel. */
#include "backends/cpu/cpu.h"

#include <math.h>
#include <string.h>

enum { MOST_BLOCK = ALLOY_ATTENTION_BLOCK, SCORES_A_GROUP = 1 << 22 };

struct choosing {
    const alloy_args *args;
    int64_t heads, d, rate;
    int64_t block;        /* entries that a task scores: with all heads their dots fit into its scratch */
    float scale;          /* d^-1/2 */
    float head_scale;     /* heads^-1/2 */
    int64_t token;        /* first of the group, in the batch */
    int64_t stride;       /* scores of a token */
    float *scores;        /* [group, stride] */
    const int64_t *spans; /* [tokens] number of each token's span */
    bool *failed;         /* [tokens] a score is NaN */
};

/* The entries that a token of the batch sees. */
static int64_t seen_by(const struct choosing *c, int64_t token)
{
    const alloy_span *s = &c->args->pass->spans[c->spans[token]];
    return (s->past + token - s->first + 1) / c->rate;
}

static void score_block(void *context, int64_t index, void *scratch)
{
    const struct choosing *c = context;
    int64_t blocks = (c->stride + c->block - 1) / c->block, token = c->token + index / blocks;
    int64_t first = index % blocks * c->block, count = seen_by(c, token) - first;
    if (count <= 0)
        return;
    count = count > c->block ? c->block : count;
    const alloy_kernels *kernels = c->args->pass->kernels;
    alloy_dtype dtype = c->args->state[0].state->rows_dtype;
    int64_t bytes = c->d * alloy_dtype_bits(dtype) / 8;
    const alloy_state_store *keys = alloy_store_of(c->args->state[0], c->spans[token]);
    float *dots = scratch, *weights = dots + c->heads * c->block;
    alloy_linear_job job = {.y = dots,
                            .y_stride = c->block,
                            .x = alloy_f32(c->args->in[0]) + token * c->heads * c->d,
                            .x_stride = c->d,
                            .n = c->heads,
                            .k = c->d,
                            .w = alloy_store_row(keys, first, bytes),
                            .dtype = dtype,
                            .w_stride = bytes,
                            .rows = count,
                            .scale = c->scale};
    kernels->linear(&job, alloy_kernel_scratch(scratch));
    for (int64_t h = 0; h < c->heads; h++)
        weights[h] = alloy_f32(c->args->in[1])[token * c->heads + h] * c->head_scale;
    kernels->index_scores(c->scores + (token - c->token) * c->stride + first, dots, c->block, weights, c->heads, count);
}

/* Bits that rise with the value; one number for both zeros. */
static uint32_t rank_of(float score)
{
    uint32_t bits;
    score += 0.0f;
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? ~bits : bits | UINT32_C(0x80000000);
}

/* The rank of the k-th best of n > k scores; *ties: how many of that rank are among the k. */
static uint32_t kth_best(const float *scores, int64_t n, int64_t k, int64_t *ties)
{
    uint32_t prefix = 0, mask = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        int64_t with_byte[256] = {0};
        for (int64_t i = 0; i < n; i++) {
            uint32_t rank = rank_of(scores[i]);
            with_byte[rank >> shift & 255] += (rank & mask) == prefix;
        }
        uint32_t byte = 255;
        for (; with_byte[byte] < k; byte--)
            k -= with_byte[byte];
        prefix |= byte << shift;
        mask |= UINT32_C(255) << shift;
    }
    *ties = k;
    return prefix;
}

static void choose(void *context, int64_t index, void *scratch)
{
    (void)scratch;
    const struct choosing *c = context;
    int64_t token = c->token + index, n = seen_by(c, token), most = c->args->out[0]->shape[1], ties = 0, have = 0;
    const float *scores = c->scores + index * c->stride;
    int32_t *entry = alloy_i32(c->args->out[0]) + token * most;
    for (int64_t i = 0; i < n; i++)
        c->failed[token] |= isnan(scores[i]);
    uint32_t last = 0; /* every score ranks above it */
    if (n > most)
        last = kth_best(scores, n, most, &ties);
    for (int64_t i = 0; i < n && have < most; i++) {
        uint32_t rank = rank_of(scores[i]);
        if (rank < last || (rank == last && ties-- <= 0))
            continue;
        entry[have++] = (int32_t)i;
    }
    alloy_i32(c->args->out[1])[token] = (int32_t)have;
}

/* Scores and chooses for the whole batch, group by group. */
static void run_groups(struct choosing *c, int64_t stride)
{
    alloy_pass *p = c->args->pass;
    int64_t group = SCORES_A_GROUP / (stride + 1) + 1;
    c->stride = stride;
    group = group > p->tokens ? p->tokens : group;
    c->scores = alloy_pass_take(p, group * c->stride, sizeof *c->scores);
    if (!c->scores)
        return;
    for (c->token = 0; c->token < p->tokens; c->token += group) {
        int64_t tokens = p->tokens - c->token < group ? p->tokens - c->token : group;
        alloy_parallel(p->team, tokens * ((c->stride + c->block - 1) / c->block), score_block, c);
        alloy_parallel(p->team, tokens, choose, c);
    }
    for (int64_t t = 0; t < p->tokens && !p->status; t++)
        if (c->failed[t])
            alloy_pass_token_not_finite(p, t, "a score of the indexer");
}

void alloy_cpu_choose_entries(const alloy_args *a)
{
    alloy_pass *p = a->pass;
    int64_t *spans = alloy_pass_take(p, p->tokens, sizeof *spans);
    struct choosing c = {.args = a,
                         .heads = a->in[0]->shape[1],
                         .d = a->in[0]->shape[2],
                         .rate = alloy_part_spec_of(a->state[0])->rate,
                         .spans = spans,
                         .failed = alloy_pass_take_zeroed(p, p->tokens, sizeof *c.failed)};
    int64_t room = ALLOY_TASK_SCRATCH / (int64_t)sizeof(float) / c.heads - 1; /* a weight beside each head's dots */
    for (c.block = MOST_BLOCK; c.block > room; c.block /= 2) /* so that none crosses the end of a page */
        continue;
    c.scale = (float)(1 / sqrt((double)c.d));
    c.head_scale = (float)(1 / sqrt((double)c.heads));
    if (!spans || !c.failed)
        return;
    for (int64_t i = 0; i < p->span_count; i++)
        for (int64_t t = 0; t < p->spans[i].count; t++)
            spans[p->spans[i].first + t] = i;
    run_groups(&c, alloy_most_entries_seen(p, c.rate));
}
