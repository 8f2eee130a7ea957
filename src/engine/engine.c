/* The engine: requests that come and go, run as one ragged batch a step.
 *
 * A step takes a row for each output that goes on (its newest id), and fills the rest of a chunk with tokens of
 * prompts that are not computed yet, the oldest request first. One forward computes them; then each output whose row
 * has logits gets its next id.
 *
 * Invariants: what an output gets depends on its prompt, its number among the outputs of its request, and its settings,
 * never on its neighbours (canonical arithmetic for the logits, sample.h for the draw). A request that fails ends
 * alone. Room for the rows of a step is made when a request is submitted, for all its outputs: a step takes no memory
 * but for the copies of a prompt's cache, and for ids and texts that outgrow their room (output.c). */
#include "engine/engine.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/status.h"
#include "config/generation.h"
#include "engine/request.h"
#include "engine/session.h"

/* Tokens of one sequence in a step. */
struct row {
    alloy_request *request;
    int64_t output; /* number in its request; of a prompt's tokens 0 */
    bool of_prompt;
};

/* Room for the rows of a step. */
struct room {
    int64_t rows;
    struct row *row;           /* [rows] */
    alloy_sequence *sequences; /* [rows] */
    bool *wanted;              /* [rows] its logits are */
    float *logits;             /* [rows, vocab_size], of the wanted ones side by side */
    alloy_event *events;       /* [2 * rows] */
};

struct alloy_engine {
    alloy_session *session;
    const alloy_tokenizer *tokenizer;
    alloy_generation_config *file; /* NULL: not read yet */
    alloy_sampler sampler;
    alloy_request **requests; /* [count] that are not over, the oldest first */
    int64_t count, capacity;
    alloy_usage usage;
    alloy_engine_progress *progress;
    void *progress_user;

    /* of a step */
    struct room room; /* for all outputs of all requests */
    int64_t row_count, event_count, prompt_tokens;
};

/* ---- Engines and their requests ---------------------------------------------------------------------------------- */

alloy_status alloy_engine_open(alloy_engine **out, alloy_session *session, const alloy_engine_options *options)
{
    alloy_engine_options o;
    *out = NULL;
    alloy_status status = alloy_options_take(&o, sizeof o, options, "alloy_engine_options");
    if (status)
        return status;
    if (session->backend->dtype != ALLOY_F32)
        return alloy_fail(ALLOY_UNSUPPORTED, "a session of backend %s draws no tokens", session->backend->name);
    alloy_engine *e = alloy_memory_zeroed(1, sizeof *e);
    if (!e)
        return ALLOY_NOMEM;
    e->session = session;
    e->tokenizer = o.tokenizer;
    alloy_sampler_open(&e->sampler, session->kernels, alloy_model_vocab_size(session->model));
    *out = e;
    return ALLOY_OK;
}

static void free_room(struct room *r)
{
    alloy_memory_free(r->row);
    alloy_memory_free(r->sequences);
    alloy_memory_free(r->wanted);
    alloy_memory_free(r->logits);
    alloy_memory_free(r->events);
}

void alloy_engine_close(alloy_engine *e)
{
    if (!e)
        return;
    alloy_engine_cancel_all(e);
    free_room(&e->room);
    alloy_sampler_close(&e->sampler);
    alloy_generation_config_close(e->file);
    alloy_memory_free(e->requests);
    alloy_memory_free(e);
}

/* For one more request with so many outputs. */
static alloy_status make_room(alloy_engine *e, int64_t outputs)
{
    alloy_request **requests = alloy_memory_grow(e->requests, e->count, &e->capacity, sizeof *requests);
    if (!requests)
        return ALLOY_NOMEM;
    e->requests = requests;
    for (int64_t i = 0; i < e->count; i++)
        outputs += e->requests[i]->output_count;
    if (outputs <= e->room.rows)
        return ALLOY_OK;
    size_t rows = (size_t)outputs;
    struct room grown = {
        .rows = outputs,
        .row = alloy_memory_new(rows, sizeof *grown.row),
        .sequences = alloy_memory_new(rows, sizeof *grown.sequences),
        .wanted = alloy_memory_new(rows, sizeof *grown.wanted),
        .logits = alloy_memory_new(rows, (size_t)e->sampler.vocab_size * sizeof *grown.logits),
        .events = alloy_memory_new(rows, 2 * sizeof *grown.events),
    };
    bool sound = grown.row && grown.sequences && grown.wanted && grown.logits && grown.events;
    free_room(sound ? &e->room : &grown);
    if (!sound)
        return ALLOY_NOMEM;
    e->room = grown;
    return alloy_forward_room_grow(e->session, outputs);
}

static alloy_status read_eos_ids(alloy_engine *e, const alloy_generate_options *o)
{
    if (e->file || o->ignore_eos || o->eos_ids)
        return ALLOY_OK;
    return alloy_generation_config_open(&e->file, &e->session->model->files, e->sampler.vocab_size);
}

alloy_status alloy_engine_submit(alloy_request **out, alloy_engine *e, const alloy_prompt *prompt,
                                 const alloy_generate_options *options)
{
    alloy_generate_options o;
    alloy_request *r;
    *out = NULL;
    alloy_status status = alloy_options_take(&o, sizeof o, options, "alloy_generate_options");
    status = status ? status : read_eos_ids(e, &o);
    status = status ? status : alloy_request_open(&r, e->session, e->tokenizer, e->file, prompt, &o);
    if (status)
        return status;
    status = alloy_sampler_set(&e->sampler, &r->sampling);
    if (!status && o.logprobs > 0)
        status = alloy_sampler_ranks(&e->sampler);
    status = status ? status : make_room(e, r->output_count);
    if (status) {
        alloy_request_close(r);
        return status;
    }
    r->engine = e;
    e->usage.prompt_tokens += r->prompt_count;
    e->requests[e->count++] = r;
    *out = r;
    return ALLOY_OK;
}

/* Takes requests that are over off the list. */
static void drop_ended(alloy_engine *e)
{
    int64_t left = 0;
    for (int64_t i = 0; i < e->count; i++)
        if (e->requests[i]->engine)
            e->requests[left++] = e->requests[i];
    e->count = left;
}

void alloy_engine_cancel(alloy_engine *e, alloy_request *r)
{
    if (r->engine != e)
        return;
    alloy_request_end(r, ALLOY_FINISH_CANCELLED);
    drop_ended(e);
}

void alloy_engine_cancel_all(alloy_engine *e)
{
    for (int64_t i = 0; i < e->count; i++)
        alloy_request_end(e->requests[i], ALLOY_FINISH_CANCELLED);
    e->count = 0;
}

int64_t alloy_engine_live(const alloy_engine *e)
{
    return e->count;
}

const alloy_usage *alloy_engine_usage(const alloy_engine *e)
{
    return &e->usage;
}

void alloy_engine_on_progress(alloy_engine *e, alloy_engine_progress *progress, void *user)
{
    e->progress = progress;
    e->progress_user = user;
}

/* ---- The batch of a step ----------------------------------------------------------------------------------------- */

static void add_row(alloy_engine *e, struct row row, const int64_t *ids, int64_t count, bool wanted)
{
    alloy_cache *cache = row.request->outputs[row.output].cache;
    e->room.row[e->row_count] = row;
    e->room.sequences[e->row_count] = (alloy_sequence){.cache = cache, .ids = ids, .count = count};
    e->room.wanted[e->row_count++] = wanted;
}

static void gather_decode(alloy_engine *e, alloy_request *r)
{
    for (int64_t i = 0; i < r->output_count; i++) {
        const alloy_growing_output *output = &r->outputs[i];
        if (output->finish == ALLOY_FINISH_NONE)
            add_row(e, (struct row){r, i, false}, &output->ids[output->count - 1], 1, true);
    }
}

static bool is_prefilling(const alloy_request *r)
{
    return r->computed < r->prompt_count;
}

static void gather(alloy_engine *e)
{
    e->row_count = e->prompt_tokens = 0;
    for (int64_t i = 0; i < e->count; i++)
        if (!is_prefilling(e->requests[i]))
            gather_decode(e, e->requests[i]);
    int64_t left_of_chunk = e->session->chunk - e->row_count % e->session->chunk;
    for (int64_t i = 0; i < e->count && left_of_chunk > 0; i++) {
        alloy_request *r = e->requests[i];
        int64_t left = r->prompt_count - r->computed, count = left < left_of_chunk ? left : left_of_chunk;
        if (count == 0)
            continue;
        add_row(e, (struct row){r, 0, true}, r->prompt + r->computed, count, count == left);
        e->prompt_tokens += count;
        left_of_chunk -= count;
    }
}

/* ---- What a step makes of it ------------------------------------------------------------------------------------- */

static void sequence_failed(void *user, int64_t sequence, alloy_status status)
{
    const alloy_engine *e = user;
    alloy_request_fail(e->room.row[sequence].request, status);
}

/* Draws the next id of an output from its row of logits. */
static alloy_status draw(alloy_engine *e, alloy_request *r, int64_t index, const float *logits)
{
    alloy_growing_output *output = &r->outputs[index];
    alloy_history history = {
        .prompt = r->prompt,
        .prompt_count = r->prompt_count,
        .output = output->ids,
        .output_count = output->count,
        .sequence = (uint64_t)index,
    };
    int64_t id;
    alloy_status status = alloy_sampler_set(&e->sampler, &r->sampling);
    status = status ? status : alloy_sampler_next(&e->sampler, logits, &history, &id);
    status = status ? status : alloy_output_push(output, &r->rules, id);
    status = status ? status : alloy_output_keep_logprobs(output, &r->rules, &e->sampler, logits);
    if (status)
        return status;
    r->usage.completion_tokens++;
    e->usage.completion_tokens++;
    alloy_piece piece = alloy_output_show(output, &r->rules);
    piece.output = index;
    e->room.events[e->event_count++] = (alloy_event){.request = r, .user = r->user, .piece = piece};
    if (output->finish != ALLOY_FINISH_NONE) {
        alloy_cache_close(output->cache);
        output->cache = NULL;
    }
    return ALLOY_OK;
}

/* The prompt is computed: each output has its state, and draws from the same logits. */
static alloy_status branch(alloy_engine *e, alloy_request *r, const float *logits)
{
    alloy_status status = ALLOY_OK;
    for (int64_t i = 1; i < r->output_count && !status; i++)
        status = alloy_cache_copy(&r->outputs[i].cache, r->outputs[0].cache);
    for (int64_t i = 0; i < r->output_count && !status; i++)
        status = draw(e, r, i, logits);
    return status;
}

static void take_row(alloy_engine *e, int64_t i, const float *logits)
{
    const struct row *row = &e->room.row[i];
    alloy_request *r = row->request;
    alloy_status status = ALLOY_OK;
    if (r->status)
        return;
    r->computed += row->of_prompt ? e->room.sequences[i].count : 0;
    if (e->room.wanted[i])
        status = row->of_prompt ? branch(e, r, logits) : draw(e, r, row->output, logits);
    if (status)
        alloy_request_fail(r, status);
}

static void take_rows(alloy_engine *e)
{
    const float *logits = e->room.logits;
    for (int64_t i = 0; i < e->row_count; i++) {
        take_row(e, i, logits);
        logits += e->room.wanted[i] ? e->sampler.vocab_size : 0;
    }
}

/* A step of one request, or of all. One that computes tokens of prompts counts as prefill. */
static void add_usage(alloy_usage *usage, int64_t prompt_tokens, int64_t decode_tokens, double seconds)
{
    usage->computed_tokens += prompt_tokens;
    usage->decode_tokens += prompt_tokens ? 0 : decode_tokens;
    usage->decode_steps += !prompt_tokens;
    *(prompt_tokens ? &usage->prefill_seconds : &usage->decode_seconds) += seconds;
}

/* The rows of one request, which lie side by side, from row `first` on; the row after them. Where it has failed an
 * event says so; without a live output it is over. */
static int64_t finish_request(alloy_engine *e, int64_t first, double seconds)
{
    alloy_request *r = e->room.row[first].request;
    int64_t end = first + 1;
    while (end < e->row_count && e->room.row[end].request == r)
        end++;
    add_usage(&r->usage, e->room.row[first].of_prompt ? e->room.sequences[first].count : 0, end - first, seconds);
    if (r->status)
        e->room.events[e->event_count++] =
            (alloy_event){.request = r,
                          .user = r->user,
                          .piece = {.output = -1, .id = -1, .text = "", .finish = ALLOY_FINISH_FAILED},
                          .status = r->status};
    if (!alloy_request_is_live(r))
        alloy_request_end(r, ALLOY_FINISH_FAILED);
    return end;
}

static void run_forward(alloy_engine *e)
{
    alloy_forward_options options = {.size = sizeof options, .failed = sequence_failed, .user = e};
    alloy_status status =
        alloy_forward_wanted(e->session, e->room.sequences, e->row_count, e->room.wanted, e->room.logits, &options);
    for (int64_t i = 0; i < e->row_count && status; i++)
        alloy_request_fail(e->room.row[i].request, status);
}

void alloy_engine_step(alloy_engine *e, const alloy_event **events, int64_t *count)
{
    double start = alloy_seconds();
    e->event_count = 0;
    gather(e);
    if (e->row_count > 0)
        run_forward(e);
    if (e->progress && e->prompt_tokens > 0 &&
        !e->progress(e->progress_user, e->usage.computed_tokens + e->prompt_tokens)) {
        alloy_engine_cancel_all(e);
    } else if (e->row_count > 0) {
        take_rows(e);
        double seconds = alloy_seconds() - start;
        add_usage(&e->usage, e->prompt_tokens, e->row_count, seconds);
        for (int64_t i = 0; i < e->row_count;)
            i = finish_request(e, i, seconds);
        drop_ended(e);
    }
    *events = e->room.events;
    *count = e->event_count;
}
