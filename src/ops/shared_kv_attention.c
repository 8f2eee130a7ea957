/* DeepSeek-V4's attention (alloy_shared_kv_attention): one head of rows that are keys and values at once, over a window
 * of tokens and the entries of a compressor, with sinks. */
#include "ops/ops.h"
#include "ops/pairs.h"

/* What the tokens of a span see. */
struct visible {
    alloy_wide pairs;     /* of a token and a row */
    alloy_wide rows_read; /* rows of the window that are kept before them */
    alloy_wide entries;   /* entries read: without the new ones */
};

static void add_visible(struct visible *v, const alloy_args *a, const alloy_span *s)
{
    const struct alloy_shared_kv_attention_options *o = a->options;
    const alloy_tensor *chosen = a->in[1];
    alloy_wide fresh = s->count, past = s->past, total = past + fresh, window = o->window;
    alloy_wide pairs = alloy_window_pairs(total, window) - alloy_window_pairs(past, window);
    alloy_wide entries = 0;
    if (a->state[1].state) {
        alloy_wide rate = alloy_part_spec_of(a->state[1])->rate;
        alloy_wide most = chosen ? chosen->shape[1] : 0;
        pairs += chosen ? alloy_chosen_pairs(total, rate, most) - alloy_chosen_pairs(past, rate, most)
                        : alloy_entry_pairs(total, rate) - alloy_entry_pairs(past, rate);
        entries = chosen ? alloy_count_least(past / rate, fresh * most) : past / rate;
    }
    v->pairs += s->repeat * pairs;
    v->rows_read += s->repeat * alloy_count_least(past, window - 1);
    v->entries += s->repeat * entries;
}

/* Softmax is 5 a pair, a sink an exp. A key is its value: it is read once. Chosen entries: no more than all of them,
 * and than what all tokens choose. */
static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_wide n = a->in[0]->shape[0], heads = a->in[0]->shape[1], d = a->in[0]->shape[2];
    struct visible v = {0};
    for (int64_t i = 0; i < a->pass->span_count; i++)
        add_visible(&v, a, &a->pass->spans[i]);
    alloy_wide pairs = v.pairs;
    alloy_wide_let(cost, n, heads, d, pairs);
    alloy_wide_tensor(cost, 4 * heads * d * pairs);
    alloy_wide_vector(cost, 5 * heads * pairs + n * heads);
    alloy_cost_weight(cost, a->weight[0], heads, 1);
    alloy_wide_cache(cost, ALLOY_CACHE_KV, (v.rows_read + v.entries) * d, 0);
}

const alloy_op alloy_op_shared_kv_attention = {"shared_kv_attention", NULL, count};

static int64_t row_width(alloy_state_part rows)
{
    return alloy_part_spec_of(rows)->width;
}

alloy_tensor *alloy_shared_kv_attention(alloy_pass *p, alloy_tensor *q, alloy_state_part kv,
                                        const alloy_state_part *entries, const alloy_chosen *chosen,
                                        const alloy_weight *sinks, double scale, int64_t window)
{
    if (alloy_pass_stopped(p, q) || !kv.state || (entries && !entries->state) || (chosen && !chosen->entry))
        return NULL;
    if (q->ndim != 3 || row_width(kv) != q->shape[2] || (entries && row_width(*entries) != q->shape[2]) || window < 1 ||
        (chosen && !entries) || !sinks || sinks->shape[0] != q->shape[1])
        return alloy_shape_fail(p, "shared_kv_attention", "queries [n, %lld, %lld], rows of %lld, a window of %lld",
                                (long long)q->shape[1], (long long)q->shape[2], (long long)row_width(kv),
                                (long long)window);
    if (!alloy_attention_fits(q->shape[2], q->shape[2]))
        return alloy_pass_fail(p, ALLOY_UNSUPPORTED, "shared_kv_attention: heads of %lld", (long long)q->shape[2]);
    alloy_tensor *y = alloy_tensor_like(p, q);
    struct alloy_shared_kv_attention_options options = {scale, window};
    alloy_args args = {
        .in = {q}, .out = {y}, .weight = {sinks}, .state = {kv}, .options = &options, .options_size = sizeof options};
    if (entries)
        args.state[1] = *entries;
    if (chosen)
        args.in[1] = chosen->entry, args.in[2] = chosen->count;
    return y ? alloy_apply(p, &alloy_op_shared_kv_attention, &args) : NULL;
}
