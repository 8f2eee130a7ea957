/* The convolution: each channel is a column sum from the oldest tap. */
#include "backends/cpu/cpu.h"

#include <string.h>

enum { TOKENS_A_PIECE = 32 };

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
        const float *x[ALLOY_MOST_TAPS];
        for (int64_t j = 0; j < c->taps; j++)
            x[j] = input_row(c, t - c->taps + 1 + j);
        kernels->vector.conv1d(y + t * c->channels, x, c->w, c->taps, c->channels);
        kernels->vector.silu(y + t * c->channels, y + t * c->channels, c->channels);
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

void alloy_cpu_conv1d_silu(const alloy_args *a)
{
    struct convolution c = {.args = a, .taps = alloy_taps_of(a->weight[0]), .channels = alloy_row_size(a->in[0])};
    c.w = transposed(a, c.channels, c.taps);
    for (c.span = 0; c.w && c.span < a->pass->span_count; c.span++) {
        alloy_pass_ranges(a->pass, a->pass->spans[c.span].count, TOKENS_A_PIECE, convolve, &c);
        keep_tail(&c);
    }
}
