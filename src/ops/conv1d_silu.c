/* Depthwise causal convolution over tokens, then SiLU. Each channel is a column sum from the oldest tap. The state is
 * the last taps - 1 rows of the input, oldest first. */
#include "kernels/counted.h"
#include "ops/pass.h"
#include "ops/state.h"

#include <string.h>

enum { TOKENS_A_PIECE = 32, MOST_TAPS = 32 };

struct convolution {
    const alloy_args *args;
    const float *w; /* [taps, channels] */
    int64_t taps, channels, span;
};

/* Input row `t` of a span, counted from its first new token; before it, the tail. */
static const float *input_row(const struct convolution *c, int64_t t)
{
    if (t >= 0)
        return alloy_f32(c->args->in[0]) + (c->args->pass->spans[c->span].first + t) * c->channels;
    return alloy_state_fixed(c->args, 0, c->span) + (c->taps - 1 + t) * c->channels;
}

static void convolve(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct convolution *c = context;
    const alloy_kernels *kernels = c->args->pass->kernels;
    float *y = alloy_f32(c->args->out[0]) + c->args->pass->spans[c->span].first * c->channels;
    for (int64_t t = first; t < first + count; t++) {
        const float *x[MOST_TAPS];
        for (int64_t j = 0; j < c->taps; j++)
            x[j] = input_row(c, t - c->taps + 1 + j);
        kernels->conv1d(y + t * c->channels, x, c->w, c->taps, c->channels);
        kernels->silu(y + t * c->channels, y + t * c->channels, c->channels);
    }
}

/* The tail becomes the last taps - 1 rows of (tail, new rows). Rising order: a row is read before it is overwritten. */
static void keep_tail(const struct convolution *c)
{
    float *tail = alloy_state_fixed(c->args, 0, c->span);
    int64_t count = c->args->pass->spans[c->span].count;
    for (int64_t j = 0; j < c->taps - 1; j++) {
        int64_t t = count - c->taps + 1 + j;
        memmove(tail + j * c->channels, input_row(c, t), (size_t)c->channels * sizeof *tail);
        if (c->args->pass->spans[c->span].past + t >= 0) /* before the first token there are zeros, and were */
            ALLOY_COUNT_WRITTEN(tail + j * c->channels, (size_t)c->channels * sizeof *tail);
    }
}

static float *transposed(const alloy_args *a, int64_t channels, int64_t taps)
{
    const float *w = alloy_weight_widened(a->pass, a->weight[0]);
    float *t = w ? alloy_pass_take(a->pass, channels * taps, sizeof *t) : NULL;
    if (!t)
        return NULL;
    for (int64_t c = 0; c < channels; c++)
        for (int64_t j = 0; j < taps; j++)
            t[j * channels + c] = w[c * taps + j];
    return t;
}

static int64_t taps_of(const alloy_weight *w)
{
    return w->shape[w->ndim - 1];
}

static void run(const alloy_args *a)
{
    struct convolution c = {.args = a, .taps = taps_of(a->weight[0]), .channels = alloy_row_size(a->in[0])};
    c.w = transposed(a, c.channels, c.taps);
    for (c.span = 0; c.w && c.span < a->pass->span_count; c.span++) {
        alloy_pass_ranges(a->pass, a->pass->spans[c.span].count, TOKENS_A_PIECE, convolve, &c);
        keep_tail(&c);
    }
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_count n = a->in[0]->shape[0], channels = alloy_row_size(a->in[0]), taps = taps_of(a->weight[0]);
    alloy_cost_let(cost, n, channels, taps);
    alloy_cost_tensor(cost, 2 * n * taps * channels);
    alloy_cost_vector(cost, 4 * n * channels);
    alloy_cost_classic(cost, 2 * n * taps * channels);
    alloy_cost_weight(cost, a->weight[0], taps * channels, 1, 1);
    alloy_count read = 0, written = 0, classic_read = 0, classic_written = 0;
    for (int64_t i = 0; i < a->pass->span_count; i++) {
        const alloy_span *s = &a->pass->spans[i];
        int64_t total = s->past + s->count, kept = taps_of(a->weight[0]) - 1;
        read += s->repeat * channels * (s->past < kept ? s->past : kept);
        written += s->repeat * channels * (total < kept ? total : kept);
        classic_read += s->past > 0 ? s->repeat * channels * kept : 0;
        classic_written += s->repeat * channels * kept;
    }
    alloy_cost_cache(cost, ALLOY_CACHE_CONV, read, written, classic_read, classic_written);
}

static const alloy_op conv1d_silu = {"conv1d_silu", run, count};

alloy_tensor *alloy_conv1d_silu(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, const alloy_state *s, int part)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    int64_t taps = taps_of(w), channels = alloy_row_size(x);
    if (w->ndim < 2 || w->shape[0] != channels || w->shape[0] * taps != w->shape[0] * w->shape[1] * w->shape[2] ||
        taps < 2 || taps > MOST_TAPS)
        return alloy_shape_fail(p, "conv1d_silu", "%s [%lld, .., %lld] over %lld channels; 2 to %d taps are possible",
                                w->name, (long long)w->shape[0], (long long)taps, (long long)channels, MOST_TAPS);
    if (!alloy_state_has(s, part, ALLOY_STATE_FIXED, (taps - 1) * channels))
        return alloy_shape_fail(p, "conv1d_silu", "part %d of the state does not keep %lld rows of %lld", part,
                                (long long)taps - 1, (long long)channels);
    alloy_tensor *y = alloy_tensor_like(p, x);
    return y ? alloy_apply(p, &conv1d_silu, &(alloy_args){.in = {x}, .out = {y}, .weight = {w}, .state = {{s, part}}})
             : NULL;
}
