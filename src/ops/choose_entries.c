/* DeepSeek-V4's Lightning Indexer: each token scores the entries that it sees and keeps the best.
 *
 *     score = dot over heads h of (w[h] * heads^-1/2) and (max(0, dot(q[h], key)) * d^-1/2)
 *
 * Ranking: larger first, ties to the earlier entry, -0 equals +0; a NaN is an error of the pass. Chosen entries are
 * kept in rising order. The k-th best is found by its bits, a byte a step, so that no score is copied or moved.
 *
 * Tokens are taken in groups whose scores fit into memory; of a group, (token, block of entries) are scored in
 * parallel, then tokens choose in parallel. */
#include "ops/pairs.h"
#include "ops/pass.h"
#include "ops/state.h"

#include <math.h>
#include <string.h>

enum { MOST_BLOCK = 128, SCORES_A_GROUP = 1 << 22, MOST_HEADS = ALLOY_TASK_SCRATCH / 2 / (int)sizeof(float) };

/* in: queries, weights. out: entries, how many. state: keys. */
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
    const char *keys = alloy_store_of(c->args->state[0], c->spans[token])->data;
    float *dots = scratch, *weights = dots + c->heads * c->block;
    alloy_linear_job job = {.y = dots,
                            .y_stride = c->block,
                            .x = alloy_f32(c->args->in[0]) + token * c->heads * c->d,
                            .x_stride = c->d,
                            .n = c->heads,
                            .k = c->d,
                            .w = keys + first * bytes,
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
            alloy_pass_fail(p, ALLOY_RANGE,
                            "indexer: a score is NaN; the weights of the model are damaged or overflow fp32");
}

/* Entries that the last token of any sequence sees. */
static int64_t most_seen(const alloy_pass *p, int64_t rate)
{
    int64_t most = 0;
    for (int64_t i = 0; i < p->span_count; i++) {
        int64_t seen = (p->spans[i].past + p->spans[i].count) / rate;
        most = seen > most ? seen : most;
    }
    return most;
}

static void run(const alloy_args *a)
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
    c.block = room < MOST_BLOCK ? room : MOST_BLOCK;
    c.scale = (float)(1 / sqrt((double)c.d));
    c.head_scale = (float)(1 / sqrt((double)c.heads));
    if (!spans || !c.failed)
        return;
    for (int64_t i = 0; i < p->span_count; i++)
        for (int64_t t = 0; t < p->spans[i].count; t++)
            spans[p->spans[i].first + t] = i;
    run_groups(&c, most_seen(p, c.rate));
}

/* A score: per head a dot, then max, two products and a sum; choosing compares once a score. The published convention
 * scores the rectangle of tokens and entries. */
static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_count heads = a->in[0]->shape[1], d = a->in[0]->shape[2], rate = alloy_part_spec_of(a->state[0])->rate;
    alloy_count scores = 0, rectangle = 0, keys = 0;
    for (int64_t i = 0; i < a->pass->span_count; i++) {
        const alloy_span *s = &a->pass->spans[i];
        alloy_count past = s->past, total = past + s->count;
        scores += s->repeat * (alloy_entry_pairs(total, rate) - alloy_entry_pairs(past, rate));
        rectangle += s->repeat * (s->count * ((total + rate - 1) / rate));
        keys += s->repeat * (past / rate);
    }
    alloy_cost_let(cost, heads, d, scores, rectangle);
    alloy_cost_tensor(cost, 2 * heads * d * scores);
    alloy_cost_vector(cost, 4 * heads * scores + scores);
    alloy_cost_classic(cost, 2 * heads * d * rectangle);
    alloy_cost_cache(cost, ALLOY_CACHE_INDEXER, keys * d, 0, 0, 0);
}

static const alloy_op choose_entries = {"choose_entries", run, count};

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
        int64_t seen = most_seen(p, alloy_part_spec_of(keys)->rate);
        most = seen < most ? seen : most;
        if (q->shape[1] > MOST_HEADS)
            alloy_pass_fail(p, ALLOY_UNSUPPORTED, "indexer: %lld heads, %d are possible", (long long)q->shape[1],
                            MOST_HEADS);
        else if (most > INT32_MAX)
            alloy_pass_fail(p, ALLOY_UNSUPPORTED, "indexer: %lld entries of a token, %d are possible", (long long)most,
                            INT32_MAX);
    }
    alloy_tensor *entry = alloy_tensor_of(p, ALLOY_I32, 2, (int64_t[]){p->tokens, most});
    alloy_tensor *count = alloy_tensor_of(p, ALLOY_I32, 1, (int64_t[]){p->tokens});
    if (entry && count &&
        alloy_apply(p, &choose_entries, &(alloy_args){.in = {q, weights}, .out = {entry, count}, .state = {keys}}))
        chosen = (alloy_chosen){entry, count};
    return chosen;
}
