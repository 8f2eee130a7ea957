/* The promise of identical bits, tried on this machine. One reference run (one thread, the whole prompt at once, alone,
 * without a cache), then runs under other settings, in pairs (plan.h); the logits of every token must be the same bits.
 *
 * A batch puts the prompt between four neighbours of other lengths. "prefix" computes the first part, then the rest
 * after it; "steps" computes token by token. An instruction set that this machine lacks is reported as not run, and
 * passes nothing. */
#include <stdio.h>
#include <string.h>

#include "alloy/compare.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/status.h"
#include "compare/plan.h"
#include "kernels/kernels.h"

enum { PREFIX = 37, NEIGHBOURS = 4, BATCH = NEIGHBOURS + 1, OURS = 2 };

/* What the settings of the plan are, in its order. */
enum { THREADS, CHUNK, GROUP, CACHE, CPU };

static const int thread_counts[] = {1, 2, 3, 8};
static const int64_t chunks[] = {0, 65, 64, 7, 1}; /* 0: whole */
static const int64_t neighbour_lengths[NEIGHBOURS] = {1, 70, 17, 33};
static const char *const cache_names[] = {"none", "prefix", "steps"};

typedef struct verifier {
    const alloy_model *model;
    alloy_verify_options options;
    alloy_verification *out;
    int64_t vocab_size;
    alloy_ids ids[BATCH];                    /* ours at OURS */
    float *expected;                         /* [tokens, vocab] of the reference run */
    float *actual;                           /* [all tokens of the batch, vocab] */
    const char *levels[ALLOY_VERIFY_LEVELS]; /* [plan.values[CPU]] that this machine has, the best first */
    alloy_plan plan;
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
            alloy_forward(session, sequences, batch, v->actual,
                          &(alloy_forward_options){.size = sizeof(alloy_forward_options), .logits = ALLOY_LOGITS_ALL});
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
    alloy_status status = alloy_session_open(&session, v->model, settings);
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
static void compare(const verifier *v, const float *logits, alloy_verify_run *run)
{
    size_t row = (size_t)v->vocab_size * sizeof *logits;
    for (int64_t t = 0; t < v->ids[OURS].count; t++) {
        const float *expected = v->expected + t * v->vocab_size, *actual = logits + t * v->vocab_size;
        if (memcmp(expected, actual, row) == 0)
            continue;
        for (int64_t i = 0; i < v->vocab_size; i++)
            if (memcmp(&expected[i], &actual[i], sizeof *actual) != 0) {
                run->token = t;
                run->logit = i;
                run->expected = expected[i];
                run->actual = actual[i];
                return;
            }
    }
    run->same = true;
}

static int64_t total_tokens(const verifier *v)
{
    int64_t total = 0;
    for (int s = 0; s < BATCH; s++)
        total += v->ids[s].count;
    return total;
}

/* One run of the plan, under its settings. */
static alloy_status run_planned(verifier *v, int index, float *logits)
{
    const int *planned = v->plan.run[index];
    alloy_verify_run *run = &v->out->runs[index];
    *run = (alloy_verify_run){.threads = thread_counts[planned[THREADS]],
                              .batch = planned[GROUP] ? BATCH : 1,
                              .chunk = chunks[planned[CHUNK]],
                              .cache = cache_names[planned[CACHE]],
                              .cpu = v->levels[planned[CPU]]};
    alloy_session_options settings = {.size = sizeof settings,
                                      .threads = run->threads,
                                      .cpu = run->cpu,
                                      .chunk = run->chunk ? run->chunk : total_tokens(v),
                                      .kv_dtype = v->options.kv_dtype};
    /* what is not written differs */
    memset(logits, 0xFF, (size_t)(v->ids[OURS].count * v->vocab_size) * sizeof *logits);
    alloy_status status = run_once(v, &settings, planned[GROUP], planned[CACHE], logits);
    if (!status)
        compare(v, logits, run);
    return status;
}

static alloy_status run_all(verifier *v)
{
    size_t rows = (size_t)v->ids[OURS].count, row = (size_t)v->vocab_size * sizeof(float);
    v->expected = alloy_memory_new(rows, row);
    v->actual = alloy_memory_new((size_t)total_tokens(v), row);
    float *logits = alloy_memory_new(rows, row);
    alloy_status status = v->expected && v->actual && logits ? ALLOY_OK : ALLOY_NOMEM;
    alloy_session_options settings = {.size = sizeof settings, .threads = 1, .cpu = v->levels[0]};
    settings.chunk = total_tokens(v);
    settings.kv_dtype = v->options.kv_dtype;
    if (!status)
        status = run_once(v, &settings, 0, 0, v->expected);
    for (int i = 0; i < v->plan.runs && !status; i++) {
        if (v->options.progress)
            v->options.progress(v->options.user, "verify", i, v->plan.runs);
        status = run_planned(v, i, logits);
    }
    alloy_memory_free(logits);
    return status;
}

/* ---- Preparation ------------------------------------------------------------------------------------------------- */

/* The levels to try, the best first: all that this machine has, or the one that was asked for. */
static alloy_status find_levels(verifier *v)
{
    const char *only = v->options.cpu;
    if (only && !alloy_kernels_get(only))
        return alloy_last_status();
    for (int i = alloy_kernels_count() - 1; i >= 0; i--) {
        const char *name = alloy_kernels_name(i);
        if (only && strcmp(only, name) != 0)
            continue;
        if (alloy_kernels_get(name))
            v->levels[v->plan.values[CPU]++] = name;
        else
            v->out->missing[v->out->missing_count++] = name;
    }
    return ALLOY_OK;
}

/* Ours, and the neighbours. */
static alloy_status choose_ids(verifier *v, const int64_t *ids, int64_t count)
{
    int64_t context = alloy_model_context(v->model);
    alloy_status status = ALLOY_OK;
    for (int64_t i = 0; i < count && !status; i++)
        status = alloy_ids_push(&v->ids[OURS], ids[i]);
    for (int s = 0, n = 0; s < BATCH && !status; s++)
        if (s != OURS) {
            int64_t length = neighbour_lengths[n] < context ? neighbour_lengths[n] : context;
            status = alloy_ids_draw(&v->ids[s], length, v->vocab_size, v->options.seed, (uint64_t)++n);
        }
    return status;
}

static alloy_status prepare(verifier *v, const int64_t *ids, int64_t count)
{
    if (count <= 0)
        return alloy_fail(ALLOY_ARG, "no token ids were given");
    v->vocab_size = alloy_model_vocab_size(v->model);
    v->plan.settings = ALLOY_PLAN_SETTINGS;
    v->plan.values[THREADS] = sizeof thread_counts / sizeof *thread_counts;
    v->plan.values[CHUNK] = sizeof chunks / sizeof *chunks;
    v->plan.values[GROUP] = 2;
    v->plan.values[CACHE] = sizeof cache_names / sizeof *cache_names;
    alloy_status status = find_levels(v);
    if (!status)
        status = alloy_ids_fit(count, v->model);
    if (!status)
        status = choose_ids(v, ids, count);
    if (!status)
        alloy_plan_pairs(&v->plan);
    return status;
}

/* ---- The result -------------------------------------------------------------------------------------------------- */

static void finish(verifier *v)
{
    alloy_verification *out = v->out;
    out->tokens = v->ids[OURS].count;
    out->reference_cpu = v->levels[0];
    out->run_count = v->plan.runs;
    while (out->first_difference < out->run_count && out->runs[out->first_difference].same)
        out->first_difference++;
}

alloy_status alloy_verify(alloy_verification **out, const alloy_model *model, const int64_t *ids, int64_t count,
                          const alloy_verify_options *given)
{
    *out = NULL;
    verifier *v = alloy_memory_zeroed(1, sizeof *v);
    if (!v)
        return ALLOY_NOMEM;
    v->model = model;
    v->out = alloy_memory_zeroed(1, sizeof *v->out);
    alloy_status status = v->out ? ALLOY_OK : ALLOY_NOMEM;
    if (!status)
        status = alloy_options_take(&v->options, sizeof v->options, given, "alloy_verify_options");
    if (!status)
        status = prepare(v, ids, count);
    if (!status)
        status = run_all(v);
    if (!status) {
        finish(v);
        *out = v->out;
        v->out = NULL;
    }
    for (int s = 0; s < BATCH; s++)
        alloy_ids_free(&v->ids[s]);
    alloy_memory_free(v->expected);
    alloy_memory_free(v->actual);
    alloy_memory_free(v->out);
    alloy_memory_free(v);
    return status;
}

alloy_status alloy_verification_status(const alloy_verification *v)
{
    if (v->first_difference == v->run_count)
        return ALLOY_OK;
    const alloy_verify_run *run = &v->runs[v->first_difference];
    char chunk[24];
    snprintf(chunk, sizeof chunk, "%lld", (long long)run->chunk);
    return alloy_fail(ALLOY_DIFFERENT,
                      "logits differ, first at token %lld, logit %lld (%d threads, chunk %s, batch of %d, cache %s, "
                      "cpu %s): %.9g, not %.9g",
                      (long long)run->token, (long long)run->logit, run->threads, run->chunk ? chunk : "whole",
                      run->batch, run->cache, run->cpu, (double)run->actual, (double)run->expected);
}

void alloy_verification_close(alloy_verification *v)
{
    alloy_memory_free(v);
}
