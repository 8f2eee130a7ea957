/* What a model computes, kept whole (capture.h). */
#include "capture.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "model/model.h"
#include "progress.h"

typedef struct recorder {
    alloy_cli_capture *capture;
    const char *label;
    alloy_status status; /* NOMEM: the routing could not be kept */
} recorder;

static void keep_layer(void *user, int64_t layer, int64_t sequence, int64_t first, int64_t rows, int64_t width,
                       const float *hidden)
{
    alloy_cli_capture *c = ((recorder *)user)->capture;
    (void)sequence;
    memcpy(c->hidden + (layer * c->tokens + first) * width, hidden, (size_t)(rows * width) * sizeof *hidden);
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

static bool report(void *user, int64_t done, int64_t tokens)
{
    alloy_cli_progress(((recorder *)user)->label, "tokens", done, tokens);
    return true;
}

static alloy_status run(recorder *r, alloy_session *session, const alloy_ids *ids)
{
    alloy_cache *cache;
    alloy_status status = alloy_cache_open(&cache, session, 0);
    if (status)
        return status;
    alloy_forward_options options = {
        .logits = ALLOY_LOGITS_ALL,
        .hidden = r->capture->hidden ? keep_layer : NULL,
        .routed = r->capture->routing ? keep_routing : NULL,
        .progress = report,
        .user = r,
    };
    alloy_sequence sequence = {.cache = cache, .ids = ids->ids, .count = ids->count};
    status = alloy_forward(session, &sequence, 1, r->capture->logits, &options);
    alloy_cache_close(cache);
    return status ? status : r->status;
}

alloy_status alloy_cli_capture_run(alloy_cli_capture *capture, alloy_session *session, const alloy_ids *ids, int what,
                                   const char *label)
{
    const alloy_model *model = alloy_session_model(session);
    *capture = (alloy_cli_capture){
        .tokens = ids->count,
        .vocab_size = alloy_model_vocab_size(model),
        .layers = model->config.num_hidden_layers,
        .width = model->config.hidden_size * model->residual->streams(&model->config),
    };
    if (ids->count == 0)
        return alloy_fail(ALLOY_ARG, "no token ids were given");
    if (ids->count > alloy_model_context(model))
        return alloy_fail(ALLOY_CONTEXT, "%lld token ids, the model's context is %lld", (long long)ids->count,
                          (long long)alloy_model_context(model));
    capture->logits = alloy_memory_new((size_t)capture->tokens, (size_t)capture->vocab_size * sizeof(float));
    bool made = capture->logits != NULL;
    if (what & ALLOY_CLI_CAPTURE_HIDDEN)
        made &= (capture->hidden = alloy_memory_new((size_t)(capture->layers * capture->tokens),
                                                    (size_t)capture->width * sizeof(float))) != NULL;
    if (what & ALLOY_CLI_CAPTURE_ROUTING)
        made &= (capture->routing = alloy_memory_zeroed((size_t)capture->layers, sizeof *capture->routing)) != NULL;
    alloy_status status = made ? ALLOY_OK : ALLOY_NOMEM;
    recorder r = {.capture = capture, .label = label};
    if (!status)
        status = run(&r, session, ids);
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
