/* Rows and entries that sequences keep, and softmax attention over them. */
#include "backends/fp64/fp64.h"

#include <string.h>

void alloy_fp64_append(const alloy_args *a)
{
    int64_t width = alloy_row_size(a->in[0]);
    for (int64_t s = 0; s < a->pass->span_count; s++)
        for (int64_t t = 0; t < a->pass->spans[s].count; t++)
            memcpy(alloy_fp64_row(a->state[0], s, a->pass->spans[s].past + t),
                   alloy_f64(a->in[0]) + (a->pass->spans[s].first + t) * width, (size_t)width * sizeof(double));
}

void alloy_fp64_append_entries(const alloy_args *a)
{
    int64_t width = alloy_row_size(a->in[0]), rate = alloy_part_spec_of(a->state[0])->rate;
    const double *x = alloy_f64(a->in[0]);
    for (int64_t s = 0; s < a->pass->span_count; s++)
        for (int64_t e = 0; e < alloy_entries_closed(&a->pass->spans[s], rate); e++, x += width)
            memcpy(alloy_fp64_row(a->state[0], s, alloy_entries_before(&a->pass->spans[s], rate) + e), x,
                   (size_t)width * sizeof(double));
}

/* A query's softmax, in work: the rows that it sees are added one by one. The largest score so far is taken out. */
struct softmax {
    double most, sum, scale;
    const double *q;
    double *y; /* [dv] */
    int64_t d, dv;
};

static void see_score(struct softmax *s, double score, const double *value)
{
    double most = score > s->most ? score : s->most, keep = exp(s->most - most), weight = exp(score - most);
    s->sum = s->sum * keep + weight;
    for (int64_t i = 0; i < s->dv; i++)
        s->y[i] = s->y[i] * keep + (value ? weight * value[i] : 0);
    s->most = most;
}

static void see(struct softmax *s, const double *key, const double *value)
{
    double dot = 0;
    for (int64_t i = 0; i < s->d; i++)
        dot += s->q[i] * key[i];
    see_score(s, dot * s->scale, value);
}

struct attention {
    const alloy_args *a;
    int64_t kv_heads, window;
    double scale;
    alloy_state_part keys, values, entries;
    const double *sinks;
};

static void see_entries(const struct attention *at, struct softmax *s, int64_t span, int64_t token, int64_t position)
{
    const alloy_tensor *chosen = at->a->in[1];
    int64_t seen = (position + 1) / alloy_part_spec_of(at->entries)->rate;
    int64_t count = chosen ? alloy_i32(at->a->in[2])[token] : seen;
    for (int64_t i = 0; i < count; i++) {
        int64_t entry = chosen ? alloy_i32(chosen)[token * chosen->shape[1] + i] : i;
        see(s, alloy_fp64_row(at->entries, span, entry), alloy_fp64_row(at->entries, span, entry));
    }
}

/* One query: a token and a head. */
static void attend(const struct attention *at, int64_t span, int64_t t, int64_t head)
{
    const alloy_args *a = at->a;
    const alloy_span *sp = &a->pass->spans[span];
    int64_t heads = a->in[0]->shape[1], d = a->in[0]->shape[2], dv = a->out[0]->shape[2], token = sp->first + t;
    int64_t kv = head / (heads / at->kv_heads), position = sp->past + t;
    struct softmax s = {.most = -INFINITY,
                        .scale = at->scale,
                        .q = alloy_f64(a->in[0]) + (token * heads + head) * d,
                        .y = alloy_f64(a->out[0]) + (token * heads + head) * dv,
                        .d = d,
                        .dv = dv};
    memset(s.y, 0, (size_t)dv * sizeof *s.y);
    for (int64_t i = at->window && position >= at->window ? position - at->window + 1 : 0; i <= position; i++)
        see(&s, alloy_fp64_row(at->keys, span, i) + kv * d, alloy_fp64_row(at->values, span, i) + kv * dv);
    if (at->entries.state)
        see_entries(at, &s, span, token, position);
    if (at->sinks)
        see_score(&s, at->sinks[head], NULL);
    for (int64_t i = 0; i < dv; i++)
        s.y[i] /= s.sum;
}

static void attend_rows(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct attention *at = context;
    const alloy_pass *p = at->a->pass;
    int64_t heads = at->a->in[0]->shape[1], span = 0;
    for (int64_t i = first; i < first + count; i++) {
        while (i / heads >= p->spans[span].first + p->spans[span].count)
            span++;
        attend(at, span, i / heads - p->spans[span].first, i % heads);
    }
}

void alloy_fp64_attention(const alloy_args *a)
{
    const struct alloy_attention_options *o = a->options;
    struct attention at = {a, o->kv_heads, o->window, o->scale, a->state[0], a->state[1], {0}, NULL};
    alloy_pass_ranges(a->pass, a->in[0]->shape[0] * a->in[0]->shape[1], 4, attend_rows, &at);
}

void alloy_fp64_shared_kv_attention(const alloy_args *a)
{
    const struct alloy_shared_kv_attention_options *o = a->options;
    struct attention at = {a,           1,           o->window,   o->scale,
                           a->state[0], a->state[0], a->state[1], alloy_fp64_weight(a->pass, a->weight[0])};
    if (at.sinks)
        alloy_pass_ranges(a->pass, a->in[0]->shape[0] * a->in[0]->shape[1], 4, attend_rows, &at);
}
