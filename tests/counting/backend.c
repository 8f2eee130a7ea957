/* The counting backend (counting.h): ops as loops, as their formulas read. What only moves numbers is fp64's. */
#include "backends/fp64/fp64.h"
#include "counting/counting.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_SEEN = 512, MOST_RATE = 128, MOST_CHOSEN_FROM = 64 };

void (*counting_listener)(const char *op, const struct counting *done);

/* A multiply-add of the tensor unit. */
static double multiply_add(double sum, double a, double b)
{
    counting_op.tensor += 2;
    return sum + a * b;
}

/* So many operations of the vector unit gave x. */
static double vector(int operations, double x)
{
    counting_op.vector += operations;
    return x;
}

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum = multiply_add(sum, a[i], b[i]);
    return sum;
}

static double sigmoid(double x)
{
    double e = vector(1, exp(-x)), sum = vector(1, 1 + e);
    return vector(1, 1 / sum);
}

static double softplus(double x)
{
    double e = vector(1, exp(x)), sum = vector(1, 1 + e);
    return vector(1, x > 30 ? x : log(sum));
}

static double silu(double x)
{
    return vector(1, x * sigmoid(x));
}

static double swiglu(double gate, double up, double limit)
{
    if (limit > 0) {
        gate = vector(1, fmin(gate, limit));
        up = vector(1, fmin(up, limit));
        up = vector(1, fmax(up, -limit));
    }
    return vector(1, silu(gate) * up);
}

/* In place. `sink`: a number more, which has no place; NULL: none. */
static void softmax(double *x, int64_t n, const double *sink)
{
    double most = sink ? *sink : -INFINITY;
    for (int64_t i = 0; i < n; i++)
        most = vector(1, fmax(most, x[i]));
    double sum = sink ? vector(1, exp(*sink - most)) : 0;
    for (int64_t i = 0; i < n; i++) {
        double less = vector(1, x[i] - most);
        x[i] = vector(1, exp(less));
        sum = vector(1, sum + x[i]);
    }
    for (int64_t i = 0; i < n; i++)
        x[i] = vector(1, x[i] / sum);
}

/* Elements of a parameter, widened. Nobody tests what happens where memory is short. */
static double *read_weight(alloy_pass *p, const alloy_weight *w, int64_t first, int64_t count)
{
    double *wide = alloy_pass_take(p, count, sizeof *wide);
    size_t bits = (size_t)alloy_dtype_bits(w->dtype);
    counting_read_parameter((const char *)w->data + (size_t)first * bits / 8, (size_t)count * bits / 8);
    alloy_fp64_read(w, first, count, wide);
    return wide;
}

static double *whole(const alloy_args *a, int i)
{
    const alloy_weight *w = a->weight[i];
    return w ? read_weight(a->pass, w, 0, w->shape[0] * w->shape[1] * w->shape[2] * w->shape[3]) : NULL;
}

/* y [O] = rows first .. of W times x. */
static void multiply(alloy_pass *p, const double *x, const alloy_weight *w, int64_t first, int64_t rows, double *y)
{
    int64_t k = w->shape[1];
    const double *wide = read_weight(p, w, first * k, rows * k);
    for (int64_t r = 0; r < rows; r++)
        y[r] = dot(wide + r * k, x, k);
}

/* ---- Elements, linears, norms, rotary ---------------------------------------------------------------------------- */

static void elements(const alloy_args *a)
{
    const alloy_op *op = a->op;
    const struct alloy_clamp_options *clamp = a->options;
    for (int64_t i = 0; i < alloy_tensor_size(a->in[0]); i++) {
        double x = alloy_f64(a->in[0])[i], b = a->in[1] ? alloy_f64(a->in[1])[i] : 0, *y = &alloy_f64(a->out[0])[i];
        *y = op == &alloy_op_add              ? vector(1, x + b)
             : op == &alloy_op_multiply       ? vector(1, x * b)
             : op == &alloy_op_silu           ? silu(x)
             : op == &alloy_op_sigmoid        ? sigmoid(x)
             : op == &alloy_op_swiglu         ? swiglu(b, x, 0)
             : op == &alloy_op_clamped_swiglu ? swiglu(b, x, clamp->limit)
                                              : vector(1, x * sigmoid(b));
    }
}

static void token_gate(const alloy_args *a)
{
    int64_t d = alloy_row_size(a->in[0]);
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++) {
        double gate = sigmoid(alloy_f64(a->in[1])[t]);
        for (int64_t i = t * d; i < (t + 1) * d; i++)
            alloy_f64(a->out[0])[i] = vector(1, alloy_f64(a->in[0])[i] * gate);
    }
}

static void embedding(const alloy_args *a)
{
    int64_t d = a->weight[0]->shape[1];
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++)
        memcpy(alloy_f64(a->out[0]) + t * d, read_weight(a->pass, a->weight[0], alloy_i64(a->in[0])[t] * d, d),
               (size_t)d * sizeof(double));
}

static void linear(const alloy_args *a)
{
    int64_t k = a->weight[0]->shape[1], rows = a->weight[0]->shape[0];
    const double *bias = whole(a, 1);
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++) {
        double *y = alloy_f64(a->out[0]) + t * rows;
        multiply(a->pass, alloy_f64(a->in[0]) + t * k, a->weight[0], 0, rows, y);
        for (int64_t r = 0; bias && r < rows; r++)
            y[r] = vector(1, y[r] + bias[r]);
    }
}

static void grouped_linear(const alloy_args *a)
{
    const struct alloy_grouped_linear_options *o = a->options;
    int64_t k = a->weight[0]->shape[1], rows = a->weight[0]->shape[0] / o->groups;
    for (int64_t i = 0; i < a->in[0]->shape[0] * o->groups; i++)
        multiply(a->pass, alloy_f64(a->in[0]) + i * k, a->weight[0], i % o->groups * rows, rows,
                 alloy_f64(a->out[0]) + i * rows);
}

/* A square and its sum, the factor. */
static void norm(const double *x, int64_t d, double eps, bool mean, double *y)
{
    double sum = 0;
    for (int64_t i = 0; i < d; i++)
        sum = vector(2, sum + x[i] * x[i]);
    for (int64_t i = 0; i < d; i++)
        y[i] = vector(1, x[i] / sqrt((mean ? sum / (double)d : sum) + eps));
}

/* All three norms. */
static void norms(const alloy_args *a)
{
    const struct alloy_norm_options *o = a->options;
    int64_t d = alloy_last_dimension(a->in[0]), n = alloy_tensor_size(a->in[0]);
    const double *w = n > 0 ? whole(a, 0) : NULL;
    double *y = alloy_f64(a->out[0]);
    for (int64_t at = 0; at < n; at += d)
        norm(alloy_f64(a->in[0]) + at, d, o->eps, a->op != &alloy_op_l2_norm, y + at);
    for (int64_t i = 0; i < n; i++) {
        y[i] = w ? vector(1, y[i] * (w[i % d] + o->unit_offset)) : y[i];
        y[i] = o->scale != 1 ? vector(1, y[i] * o->scale) : y[i];
        y[i] = a->in[1] ? vector(1, y[i] * silu(alloy_f64(a->in[1])[i])) : y[i];
    }
}

/* fp64's, with two products and a sum for each channel that is turned. */
static void rotary(const alloy_args *a)
{
    const struct alloy_rotary_pairs_options *o = a->options;
    bool pairs = a->op == &alloy_op_rotary_pairs;
    int64_t d = alloy_last_dimension(a->in[0]), turned = pairs ? o->width : alloy_rotary_width(a->options, d);
    (pairs ? alloy_fp64_rotary_pairs : alloy_fp64_rotary)(a);
    for (int64_t x = 0; x < alloy_tensor_size(a->in[0]) / d; x++)
        for (int64_t i = 0; i < (turned + 1) / 2; i++)
            vector(2 * 3, 0);
}

/* ---- Attention --------------------------------------------------------------------------------------------------- */

static void append(const alloy_args *a)
{
    int64_t width = alloy_row_size(a->in[0]), rate = alloy_part_spec_of(a->state[0])->rate;
    const double *x = alloy_f64(a->in[0]);
    for (int64_t s = 0; s < a->pass->span_count; s++)
        for (int64_t i = 0; i < alloy_entries_closed(&a->pass->spans[s], rate); i++, x += width) {
            double *row = alloy_fp64_row(a->state[0], s, alloy_entries_before(&a->pass->spans[s], rate) + i);
            memcpy(counting_write_cache(row, width), x, (size_t)width * sizeof *x);
        }
}

/* What a query sees. */
struct seen {
    const double *key[MOST_SEEN], *value[MOST_SEEN];
    double weight[MOST_SEEN];
    int64_t count;
};

static void see(struct seen *s, const double *key, int64_t d, const double *value, int64_t dv)
{
    s->key[s->count] = counting_read_cache(key, d);
    s->value[s->count++] = counting_read_cache(value, dv);
}

static void attend(struct seen *s, const double *q, int64_t d, int64_t dv, double scale, const double *sink, double *y)
{
    for (int64_t i = 0; i < s->count; i++)
        s->weight[i] = dot(q, s->key[i], d) * scale;
    softmax(s->weight, s->count, sink);
    memset(y, 0, (size_t)dv * sizeof *y);
    for (int64_t i = 0; i < s->count; i++)
        for (int64_t c = 0; c < dv; c++)
            y[c] = multiply_add(y[c], s->weight[i], s->value[i][c]);
}

static void see_entries(const alloy_args *a, int64_t span, int64_t token, int64_t position, struct seen *s)
{
    const alloy_tensor *chosen = a->in[1];
    int64_t d = a->in[0]->shape[2], seen = (position + 1) / alloy_part_spec_of(a->state[1])->rate;
    int64_t count = chosen ? alloy_i32(a->in[2])[token] : seen;
    for (int64_t i = 0; i < count; i++) {
        int64_t entry = chosen ? alloy_i32(chosen)[token * chosen->shape[1] + i] : i;
        const double *row = alloy_fp64_row(a->state[1], span, entry);
        see(s, row, d, row, d);
    }
}

/* Every head of every token. `kv_heads`, of parts 0 and 1 of the state, or where they are `shared` of part 0 alone. */
static void attention_over(const alloy_args *a, int64_t kv_heads, bool shared, int64_t window, double scale)
{
    static struct seen seen;
    int64_t heads = a->in[0]->shape[1], d = a->in[0]->shape[2], dv = a->out[0]->shape[2];
    const double *sinks = whole(a, 0);
    for (int64_t s = 0; s < a->pass->span_count; s++)
        for (int64_t i = 0; i < a->pass->spans[s].count * heads; i++) {
            int64_t position = a->pass->spans[s].past + i / heads, token = a->pass->spans[s].first + i / heads,
                    head = i % heads, kv = head / (heads / kv_heads);
            seen.count = 0;
            for (int64_t at = window && position >= window ? position - window + 1 : 0; at <= position; at++)
                see(&seen, alloy_fp64_row(a->state[0], s, at) + kv * d, d,
                    alloy_fp64_row(a->state[!shared], s, at) + kv * dv, dv);
            if (shared && a->state[1].state)
                see_entries(a, s, token, position, &seen);
            attend(&seen, alloy_f64(a->in[0]) + (token * heads + head) * d, d, dv, scale, sinks ? &sinks[head] : NULL,
                   alloy_f64(a->out[0]) + (token * heads + head) * dv);
        }
}

static void attention(const alloy_args *a)
{
    const struct alloy_attention_options *o = a->options;
    attention_over(a, o->kv_heads, false, o->window, o->scale);
}

static void shared_kv_attention(const alloy_args *a)
{
    const struct alloy_shared_kv_attention_options *o = a->options;
    attention_over(a, 1, true, o->window, o->scale);
}

/* ---- Entries ----------------------------------------------------------------------------------------------------- */

/* kv and gate of a token of a window, `place` among its channels: of this forward, or kept. */
struct source {
    const double *kv, *gate;
};

static struct source source_of(const alloy_args *a, int64_t span, int64_t at, int64_t place, bool of_overlap)
{
    const struct alloy_compress_options *o = a->options;
    const alloy_span *s = &a->pass->spans[span];
    int64_t row = alloy_row_size(a->in[0]);
    if (at >= s->past) {
        int64_t from = (s->first + at - s->past) * row + place;
        return (struct source){alloy_f64(a->in[0]) + from, alloy_f64(a->in[1]) + from};
    }
    bool open = !of_overlap || at / o->rate == s->past / o->rate;
    int64_t width = open ? row : alloy_row_size(a->out[0]);
    const double *kept = alloy_fp64_fixed(a->state[open ? ALLOY_COMPRESS_OPEN : ALLOY_COMPRESS_OVERLAP], span) +
                         at % o->rate * 2 * width;
    return (struct source){kept + place, kept + width + place};
}

static double channel_of(const alloy_args *a, const double *bias, int64_t span, int64_t entry, int64_t channel)
{
    const struct alloy_compress_options *o = a->options;
    bool overlaps = alloy_compress_overlaps(a);
    int64_t rate = o->rate, row = alloy_row_size(a->in[0]), slots = overlaps ? 2 * rate : rate, absent = 0;
    double weight[2 * MOST_RATE], kv[2 * MOST_RATE], sum = 0;
    if (overlaps && entry == 0) /* there is no window before: its slots are counted, and weigh nothing */
        absent = rate;
    for (int64_t i = 0; i < slots; i++) {
        int64_t at = (entry + 1) * rate - slots + i, place = channel + (overlaps && i >= rate ? row / 2 : 0);
        struct source source = {0};
        if (i >= absent)
            source = source_of(a, span, at, place, overlaps && i < rate);
        kv[i] = i >= absent ? *counting_read_cache(source.kv, 1) : 0;
        weight[i] =
            vector(1, i >= absent ? *counting_read_cache(source.gate, 1) + bias[i % rate * row + place] : -1e300);
    }
    softmax(weight, slots, NULL);
    for (int64_t i = 0; i < slots; i++)
        sum = vector(2, sum + weight[i] * kv[i]);
    return sum;
}

static void keep(const alloy_args *a, int64_t span, int64_t from, int64_t to, int part, int64_t width)
{
    const struct alloy_compress_options *o = a->options;
    for (int64_t at = from; at < to; at++) {
        struct source source = source_of(a, span, at, 0, part == ALLOY_COMPRESS_OVERLAP);
        double *kept = alloy_fp64_fixed(a->state[part], span) + at % o->rate * 2 * width;
        counting_write_cache(kept, 2 * width);
        memmove(kept, counting_read_cache(source.kv, width), (size_t)width * sizeof *kept);
        memmove(kept + width, counting_read_cache(source.gate, width), (size_t)width * sizeof *kept);
    }
}

static void compress(const alloy_args *a)
{
    const struct alloy_compress_options *o = a->options;
    int64_t width = alloy_row_size(a->out[0]);
    double *y = alloy_f64(a->out[0]);
    const double *bias = a->out[0]->shape[0] > 0 ? whole(a, 0) : NULL;
    for (int64_t span = 0; span < a->pass->span_count; span++) {
        const alloy_span *s = &a->pass->spans[span];
        int64_t total = s->past + s->count, open = total / o->rate * o->rate;
        for (int64_t e = s->past / o->rate; e < total / o->rate; e++, y += width)
            for (int64_t c = 0; c < width; c++)
                y[c] = channel_of(a, bias, span, e, c);
        if (alloy_compress_overlaps(a) && alloy_entries_closed(s, o->rate) > 0)
            keep(a, span, open - o->rate, open, ALLOY_COMPRESS_OVERLAP, width);
        keep(a, span, open > s->past ? open : s->past, total, ALLOY_COMPRESS_OPEN, alloy_row_size(a->in[0]));
    }
}

/* A choice compares once a score: how it keeps the best in order is its own affair. */
static int32_t choose(const double *ranks, int64_t n, int64_t k, int32_t *chosen)
{
    for (int64_t i = 0; i < n; i++)
        vector(1, ranks[i]);
    return alloy_fp64_choose(ranks, n, k, chosen);
}

static void choose_entries(const alloy_args *a)
{
    int64_t heads = a->in[0]->shape[1], d = a->in[0]->shape[2], most = a->out[0]->shape[1],
            rate = alloy_part_spec_of(a->state[0])->rate;
    for (int64_t s = 0; s < a->pass->span_count; s++)
        for (int64_t t = 0; t < a->pass->spans[s].count; t++) {
            int64_t token = a->pass->spans[s].first + t, seen = (a->pass->spans[s].past + t + 1) / rate;
            double scores[MOST_SEEN];
            for (int64_t e = 0; e < seen; e++) {
                const double *key = counting_read_cache(alloy_fp64_row(a->state[0], s, e), d);
                scores[e] = 0;
                for (int64_t h = 0; h < heads; h++) {
                    double score = dot(alloy_f64(a->in[0]) + (token * heads + h) * d, key, d);
                    score = vector(1, fmax(0, score));
                    score = vector(1, score / sqrt((double)(d * heads)));
                    scores[e] = vector(2, scores[e] + alloy_f64(a->in[1])[token * heads + h] * score);
                }
            }
            alloy_i32(a->out[1])[token] = choose(scores, seen, most, alloy_i32(a->out[0]) + token * most);
        }
}

/* ---- The delta net ----------------------------------------------------------------------------------------------- */

static void conv1d_silu(const alloy_args *a)
{
    int64_t taps = alloy_taps_of(a->weight[0]), channels = alloy_row_size(a->in[0]);
    const double *w = whole(a, 0);
    for (int64_t s = 0; s < a->pass->span_count; s++) {
        double *tail = alloy_fp64_fixed(a->state[0], s); /* [taps - 1, channels] */
        for (int64_t t = a->pass->spans[s].first; t < a->pass->spans[s].first + a->pass->spans[s].count; t++) {
            const double *x = alloy_f64(a->in[0]) + t * channels;
            for (int64_t c = 0; c < channels; c++) {
                double sum = 0;
                for (int64_t j = 0; j < taps - 1; j++)
                    sum = multiply_add(sum, *counting_read_cache(&tail[j * channels + c], 1), w[c * taps + j]);
                sum = multiply_add(sum, x[c], w[c * taps + taps - 1]);
                alloy_f64(a->out[0])[t * channels + c] = silu(sum);
            }
            memmove(tail, tail + channels, (size_t)((taps - 2) * channels) * sizeof *tail);
            memcpy(tail + (taps - 2) * channels, x, (size_t)channels * sizeof *tail);
        }
        int64_t length = a->pass->spans[s].past + a->pass->spans[s].count, kept = length < taps - 1 ? length : taps - 1;
        counting_write_cache(tail + (taps - 1 - kept) * channels, kept * channels);
    }
}

static void decay(const alloy_args *a)
{
    int64_t heads = alloy_row_size(a->in[0]);
    const double *A_log = whole(a, 0), *dt_bias = whole(a, 1);
    for (int64_t i = 0; i < alloy_tensor_size(a->in[0]); i++) {
        double x = vector(1, alloy_f64(a->in[0])[i] + dt_bias[i % heads]);
        x = vector(1, -exp(A_log[i % heads]) * softplus(x));
        alloy_f64(a->out[0])[i] = vector(1, exp(x));
    }
}

/* One token of one head: S [K, V]. */
static void step(double *S, int64_t K, int64_t V, const double *q, const double *k, const double *v, double decay,
                 double beta, double *y)
{
    for (int64_t j = 0; j < V; j++) {
        double recalled = 0;
        for (int64_t i = 0; i < K; i++) {
            S[i * V + j] = vector(1, *counting_read_cache(&S[i * V + j], 1) * decay);
            recalled = vector(2, recalled + k[i] * S[i * V + j]);
        }
        double fresh = vector(1, v[j] - recalled);
        fresh = vector(1, fresh * beta);
        y[j] = 0;
        for (int64_t i = 0; i < K; i++) {
            S[i * V + j] = vector(2, S[i * V + j] + k[i] * fresh);
            y[j] = vector(2, y[j] + q[i] * *counting_write_cache(&S[i * V + j], 1));
        }
    }
}

static void delta_rule(const alloy_args *a)
{
    int64_t heads = a->in[2]->shape[1], V = a->in[2]->shape[2], key_heads = a->in[0]->shape[1], K = a->in[0]->shape[2];
    for (int64_t s = 0; s < a->pass->span_count; s++)
        for (int64_t i = 0; i < a->pass->spans[s].count * heads; i++) {
            int64_t h = i % heads, at = a->pass->spans[s].first * heads + i,
                    key = (at / heads * key_heads + h / (heads / key_heads)) * K;
            step(alloy_fp64_fixed(a->state[0], s) + h * K * V, K, V, alloy_f64(a->in[0]) + key,
                 alloy_f64(a->in[1]) + key, alloy_f64(a->in[2]) + at * V, alloy_f64(a->in[3])[at],
                 alloy_f64(a->in[4])[at], alloy_f64(a->out[0]) + at * V);
        }
}

/* ---- Experts ----------------------------------------------------------------------------------------------------- */

/* The chosen scores over their sum, where asked, and times a factor. */
static void weigh(const int32_t *chosen, int64_t k, const double *scores, bool divides, const double *scale,
                  double *weight)
{
    double sum = 0;
    for (int64_t i = 0; i < k; i++) {
        weight[i] = scores[chosen[i]];
        sum = divides ? vector(1, sum + weight[i]) : 0;
    }
    for (int64_t i = 0; i < k; i++) {
        weight[i] = divides ? vector(1, weight[i] / sum) : weight[i];
        weight[i] = scale ? vector(1, weight[i] * *scale) : weight[i];
    }
}

static void route_softmax(const alloy_args *a)
{
    const struct alloy_route_softmax_options *o = a->options;
    int64_t experts = alloy_row_size(a->in[0]), k = a->out[0]->shape[1];
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++) {
        double *scores = alloy_f64(a->in[0]) + t * experts; /* nobody reads the logits again */
        int32_t *chosen = alloy_i32(a->out[0]) + t * k;
        choose(scores, experts, k, chosen);
        softmax(scores, experts, NULL);
        weigh(chosen, k, scores, o->normalize, NULL, alloy_f64(a->out[1]) + t * k);
    }
}

/* sqrt(softplus(x)), which is what the models of the test have. */
static double score(double x)
{
    return vector(1, sqrt(softplus(x)));
}

static void route_scores(const alloy_args *a)
{
    const struct alloy_route_scores_options *o = a->options;
    int64_t experts = alloy_row_size(a->in[0]), k = a->out[0]->shape[1];
    const double *bias = whole(a, 0);
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++) {
        double scores[MOST_CHOSEN_FROM], ranks[MOST_CHOSEN_FROM];
        for (int64_t e = 0; e < experts; e++) {
            scores[e] = score(alloy_f64(a->in[0])[t * experts + e]);
            ranks[e] = vector(1, scores[e] + bias[e]);
        }
        choose(ranks, experts, k, alloy_i32(a->out[0]) + t * k);
        weigh(alloy_i32(a->out[0]) + t * k, k, scores, true, &o->scale, alloy_f64(a->out[1]) + t * k);
    }
}

static int rising(const void *a, const void *b)
{
    return *(const int32_t *)a - *(const int32_t *)b;
}

static void route_by_id(const alloy_args *a)
{
    const struct alloy_route_scores_options *o = a->options;
    int64_t k = a->out[0]->shape[1];
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++) {
        const double *x = alloy_f64(a->in[0]) + t * alloy_row_size(a->in[0]);
        int32_t *chosen = alloy_i32(a->out[0]) + t * k;
        double scores[MOST_CHOSEN_FROM];
        for (int64_t i = 0; i < k; i++)
            chosen[i] = (int32_t)alloy_index_at(a->weight[1], alloy_i64(a->in[1])[t] * k + i);
        qsort(chosen, (size_t)k, sizeof *chosen, rising);
        for (int64_t i = 0; i < k; i++) {
            multiply(a->pass, x, a->weight[0], chosen[i], 1, &scores[chosen[i]]);
            scores[chosen[i]] = score(scores[chosen[i]]);
        }
        weigh(chosen, k, scores, true, &o->scale, alloy_f64(a->out[1]) + t * k);
    }
}

static void experts(const alloy_args *a)
{
    const struct alloy_experts_options *o = a->options;
    alloy_pass *p = a->pass;
    int64_t hidden = alloy_row_size(a->in[0]), inner = a->experts->gate[0].shape[0], k = a->in[1]->shape[1];
    double *gate = alloy_pass_take(p, inner, sizeof *gate), *up = alloy_pass_take(p, inner, sizeof *up),
           *down = alloy_pass_take(p, hidden, sizeof *down);
    memset(alloy_f64(a->out[0]), 0, (size_t)alloy_tensor_size(a->out[0]) * sizeof(double));
    for (int64_t i = 0; i < alloy_tensor_size(a->in[1]); i++) {
        int32_t e = alloy_i32(a->in[1])[i];
        const double *x = alloy_f64(a->in[0]) + i / k * hidden;
        double *y = alloy_f64(a->out[0]) + i / k * hidden;
        multiply(p, x, &a->experts->gate[e], 0, inner, gate);
        multiply(p, x, &a->experts->up[e], 0, inner, up);
        for (int64_t j = 0; j < inner; j++)
            up[j] = swiglu(gate[j], up[j], o->limit);
        multiply(p, up, &a->experts->down[e], 0, hidden, down);
        for (int64_t j = 0; j < hidden; j++)
            y[j] = vector(2, y[j] + alloy_f64(a->in[2])[i] * down[j]);
    }
}

/* ---- Hyper-connections ------------------------------------------------------------------------------------------- */

static void balance(double *comb, int64_t n, int64_t along, int64_t across, double eps)
{
    for (int64_t i = 0; i < n; i++) {
        double sum = eps;
        for (int64_t j = 0; j < n; j++)
            sum = vector(1, sum + comb[i * across + j * along]);
        for (int64_t j = 0; j < n; j++)
            comb[i * across + j * along] = vector(1, comb[i * across + j * along] / sum);
    }
}

static void hyper_weights(const alloy_args *a)
{
    const struct alloy_hyper_options *o = a->options;
    int64_t n = o->streams, width = alloy_row_size(a->in[0]), mixes = alloy_row_size(a->out[0]);
    double *normed = alloy_pass_take(a->pass, width, sizeof *normed), *y = alloy_f64(a->out[0]);
    const double *base = whole(a, 1), *scale = whole(a, 2);
    for (int64_t t = 0; t < a->in[0]->shape[0]; t++, y += mixes) {
        norm(alloy_f64(a->in[0]) + t * width, width, o->norm_eps, true, normed);
        multiply(a->pass, normed, a->weight[0], 0, mixes, y);
        for (int64_t i = 0; i < mixes; i++)
            y[i] = vector(2, y[i] * scale[i < n ? 0 : i < 2 * n ? 1 : 2] + base[i]);
        for (int64_t i = 0; i < n; i++)
            y[i] = vector(1, sigmoid(y[i]) + o->eps);
        for (int64_t i = n; i < mixes && i < 2 * n; i++)
            y[i] = vector(1, sigmoid(y[i]) * 2);
        for (int64_t i = 2 * n; i < mixes; i += n)
            softmax(y + i, n, NULL);
        for (int64_t i = 2 * n; i < mixes; i++)
            y[i] = vector(1, y[i] + o->eps);
        for (int64_t half = 0; half < 2 * o->iterations - 1; half++)
            balance(y + 2 * n, n, half % 2 ? 1 : n, half % 2 ? n : 1, o->eps);
    }
}

static void hyper_collapse(const alloy_args *a)
{
    int64_t hidden = alloy_row_size(a->out[0]), streams = alloy_row_size(a->in[0]) / hidden;
    for (int64_t i = 0; i < alloy_tensor_size(a->out[0]); i++) {
        const double *pre = alloy_f64(a->in[1]) + i / hidden * alloy_row_size(a->in[1]);
        const double *h = alloy_f64(a->in[0]) + i / hidden * streams * hidden + i % hidden;
        double sum = vector(1, pre[0] * h[0]);
        for (int64_t j = 1; j < streams; j++)
            sum = vector(2, sum + pre[j] * h[j * hidden]);
        alloy_f64(a->out[0])[i] = sum;
    }
}

static void hyper_expand(const alloy_args *a)
{
    int64_t hidden = alloy_row_size(a->in[2]), streams = alloy_row_size(a->in[0]) / hidden;
    for (int64_t i = 0; i < alloy_tensor_size(a->out[0]); i++) {
        int64_t t = i / (streams * hidden), k = i / hidden % streams;
        const double *post = alloy_f64(a->in[1]) + t * alloy_row_size(a->in[1]) + streams, *comb = post + streams;
        const double *h = alloy_f64(a->in[0]) + t * streams * hidden + i % hidden;
        double mixed = 0, added = vector(1, post[k] * alloy_f64(a->in[2])[t * hidden + i % hidden]);
        for (int64_t j = 0; j < streams; j++)
            mixed = multiply_add(mixed, comb[j * streams + k], h[j * hidden]);
        alloy_f64(a->out[0])[i] = vector(1, mixed + added);
    }
}

/* ---- All of them ------------------------------------------------------------------------------------------------- */

static const struct {
    const alloy_op *op;
    alloy_run *run;
} runs[] = {
    {&alloy_op_add, elements},
    {&alloy_op_multiply, elements},
    {&alloy_op_silu, elements},
    {&alloy_op_sigmoid, elements},
    {&alloy_op_swiglu, elements},
    {&alloy_op_clamped_swiglu, elements},
    {&alloy_op_mul_sigmoid, elements},
    {&alloy_op_token_gate, token_gate},
    {&alloy_op_embedding, embedding},
    {&alloy_op_linear, linear},
    {&alloy_op_grouped_linear, grouped_linear},
    {&alloy_op_rms_norm, norms},
    {&alloy_op_gated_rms_norm, norms},
    {&alloy_op_l2_norm, norms},
    {&alloy_op_rotary, rotary},
    {&alloy_op_rotary_pairs, rotary},
    {&alloy_op_append, append},
    {&alloy_op_append_entries, append},
    {&alloy_op_attention, attention},
    {&alloy_op_shared_kv_attention, shared_kv_attention},
    {&alloy_op_compress, compress},
    {&alloy_op_choose_entries, choose_entries},
    {&alloy_op_conv1d_silu, conv1d_silu},
    {&alloy_op_decay, decay},
    {&alloy_op_delta_rule, delta_rule},
    {&alloy_op_route_softmax, route_softmax},
    {&alloy_op_route_scores, route_scores},
    {&alloy_op_route_by_id, route_by_id},
    {&alloy_op_experts, experts},
    {&alloy_op_hyper_weights, hyper_weights},
    {&alloy_op_hyper_collapse, hyper_collapse},
    {&alloy_op_hyper_expand, hyper_expand},
};

static void run(const alloy_args *a)
{
    size_t i = 0;
    while (i < sizeof runs / sizeof *runs && runs[i].op != a->op)
        i++;
    counting_begin();
    if (i < sizeof runs / sizeof *runs)
        runs[i].run(a);
    else
        alloy_fp64.find(a->op)(a); /* moves numbers */
    if (a->op->count)
        counting_listener(a->op->name, &counting_op);
}

static alloy_run *find(const alloy_op *op)
{
    (void)op;
    return run;
}

const alloy_backend counting_backend = {"counting", ALLOY_F64, find, NULL};
