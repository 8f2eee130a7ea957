/* What a model computes, handed on or kept whole (capture.h). */
#include "capture.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "ids.h"
#include "model/session.h"
#include "progress.h"

/* ---- Handed on --------------------------------------------------------------------------------------------------- */

typedef struct run_state {
    const alloy_cli_listener *listener;
    const char *label;
    int64_t done, tokens; /* of the ids: those of earlier chunks, all */
    alloy_status status;  /* of the listener */
} run_state;

int64_t alloy_cli_hidden_width(const alloy_model *model)
{
    return model->config.hidden_size * model->residual->streams(&model->config);
}

static void hand_on_layer(void *user, int64_t layer, int64_t sequence, int64_t first, int64_t rows, int64_t width,
                          const float *hidden)
{
    run_state *r = user;
    (void)sequence;
    if (!r->status)
        r->status = r->listener->rows(r->listener->user, layer, r->done + first, rows, width, hidden);
}

static void hand_on_routing(void *user, int64_t layer, int64_t experts, int64_t count, const int32_t *chosen)
{
    const run_state *r = user;
    r->listener->routed(r->listener->user, layer, experts, count, chosen);
}

static alloy_status run_chunks(run_state *r, alloy_session *session, alloy_cache *cache, const int64_t *ids,
                               float *logits)
{
    int64_t chunk = session->chunk, vocab_size = alloy_model_vocab_size(session->model);
    alloy_forward_options options = {
        .logits = ALLOY_LOGITS_ALL,
        .hidden = r->listener->hidden ? hand_on_layer : NULL,
        .routed = r->listener->routed ? hand_on_routing : NULL,
        .user = r,
    };
    while (r->done < r->tokens) {
        int64_t count = r->tokens - r->done < chunk ? r->tokens - r->done : chunk;
        alloy_sequence sequence = {.cache = cache, .ids = ids + r->done, .count = count};
        alloy_status status = alloy_forward(session, &sequence, 1, logits, &options);
        status = status ? status : r->status;
        if (!status)
            status = r->listener->rows(r->listener->user, -1, r->done, count, vocab_size, logits);
        if (status)
            return status;
        r->done += count;
        alloy_cli_progress(r->label, "tokens", r->done, r->tokens);
    }
    return ALLOY_OK;
}

alloy_status alloy_cli_listen(alloy_session *session, const alloy_ids *ids, const alloy_cli_listener *listener,
                              const char *label)
{
    const alloy_model *model = session->model;
    run_state r = {.listener = listener, .label = label, .tokens = ids->count};
    if (ids->count == 0)
        return alloy_fail(ALLOY_ARG, "no token ids were given");
    alloy_status status = alloy_cli_ids_fit(ids->count, model);
    if (status)
        return status;
    alloy_cache *cache;
    int64_t rows = ids->count < session->chunk ? ids->count : session->chunk;
    float *logits = alloy_memory_new((size_t)rows, (size_t)alloy_model_vocab_size(model) * sizeof *logits);
    if (!logits)
        return ALLOY_NOMEM;
    status = alloy_cache_open(&cache, session, 0);
    if (!status) {
        status = run_chunks(&r, session, cache, ids->ids, logits);
        alloy_cache_close(cache);
    }
    alloy_memory_free(logits);
    return status;
}

/* ---- Kept -------------------------------------------------------------------------------------------------------- */

typedef struct recorder {
    alloy_cli_capture *capture;
    alloy_status status; /* NOMEM: the routing could not be kept */
} recorder;

static alloy_status keep_rows(void *user, int64_t layer, int64_t first, int64_t rows, int64_t width,
                              const float *values)
{
    const recorder *r = user;
    const alloy_cli_capture *c = r->capture;
    float *to = layer < 0 ? c->logits : c->hidden + layer * c->tokens * width;
    memcpy(to + first * width, values, (size_t)(rows * width) * sizeof *values);
    return r->status;
}

static void keep_routing(void *user, int64_t layer, int64_t experts, int64_t count, const int32_t *chosen)
{
    recorder *r = user;
    alloy_cli_routing *routing = &r->capture->routing[layer];
    if (!routing->tokens) {
        routing->tokens = alloy_memory_zeroed((size_t)experts, sizeof *routing->tokens);
        routing->experts = experts;
    }
    if (!routing->tokens) {
        r->status = ALLOY_NOMEM;
        return;
    }
    for (int64_t i = 0; i < count; i++)
        routing->tokens[chosen[i]]++;
}

alloy_status alloy_cli_capture_run(alloy_cli_capture *capture, alloy_session *session, const alloy_ids *ids, int what,
                                   const char *label)
{
    const alloy_model *model = session->model;
    *capture = (alloy_cli_capture){
        .tokens = ids->count,
        .vocab_size = alloy_model_vocab_size(model),
        .layers = model->config.num_hidden_layers,
        .width = alloy_cli_hidden_width(model),
    };
    capture->logits = alloy_memory_new((size_t)capture->tokens, (size_t)capture->vocab_size * sizeof(float));
    bool made = capture->logits != NULL;
    if (what & ALLOY_CLI_CAPTURE_HIDDEN)
        made &= (capture->hidden = alloy_memory_new((size_t)(capture->layers * capture->tokens),
                                                    (size_t)capture->width * sizeof(float))) != NULL;
    if (what & ALLOY_CLI_CAPTURE_ROUTING)
        made &= (capture->routing = alloy_memory_zeroed((size_t)capture->layers, sizeof *capture->routing)) != NULL;
    alloy_status status = made ? ALLOY_OK : ALLOY_NOMEM;
    recorder r = {.capture = capture};
    if (!status)
        status = alloy_cli_listen(session, ids,
                                  &(alloy_cli_listener){.rows = keep_rows,
                                                        .hidden = capture->hidden != NULL,
                                                        .routed = capture->routing ? keep_routing : NULL,
                                                        .user = &r},
                                  label);
    if (status)
        alloy_cli_capture_free(capture);
    return status;
}

void alloy_cli_capture_free(alloy_cli_capture *capture)
{
    alloy_memory_free(capture->logits);
    alloy_memory_free(capture->hidden);
    for (int64_t i = 0; capture->routing && i < capture->layers; i++)
        alloy_memory_free(capture->routing[i].tokens);
    alloy_memory_free(capture->routing);
    *capture = (alloy_cli_capture){0};
}

const float *alloy_cli_capture_layer(const alloy_cli_capture *capture, int64_t layer)
{
    return capture->hidden + layer * capture->tokens * capture->width;
}

void alloy_cli_capture_row(const alloy_cli_capture *capture, int64_t layer, int64_t token, double *out)
{
    int64_t width = layer < 0 ? capture->vocab_size : capture->width;
    const float *row = (layer < 0 ? capture->logits : alloy_cli_capture_layer(capture, layer)) + token * width;
    for (int64_t i = 0; i < width; i++)
        out[i] = (double)row[i];
}
