/* alloy_forward: a ragged batch of any size, divided into passes of at most a chunk, each run by the decoder.
 *
 * A pass takes tokens of the sequences in order: the rest of one, then the next, until the chunk is full. Canonical
 * arithmetic makes the division invisible in the results.
 *
 * A sequence that fails, where the caller takes that (options.failed), leaves the others alone: no later pass takes
 * tokens of it, and the room for its rows of logits is passed over. */
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "base/status.h"
#include "engine/cache.h"
#include "engine/decoder.h"
#include "checkpoint/finite.h"
#include "engine/session.h"

/* A forward in work. Arrays of the batch's size are the session's: passes and later forwards allocate nothing. */
struct work {
    alloy_session *session;
    const alloy_sequence *sequences;
    int64_t count; /* sequences */
    const alloy_forward_options *options;
    const bool *wanted;       /* [count] whose last row of logits is wanted; NULL: of all */
    void *logits;             /* next row to be written, of the backend's dtype; NULL: none */
    int64_t tokens, done;     /* in all; in finished passes */
    int64_t sequence, offset; /* the next token: number `offset` of sequence `sequence` */

    const alloy_forward_room *room;  /* the session's */
    int64_t span_count, rows_wanted; /* of the pass that runs */
};

static alloy_status check_sequence(const struct work *w, int64_t i)
{
    const alloy_sequence *s = &w->sequences[i];
    int64_t vocab = w->session->model->config.vocab_size;
    if (s->count < 1)
        return alloy_fail(ALLOY_ARG, "sequence %lld: no new tokens", (long long)i);
    if (s->cache->model != w->session->model || s->cache->chunk < w->session->chunk ||
        s->cache->rows_dtype != w->session->kv_dtype)
        return alloy_fail(ALLOY_ARG, "sequence %lld: its cache was made for another model or other session options",
                          (long long)i);
    for (int64_t j = 0; j < i; j++)
        if (w->sequences[j].cache == s->cache)
            return alloy_fail(ALLOY_ARG, "sequences %lld and %lld share a cache", (long long)j, (long long)i);
    for (int64_t t = 0; t < s->count; t++)
        if (s->ids[t] < 0 || s->ids[t] >= vocab)
            return alloy_fail(ALLOY_RANGE, "token id %lld at place %lld of sequence %lld: the model knows 0 to %lld",
                              (long long)s->ids[t], (long long)t, (long long)i, (long long)vocab - 1);
    if (s->count > s->cache->context - s->cache->length)
        return alloy_fail(ALLOY_CONTEXT, "sequence %lld: %lld tokens after %lld exceed the context of %lld",
                          (long long)i, (long long)s->count, (long long)s->cache->length, (long long)s->cache->context);
    return ALLOY_OK;
}

/* Sequence i has failed, with the thread's text: it ends alone where the caller takes that, else the call does. */
static alloy_status end_sequence(struct work *w, int64_t i, alloy_status status)
{
    if (!w->options->failed)
        return status;
    w->room->failed[i] = true;
    w->options->failed(w->options->user, i, status);
    return ALLOY_OK;
}

static bool is_f64(const alloy_session *session)
{
    return session->backend->dtype == ALLOY_F64;
}

/* `floats`: the caller's room for logits in F32. */
static alloy_status check(struct work *w, const float *floats)
{
    const alloy_forward_options *o = w->options;
    if (w->count < 1)
        return alloy_fail(ALLOY_ARG, "no sequences");
    if (is_f64(w->session) ? floats || o->hidden : o->logits_f64 || o->hidden_f64)
        return alloy_fail(ALLOY_ARG, "a session of backend %s gives logits and hidden states in %s",
                          w->session->backend->name, alloy_dtype_name(w->session->backend->dtype));
    if (!w->logits && o->logits != ALLOY_LOGITS_NONE)
        return alloy_fail(ALLOY_ARG, "logits are asked for, but there is no room for them");
    alloy_status status = alloy_weights_check(w->session->model->weights);
    status = status ? status : alloy_forward_room_grow(w->session, w->count);
    for (int64_t i = 0; i < w->count && !status; i++) {
        w->room->failed[i] = false;
        status = check_sequence(w, i);
        status = status ? end_sequence(w, i, status) : ALLOY_OK;
        w->tokens += w->sequences[i].count;
    }
    return status;
}

void alloy_forward_room_free(alloy_forward_room *room)
{
    alloy_memory_free(room->spans);
    alloy_memory_free(room->span_sequence);
    alloy_memory_free(room->ids);
    alloy_memory_free(room->rows);
    alloy_memory_free(room->states);
    alloy_memory_free(room->blocks);
    alloy_memory_free(room->failed);
    *room = (alloy_forward_room){0};
}

alloy_status alloy_forward_room_grow(alloy_session *session, int64_t sequences)
{
    alloy_forward_room *room = &session->room;
    size_t layers = (size_t)session->model->config.num_hidden_layers, count = (size_t)sequences,
           chunk = (size_t)session->chunk;
    if (sequences <= room->count)
        return ALLOY_OK;
    alloy_forward_room_free(room);
    room->spans = alloy_memory_new(count, sizeof *room->spans);
    room->span_sequence = alloy_memory_new(count, sizeof *room->span_sequence);
    room->ids = alloy_memory_new(chunk, sizeof *room->ids);
    room->rows = alloy_memory_new(chunk, sizeof *room->rows);
    room->states = alloy_memory_zeroed(layers, sizeof *room->states);
    room->blocks = alloy_memory_new(layers * count, sizeof(alloy_state_block *));
    room->failed = alloy_memory_new(2 * count, sizeof *room->failed);
    if (!room->spans || !room->span_sequence || !room->ids || !room->rows || !room->states || !room->blocks ||
        !room->failed) {
        alloy_forward_room_free(room);
        return ALLOY_NOMEM;
    }
    room->count = sequences;
    return ALLOY_OK;
}

/* Rows of logits that the sequence in turn has still to give. */
static int64_t rows_left(const struct work *w)
{
    if (w->options->logits == ALLOY_LOGITS_ALL)
        return w->sequences[w->sequence].count - w->offset;
    return w->options->logits == ALLOY_LOGITS_LAST && (!w->wanted || w->wanted[w->sequence]);
}

/* Rows of logits that follow are written so many further on. */
static void pass_rows(struct work *w, int64_t rows)
{
    size_t row =
        (size_t)w->session->model->config.vocab_size * (size_t)alloy_dtype_bits(w->session->backend->dtype) / 8;
    w->logits = w->logits ? (char *)w->logits + (size_t)rows * row : NULL;
}

static void skip_failed(struct work *w)
{
    for (; w->sequence < w->count && w->room->failed[w->sequence]; w->sequence++, w->offset = 0) {
        pass_rows(w, rows_left(w));
        w->done += w->sequences[w->sequence].count - w->offset;
    }
}

/* Adds the next `count` tokens of the sequence in turn to the pass, which has `filled` rows. */
static void add_span(struct work *w, int64_t filled, int64_t count)
{
    const alloy_sequence *s = &w->sequences[w->sequence];
    int64_t wanted = rows_left(w);
    bool ends = w->offset + count == s->count;
    w->room->span_sequence[w->span_count] = w->sequence;
    w->room->spans[w->span_count++] =
        (alloy_span){.first = filled, .count = count, .past = s->cache->length, .repeat = 1};
    for (int64_t t = 0; t < count; t++) {
        w->room->ids[filled + t] = s->ids[w->offset + t];
        if (wanted > 0 && (w->options->logits == ALLOY_LOGITS_ALL || (ends && t == count - 1)))
            w->room->rows[w->rows_wanted++] = filled + t;
    }
    w->offset = ends ? 0 : w->offset + count;
    w->sequence += ends;
}

/* Takes the tokens of the next pass, with room in their caches. A sequence that finds none ends the pass. */
static alloy_status take_tokens(struct work *w, int64_t *filled)
{
    w->span_count = w->rows_wanted = *filled = 0;
    skip_failed(w);
    while (*filled < w->session->chunk && w->sequence < w->count && !w->room->failed[w->sequence]) {
        const alloy_sequence *s = &w->sequences[w->sequence];
        int64_t left = s->count - w->offset, room = w->session->chunk - *filled;
        int64_t count = left < room ? left : room;
        alloy_status status = alloy_cache_reserve(s->cache, s->cache->length + count);
        if (status) {
            alloy_cache_clear(s->cache);
            status = end_sequence(w, w->sequence, status);
            for (int64_t i = 0; i < w->span_count && status; i++) /* those that earlier passes have filled in part */
                alloy_cache_clear(w->sequences[w->room->span_sequence[i]].cache);
            return status;
        }
        add_span(w, *filled, count);
        *filled += count;
    }
    return ALLOY_OK;
}

static void set_states(struct work *w)
{
    const alloy_model *m = w->session->model;
    for (int64_t l = 0; l < m->config.num_hidden_layers; l++) {
        alloy_state_block **blocks = w->room->blocks + l * w->count;
        for (int64_t i = 0; i < w->span_count; i++)
            blocks[i] = &w->sequences[w->room->span_sequence[i]].cache->blocks[l];
        w->room->states[l] = (alloy_state){m->layers[l].state, blocks, w->session->kv_dtype};
    }
}

static void show_layer(void *user, int64_t layer, const alloy_tensor *h)
{
    const struct work *w = user;
    for (int64_t i = 0; i < w->span_count; i++) {
        int64_t sequence = w->room->span_sequence[i], width = alloy_row_size(h);
        const alloy_span *span = &w->room->spans[i];
        int64_t begin = sequence == w->sequence ? w->offset - span->count : w->sequences[sequence].count - span->count;
        if (h->dtype == ALLOY_F64)
            w->options->hidden_f64(w->options->user, layer, sequence, begin, span->count, width,
                                   alloy_f64(h) + span->first * width);
        else
            w->options->hidden(w->options->user, layer, sequence, begin, span->count, width,
                               alloy_f32(h) + span->first * width);
    }
}

static alloy_status run_pass(struct work *w, int64_t tokens)
{
    alloy_session *s = w->session;
    bool *failed = w->room->failed + w->count;
    set_states(w);
    memset(failed, 0, (size_t)w->span_count * sizeof *failed);
    alloy_pass pass = {.reading = ALLOY_READ_RUN,
                       .arena = s->arena,
                       .tables = s->tables,
                       .tokens = tokens,
                       .spans = w->room->spans,
                       .span_count = w->span_count,
                       .failed = w->options->failed ? failed : NULL,
                       .backend = s->backend,
                       .runs = &s->runs,
                       .kernels = s->kernels,
                       .team = &s->team,
                       .residency = s->model->residency,
                       .routed = w->options->routed,
                       .routed_user = w->options->user,
                       .watch = s->watch,
                       .watch_user = s->watch_user,
                       .observe = s->observe,
                       .observe_user = s->observe_user,
                       .follow = s->follow,
                       .follow_user = s->follow_user};
    alloy_decode decode = {.states = w->room->states,
                           .ids = w->room->ids,
                           .rows = w->room->rows,
                           .row_count = w->rows_wanted,
                           .logits = w->logits,
                           .each_layer = w->options->hidden || w->options->hidden_f64 ? show_layer : NULL,
                           .user = w};
    alloy_arena_mark mark = alloy_arena_here(s->arena), tables = alloy_arena_here(s->tables);
    if (pass.residency)
        alloy_residency_begin(pass.residency);
    alloy_team_begin(&s->team);
    alloy_decoder_forward(&pass, s->model, &decode);
    alloy_team_end(&s->team);
    alloy_arena_cut(s->arena, mark);
    alloy_arena_cut(s->tables, tables);
    if (pass.status) /* it failed whole */
        memset(failed, true, (size_t)w->span_count * sizeof *failed);
    else if (pass.not_finite)
        alloy_fail(ALLOY_RANGE, "%s is not finite", pass.not_finite);
    return pass.not_finite ? alloy_model_blame_weights(s->model) : pass.status;
}

/* The caches move on; sequences of the pass that have failed, with `result`, end. */
static alloy_status finish_pass(struct work *w, int64_t tokens, alloy_status result)
{
    const bool *failed = w->room->failed + w->count;
    alloy_status status = ALLOY_OK;
    for (int64_t i = 0; i < w->span_count; i++) {
        int64_t sequence = w->room->span_sequence[i];
        alloy_cache *cache = w->sequences[sequence].cache;
        alloy_cache_push(cache, w->room->ids + w->room->spans[i].first, w->room->spans[i].count);
        if (!failed[i])
            continue;
        alloy_cache_clear(cache);
        status = end_sequence(w, sequence, result);
    }
    pass_rows(w, w->rows_wanted);
    w->done += tokens;
    return status;
}

static alloy_status run(struct work *w, const float *floats)
{
    alloy_status status = check(w, floats);
    while (!status && w->done < w->tokens) {
        int64_t tokens;
        status = take_tokens(w, &tokens);
        if (status || tokens == 0)
            continue;
        status = finish_pass(w, tokens, run_pass(w, tokens));
        if (!status && w->options->progress && !w->options->progress(w->options->user, w->done, w->tokens))
            break;
    }
    return status;
}

alloy_status alloy_forward_wanted(alloy_session *session, const alloy_sequence *sequences, int64_t count,
                                  const bool *wanted, float *logits, const alloy_forward_options *options)
{
    alloy_forward_options o;
    alloy_status status = alloy_options_take(&o, sizeof o, options, "alloy_forward_options");
    struct work w = {.session = session,
                     .sequences = sequences,
                     .count = count,
                     .wanted = wanted,
                     .room = &session->room,
                     .logits = is_f64(session) ? (void *)o.logits_f64 : logits,
                     .options = &o};
    return status ? status : run(&w, logits);
}

alloy_status alloy_forward(alloy_session *session, const alloy_sequence *sequences, int64_t count, float *logits,
                           const alloy_forward_options *options)
{
    return alloy_forward_wanted(session, sequences, count, NULL, logits, options);
}
