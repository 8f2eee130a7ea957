/* DeepSeek-V4's compressor and indexer. */
#include "backends/fp64/fp64.h"

#include <string.h>

/* Row of kv and gate of the token at `position` (of a window of `from` .. of `span`), from the new tokens or from what
 * the state keeps of its window. */
struct source {
    const double *kv, *gate;
};

struct compression {
    const alloy_args *a;
    int64_t rate, row, width; /* width: channels of an entry */
    const double *bias;       /* [rate, row] */
};

/* overlap: of the first half of the channels, of a window that is closed. */
static struct source source_of(const struct compression *c, int64_t span, int64_t position, bool overlap)
{
    const alloy_span *s = &c->a->pass->spans[span];
    if (position >= s->past) {
        int64_t at = (s->first + position - s->past) * c->row;
        return (struct source){alloy_f64(c->a->in[0]) + at, alloy_f64(c->a->in[1]) + at};
    }
    bool open = !overlap || position / c->rate == s->past / c->rate;
    int64_t width = open ? c->row : c->width;
    const double *kept = alloy_fp64_fixed(c->a->state[open ? ALLOY_COMPRESS_OPEN : ALLOY_COMPRESS_OVERLAP], span) +
                         position % c->rate * 2 * width;
    return (struct source){kept, kept + width};
}

/* A channel of an entry: the softmax of gate + bias over its slots, of kv. */
static double channel_of(const struct compression *c, int64_t span, int64_t entry, int64_t channel)
{
    bool overlaps = alloy_compress_overlaps(c->a);
    double most = -INFINITY, sum = 0, total = 0;
    for (int64_t at = overlaps && entry > 0 ? (entry - 1) * c->rate : entry * c->rate; at < (entry + 1) * c->rate;
         at++) {
        bool before = at < entry * c->rate;
        int64_t place = channel + (overlaps && !before ? c->width : 0);
        struct source source = source_of(c, span, at, before);
        double gate = source.gate[place] + c->bias[at % c->rate * c->row + place];
        double now = gate > most ? gate : most, keep = exp(most - now), weight = exp(gate - now);
        total = total * keep + weight;
        sum = sum * keep + weight * source.kv[place];
        most = now;
    }
    return sum / total;
}

/* Copies kv and gate, `width` channels, of tokens from .. to - 1 into the slots of a part. */
static void keep(const struct compression *c, int64_t span, int64_t from, int64_t to, int part, int64_t width)
{
    bool overlap = part == ALLOY_COMPRESS_OVERLAP;
    for (int64_t at = from; at < to; at++) {
        struct source source = source_of(c, span, at, overlap);
        double *kept = alloy_fp64_fixed(c->a->state[part], span) + at % c->rate * 2 * width;
        memmove(kept, source.kv, (size_t)width * sizeof *kept);
        memmove(kept + width, source.gate, (size_t)width * sizeof *kept);
    }
}

/* The overlap first: it may come from slots that the open window's new rows go to. */
static void keep_windows(const struct compression *c, int64_t span)
{
    const alloy_span *s = &c->a->pass->spans[span];
    int64_t total = s->past + s->count, open = total / c->rate * c->rate;
    if (alloy_compress_overlaps(c->a) && alloy_entries_closed(s, c->rate) > 0)
        keep(c, span, open - c->rate, open, ALLOY_COMPRESS_OVERLAP, c->width);
    keep(c, span, open > s->past ? open : s->past, total, ALLOY_COMPRESS_OPEN, c->row);
}

void alloy_fp64_compress(const alloy_args *a)
{
    const struct alloy_compress_options *o = a->options;
    struct compression c = {a, o->rate, alloy_row_size(a->in[0]), alloy_row_size(a->out[0]),
                            alloy_fp64_weight(a->pass, a->weight[0])};
    double *y = alloy_f64(a->out[0]);
    for (int64_t span = 0; c.bias && span < a->pass->span_count; span++) {
        const alloy_span *s = &a->pass->spans[span];
        int64_t before = alloy_entries_before(s, c.rate);
        for (int64_t e = before; e < before + alloy_entries_closed(s, c.rate); e++, y += c.width)
            for (int64_t channel = 0; channel < c.width; channel++)
                y[channel] = channel_of(&c, span, e, channel);
        keep_windows(&c, span);
    }
}

/* ---- The indexer ------------------------------------------------------------------------------------------------- */

static double score(const alloy_args *a, int64_t span, int64_t token, int64_t entry)
{
    int64_t heads = a->in[0]->shape[1], d = a->in[0]->shape[2];
    const double *key = alloy_fp64_row(a->state[0], span, entry);
    double sum = 0;
    for (int64_t h = 0; h < heads; h++) {
        const double *q = alloy_f64(a->in[0]) + (token * heads + h) * d;
        double dot = 0;
        for (int64_t i = 0; i < d; i++)
            dot += q[i] * key[i];
        sum += alloy_f64(a->in[1])[token * heads + h] / sqrt((double)heads) * fmax(0, dot / sqrt((double)d));
    }
    return sum;
}

void alloy_fp64_choose_entries(const alloy_args *a)
{
    alloy_pass *p = a->pass;
    int64_t rate = alloy_part_spec_of(a->state[0])->rate, stride = alloy_most_entries_seen(p, rate),
            most = a->out[0]->shape[1];
    double *scores = alloy_pass_take_zeroed(p, p->tokens * stride, sizeof *scores);
    for (int64_t span = 0; scores && span < p->span_count; span++)
        for (int64_t t = 0; t < p->spans[span].count; t++) {
            int64_t token = p->spans[span].first + t, seen = (p->spans[span].past + t + 1) / rate;
            for (int64_t e = 0; e < seen; e++)
                scores[token * stride + e] = score(a, span, token, e);
            alloy_i32(a->out[1])[token] =
                alloy_fp64_choose(scores + token * stride, seen, most, alloy_i32(a->out[0]) + token * most);
        }
    if (scores && p->follow)
        p->follow(p->follow_user, a, scores, stride);
}
