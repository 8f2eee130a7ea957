/* Running a model over given ids (evaluate.h). */
#include "evaluate.h"

#include <string.h>

#include "alloy/extend.h"
#include "base/memory.h"
#include "base/status.h"
#include "ids.h"
#include "progress.h"

static bool show_progress(void *user, int64_t done, int64_t tokens)
{
    (void)user;
    alloy_cli_progress("prefill", "tokens", done, tokens);
    return true;
}

static void keep_hidden(void *user, int64_t layer, int64_t sequence, int64_t first, int64_t rows, int64_t width,
                        const float *hidden)
{
    (void)sequence;
    alloy_cli_evaluation *e = user;
    e->width = width;
    if (!e->hidden[layer])
        e->hidden[layer] = alloy_memory_new((size_t)e->tokens, (size_t)width * sizeof(float));
    if (e->hidden[layer])
        memcpy(e->hidden[layer] + first * width, hidden, (size_t)(rows * width) * sizeof *hidden);
    else
        e->status = ALLOY_NOMEM;
}

static alloy_status run(alloy_cli_evaluation *e, alloy_session *session, const alloy_ids *ids, bool hidden)
{
    const alloy_model *model = alloy_session_model(session);
    e->tokens = ids->count;
    e->vocab = alloy_model_vocab_size(model);
    e->layers = alloy_model_config(model)->num_hidden_layers;
    e->logits = alloy_memory_new((size_t)e->tokens, (size_t)e->vocab * sizeof *e->logits);
    e->hidden = hidden ? alloy_memory_zeroed((size_t)e->layers, sizeof *e->hidden) : NULL;
    if (!e->logits || (hidden && !e->hidden))
        return ALLOY_NOMEM;
    alloy_cache *cache;
    alloy_status status = alloy_cache_open(&cache, session, 0);
    if (status)
        return status;
    alloy_forward_options options = {
        .logits = ALLOY_LOGITS_ALL, .hidden = hidden ? keep_hidden : NULL, .progress = show_progress, .user = e};
    status = alloy_forward(session, &(alloy_sequence){cache, ids->ids, ids->count}, 1, e->logits, &options);
    alloy_cli_progress_clear();
    alloy_cache_close(cache);
    return status ? status : e->status;
}

alloy_status alloy_cli_evaluate(alloy_cli_evaluation *out, alloy_session *session, const alloy_ids *ids, bool hidden)
{
    *out = (alloy_cli_evaluation){0};
    alloy_status status = run(out, session, ids, hidden);
    if (status)
        alloy_cli_evaluation_free(out);
    return status;
}

void alloy_cli_evaluation_free(alloy_cli_evaluation *e)
{
    for (int64_t i = 0; e->hidden && i < e->layers; i++)
        alloy_memory_free(e->hidden[i]);
    alloy_memory_free(e->hidden);
    alloy_memory_free(e->logits);
    *e = (alloy_cli_evaluation){0};
}

alloy_status alloy_cli_greedy(alloy_session *session, const alloy_ids *ids, int64_t count, alloy_ids *out)
{
    alloy_generation *generation;
    alloy_prompt prompt = {ids->ids, ids->count};
    alloy_generate_options options = {.max_new_tokens = count, .ignore_eos = true};
    alloy_status status = alloy_generate(&generation, session, NULL, &prompt, 1, &options);
    if (status)
        return status;
    const alloy_output *output = alloy_generation_output(generation, 0);
    for (int64_t i = 0; i < output->count && !status; i++)
        status = alloy_cli_ids_push(out, output->ids[i]);
    alloy_generation_close(generation);
    return status;
}

alloy_status alloy_cli_ids_given(alloy_ids *ids, const char *text, const char *file)
{
    if ((text != NULL) == (file != NULL))
        return alloy_fail(ALLOY_ARG, "the ids are needed once: --ids 1,2,3 or --ids-file FILE");
    return text ? alloy_cli_ids_parse(ids, text, strlen(text), "--ids", ALLOY_ARG) : alloy_cli_ids_read(ids, file);
}
