/* DeepSeek-V4's attention (alloy_shared_kv_attention): one head of rows that are keys and values at once, over a window
 * of tokens and the entries of a compressor, with sinks. */
#include "ops/ops.h"
#include "ops/pairs.h"

/* Softmax is 5 a pair of a token and a row, a sink an exp. A key is its value: it is read once, rows of the window and
 * entries that were there before. Chosen entries: no more than all of them, and than what all tokens choose. */
static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct alloy_shared_kv_attention_options *o = a->options;
    const alloy_tensor *chosen = a->in[1];
    alloy_wide n = a->in[0]->shape[0], heads = a->in[0]->shape[1], d = a->in[0]->shape[2], pairs = 0, rows = 0;
    for (const alloy_span *s = a->pass->spans; s < a->pass->spans + a->pass->span_count; s++) {
        alloy_wide past = s->past, total = past + s->count, window = o->window;
        pairs += s->repeat * (alloy_window_pairs(total, window) - alloy_window_pairs(past, window));
        rows += s->repeat * alloy_count_least(past, window - 1);
        if (!a->state[1].state)
            continue;
        alloy_wide rate = alloy_part_spec_of(a->state[1])->rate, most = chosen ? chosen->shape[1] : 0;
        pairs += s->repeat * (chosen ? alloy_chosen_pairs(total, rate, most) - alloy_chosen_pairs(past, rate, most)
                                     : alloy_entry_pairs(total, rate) - alloy_entry_pairs(past, rate));
        rows += s->repeat * (chosen ? alloy_count_least(past / rate, s->count * most) : past / rate);
    }
    alloy_wide_let(cost, n, heads, d, pairs);
    alloy_wide_tensor(cost, 4 * heads * d * pairs);
    alloy_wide_vector(cost, 5 * heads * pairs + n * heads);
    alloy_cost_weight(cost, a->weight[0], heads, 1);
    alloy_wide_cache(cost, ALLOY_CACHE_KV, rows * d, 0);
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
