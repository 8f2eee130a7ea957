/* The classic accounting: published conventions, by which figures can be compared with those of other tools
 * (docs/roofline.md, Classic). One table: what each built-in op counts there. An op without a row (linears, sums,
 * gates, SwiGLU, and whatever plug-ins bring) counts what it has to do; a row without a function has free FLOPs.
 * Parameters, read once, and cache rows are those of the exact record, unless a function says otherwise.
 *
 *   attention   each new token against all of the cache and the chunk, or the window: a rectangle
 *   a window    keeps all its rows, not one less; entries are counted where attention reads them
 *   a tail      of a convolution is whole from the first token on */
#include <string.h>

#include "ops/ops.h"
#include "ops/pairs.h"
#include "roofline/analysis.h"

typedef void count_function(const alloy_args *a, alloy_classic *c);

static void set_cache(alloy_classic *c, alloy_cache_kind kind, alloy_wide read, alloy_wide written)
{
    memset(c->cost.cache, 0, sizeof c->cost.cache);
    c->cost.caches = 0;
    alloy_wide_cache(&c->cost, kind, read, written);
}

static alloy_wide size_of(const alloy_tensor *x)
{
    return (alloy_wide)x->shape[0] * alloy_row_size(x);
}

/* ---- Attention --------------------------------------------------------------------------------------------------- */

static void append(const alloy_args *a, alloy_classic *c)
{
    const alloy_part_spec *part = alloy_part_spec_of(a->state[0]);
    alloy_wide written = 0;
    for (const alloy_span *s = a->pass->spans; s < a->pass->spans + a->pass->span_count; s++)
        written += s->repeat * alloy_count_least(s->count, part->window ? part->window : s->count);

    set_cache(c, ALLOY_CACHE_KV, 0, written * part->width);
}

static void attention(const alloy_args *a, alloy_classic *c)
{
    const struct alloy_attention_options *o = a->options;
    alloy_wide heads = a->in[0]->shape[1], d = a->in[0]->shape[2], dv = a->out[0]->shape[2], read = 0;
    for (const alloy_span *s = a->pass->spans; s < a->pass->spans + a->pass->span_count; s++) {
        alloy_wide repeat = s->repeat, q = s->count, total = q + s->past;
        alloy_wide keys = alloy_count_least(total, o->window ? o->window : total);
        alloy_wide_let(&c->cost, heads, d, dv, q, keys, repeat);
        alloy_wide_tensor(&c->cost, 2 * (d + dv) * repeat * heads * q * keys);
        read += repeat * (keys - alloy_count_least(q, keys));
    }
    set_cache(c, ALLOY_CACHE_KV, read * o->kv_heads * (d + dv), 0);
}

static void shared_kv_attention(const alloy_args *a, alloy_classic *c)
{
    const struct alloy_shared_kv_attention_options *o = a->options;
    alloy_wide heads = a->in[0]->shape[1], d = a->in[0]->shape[2], rectangle = 0, read = 0;
    for (const alloy_span *s = a->pass->spans; s < a->pass->spans + a->pass->span_count; s++) {
        alloy_wide q = s->count, total = q + s->past, seen = alloy_count_least(total, o->window), entries = 0;
        if (a->in[1]) /* chosen: a constant, however few there are */
            entries = a->in[1]->shape[1];
        else if (a->state[1].state)
            entries = (total + alloy_part_spec_of(a->state[1])->rate - 1) / alloy_part_spec_of(a->state[1])->rate;
        rectangle += s->repeat * q * (seen + entries);
        read += s->repeat * (seen - alloy_count_least(q, seen) + entries);
    }
    alloy_wide_let(&c->cost, heads, d, rectangle);
    alloy_wide_tensor(&c->cost, 4 * heads * d * rectangle);
    set_cache(c, ALLOY_CACHE_KV, read * d, 0);
}

static void choose_entries(const alloy_args *a, alloy_classic *c)
{
    alloy_wide heads = a->in[0]->shape[1], d = a->in[0]->shape[2], rate = alloy_part_spec_of(a->state[0])->rate;
    alloy_wide rectangle = 0;
    for (const alloy_span *s = a->pass->spans; s < a->pass->spans + a->pass->span_count; s++)
        rectangle += s->repeat * (s->count * (((alloy_wide)s->past + s->count + rate - 1) / rate));

    alloy_wide_let(&c->cost, heads, d, rectangle);
    alloy_wide_tensor(&c->cost, 2 * heads * d * rectangle);
    c->cost.caches = 0;
}

static void no_cache(const alloy_args *a, alloy_classic *c)
{
    (void)a;
    c->cost.caches = 0;
}

/* ---- The delta net ----------------------------------------------------------------------------------------------- */

static void conv1d_silu(const alloy_args *a, alloy_classic *c)
{
    alloy_wide n = a->in[0]->shape[0], channels = alloy_row_size(a->in[0]), taps = alloy_taps_of(a->weight[0]);
    alloy_wide tail = (taps - 1) * channels, read = 0, written = 0;
    alloy_wide_let(&c->cost, n, channels, taps);
    alloy_wide_tensor(&c->cost, 2 * n * taps * channels);
    for (const alloy_span *s = a->pass->spans; s < a->pass->spans + a->pass->span_count; s++) {
        read += s->past > 0 ? s->repeat * tail : 0;
        written += s->repeat * tail;
    }
    set_cache(c, ALLOY_CACHE_CONV, read, written);
}

static void delta_rule(const alloy_args *a, alloy_classic *c)
{
    enum { CHUNK = 64 };
    alloy_wide heads = a->in[2]->shape[1], k = a->in[0]->shape[2], v = a->in[2]->shape[2];
    for (const alloy_span *s = a->pass->spans; s < a->pass->spans + a->pass->span_count; s++) {
        alloy_wide sequences = heads * s->repeat, tokens = s->count;
        alloy_wide_let(&c->cost, sequences, tokens, k, v, CHUNK);
        alloy_wide_tensor(&c->cost,
                          sequences * tokens * (tokens > CHUNK ? 2 * CHUNK * (3 * k + 2 * v) + 4 * k * v : 7 * k * v));
    }
}

/* A_log and dt_bias. */
static void decay(const alloy_args *a, alloy_classic *c)
{
    (void)a;
    c->f32_weights = true;
}

/* ---- Experts ----------------------------------------------------------------------------------------------------- */

static void route(const alloy_args *a, alloy_classic *c)
{
    alloy_wide n = a->in[0]->shape[0], experts = alloy_row_size(a->in[0]), k = a->out[0]->shape[1];
    alloy_wide_let(&c->cost, n, experts, k);
    alloy_wide_tensor(&c->cost, 5 * n * experts + 2 * n * k);
}

/* All logits, though only those of the experts that ids choose are used. */
static void route_by_id(const alloy_args *a, alloy_classic *c)
{
    alloy_wide n = a->in[0]->shape[0], hidden = alloy_row_size(a->in[0]), experts = a->weight[0]->shape[0],
               k = a->out[0]->shape[1];
    alloy_wide_let(&c->cost, n, hidden, experts, k);
    alloy_wide_tensor(&c->cost, 2 * n * hidden * experts + 5 * n * experts + 2 * n * k);
}

/* min(E, N k) experts are read. */
static void experts(const alloy_args *a, alloy_classic *c)
{
    const struct alloy_experts_options *o = a->options;
    alloy_wide rows = size_of(a->in[1]), hidden = alloy_row_size(a->in[0]), inner = a->experts->gate[0].shape[0];
    alloy_wide_let(&c->cost, rows, hidden, inner);
    alloy_wide_tensor(&c->cost, rows * (6 * hidden * inner + 5 * inner));
    for (int i = 0; i < c->cost.weights; i++)
        c->cost.weight[i].copies = (double)alloy_count_least(rows, o->experts);
}

/* ---- Elements, norms, streams ------------------------------------------------------------------------------------ */

static void clamped_swiglu(const alloy_args *a, alloy_classic *c)
{
    alloy_wide n = size_of(a->in[0]), per_element = 5;
    alloy_wide_let(&c->cost, n, per_element);
    alloy_wide_tensor(&c->cost, n * per_element);
}

/* Only the final norm is counted. Inside mixers weights of norms of heads and of a compressor's entries are read, those
 * of whole rows (of DeepSeek-V4's low ranks) are free. */
static void rms_norm(const alloy_args *a, alloy_classic *c)
{
    alloy_wide n = size_of(a->in[0]), per_element = 4;
    if (a->pass->site.kind == ALLOY_SITE_FINAL_NORM) {
        alloy_wide_let(&c->cost, n, per_element);
        alloy_wide_tensor(&c->cost, n * per_element);
    } else if (a->in[0]->ndim == 2 && a->weight[0] && !strstr(a->weight[0]->name, "compressor.")) {
        c->cost.weights = 0;
    }
}

static void hyper_weights(const alloy_args *a, alloy_classic *c)
{
    const struct alloy_hyper_options *o = a->options;
    alloy_wide n = a->in[0]->shape[0], width = alloy_row_size(a->in[0]), mixes = a->weight[0]->shape[0];
    alloy_wide streams = o->streams, iterations = o->iterations;
    alloy_wide_let(&c->cost, n, width, mixes, streams, iterations);
    alloy_wide_tensor(&c->cost,
                      4 * n * width + 2 * n * width * mixes + 4 * n * mixes + 4 * iterations * n * streams * streams);
    c->f32_copies = n * width;
}

static void hyper_collapse(const alloy_args *a, alloy_classic *c)
{
    alloy_wide n = a->in[0]->shape[0], hidden = alloy_row_size(a->out[0]), streams = alloy_row_size(a->in[0]) / hidden;
    alloy_wide_let(&c->cost, n, hidden, streams);
    alloy_wide_tensor(&c->cost, 2 * n * streams * hidden);
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

static const struct {
    const alloy_op *op;
    count_function *count; /* NULL: its FLOPs are free */
} rows[] = {
    {&alloy_op_append, append},
    {&alloy_op_append_entries, no_cache},
    {&alloy_op_attention, attention},
    {&alloy_op_choose_entries, choose_entries},
    {&alloy_op_clamped_swiglu, clamped_swiglu},
    {&alloy_op_compress, no_cache},
    {&alloy_op_conv1d_silu, conv1d_silu},
    {&alloy_op_decay, decay},
    {&alloy_op_delta_rule, delta_rule},
    {&alloy_op_experts, experts},
    {&alloy_op_gated_rms_norm, NULL},
    {&alloy_op_hyper_collapse, hyper_collapse},
    {&alloy_op_hyper_expand, NULL},
    {&alloy_op_hyper_weights, hyper_weights},
    {&alloy_op_l2_norm, NULL},
    {&alloy_op_rms_norm, rms_norm},
    {&alloy_op_rotary, NULL},
    {&alloy_op_rotary_pairs, NULL},
    {&alloy_op_route_by_id, route_by_id},
    {&alloy_op_route_scores, route},
    {&alloy_op_route_softmax, route},
    {&alloy_op_shared_kv_attention, shared_kv_attention},
    {&alloy_op_sigmoid, NULL},
    {&alloy_op_silu, NULL},
};

/* A module reads its input and writes its output, of one stream where there are several, and mixing the streams again
 * is free. The final norm is a module. */
static void count_between(const alloy_roofline_terms *terms, const alloy_site *site, alloy_cost *cost)
{
    alloy_wide stream = (alloy_wide)terms->tokens * terms->hidden;
    if (site->kind == ALLOY_SITE_RESIDUAL && cost->tensors_written != stream)
        cost->tensors_read = cost->tensors_written = 0;
    if (site->kind == ALLOY_SITE_FINAL_NORM)
        cost->tensors_read = stream;
    if (site->kind == ALLOY_SITE_FINAL_NORM || site->kind == ALLOY_SITE_EMBEDDING)
        cost->tensors_written = stream;
}

bool alloy_roofline_classic(const alloy_roofline_terms *terms, const alloy_site *site, const alloy_args *call,
                            const alloy_cost *exact, alloy_classic *out)
{
    *out = (alloy_classic){.cost = *exact};
    if (!call)
        count_between(terms, site, &out->cost);
    for (size_t i = 0; call && i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].op != call->op)
            continue;
        out->cost.tensor_flops = out->cost.vector_flops = 0;
        for (int w = 0; w < out->cost.weights; w++)
            out->cost.weight[w].copies = 1;
        if (rows[i].count)
            rows[i].count(call, out);
        return true;
    }
    return false;
}
