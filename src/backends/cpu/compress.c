/* The compressor: entries are computed in parallel, each from at most four segments of rows, then the state is kept. */
#include "backends/cpu/cpu.h"

#include <string.h>

struct compression {
    const alloy_args *args;
    const struct alloy_compress_options *o;
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
        const float *kv =
            store_of(c, span, open ? ALLOY_COMPRESS_OPEN : ALLOY_COMPRESS_OVERLAP) + from % rate * 2 * row + channel;
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
    if (alloy_compress_overlaps(c->args) && entry > 0)
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
        }
}

/* The overlap first: it may come from slots that the open window's new rows go to. */
static void keep(const struct compression *c, int64_t span)
{
    const alloy_span *s = &c->args->pass->spans[span];
    int64_t rate = c->o->rate, total = s->past + s->count, open = total / rate * rate;
    int64_t from = open > s->past ? open : s->past;
    alloy_compress_segment segments[2];
    if (alloy_compress_overlaps(c->args) && alloy_entries_closed(s, rate) > 0) {
        int count = segments_of(c, span, open - rate, open, 0, segments);
        keep_rows(store_of(c, span, ALLOY_COMPRESS_OVERLAP), 0, segments, count, c->width);
    }
    int count = segments_of(c, span, from, total, 0, segments);
    keep_rows(store_of(c, span, ALLOY_COMPRESS_OPEN), from % rate, segments, count, c->row);
}

void alloy_cpu_compress(const alloy_args *a)
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
