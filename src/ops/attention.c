/* Causal softmax attention with grouped heads (arXiv:1706.03762, section 3.2.1; arXiv:2305.13245). */
#include "ops/ops.h"
#include "ops/pairs.h"

static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct alloy_attention_options *o = a->options;
    alloy_wide heads = a->in[0]->shape[1], d = a->in[0]->shape[2], dv = a->out[0]->shape[2],
               width = o->kv_heads * (d + dv);
    for (const alloy_span *s = a->pass->spans; s < a->pass->spans + a->pass->span_count; s++) {
        alloy_wide repeat = s->repeat, past = s->past, total = s->count + past, window = o->window;
        alloy_wide pairs = alloy_window_pairs(total, window) - alloy_window_pairs(past, window);
        alloy_wide_let(cost, heads, d, dv, repeat, pairs);
        alloy_wide_tensor(cost, 2 * (d + dv) * repeat * heads * pairs);
        alloy_wide_vector(cost, 5 * repeat * heads * pairs);
        alloy_wide kept = window && past > window - 1 ? window - 1 : past;
        alloy_wide_cache(cost, ALLOY_CACHE_KV, repeat * width * kept, 0);
    }
}

const alloy_op alloy_op_attention = {"attention", NULL, count};

int64_t alloy_attention_tile_bytes(int64_t rows, int64_t d, int64_t dv, bool shared)
{
    return (int64_t)sizeof(float) * (rows * (d + 2 * dv + 6) + ALLOY_ATTENTION_BLOCK * (shared ? d : d + dv)) + 11 * 64;
}

bool alloy_attention_fits(int64_t d, int64_t dv)
{
    return alloy_attention_tile_bytes(1, d, dv, false) <= ALLOY_TASK_SCRATCH;
}

static int64_t head_width(alloy_state_part rows, int64_t kv_heads)
{
    return alloy_part_spec_of(rows)->width / kv_heads;
}

alloy_tensor *alloy_attention(alloy_pass *p, alloy_tensor *q, alloy_state_part keys, alloy_state_part values,
                              int64_t kv_heads, double scale, int64_t window)
{
    if (alloy_pass_stopped(p, q) || !keys.state || !values.state)
        return NULL;
    if (q->ndim != 3 || kv_heads < 1 || q->shape[1] % kv_heads != 0 || head_width(keys, kv_heads) != q->shape[2])
        return alloy_shape_fail(p, "attention", "queries [n, %lld, %lld] over %lld key heads of %lld",
                                (long long)q->shape[1], (long long)q->shape[2], (long long)kv_heads,
                                (long long)head_width(keys, kv_heads ? kv_heads : 1));
    int64_t dv = head_width(values, kv_heads);
    if (!alloy_attention_fits(q->shape[2], dv))
        return alloy_pass_fail(p, ALLOY_UNSUPPORTED, "attention: heads of %lld and %lld", (long long)q->shape[2],
                               (long long)dv);
    alloy_tensor *y = alloy_tensor_new(p, 3, (int64_t[]){q->shape[0], q->shape[1], dv});
    struct alloy_attention_options options = {kv_heads, window, scale};
    return y ? alloy_apply(p, &alloy_op_attention,
                           &(alloy_args){.in = {q},
                                         .out = {y},
                                         .state = {keys, values},
                                         .options = &options,
                                         .options_size = sizeof options})
             : NULL;
}
