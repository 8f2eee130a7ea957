/* The oracle (alloy/compare.h): a session's numbers beside those of the backend fp64, chunk by chunk.
 *
 * What the session's run chooses is kept, op by op in the order in which they run, and the other run, whose chunks are
 * the same, takes it from there. */
#include <stdlib.h>
#include <string.h>

#include "alloy/compare.h"
#include "backends/fp64/fp64.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/status.h"
#include "compare/capture.h"
#include "engine/session.h"

/* What one op chose: the tensors out[0] and, of entries, out[1]. */
struct choice {
    int64_t tokens, most;
    int32_t *chosen; /* [tokens, most] */
    int32_t *count;  /* [tokens]; NULL: `most` each */
    struct choice *next;
};

struct oracle {
    const alloy_oracle_options *options;
    alloy_session *session, *right;
    alloy_cache *cache, *right_cache;
    alloy_arena *arena; /* of a chunk's choices */
    struct choice *first, **last;
    alloy_status status;
    int64_t at;       /* tokens before the chunk */
    float *hidden;    /* [layers, chunk, width] of the chunk; NULL: not asked for */
    int64_t width;    /* of a layer's output */
    float *logits;    /* [chunk, vocabulary] */
    double *logits64; /* the same */
};

/* ---- Choices ----------------------------------------------------------------------------------------------------- */

static int32_t *copy_of(struct oracle *o, const alloy_tensor *x)
{
    size_t n = (size_t)(x->shape[0] * x->shape[1]);
    int32_t *copy = alloy_arena_take(o->arena, n, sizeof *copy);
    return copy ? memcpy(copy, alloy_i32(x), n * sizeof *copy) : NULL;
}

/* Of the session's run: an op whose first result is indices has chosen them. */
static void keep_choice(void *user, const alloy_args *a)
{
    struct oracle *o = user;
    if (!a->out[0] || a->out[0]->dtype != ALLOY_I32)
        return;
    struct choice *choice = alloy_arena_take_zeroed(o->arena, 1, sizeof *choice);
    bool counted = a->out[1]->dtype == ALLOY_I32;
    if (choice) {
        *choice = (struct choice){a->out[0]->shape[0], a->out[0]->shape[1], copy_of(o, a->out[0]),
                                  counted ? copy_of(o, a->out[1]) : NULL, NULL};
        *o->last = choice;
        o->last = &choice->next;
    }
    if (!choice || !choice->chosen || (counted && !choice->count))
        o->status = ALLOY_NOMEM;
}

static bool is_among(int32_t x, const int32_t *list, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (list[i] == x)
            return true;
    return false;
}

/* How many of `own` are not among `theirs`, and the best and worst rank of those. */
static int64_t others_of(const int32_t *own, int64_t n, const int32_t *theirs, int64_t m, const double *ranks,
                         double *least, double *most)
{
    int64_t others = 0;
    *least = INFINITY, *most = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        if (is_among(own[i], theirs, m))
            continue;
        double rank = ranks[own[i]];
        *least = rank < *least ? rank : *least;
        *most = rank > *most ? rank : *most;
        others++;
    }
    return others;
}

/* Of the run in double precision: takes the other run's choice, and tells where its own differs. */
static void follow_choice(void *user, const alloy_args *a, const double *ranks, int64_t candidates)
{
    struct oracle *o = user;
    const struct choice *choice = o->first;
    int64_t most = a->out[0]->shape[1];
    if (o->status || !choice || choice->tokens != a->out[0]->shape[0] || choice->most != most) {
        o->status = o->status ? o->status
                              : alloy_fail(ALLOY_ARG, "op %s: the two runs differ in what they choose", a->op->name);
        alloy_pass_fail(a->pass, o->status, "%s", alloy_error());
        return;
    }
    o->first = choice->next;
    for (int64_t t = 0; t < choice->tokens; t++) {
        int32_t *own = alloy_i32(a->out[0]) + t * most;
        const int32_t *theirs = choice->chosen + t * most;
        int64_t n = choice->count ? alloy_i32(a->out[1])[t] : most, m = choice->count ? choice->count[t] : most;
        double least, worst, best, unused;
        alloy_oracle_choice told = {a->op->name, a->pass->site.layer, o->at + t, 0, 0};
        told.others = others_of(own, n, theirs, m, ranks + t * candidates, &unused, &best);
        others_of(theirs, m, own, n, ranks + t * candidates, &least, &worst);
        told.gap = best - least;
        if (told.others > 0 && o->options->choice)
            o->options->choice(o->options->user, &told);
        memcpy(own, theirs, (size_t)most * sizeof *own);
        if (choice->count)
            alloy_i32(a->out[1])[t] = choice->count[t];
    }
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static float *hidden_at(const struct oracle *o, int64_t layer)
{
    return o->hidden + layer * o->session->chunk * o->width;
}

static void keep_layer(void *user, int64_t layer, int64_t sequence, int64_t first, int64_t rows, int64_t width,
                       const float *hidden)
{
    (void)sequence;
    struct oracle *o = user;
    memcpy(hidden_at(o, layer) + first * width, hidden, (size_t)(rows * width) * sizeof *hidden);
}

static void compare_layer(void *user, int64_t layer, int64_t sequence, int64_t first, int64_t rows, int64_t width,
                          const double *hidden)
{
    (void)sequence;
    struct oracle *o = user;
    if (!o->status)
        o->status = o->options->rows(o->options->user, layer, o->at + first, rows, width,
                                     hidden_at(o, layer) + first * width, hidden);
}

/* ---- Chunks ------------------------------------------------------------------------------------------------------ */

static alloy_status run_chunk(struct oracle *o, const int64_t *ids, int64_t count)
{
    bool hidden = o->options->hidden;
    alloy_arena_mark mark = alloy_arena_here(o->arena);
    o->first = NULL;
    o->last = &o->first;
    const alloy_forward_options computed = {
        .size = sizeof computed, .logits = ALLOY_LOGITS_ALL, .hidden = hidden ? keep_layer : NULL, .user = o};
    const alloy_forward_options right = {.size = sizeof right,
                                         .logits = ALLOY_LOGITS_ALL,
                                         .logits_f64 = o->logits64,
                                         .hidden_f64 = hidden ? compare_layer : NULL,
                                         .user = o};
    alloy_status status = alloy_forward(o->session, &(alloy_sequence){o->cache, ids, count}, 1, o->logits, &computed);
    if (!status && !o->status)
        status = alloy_forward(o->right, &(alloy_sequence){o->right_cache, ids, count}, 1, NULL, &right);
    status = o->status ? o->status : status;
    if (!status)
        status = o->options->rows(o->options->user, -1, o->at, count, o->session->model->config.vocab_size, o->logits,
                                  o->logits64);
    alloy_arena_cut(o->arena, mark);
    return status;
}

static alloy_status open_oracle(struct oracle *o, int64_t count)
{
    const alloy_model *m = o->session->model;
    size_t chunk = (size_t)o->session->chunk;
    alloy_session_options options = {.size = sizeof options,
                                     .threads = o->session->team.threads,
                                     .chunk = o->session->chunk,
                                     .cpu = o->session->kernels->name,
                                     .backend = "fp64"};
    alloy_status status = alloy_session_open(&o->right, m, &options);
    status = status ? status : alloy_cache_open(&o->cache, o->session, count);
    status = status ? status : alloy_cache_open(&o->right_cache, o->right, count);
    if (status)
        return status;
    o->width = alloy_hidden_width(m);
    size_t layers = o->options->hidden ? (size_t)m->config.num_hidden_layers : 0;
    o->hidden = alloy_memory_new(layers * chunk, (size_t)o->width * sizeof *o->hidden);
    o->logits = alloy_memory_new(chunk, (size_t)m->config.vocab_size * sizeof *o->logits);
    o->logits64 = alloy_memory_new(chunk, (size_t)m->config.vocab_size * sizeof *o->logits64);
    o->arena = alloy_arena_new();
    if (!o->hidden || !o->logits || !o->logits64 || !o->arena)
        return ALLOY_NOMEM;
    o->session->observe = keep_choice;
    o->session->observe_user = o;
    o->right->follow = follow_choice;
    o->right->follow_user = o;
    return ALLOY_OK;
}

static void close_oracle(struct oracle *o)
{
    o->session->observe = NULL;
    alloy_cache_close(o->cache);
    alloy_cache_close(o->right_cache);
    alloy_session_close(o->right);
    alloy_memory_free(o->hidden);
    alloy_memory_free(o->logits);
    alloy_memory_free(o->logits64);
    alloy_arena_free(o->arena);
}

alloy_status alloy_oracle_run(alloy_session *session, const int64_t *ids, int64_t count,
                              const alloy_oracle_options *given)
{
    alloy_oracle_options options;
    alloy_status status = alloy_options_take(&options, sizeof options, given, "alloy_oracle_options");
    if (!status && !options.rows)
        status = alloy_fail(ALLOY_ARG, "the oracle needs `rows`, which take what it computes");
    if (!status && count < 1)
        status = alloy_fail(ALLOY_ARG, "no token ids were given");
    status = status ? status : alloy_ids_fit(count, session->model);
    if (status)
        return status;
    if (session->backend != &alloy_cpu)
        return alloy_fail(ALLOY_ARG, "a session of backend %s: its numbers are the oracle's own",
                          session->backend->name);
    struct oracle o = {.options = &options, .session = session};
    status = open_oracle(&o, count);
    for (; !status && o.at < count; o.at += session->chunk) {
        int64_t n = count - o.at < session->chunk ? count - o.at : session->chunk;
        status = run_chunk(&o, ids + o.at, n);
        if (!status && options.progress)
            options.progress(options.progress_user, "computing twice", o.at + n, count);
    }
    close_oracle(&o);
    return status;
}
