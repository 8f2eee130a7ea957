/* Requests (request.h). */
#include "engine/request.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "config/config.h"

enum { MOST_LOGPROBS = 1000 };

static alloy_status require(const char *name, int64_t value, int64_t least, int64_t most)
{
    if (value >= least && value <= most)
        return ALLOY_OK;
    return alloy_fail(ALLOY_RANGE, "%s is %lld, expected %lld to %lld", name, (long long)value, (long long)least,
                      (long long)most);
}

static alloy_status check_options(const alloy_request *r, const alloy_generate_options *o, int64_t vocab_size)
{
    alloy_status status = require("max_new_tokens", o->max_new_tokens, 0, INT64_MAX);
    status = status ? status : require("num_return_sequences", o->num_return_sequences, 0, ALLOY_MOST_RETURN_SEQUENCES);
    status = status ? status : require("logprobs", o->logprobs, 0, MOST_LOGPROBS);
    status = status ? status : require("context", o->context, 0, INT64_MAX);
    for (int64_t i = 0; i < r->rules.eos_count && !status; i++)
        status = require("an end-of-sequence id", r->rules.eos_ids[i], 0, vocab_size - 1);
    if (!status && o->stop_count > 0 && !r->rules.tokenizer)
        return alloy_fail(ALLOY_ARG, "stop texts need a tokenizer");
    return status;
}

static alloy_status check_prompt(const alloy_prompt *prompt, int64_t context, int64_t vocab_size)
{
    if (prompt->count < 1)
        return alloy_fail(ALLOY_ARG, "the prompt is empty: generation needs at least one token to begin with");
    if (prompt->count >= context)
        return alloy_fail(ALLOY_CONTEXT,
                          "the prompt has %lld tokens, which leaves no room for a new one in a context of %lld",
                          (long long)prompt->count, (long long)context);
    for (int64_t t = 0; t < prompt->count; t++)
        if (prompt->ids[t] < 0 || prompt->ids[t] >= vocab_size)
            return alloy_fail(ALLOY_RANGE, "token id %lld at place %lld of the prompt: the model knows 0 to %lld",
                              (long long)prompt->ids[t], (long long)t, (long long)vocab_size - 1);
    return ALLOY_OK;
}

/* End-of-sequence ids: the caller's, else those of generation_config.json, else the config's. */
static void set_rules(alloy_request *r, const alloy_model *model, const alloy_generation_config *file,
                      const alloy_generate_options *o)
{
    const alloy_config *config = alloy_model_config(model);
    int64_t vocab_size = alloy_model_vocab_size(model);
    r->rules.stops = &r->stops;
    r->rules.likeliest_count = o->logprobs < vocab_size ? o->logprobs : vocab_size;
    if (o->ignore_eos)
        return;
    bool in_file = file && file->eos_token_count > 0;
    r->rules.eos_ids = o->eos_ids ? o->eos_ids : in_file ? file->eos_token_ids : config->eos_token_ids;
    r->rules.eos_count = o->eos_ids ? o->eos_count : in_file ? file->eos_token_count : config->eos_token_count;
}

/* What the caller's pointers lead to, and the stop texts, which are checked. */
static alloy_status copy_lists(alloy_request *r, const alloy_prompt *prompt, const alloy_generate_options *o)
{
    alloy_status status = alloy_stops_open(&r->stops, o->stop, o->stop_count);
    if (status)
        return status;
    r->prompt = (int64_t *)alloy_memory_copy(prompt->ids, (size_t)prompt->count * sizeof *r->prompt);
    r->prompt_count = r->usage.prompt_tokens = prompt->count;
    if (r->rules.eos_count > 0)
        r->eos_ids = (int64_t *)alloy_memory_copy(r->rules.eos_ids, (size_t)r->rules.eos_count * sizeof *r->eos_ids);
    if (!r->prompt || (r->rules.eos_count > 0 && !r->eos_ids))
        return ALLOY_NOMEM;
    r->rules.eos_ids = r->eos_ids;
    return ALLOY_OK;
}

static alloy_status open_outputs(alloy_request *r, int64_t room, const alloy_generate_options *o)
{
    int64_t count = o->num_return_sequences ? o->num_return_sequences : 1;
    int64_t most = o->max_new_tokens > 0 && o->max_new_tokens < room ? o->max_new_tokens : room;
    alloy_status status = ALLOY_OK;
    r->outputs = alloy_memory_zeroed((size_t)count, sizeof *r->outputs);
    if (!r->outputs)
        return ALLOY_NOMEM;
    r->output_count = count;
    for (int64_t i = 0; i < count && !status; i++)
        status = alloy_output_open(&r->outputs[i], &r->rules, most);
    return status;
}

static alloy_status fill(alloy_request *r, const alloy_session *session, const alloy_generation_config *file,
                         const alloy_prompt *prompt, const alloy_generate_options *o)
{
    const alloy_model *model = alloy_session_model(session);
    int64_t vocab_size = alloy_model_vocab_size(model);
    int64_t context = o->context > 0 ? o->context : alloy_model_context(model);
    set_rules(r, model, file, o);
    alloy_status status = check_options(r, o, vocab_size);
    status = status ? status : check_prompt(prompt, context, vocab_size);
    status = status ? status : copy_lists(r, prompt, o);
    status = status ? status : open_outputs(r, context - prompt->count, o);
    return status ? status : alloy_cache_open(&r->outputs[0].cache, session, o->context);
}

alloy_status alloy_request_open(alloy_request **out, const alloy_session *session, const alloy_tokenizer *tokenizer,
                                const alloy_generation_config *file, const alloy_prompt *prompt,
                                const alloy_generate_options *options)
{
    *out = NULL;
    alloy_request *r = alloy_memory_zeroed(1, sizeof *r);
    if (!r)
        return ALLOY_NOMEM;
    r->user = options->user;
    r->sampling = options->sampling;
    r->rules.tokenizer = tokenizer;
    alloy_status status = fill(r, session, file, prompt, options);
    if (status) {
        alloy_request_close(r);
        return status;
    }
    *out = r;
    return ALLOY_OK;
}

bool alloy_request_is_live(const alloy_request *r)
{
    for (int64_t i = 0; i < r->output_count && !r->status; i++)
        if (r->outputs[i].finish == ALLOY_FINISH_NONE)
            return true;
    return false;
}

void alloy_request_fail(alloy_request *r, alloy_status status)
{
    if (r->status)
        return;
    r->status = status;
    snprintf(r->text, sizeof r->text, "%s", alloy_error());
}

void alloy_request_end(alloy_request *r, alloy_finish finish)
{
    for (int64_t i = 0; i < r->output_count; i++) {
        alloy_status status = alloy_output_end(&r->outputs[i], &r->rules, finish);
        if (status)
            alloy_request_fail(r, status);
        alloy_cache_close(r->outputs[i].cache);
        r->outputs[i].cache = NULL;
    }
    r->engine = NULL;
}

void alloy_request_close(alloy_request *r)
{
    if (!r)
        return;
    if (r->engine)
        alloy_engine_cancel(r->engine, r);
    for (int64_t i = 0; i < r->output_count; i++)
        alloy_output_close(&r->outputs[i]);
    alloy_stops_close(&r->stops);
    alloy_memory_free(r->outputs);
    alloy_memory_free(r->prompt);
    alloy_memory_free(r->eos_ids);
    alloy_memory_free(r);
}

alloy_status alloy_request_status(const alloy_request *r)
{
    return r->status ? alloy_fail(r->status, "%s", r->text) : ALLOY_OK;
}

int64_t alloy_request_count(const alloy_request *r)
{
    return r->output_count;
}

const alloy_output *alloy_request_output(alloy_request *r, int64_t index)
{
    return index >= 0 && index < r->output_count ? alloy_output_view(&r->outputs[index], &r->rules) : NULL;
}

const alloy_usage *alloy_request_usage(const alloy_request *r)
{
    return &r->usage;
}
