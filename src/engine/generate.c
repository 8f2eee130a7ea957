/* alloy_generate: a request for each prompt, stepped until all are over. */
#include "alloy/alloy.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/status.h"
#include "engine/engine.h"

struct alloy_generation {
    alloy_request **requests; /* [prompts] of `per_prompt` outputs each */
    int64_t prompts, per_prompt;
    alloy_usage usage;
};

/* One call. */
struct call {
    alloy_engine *engine;
    alloy_generation *generation;
    const alloy_generate_options *options;
    bool cancelled;
};

static alloy_status submit(struct call *c, const alloy_prompt *prompts, int64_t count)
{
    alloy_generation *g = c->generation;
    if (count < 1 || count > INT64_MAX / ALLOY_MOST_RETURN_SEQUENCES)
        return alloy_fail(ALLOY_ARG, "%lld prompts: at least one is needed", (long long)count);
    g->requests = alloy_memory_zeroed((size_t)count, sizeof *g->requests);
    if (!g->requests)
        return ALLOY_NOMEM;
    for (g->prompts = 0; g->prompts < count; g->prompts++) {
        alloy_generate_options options = *c->options;
        options.user = (void *)&g->requests[g->prompts]; /* from which an event's request has its number */
        alloy_status status = alloy_engine_submit(&g->requests[g->prompts], c->engine, &prompts[g->prompts], &options);
        if (status)
            return count == 1 ? status : alloy_fail(status, "prompt %lld: %s", (long long)g->prompts, alloy_error());
    }
    g->per_prompt = alloy_request_count(g->requests[0]);
    return ALLOY_OK;
}

static bool report_progress(void *user, int64_t computed)
{
    const struct call *c = user;
    return c->options->progress(c->options->user, computed, alloy_engine_usage(c->engine)->prompt_tokens);
}

/* Gives an event to the caller's stream; the failure of a request is the call's. */
static alloy_status take_event(struct call *c, const alloy_event *event)
{
    alloy_generation *g = c->generation;
    alloy_piece piece = event->piece;
    if (event->status)
        return alloy_request_status(event->request);
    piece.output += ((alloy_request **)event->user - g->requests) * g->per_prompt;
    if (c->options->stream && !c->options->stream(c->options->user, &piece)) {
        c->cancelled = true;
        alloy_engine_cancel_all(c->engine);
    }
    return ALLOY_OK;
}

static alloy_status run(struct call *c, const alloy_prompt *prompts, int64_t count)
{
    alloy_status status = submit(c, prompts, count);
    if (c->options->progress)
        alloy_engine_on_progress(c->engine, report_progress, c);
    while (!status && alloy_engine_live(c->engine) > 0) {
        const alloy_event *events;
        int64_t event_count;
        alloy_engine_step(c->engine, &events, &event_count);
        for (int64_t i = 0; i < event_count && !status && !c->cancelled; i++)
            status = take_event(c, &events[i]);
    }
    c->generation->usage = *alloy_engine_usage(c->engine);
    return status;
}

alloy_status alloy_generate(alloy_generation **out, alloy_session *session, const alloy_tokenizer *tokenizer,
                            const alloy_prompt *prompts, int64_t count, const alloy_generate_options *options)
{
    alloy_generate_options o;
    struct call c = {.options = &o};
    alloy_engine_options engine = {.size = sizeof engine, .tokenizer = tokenizer};
    *out = NULL;
    alloy_status status = alloy_options_take(&o, sizeof o, options, "alloy_generate_options");
    status = status ? status : alloy_engine_open(&c.engine, session, &engine);
    if (status)
        return status;
    c.generation = alloy_memory_zeroed(1, sizeof *c.generation);
    status = c.generation ? run(&c, prompts, count) : ALLOY_NOMEM;
    if (status) {
        alloy_generation_close(c.generation);
        c.generation = NULL;
    }
    alloy_engine_close(c.engine);
    *out = c.generation;
    return status;
}

void alloy_generation_close(alloy_generation *generation)
{
    if (!generation)
        return;
    for (int64_t i = 0; i < generation->prompts; i++)
        alloy_request_close(generation->requests[i]);
    alloy_memory_free(generation->requests);
    alloy_memory_free(generation);
}

int64_t alloy_generation_count(const alloy_generation *generation)
{
    return generation->prompts * generation->per_prompt;
}

const alloy_output *alloy_generation_output(const alloy_generation *generation, int64_t index)
{
    if (index < 0 || index >= alloy_generation_count(generation))
        return NULL;
    return alloy_request_output(generation->requests[index / generation->per_prompt], index % generation->per_prompt);
}

const alloy_usage *alloy_generation_usage(const alloy_generation *generation)
{
    return &generation->usage;
}
