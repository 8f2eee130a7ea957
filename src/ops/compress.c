/* DeepSeek-V4's compressor: each window of `rate` tokens becomes one entry, when its last token has come. Per channel
 *     y = sum over slots of softmax(gate + bias)[slot] * kv[slot]
 * over the window's tokens in rising order; with an overlap the tokens of the window before come first, in the first
 * half of the channels, and the own ones are in the second half.
 *
 * State. `open`: [rate, kv | gate] rows of the tokens whose window is not closed, token t in slot t mod rate.
 * `overlap`: [rate, kv | gate] the first half of the channels of the last closed window. What the slots hold follows
 * from the length alone: nothing is cleared or moved. */
#include "ops/ops.h"

/* A closed slot and channel: bias, softmax (5), product and sum. The rows of the open window are read when it closes,
 * and those that stay open are written. */
static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct alloy_compress_options *o = a->options;
    alloy_wide rate = o->rate, row = alloy_row_size(a->in[0]), entries = a->out[0]->shape[0];
    alloy_wide read = 0, written = 0; /* floats */
    for (const alloy_span *s = a->pass->spans; s < a->pass->spans + a->pass->span_count; s++) {
        int64_t total = s->past + s->count, left = total % o->rate;
        bool closes = alloy_entries_closed(s, o->rate) > 0;
        read += closes ? s->repeat * (s->past % o->rate) * 2 * row : 0;
        written += s->repeat * (s->count < left ? s->count : left) * 2 * row;
        if (!alloy_compress_overlaps(a) || !closes)
            continue;
        read += s->past >= o->rate ? s->repeat * rate * row : 0;
        written += s->repeat * rate * row;
    }
    alloy_wide_let(cost, entries, rate, row);
    alloy_wide_vector(cost, 8 * entries * rate * row);
    alloy_cost_weight(cost, a->weight[0], rate * row, entries > 0);
    alloy_wide_cache(cost, ALLOY_CACHE_STATE, read, written);
}

const alloy_op alloy_op_compress = {"compress", NULL, count};

static bool fits(alloy_pass *p, const alloy_tensor *kv, const alloy_tensor *gate, const alloy_weight *bias,
                 int64_t rate, bool overlap)
{
    int64_t row = alloy_row_size(kv);
    if (alloy_same_shape(kv, gate) && rate >= 1 && (!overlap || row % 2 == 0) && bias && bias->ndim == 2 &&
        bias->shape[0] == rate && bias->shape[1] == row)
        return true;
    alloy_shape_fail(p, "compress", "rows of %lld and %lld, windows of %lld, a bias [%lld, %lld]", (long long)row,
                     (long long)alloy_row_size(gate), (long long)rate, bias ? (long long)bias->shape[0] : 0,
                     bias ? (long long)bias->shape[1] : 0);
    return false;
}

alloy_tensor *alloy_compress(alloy_pass *p, alloy_tensor *kv, alloy_tensor *gate, const alloy_weight *bias,
                             int64_t rate, const alloy_state *s, int open, int overlap)
{
    if (alloy_pass_stopped(p, kv) || !gate || !fits(p, kv, gate, bias, rate, overlap >= 0))
        return NULL;
    int64_t row = alloy_row_size(kv), width = overlap < 0 ? row : row / 2;
    if (!alloy_state_has(s, open, ALLOY_STATE_FIXED, rate * 2 * row) ||
        (overlap >= 0 && !alloy_state_has(s, overlap, ALLOY_STATE_FIXED, rate * 2 * width)))
        return alloy_shape_fail(p, "compress", "parts %d and %d of the state do not keep windows of %lld rows of %lld",
                                open, overlap, (long long)rate, (long long)row);
    alloy_tensor *y = alloy_tensor_new(p, 2, (int64_t[]){alloy_entries_of_pass(p, rate), width});
    struct alloy_compress_options options = {rate};
    alloy_args args = {.in = {kv, gate},
                       .out = {y},
                       .weight = {bias},
                       .state = {[ALLOY_COMPRESS_OPEN] = {s, open}},
                       .options = &options,
                       .options_size = sizeof options};
    if (overlap >= 0)
        args.state[ALLOY_COMPRESS_OVERLAP] = (alloy_state_part){s, overlap};
    return y ? alloy_apply(p, &alloy_op_compress, &args) : NULL;
}
