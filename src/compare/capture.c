/* What a model computes, handed on or kept whole (capture.h). */
#include "compare/capture.h"

#include <stdio.h>
#include <string.h>

#include "base/file_write.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/status.h"
#include "files/json.h"
#include "files/safetensors.h"
#include "engine/session.h"

/* ---- Handed on --------------------------------------------------------------------------------------------------- */

typedef struct run_state {
    const alloy_listener *listener;
    int64_t done, tokens; /* of the ids: those of earlier chunks, all */
    alloy_status status;  /* of the listener */
} run_state;

int64_t alloy_hidden_width(const alloy_model *model)
{
    return model->config.hidden_size * alloy_residual_streams(model->residual, model->residual_shape);
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
    const alloy_listener *l = r->listener;
    int64_t chunk = session->chunk, vocab_size = alloy_model_vocab_size(session->model);
    alloy_forward_options options = {
        .size = sizeof options,
        .logits = ALLOY_LOGITS_ALL,
        .hidden = l->hidden ? hand_on_layer : NULL,
        .routed = l->routed ? hand_on_routing : NULL,
        .user = r,
    };
    while (r->done < r->tokens) {
        int64_t count = r->tokens - r->done < chunk ? r->tokens - r->done : chunk;
        alloy_sequence sequence = {.cache = cache, .ids = ids + r->done, .count = count};
        alloy_status status = alloy_forward(session, &sequence, 1, logits, &options);
        status = status ? status : r->status;
        if (!status)
            status = l->rows(l->user, -1, r->done, count, vocab_size, logits);
        if (status)
            return status;
        r->done += count;
        if (l->progress)
            l->progress(l->progress_user, l->what, r->done, r->tokens);
    }
    return ALLOY_OK;
}

alloy_status alloy_listen(alloy_session *session, const int64_t *ids, int64_t count, const alloy_listener *listener)
{
    const alloy_model *model = session->model;
    run_state r = {.listener = listener, .tokens = count};
    if (count <= 0)
        return alloy_fail(ALLOY_ARG, "no token ids were given");
    alloy_status status = alloy_ids_fit(count, model);
    if (status)
        return status;
    alloy_cache *cache;
    int64_t rows = count < session->chunk ? count : session->chunk;
    float *logits = alloy_memory_new((size_t)rows, (size_t)alloy_model_vocab_size(model) * sizeof *logits);
    if (!logits)
        return ALLOY_NOMEM;
    status = alloy_cache_open(&cache, session, 0);
    if (!status) {
        status = run_chunks(&r, session, cache, ids, logits);
        alloy_cache_close(cache);
    }
    alloy_memory_free(logits);
    return status;
}

/* ---- Kept -------------------------------------------------------------------------------------------------------- */

typedef struct recorder {
    alloy_capture *capture;
    alloy_status status; /* NOMEM: the routing could not be kept */
} recorder;

static alloy_status keep_rows(void *user, int64_t layer, int64_t first, int64_t rows, int64_t width,
                              const float *values)
{
    const recorder *r = user;
    const alloy_capture *c = r->capture;
    float *to = layer < 0 ? c->logits : c->hidden + layer * c->tokens * width;
    memcpy(to + first * width, values, (size_t)(rows * width) * sizeof *values);
    return r->status;
}

static void keep_routing(void *user, int64_t layer, int64_t experts, int64_t count, const int32_t *chosen)
{
    recorder *r = user;
    alloy_captured_routing *routing = &r->capture->routing[layer];
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

static alloy_status make_room(alloy_capture *c, const alloy_capture_options *options)
{
    c->ids = alloy_memory_new((size_t)c->tokens, sizeof *c->ids);
    c->logits = alloy_memory_new((size_t)c->tokens, (size_t)c->vocab_size * sizeof(float));
    bool made = c->ids && c->logits;
    if (options->hidden)
        made &=
            (c->hidden = alloy_memory_new((size_t)(c->layers * c->tokens), (size_t)c->width * sizeof(float))) != NULL;
    if (options->routing)
        made &= (c->routing = alloy_memory_zeroed((size_t)c->layers, sizeof *c->routing)) != NULL;
    return made ? ALLOY_OK : ALLOY_NOMEM;
}

alloy_status alloy_capture_open(alloy_capture **out, alloy_session *session, const int64_t *ids, int64_t count,
                                const alloy_capture_options *given)
{
    alloy_capture_options options;
    *out = NULL;
    alloy_status status = alloy_options_take(&options, sizeof options, given, "alloy_capture_options");
    if (status)
        return status;
    const alloy_model *model = session->model;
    alloy_capture *c = alloy_memory_new(1, sizeof *c);
    if (!c)
        return ALLOY_NOMEM;
    *c = (alloy_capture){
        .tokens = count > 0 ? count : 0,
        .vocab_size = alloy_model_vocab_size(model),
        .layers = model->config.num_hidden_layers,
        .width = alloy_hidden_width(model),
    };
    recorder r = {.capture = c};
    status = make_room(c, &options);
    if (!status)
        status = alloy_listen(session, ids, count,
                              &(alloy_listener){.rows = keep_rows,
                                                .hidden = options.hidden,
                                                .routed = options.routing ? keep_routing : NULL,
                                                .user = &r,
                                                .what = options.what ? options.what : "prefill",
                                                .progress = options.progress,
                                                .progress_user = options.user});
    if (status) {
        alloy_capture_close(c);
        return status;
    }
    memcpy(c->ids, ids, (size_t)count * sizeof *ids);
    *out = c;
    return ALLOY_OK;
}

void alloy_capture_close(alloy_capture *c)
{
    if (!c)
        return;
    for (int64_t i = 0; c->routing && i < c->layers; i++)
        alloy_memory_free(c->routing[i].tokens);
    alloy_memory_free(c->routing);
    alloy_memory_free(c->hidden);
    alloy_memory_free(c->logits);
    alloy_memory_free(c->ids);
    alloy_memory_free(c);
}

void alloy_capture_row(const alloy_capture *c, int64_t layer, int64_t token, double *out)
{
    int64_t width = layer < 0 ? c->vocab_size : c->width;
    const float *row = (layer < 0 ? c->logits : c->hidden + layer * c->tokens * width) + token * width;
    for (int64_t i = 0; i < width; i++)
        out[i] = (double)row[i];
}

/* ---- Written ----------------------------------------------------------------------------------------------------- */

enum { HIDDEN_NAME = 32 };

static alloy_saved_tensor rows_tensor(const alloy_capture *c, const char *name, const float *data, int64_t width)
{
    return (alloy_saved_tensor){
        .name = name, .dtype = ALLOY_F32, .ndim = 2, .shape = {(uint64_t)c->tokens, (uint64_t)width}, .data = data};
}

/* In the metadata stands what a reference says of itself (reference.h). */
alloy_status alloy_capture_write(const alloy_capture *c, const char *path)
{
    int64_t layers = c->hidden ? c->layers : 0;
    alloy_saved_tensor *tensors = alloy_memory_zeroed((size_t)layers + 2, sizeof *tensors);
    char(*names)[HIDDEN_NAME] = alloy_memory_new((size_t)layers, HIDDEN_NAME);
    alloy_status status = tensors && names ? ALLOY_OK : ALLOY_NOMEM;
    if (!status) {
        tensors[0] = rows_tensor(c, "logits", c->logits, c->vocab_size);
        tensors[1] = (alloy_saved_tensor){
            .name = "input_ids", .dtype = ALLOY_I64, .ndim = 1, .shape = {(uint64_t)c->tokens}, .data = c->ids};
        for (int64_t i = 0; i < layers; i++) {
            snprintf(names[i], HIDDEN_NAME, "hidden.%lld", (long long)i);
            tensors[2 + i] = rows_tensor(c, names[i], c->hidden + i * c->tokens * c->width, c->width);
        }
        char num_layers[24];
        snprintf(num_layers, sizeof num_layers, "%lld", (long long)c->layers);
        const alloy_saved_metadata metadata[] = {{"format", "pt"}, {"dtype", "float32"}, {"num_layers", num_layers}};
        status = alloy_safetensors_write(path, tensors, layers + 2, metadata, 3);
    }
    alloy_memory_free(tensors);
    alloy_memory_free(names);
    return status;
}

alloy_status alloy_capture_write_routing(const alloy_capture *c, const char *path)
{
    alloy_text text = {0};
    alloy_json_writer w;
    alloy_json_writer_open(&w, &text, 0);
    alloy_json_write_object(&w);
    for (int64_t i = 0; c->routing && i < c->layers; i++) {
        char layer[24];
        if (!c->routing[i].tokens)
            continue;
        snprintf(layer, sizeof layer, "%lld", (long long)i);
        alloy_json_write_key(&w, layer);
        alloy_json_write_array(&w);
        for (int64_t e = 0; e < c->routing[i].experts; e++)
            alloy_json_write_int64(&w, c->routing[i].tokens[e]);
        alloy_json_write_array_end(&w);
    }
    alloy_json_write_object_end(&w);
    alloy_text_char(&text, '\n');
    alloy_status status = alloy_text_status(&text);
    if (!status)
        status = alloy_file_replace(path, alloy_text_get(&text), text.size);
    alloy_text_free(&text);
    return status;
}
