/* The depthwise causal convolution of Mamba-2, with its bias, then SiLU (ops.h). Alloy's own alloy_conv1d_silu has no
 * bias.
 *
 * The tail [taps - 1, channels] holds the newest inputs, oldest first. A task is a block of channels of one
 * sequence. */
#include <string.h>

#include "ops.h"

enum { BLOCK = 256, MOST_TAPS = 64 }; /* channels of a task, whose weights lie in its scratch memory */

struct conv_scratch {
    float stored[BLOCK * MOST_TAPS]; /* weights as the file has them, [channels, taps] */
    float w[MOST_TAPS * BLOCK];      /* [taps, channels] */
    float bias[BLOCK];
};
_Static_assert(sizeof(struct conv_scratch) <= ALLOY_TASK_SCRATCH, "weights and bias of a block fit");

struct conv_job {
    const alloy_args *args;
    const alloy_span *spans;
    int64_t channels, taps;
    int64_t blocks; /* of channels; tasks = spans * blocks */
};

/* Input row `t` of a span, where rows before its first new token come from the tail. */
static const float *input_row(const struct conv_job *job, const float *x, const float *tail, int64_t t)
{
    return t >= 0 ? x + t * job->channels : tail + (t + job->taps - 1) * job->channels;
}

static void keep_tail(const struct conv_job *job, const float *x, float *tail, int64_t tokens, int64_t first,
                      int64_t count)
{
    for (int64_t i = 0; i < job->taps - 1; i++) { /* rises, so a row of the tail is read before it is written */
        const float *from = input_row(job, x, tail, tokens - (job->taps - 1) + i);
        memmove(tail + i * job->channels + first, from + first, (size_t)count * sizeof(float));
    }
}

static void read_weights(const alloy_args *a, int64_t first, int64_t count, int64_t taps, struct conv_scratch *s)
{
    alloy_weight_read(a->weight[0], first * taps, count * taps, s->stored);
    alloy_weight_read(a->weight[1], first, count, s->bias);
    for (int64_t j = 0; j < taps; j++)
        for (int64_t c = 0; c < count; c++)
            s->w[j * count + c] = s->stored[c * taps + j];
}

static void conv_task(void *context, int64_t index, void *scratch)
{
    const struct conv_job *job = context;
    const alloy_args *a = job->args;
    int64_t span = index / job->blocks, first = index % job->blocks * BLOCK;
    int64_t count = job->channels - first < BLOCK ? job->channels - first : BLOCK;
    const alloy_vector *v = alloy_pass_vector(a->pass);
    struct conv_scratch *s = scratch;
    read_weights(a, first, count, job->taps, s);

    int64_t offset = job->spans[span].first * job->channels, tokens = job->spans[span].count;
    const float *x = alloy_f32(a->in[0]) + offset;
    float *y = alloy_f32(a->out[0]) + offset, *tail = alloy_state_fixed(a, 0, span);
    for (int64_t t = 0; t < tokens; t++) {
        float *out = y + t * job->channels + first;
        const float *in[MOST_TAPS]; /* from the oldest tap */
        for (int64_t j = 0; j < job->taps; j++)
            in[j] = input_row(job, x, tail, t - (job->taps - 1) + j) + first;
        v->conv1d(out, in, s->w, job->taps, count);
        v->add(out, out, s->bias, count);
        v->silu(out, out, count);
    }
    keep_tail(job, x, tail, tokens, first, count);
}

static void run(const alloy_args *a)
{
    const mamba2_shape *shape = a->options;
    int64_t channels = mamba2_channels(shape), spans;
    struct conv_job job = {
        .args = a,
        .spans = alloy_pass_spans(a->pass, &spans),
        .channels = channels,
        .taps = shape->taps,
        .blocks = (channels + BLOCK - 1) / BLOCK,
    };
    alloy_pass_parallel(a->pass, spans * job.blocks, conv_task, &job);
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    const mamba2_shape *shape = a->options;
    int64_t channels = mamba2_channels(shape), tokens = alloy_pass_tokens(a->pass), taps = shape->taps, tail = taps - 1;
    alloy_cost_let(cost, tokens, channels, taps);
    alloy_cost_vector(cost, tokens * channels * (2 * taps + 1 + 4)); /* products and sums, bias, SiLU */
    alloy_cost_weight(cost, a->weight[0], channels * taps, 1);
    alloy_cost_weight(cost, a->weight[1], channels, 1);

    int64_t spans;
    const alloy_span *span = alloy_pass_spans(a->pass, &spans);
    for (int64_t i = 0; i < spans; i++) {
        int64_t read = span[i].past < tail ? span[i].past : tail;
        int64_t written = span[i].past + span[i].count < tail ? span[i].past + span[i].count : tail;
        alloy_cost_cache(cost, ALLOY_CACHE_CONV, span[i].repeat * read * channels, span[i].repeat * written * channels);
    }
}

static const alloy_op conv = {"mamba2_conv", run, count};

alloy_tensor *mamba2_conv(alloy_pass *p, alloy_tensor *x, const struct mamba2_weights *w, const alloy_state *state,
                          const mamba2_shape *shape)
{
    if (!x)
        return NULL;
    alloy_args args = {
        .in = {x},
        .out = {alloy_tensor_new(p, 2, x->shape)},
        .weight = {w->conv_weight, w->conv_bias},
        .state = {{state, MAMBA2_CONV_TAIL}},
        .options = shape,
        .options_size = sizeof *shape,
    };
    return alloy_apply(p, &conv, &args);
}
