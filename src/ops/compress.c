/* DeepSeek-V4's compressor: each window of `rate` tokens becomes one entry, when its last token has come. Per channel
 *     y = sum over slots of softmax(gate + bias)[slot] * kv[slot]
 * over the window's tokens in rising order; with an overlap the tokens of the window before come first, in the first
 * half of the channels, and the own ones are in the second half.
 *
 * State. `open`: [rate, kv | gate] rows of the tokens whose window is not closed, token t in slot t mod rate.
 * `overlap`: [rate, kv | gate] the first half of the channels of the last closed window. What the slots hold follows
 * from the length alone: nothing is cleared or moved. */
#include "kernels/counted.h"
#include "ops/pass.h"
#include "ops/state.h"

#include <string.h>

/* state: `open` and, where windows overlap, `overlap`. */
enum { OPEN, OVERLAP };

struct options {
    int64_t rate;
};

static bool overlaps(const alloy_args *a)
{
    return a->state[OVERLAP].state != NULL;
}

struct compression {
    const alloy_args *args;
    const struct options *o;
    int64_t row;          /* floats of a row of kv */
    int64_t width;        /* channels of an entry: row, or half of it */
    const float *bias;    /* [rate, row] */
    int64_t *first_entry; /* [spans + 1] entries closed before each span */
};

static float *store_of(const struct compression *c, int64_t span, int part)
{
    return alloy_state_fixed(c->args, part, span);
}

/* Rows of the tokens `from` .. `to` - 1, within one window, channels from `channel` on, as at most two segments: rows
 * that the state keeps, and new ones. Returns their number. */
static int segments_of(const struct compression *c, int64_t span, int64_t from, int64_t to, int64_t channel,
                       alloy_compress_segment *segments)
{
    const alloy_span *s = &c->args->pass->spans[span];
    int64_t kept = to < s->past ? to : s->past, fresh = from > s->past ? from : s->past, rate = c->o->rate;
    int count = 0;
    if (from < kept) {
        bool open = from / rate == s->past / rate;
        int64_t row = open ? c->row : c->width;
        const float *kv = store_of(c, span, open ? OPEN : OVERLAP) + from % rate * 2 * row + channel;
        segments[count++] = (alloy_compress_segment){kv, kv + row, NULL, 2 * row, c->row, kept - from};
    }
    if (fresh < to) {
        int64_t at = (s->first + fresh - s->past) * c->row + channel;
        segments[count++] = (alloy_compress_segment){
            alloy_f32(c->args->in[0]) + at, alloy_f32(c->args->in[1]) + at, NULL, c->row, c->row, to - fresh};
    }
    const float *bias = c->bias + from % rate * c->row + channel;
    for (int i = 0; i < count; i++) {
        segments[i].bias = bias;
        bias += segments[i].count * c->row;
    }
    return count;
}

static void close_entry(void *context, int64_t index, void *scratch)
{
    (void)scratch;
    const struct compression *c = context;
    int64_t span = 0, rate = c->o->rate;
    while (c->first_entry[span + 1] <= index)
        span++;
    int64_t entry = alloy_entries_before(&c->args->pass->spans[span], rate) + index - c->first_entry[span];
    int64_t begin = entry * rate;
    alloy_compress_segment segments[4];
    int count = 0;
    if (overlaps(c->args) && entry > 0)
        count = segments_of(c, span, begin - rate, begin, 0, segments);
    count += segments_of(c, span, begin, begin + rate, c->row - c->width, segments + count);
    c->args->pass->kernels->compress(alloy_f32(c->args->out[0]) + index * c->width, segments, count, c->width);
}

/* Copies the rows of segments, kv and gate of `width` channels, into a store's slots from `slot` on. */
static void keep_rows(float *store, int64_t slot, const alloy_compress_segment *segments, int count, int64_t width)
{
    float *to = store + slot * 2 * width;
    size_t bytes = (size_t)width * sizeof *to;
    for (int i = 0; i < count; i++)
        for (int64_t j = 0; j < segments[i].count; j++, to += 2 * width) {
            memcpy(to, segments[i].kv + j * segments[i].stride, bytes);
            memcpy(to + width, segments[i].gate + j * segments[i].stride, bytes);
            ALLOY_COUNT_CACHE(segments[i].kv + j * segments[i].stride, bytes);
            ALLOY_COUNT_CACHE(segments[i].gate + j * segments[i].stride, bytes);
            ALLOY_COUNT_WRITTEN(to, 2 * bytes);
        }
}

/* The overlap first: it may come from slots that the open window's new rows go to. */
static void keep(const struct compression *c, int64_t span)
{
    const alloy_span *s = &c->args->pass->spans[span];
    int64_t rate = c->o->rate, total = s->past + s->count, open = total / rate * rate;
    int64_t from = open > s->past ? open : s->past;
    alloy_compress_segment segments[2];
    if (overlaps(c->args) && alloy_entries_closed(s, rate) > 0) {
        int count = segments_of(c, span, open - rate, open, 0, segments);
        keep_rows(store_of(c, span, OVERLAP), 0, segments, count, c->width);
    }
    int count = segments_of(c, span, from, total, 0, segments);
    keep_rows(store_of(c, span, OPEN), from % rate, segments, count, c->row);
}

static void run(const alloy_args *a)
{
    alloy_pass *p = a->pass;
    struct compression c = {.args = a,
                            .o = a->options,
                            .row = alloy_row_size(a->in[0]),
                            .width = alloy_row_size(a->out[0]),
                            .bias = alloy_weight_widened(p, a->weight[0]),
                            .first_entry = alloy_pass_take(p, p->span_count + 1, sizeof *c.first_entry)};
    if (!c.bias || !c.first_entry)
        return;
    c.first_entry[0] = 0;
    for (int64_t i = 0; i < p->span_count; i++)
        c.first_entry[i + 1] = c.first_entry[i] + alloy_entries_closed(&p->spans[i], c.o->rate);
    alloy_parallel(p->team, c.first_entry[p->span_count], close_entry, &c);
    for (int64_t i = 0; i < p->span_count; i++)
        keep(&c, i);
}

/* A closed slot and channel: bias, softmax (5), product and sum. The rows of the open window are read when it closes,
 * and those that stay open are written. */
static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct options *o = a->options;
    alloy_count rate = o->rate, row = alloy_row_size(a->in[0]), entries = a->out[0]->shape[0];
    alloy_count read = 0, written = 0; /* floats */
    for (int64_t i = 0; i < a->pass->span_count; i++) {
        const alloy_span *s = &a->pass->spans[i];
        int64_t total = s->past + s->count, left = total % o->rate;
        bool closes = alloy_entries_closed(s, o->rate) > 0;
        read += closes ? s->repeat * (s->past % o->rate) * 2 * row : 0;
        written += s->repeat * (s->count < left ? s->count : left) * 2 * row;
        if (!overlaps(a) || !closes)
            continue;
        read += s->past >= o->rate ? s->repeat * rate * row : 0;
        written += s->repeat * rate * row;
    }
    alloy_cost_let(cost, entries, rate, row);
    alloy_cost_vector(cost, 8 * entries * rate * row);
    alloy_cost_weight(cost, a->weight[0], rate * row, entries > 0, 1);
    alloy_cost_cache(cost, ALLOY_CACHE_STATE, read, written, 0, 0);
}

static const alloy_op compress = {"compress", run, count};

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
    struct options options = {rate};
    alloy_args args = {.in = {kv, gate},
                       .out = {y},
                       .weight = {bias},
                       .state = {[OPEN] = {s, open}},
                       .options = &options,
                       .options_size = sizeof options};
    if (overlap >= 0)
        args.state[OVERLAP] = (alloy_state_part){s, overlap};
    return y ? alloy_apply(p, &compress, &args) : NULL;
}
