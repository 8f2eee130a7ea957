/* Generation: prompts computed as one ragged batch, copied to the outputs of each, then one forward a step for all
 * outputs that go on.
 *
 * Invariants: rows of `logits` belong to the live outputs in their order (`live`), so an output that ends leaves no
 * hole; what an output gets depends on its prompt, its number among those of its prompt, and the settings, never on its
 * neighbours (canonical arithmetic for the logits, sample.h for the draw). */
#include <string.h>

#include "alloy/extend.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/status.h"
#include "config/generation.h"
#include "generate/output.h"
#include "model/session.h"

enum { MOST_RETURN_SEQUENCES = 1024, MOST_LOGPROBS = 1000 };

struct alloy_generation {
    alloy_growing_output *outputs; /* [count] */
    int64_t count;
    alloy_usage usage;
};

/* One call of alloy_generate. */
typedef struct run {
    alloy_session *session;
    const alloy_prompt *prompts; /* [prompt_count] */
    int64_t prompt_count;
    int64_t per_prompt; /* outputs of each */
    int64_t vocab_size;
    int64_t context; /* most tokens of prompt and output */
    const alloy_generate_options *options;
    alloy_output_rules rules;
    alloy_stops stops;
    alloy_sampler sampler;
    alloy_cache **caches; /* [outputs]; NULL for outputs that have ended */
    int64_t *live;        /* [live_count] outputs that go on, rising */
    int64_t live_count;
    float *logits; /* [live_count, vocab_size], room for all outputs */
    bool cancelled;
    alloy_generation_config *file; /* owns eos ids; or NULL */
    alloy_generation *generation;
} run;

/* ---- Before anything is computed --------------------------------------------------------------------------------- */

static alloy_status require(const char *name, int64_t value, int64_t least, int64_t most)
{
    if (value >= least && value <= most)
        return ALLOY_OK;
    return alloy_fail(ALLOY_RANGE, "%s is %lld, expected %lld to %lld", name, (long long)value, (long long)least,
                      (long long)most);
}

static alloy_status check_options(const run *r)
{
    const alloy_generate_options *o = r->options;
    alloy_status status = require("max_new_tokens", o->max_new_tokens, 0, INT64_MAX);
    status = status ? status : require("num_return_sequences", o->num_return_sequences, 0, MOST_RETURN_SEQUENCES);
    status = status ? status : require("logprobs", o->logprobs, 0, MOST_LOGPROBS);
    status = status ? status : require("context", o->context, 0, INT64_MAX);
    for (int64_t i = 0; i < r->rules.eos_count && !status; i++)
        status = require("an end-of-sequence id", r->rules.eos_ids[i], 0, r->vocab_size - 1);
    if (!status && o->stop_count > 0 && !r->rules.tokenizer)
        return alloy_fail(ALLOY_ARG, "stop texts need a tokenizer");
    return status;
}

static alloy_status check_prompts(const run *r)
{
    if (r->prompt_count < 1 || r->prompt_count > INT64_MAX / MOST_RETURN_SEQUENCES)
        return alloy_fail(ALLOY_ARG, "%lld prompts: at least one is needed", (long long)r->prompt_count);
    for (int64_t p = 0; p < r->prompt_count; p++) {
        if (r->prompts[p].count < 1)
            return alloy_fail(ALLOY_ARG, "prompt %lld is empty: generation needs at least one token to begin with",
                              (long long)p);
        if (r->prompts[p].count >= r->context)
            return alloy_fail(ALLOY_CONTEXT,
                              "prompt %lld has %lld tokens, which leaves no room for a new one in a context of %lld",
                              (long long)p, (long long)r->prompts[p].count, (long long)r->context);
    }
    return ALLOY_OK;
}

/* End-of-sequence ids: the caller's, else those of generation_config.json, else the config's. */
static alloy_status find_eos(run *r, const alloy_model *model)
{
    const alloy_generate_options *o = r->options;
    if (o->ignore_eos)
        return ALLOY_OK;
    if (o->eos_ids) {
        r->rules.eos_ids = o->eos_ids;
        r->rules.eos_count = o->eos_count;
        return ALLOY_OK;
    }
    alloy_status status = alloy_generation_config_open(&r->file, &model->files, r->vocab_size);
    if (status)
        return status;
    const alloy_config *config = alloy_model_config(model);
    bool in_file = r->file->eos_token_count > 0;
    r->rules.eos_ids = in_file ? r->file->eos_token_ids : config->eos_token_ids;
    r->rules.eos_count = in_file ? r->file->eos_token_count : config->eos_token_count;
    return ALLOY_OK;
}

static void set_rules(run *r, const alloy_tokenizer *tokenizer)
{
    const alloy_generate_options *o = r->options;
    r->rules = (alloy_output_rules){
        .tokenizer = tokenizer,
        .stops = &r->stops,
        .likeliest_count = o->logprobs < r->vocab_size ? o->logprobs : r->vocab_size,
    };
}

static alloy_status make_room(run *r)
{
    int64_t outputs = r->prompt_count * r->per_prompt;
    alloy_generation *g = r->generation;
    g->outputs = alloy_memory_zeroed((size_t)outputs, sizeof *g->outputs);
    r->caches = alloy_memory_zeroed((size_t)outputs, sizeof *r->caches);
    r->live = alloy_memory_new((size_t)outputs, sizeof *r->live);
    r->logits = alloy_memory_new((size_t)outputs, (size_t)r->vocab_size * sizeof *r->logits);
    if (!g->outputs || !r->caches || !r->live || !r->logits)
        return ALLOY_NOMEM;
    g->count = outputs;
    for (int64_t i = 0; i < outputs; i++) {
        int64_t room = r->context - r->prompts[i / r->per_prompt].count;
        int64_t most = r->options->max_new_tokens;
        alloy_status status = alloy_output_open(&g->outputs[i], &r->rules, most > 0 && most < room ? most : room);
        if (status)
            return status;
        r->live[i] = i;
    }
    r->live_count = outputs;
    return alloy_sampler_open(&r->sampler, &r->options->sampling, r->session->kernels, r->vocab_size);
}

/* ---- Prefill ----------------------------------------------------------------------------------------------------- */

static bool report_progress(void *user, int64_t done, int64_t tokens)
{
    run *r = user;
    if (r->options->progress && !r->options->progress(r->options->user, done, tokens))
        r->cancelled = true;
    return !r->cancelled;
}

/* Computes each prompt once, into the cache of its first output. */
static alloy_status prefill(run *r)
{
    alloy_sequence *sequences = alloy_memory_new((size_t)r->prompt_count, sizeof *sequences);
    if (!sequences)
        return ALLOY_NOMEM;
    alloy_status status = ALLOY_OK;
    int64_t tokens = 0;
    for (int64_t p = 0; p < r->prompt_count && !status; p++) {
        alloy_cache **cache = &r->caches[p * r->per_prompt];
        status = alloy_cache_open(cache, r->session, r->options->context);
        sequences[p] = (alloy_sequence){.cache = *cache, .ids = r->prompts[p].ids, .count = r->prompts[p].count};
        tokens += r->prompts[p].count;
    }
    alloy_forward_options forward = {.logits = ALLOY_LOGITS_LAST, .progress = report_progress, .user = r};
    status = status ? status : alloy_forward(r->session, sequences, r->prompt_count, r->logits, &forward);
    r->generation->usage.prompt_tokens = tokens;
    r->generation->usage.computed_tokens = tokens;
    alloy_memory_free(sequences);
    return status;
}

/* Gives each output its prompt's state and logits. From the last to the first: rows move up, onto rows that have been
 * moved already. */
static alloy_status share_prompts(run *r)
{
    for (int64_t i = r->generation->count - 1; i > 0; i--) {
        int64_t prompt = i / r->per_prompt, first = prompt * r->per_prompt;
        memmove(r->logits + i * r->vocab_size, r->logits + prompt * r->vocab_size,
                (size_t)r->vocab_size * sizeof *r->logits);
        alloy_status status = i == first ? ALLOY_OK : alloy_cache_copy(&r->caches[i], r->caches[first]);
        if (status)
            return status;
    }
    return ALLOY_OK;
}

/* ---- Decode ------------------------------------------------------------------------------------------------------ */

static void show(run *r, int64_t index)
{
    alloy_piece piece = alloy_output_show(&r->generation->outputs[index], &r->rules);
    piece.output = index;
    if (r->options->stream && !r->options->stream(r->options->user, &piece))
        r->cancelled = true;
}

/* Draws the next token of one output from its row of logits. */
static alloy_status next_token(run *r, int64_t index, const float *logits)
{
    alloy_growing_output *output = &r->generation->outputs[index];
    const alloy_prompt *prompt = &r->prompts[index / r->per_prompt];
    alloy_history history = {
        .prompt = prompt->ids,
        .prompt_count = prompt->count,
        .output = output->ids,
        .output_count = output->count,
        .sequence = (uint64_t)(index % r->per_prompt),
    };
    int64_t id;
    alloy_status status = alloy_sampler_next(&r->sampler, logits, &history, &id);
    status = status ? status : alloy_output_push(output, &r->rules, id);
    status = status ? status : alloy_output_keep_logprobs(output, &r->rules, &r->sampler, logits);
    if (status)
        return status;
    r->generation->usage.completion_tokens++;
    show(r, index);
    return ALLOY_OK;
}

/* One token for each live output; those that end leave the list. */
static alloy_status next_tokens(run *r)
{
    int64_t left = 0;
    for (int64_t row = 0; row < r->live_count && !r->cancelled; row++) {
        int64_t index = r->live[row];
        alloy_status status = next_token(r, index, r->logits + row * r->vocab_size);
        if (status)
            return status;
        if (r->generation->outputs[index].finish == ALLOY_FINISH_NONE) {
            r->live[left++] = index;
            continue;
        }
        alloy_cache_close(r->caches[index]);
        r->caches[index] = NULL;
    }
    r->live_count = left;
    return ALLOY_OK;
}

/* Feeds the newest token of each live output. */
static alloy_status feed(run *r, alloy_sequence *sequences)
{
    for (int64_t row = 0; row < r->live_count; row++) {
        const alloy_growing_output *output = &r->generation->outputs[r->live[row]];
        sequences[row] =
            (alloy_sequence){.cache = r->caches[r->live[row]], .ids = &output->ids[output->count - 1], .count = 1};
    }
    r->generation->usage.decode_tokens += r->live_count;
    r->generation->usage.decode_steps++;
    return alloy_forward(r->session, sequences, r->live_count, r->logits, NULL);
}

static alloy_status decode(run *r)
{
    alloy_sequence *sequences = alloy_memory_new((size_t)r->live_count, sizeof *sequences);
    alloy_status status = sequences ? next_tokens(r) : ALLOY_NOMEM;
    while (!status && !r->cancelled && r->live_count > 0) {
        status = feed(r, sequences);
        status = status ? status : next_tokens(r);
    }
    alloy_memory_free(sequences);
    return status;
}

/* ---- The call ---------------------------------------------------------------------------------------------------- */

static alloy_status finish_outputs(run *r)
{
    for (int64_t i = 0; i < r->generation->count; i++) {
        alloy_status status = alloy_output_end(&r->generation->outputs[i], &r->rules, ALLOY_FINISH_CANCELLED);
        if (status)
            return status;
        alloy_output_finish_view(&r->generation->outputs[i], &r->rules);
    }
    return ALLOY_OK;
}

static alloy_status generate(run *r)
{
    alloy_status status = find_eos(r, alloy_session_model(r->session));
    status = status ? status : check_options(r);
    status = status ? status : check_prompts(r);
    status = status ? status : alloy_stops_open(&r->stops, r->options->stop, r->options->stop_count);
    status = status ? status : make_room(r);
    if (status)
        return status;
    double start = alloy_seconds();
    status = prefill(r);
    double middle = alloy_seconds();
    if (!status && !r->cancelled)
        status = share_prompts(r);
    if (!status && !r->cancelled)
        status = decode(r);
    r->generation->usage.prefill_seconds = middle - start;
    r->generation->usage.decode_seconds = alloy_seconds() - middle;
    return status ? status : finish_outputs(r);
}

static void free_run(run *r)
{
    for (int64_t i = 0; r->caches && i < r->prompt_count * r->per_prompt; i++)
        alloy_cache_close(r->caches[i]);
    alloy_memory_free(r->caches);
    alloy_memory_free(r->live);
    alloy_memory_free(r->logits);
    alloy_sampler_close(&r->sampler);
    alloy_generation_config_close(r->file);
}

alloy_status alloy_generate(alloy_generation **out, alloy_session *session, const alloy_tokenizer *tokenizer,
                            const alloy_prompt *prompts, int64_t count, const alloy_generate_options *options)
{
    static const alloy_generate_options defaults;
    const alloy_model *model = alloy_session_model(session);
    *out = NULL;
    run r = {
        .session = session,
        .prompts = prompts,
        .prompt_count = count,
        .options = options ? options : &defaults,
        .vocab_size = alloy_model_vocab_size(model),
    };
    r.per_prompt = r.options->num_return_sequences ? r.options->num_return_sequences : 1;
    r.context = r.options->context > 0 ? r.options->context : alloy_model_context(model);
    set_rules(&r, tokenizer);
    r.generation = alloy_memory_zeroed(1, sizeof *r.generation);
    alloy_status status = r.generation ? generate(&r) : ALLOY_NOMEM;
    free_run(&r);
    if (status) {
        alloy_generation_close(r.generation);
        return status;
    }
    *out = r.generation;
    return ALLOY_OK;
}

void alloy_generation_close(alloy_generation *generation)
{
    if (!generation)
        return;
    for (int64_t i = 0; i < generation->count; i++)
        alloy_output_close(&generation->outputs[i]);
    alloy_memory_free(generation->outputs);
    alloy_memory_free(generation);
}

int64_t alloy_generation_count(const alloy_generation *generation)
{
    return generation->count;
}

const alloy_output *alloy_generation_output(const alloy_generation *generation, int64_t index)
{
    return index >= 0 && index < generation->count ? &generation->outputs[index].view : NULL;
}

const alloy_usage *alloy_generation_usage(const alloy_generation *generation)
{
    return &generation->usage;
}
