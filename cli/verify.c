/* alloy verify: the reproducibility promise, tried on this machine. One reference run (one thread, the whole prompt at
 * once, alone, without a cache), then runs under other settings, in pairs (plan.h); the logits of every token must be
 * the same bits.
 *
 * A batch puts the prompt between four neighbours of other lengths. "prefix" computes the first part, then the rest
 * behind it; "steps" computes token by token. A level of --cpu that this machine lacks is reported as not run, and
 * passes nothing. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "ids.h"
#include "job.h"
#include "kernels/kernels.h"
#include "output.h"
#include "plan.h"
#include "progress.h"
#include "table.h"

enum { PREFIX = 37, NEIGHBOURS = 4, BATCH = NEIGHBOURS + 1, OURS = 2, MOST_LEVELS = 8 };

/* What the settings of the plan are, in its order. */
enum { THREADS, CHUNK, GROUP, CACHE, CPU };

static const int thread_counts[] = {1, 2, 3, 8};
static const int64_t chunks[] = {0, 65, 64, 7, 1}; /* 0: whole */
static const int64_t neighbour_lengths[NEIGHBOURS] = {1, 70, 17, 33};
static const char *const cache_names[] = {"none", "prefix", "steps"};

/* How one run went. */
typedef struct outcome {
    bool same;
    int64_t token, logit; /* the first that differs */
    float expected, actual;
} outcome;

typedef struct verifier {
    alloy_cli_job *job;
    int64_t vocab_size;
    alloy_ids ids[BATCH];             /* ours at OURS, which are the job's */
    float *expected;                  /* [tokens, vocab] of the reference run */
    float *actual;                    /* [all tokens of the batch, vocab] */
    const char *levels[MOST_LEVELS];  /* [plan.values[CPU]] that this machine has, the best first */
    const char *missing[MOST_LEVELS]; /* [missing_count] */
    int missing_count;
    alloy_cli_plan plan;
    outcome outcomes[ALLOY_CLI_MOST_RUNS]; /* [plan.runs] */
} verifier;

/* ---- One run ----------------------------------------------------------------------------------------------------- */

/* Feeds the sequences in steps of at most `step` tokens each, the first step `first`; our rows of logits are kept in
 * order. */
static alloy_status feed(const verifier *v, alloy_session *session, alloy_cache *const *caches, int count,
                         int64_t first, int64_t step, float *logits)
{
    int64_t done[BATCH] = {0};
    int begin = count == 1 ? OURS : 0;
    for (int64_t length = first;; length = step) {
        alloy_sequence sequences[BATCH];
        int64_t batch = 0, before_ours = 0, ours = 0, rows = 0;
        for (int s = begin; s < begin + count; s++) {
            int64_t left = v->ids[s].count - done[s], take = left < length ? left : length;
            if (take == 0)
                continue;
            sequences[batch++] = (alloy_sequence){.cache = caches[s], .ids = v->ids[s].ids + done[s], .count = take};
            before_ours = s == OURS ? rows : before_ours;
            ours = s == OURS ? take : ours;
            done[s] += take;
            rows += take;
        }
        if (ours == 0)
            return ALLOY_OK;
        alloy_status status =
            alloy_forward(session, sequences, batch, v->actual, &(alloy_forward_options){.logits = ALLOY_LOGITS_ALL});
        if (status)
            return status;
        memcpy(logits + (done[OURS] - ours) * v->vocab_size, v->actual + before_ours * v->vocab_size,
               (size_t)(ours * v->vocab_size) * sizeof *logits);
    }
}

static alloy_status run_once(const verifier *v, const alloy_session_options *settings, int group, int cache,
                             float *logits)
{
    alloy_session *session;
    alloy_cache *caches[BATCH] = {0};
    alloy_status status = alloy_session_open(&session, v->job->model, settings);
    for (int s = 0; s < BATCH && !status; s++)
        status = alloy_cache_open(&caches[s], session, 0);
    int64_t whole = INT64_MAX, first = cache == 0 ? whole : cache == 1 ? PREFIX : 1;
    if (!status)
        status = feed(v, session, caches, group ? BATCH : 1, first, cache == 2 ? 1 : whole, logits);
    for (int s = 0; s < BATCH; s++)
        alloy_cache_close(caches[s]);
    alloy_session_close(session);
    return status;
}

/* By bits. (No logit is NaN: a forward that makes one fails.) */
static outcome compare(const verifier *v, const float *logits)
{
    size_t row = (size_t)v->vocab_size * sizeof *logits;
    for (int64_t t = 0; t < v->ids[OURS].count; t++) {
        const float *expected = v->expected + t * v->vocab_size, *actual = logits + t * v->vocab_size;
        if (memcmp(expected, actual, row) == 0)
            continue;
        for (int64_t i = 0; i < v->vocab_size; i++)
            if (memcmp(&expected[i], &actual[i], sizeof *actual) != 0)
                return (outcome){.token = t, .logit = i, .expected = expected[i], .actual = actual[i]};
    }
    return (outcome){.same = true};
}

static int64_t total_tokens(const verifier *v)
{
    int64_t total = 0;
    for (int s = 0; s < BATCH; s++)
        total += v->ids[s].count;
    return total;
}

static alloy_status run_planned(verifier *v, int index, float *logits)
{
    const int *run = v->plan.run[index];
    alloy_session_options settings = alloy_cli_session_options(v->job->common);
    settings.threads = thread_counts[run[THREADS]];
    settings.cpu = v->levels[run[CPU]];
    settings.chunk = chunks[run[CHUNK]] ? chunks[run[CHUNK]] : total_tokens(v);
    /* what is not written differs */
    memset(logits, 0xFF, (size_t)(v->ids[OURS].count * v->vocab_size) * sizeof *logits);
    alloy_status status = run_once(v, &settings, run[GROUP], run[CACHE], logits);
    if (!status)
        v->outcomes[index] = compare(v, logits);
    return status;
}

static alloy_status run_all(verifier *v)
{
    size_t rows = (size_t)v->ids[OURS].count, row = (size_t)v->vocab_size * sizeof(float);
    v->expected = alloy_memory_new(rows, row);
    v->actual = alloy_memory_new((size_t)total_tokens(v), row);
    float *logits = alloy_memory_new(rows, row);
    alloy_status status = v->expected && v->actual && logits ? ALLOY_OK : ALLOY_NOMEM;
    alloy_session_options settings = alloy_cli_session_options(v->job->common);
    settings.threads = 1;
    settings.chunk = total_tokens(v);
    settings.cpu = v->levels[0];
    if (!status)
        status = run_once(v, &settings, 0, 0, v->expected);
    for (int i = 0; i < v->plan.runs && !status; i++) {
        alloy_cli_progress("verify", "runs", i, v->plan.runs);
        status = run_planned(v, i, logits);
    }
    alloy_cli_progress_clear();
    alloy_memory_free(logits);
    return status;
}

/* ---- Preparation ------------------------------------------------------------------------------------------------- */

/* The levels to try, the best first: all that this machine has, or the one that --cpu names. */
static alloy_status find_levels(verifier *v)
{
    const char *only = v->job->common->cpu;
    if (only && !alloy_kernels_get(only))
        return alloy_last_status();
    for (int i = alloy_kernels_count() - 1; i >= 0; i--) {
        const char *name = alloy_kernels_name(i);
        if (only && strcmp(only, name) != 0)
            continue;
        if (alloy_kernels_get(name))
            v->levels[v->plan.values[CPU]++] = name;
        else
            v->missing[v->missing_count++] = name;
    }
    return ALLOY_OK;
}

/* Ours as given or drawn, and the neighbours. */
static alloy_status choose_ids(verifier *v)
{
    int64_t context = alloy_model_context(v->job->model);
    uint64_t seed = (uint64_t)v->job->common->seed.value;
    alloy_status status = alloy_cli_draw_ids(v->job, context);
    v->ids[OURS] = v->job->ids;
    for (int s = 0, n = 0; s < BATCH && !status; s++)
        if (s != OURS) {
            int64_t length = neighbour_lengths[n] < context ? neighbour_lengths[n] : context;
            status = alloy_cli_ids_draw(&v->ids[s], length, v->vocab_size, seed, (uint64_t)++n);
        }
    return status;
}

static alloy_status prepare(verifier *v)
{
    v->vocab_size = alloy_model_vocab_size(v->job->model);
    v->plan.settings = ALLOY_CLI_SETTINGS;
    v->plan.values[THREADS] = sizeof thread_counts / sizeof *thread_counts;
    v->plan.values[CHUNK] = sizeof chunks / sizeof *chunks;
    v->plan.values[GROUP] = 2;
    v->plan.values[CACHE] = sizeof cache_names / sizeof *cache_names;
    alloy_status status = find_levels(v);
    if (!status)
        status = choose_ids(v);
    if (!status)
        alloy_cli_plan_pairs(&v->plan);
    return status;
}

/* ---- The report -------------------------------------------------------------------------------------------------- */

/* "whole" or a number. */
static const char *chunk_name(const verifier *v, int run, char buffer[24])
{
    int64_t chunk = chunks[v->plan.run[run][CHUNK]];
    snprintf(buffer, 24, "%lld", (long long)chunk);
    return chunk ? buffer : "whole";
}

static int first_difference(const verifier *v)
{
    int i = 0;
    while (i < v->plan.runs && v->outcomes[i].same)
        i++;
    return i;
}

static void print_table(const verifier *v)
{
    alloy_table table;
    alloy_table_open(&table, ">threads|>chunk|>batch|cache|cpu|result");
    for (int i = 0; i < v->plan.runs; i++) {
        char buffer[24];
        const int *run = v->plan.run[i];
        const outcome *o = &v->outcomes[i];
        alloy_table_cell(&table, "%d", thread_counts[run[THREADS]]);
        alloy_table_cell(&table, "%s", chunk_name(v, i, buffer));
        alloy_table_cell(&table, "%d", run[GROUP] ? BATCH : 1);
        alloy_table_cell(&table, "%s", cache_names[run[CACHE]]);
        alloy_table_cell(&table, "%s", v->levels[run[CPU]]);
        if (o->same)
            alloy_table_cell(&table, "identical");
        else
            alloy_table_cell(&table, "DIFFERS at token %lld, logit %lld: %.9g, not %.9g", (long long)o->token,
                             (long long)o->logit, (double)o->actual, (double)o->expected);
    }
    for (int i = 0; i < v->missing_count; i++) {
        for (int column = 0; column < CPU; column++)
            alloy_table_cell(&table, "-");
        alloy_table_cell(&table, "%s", v->missing[i]);
        alloy_table_cell(&table, "not run: this machine or this build lacks it");
    }
    alloy_cli_table_print(&table);
    alloy_cli_print("%lld tokens, %d runs against one thread, whole, alone, no cache, %s: %s\n",
                    (long long)v->ids[OURS].count, v->plan.runs, v->levels[0],
                    first_difference(v) == v->plan.runs ? "all identical" : "NOT identical");
}

static void write_run(alloy_json_writer *w, const verifier *v, int index)
{
    const int *run = v->plan.run[index];
    const outcome *o = &v->outcomes[index];
    alloy_json_write_object(w);
    alloy_json_field_int64(w, "threads", thread_counts[run[THREADS]]);
    alloy_json_write_key(w, "chunk");
    if (chunks[run[CHUNK]])
        alloy_json_write_int64(w, chunks[run[CHUNK]]);
    else
        alloy_json_write_null(w);
    alloy_json_field_int64(w, "batch", run[GROUP] ? BATCH : 1);
    alloy_json_field_text(w, "cache", cache_names[run[CACHE]]);
    alloy_json_field_text(w, "cpu", v->levels[run[CPU]]);
    alloy_json_field_bool(w, "identical", o->same);
    if (!o->same) {
        alloy_json_field_int64(w, "token", o->token);
        alloy_json_field_int64(w, "logit", o->logit);
        alloy_json_field_double(w, "expected", (double)o->expected);
        alloy_json_field_double(w, "actual", (double)o->actual);
    }
    alloy_json_write_object_end(w);
}

static alloy_status print_json(const verifier *v)
{
    alloy_cli_document document;
    alloy_json_writer *w = alloy_cli_document_open(&document, 2);
    alloy_json_field_text(w, "model", v->job->common->model);
    alloy_json_field_int64(w, "tokens", v->ids[OURS].count);
    alloy_json_field_text(w, "reference_cpu", v->levels[0]);
    alloy_json_field_array(w, "runs");
    for (int i = 0; i < v->plan.runs; i++)
        write_run(w, v, i);
    alloy_json_write_array_end(w);
    alloy_json_field_array(w, "not_run");
    for (int i = 0; i < v->missing_count; i++)
        alloy_json_write_string(w, v->missing[i], strlen(v->missing[i]));
    alloy_json_write_array_end(w);
    alloy_json_field_bool(w, "identical", first_difference(v) == v->plan.runs);
    return alloy_cli_document_print(&document);
}

static alloy_status report(const verifier *v)
{
    alloy_status status = ALLOY_OK;
    if (v->job->common->json)
        status = print_json(v);
    else
        print_table(v);
    status = status ? status : alloy_cli_flush();
    int first = first_difference(v);
    if (status || first == v->plan.runs)
        return status;
    char buffer[24];
    const int *run = v->plan.run[first];
    return alloy_fail(ALLOY_DIFFERENT,
                      "logits differ, first at token %lld, logit %lld (%d threads, chunk %s, batch of %d, cache %s, "
                      "cpu %s): %.9g, not %.9g",
                      (long long)v->outcomes[first].token, (long long)v->outcomes[first].logit,
                      thread_counts[run[THREADS]], chunk_name(v, first, buffer), run[GROUP] ? BATCH : 1,
                      cache_names[run[CACHE]], v->levels[run[CPU]], (double)v->outcomes[first].actual,
                      (double)v->outcomes[first].expected);
}

/* ---- The command ------------------------------------------------------------------------------------------------- */

static alloy_status run(alloy_cli_job *job)
{
    verifier *v = alloy_memory_zeroed(1, sizeof *v);
    if (!v)
        return ALLOY_NOMEM;
    v->job = job;
    alloy_status status = prepare(v);
    if (!status)
        status = run_all(v);
    if (!status)
        status = report(v);
    for (int s = 0; s < BATCH; s++)
        if (s != OURS)
            alloy_ids_free(&v->ids[s]);
    alloy_memory_free(v->expected);
    alloy_memory_free(v->actual);
    alloy_memory_free(v);
    return status;
}

static const alloy_cli_place places[] = {ALLOY_CLI_MODEL_PLACE(ALLOY_CLI_MODEL_HELP), {0}};

static const alloy_cli_option flags[] = {ALLOY_CLI_IDS_FLAGS, ALLOY_CLI_DRAW_FLAGS, {0}};

const alloy_cli_command alloy_cli_verify = {
    .name = "verify",
    .summary = "try the promise of identical bits on this machine",
    .about = "Computes the logits of a list of ids over and over: with 1, 2, 3 and 8 threads; in chunks of 1, 7, 64, "
             "65 and whole; alone and between four neighbours in a batch; without a cache, behind a cached prefix and "
             "token by token; on every instruction set of this machine. Settings are combined so that every two of "
             "them meet. All bits must be equal; exit code 1 when some are not. --cpu tries one instruction set only.",
    .examples = "  alloy verify examples/models/moby\n"
                "  alloy verify MODEL --cpu avx2 --tokens 100 --json\n",
    .places = places,
    .flags = flags,
    .options_size = sizeof(alloy_cli_common),
    .opens = ALLOY_CLI_MODEL,
    .read = alloy_cli_read_ids,
    .run = run,
};
