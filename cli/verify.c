/* alloy verify: the reproducibility promise, tried on this machine. The logits of all positions of a prompt are computed under many settings and compared bit for bit
 * with one baseline: threads, chunks, alone or in a ragged batch, with what was computed before in the cache or not, instruction sets.
 *
 * Settings are tried in pairs: every pair of values of two different settings stands together in at least one run. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "common.h"
#include "evaluate.h"
#include "files/json.h"
#include "ids.h"
#include "kernels/kernels.h"
#include "output.h"
#include "table.h"

enum { DEFAULT_TOKENS = 200, BATCH = 5, TARGET = 2, MOST_RUNS = 128, SETTINGS = 5, MOST_VALUES = 5 };

typedef struct verify_options {
    alloy_cli_common common;
    const char *model, *ids, *ids_file;
    alloy_cli_integer tokens, seed;
} verify_options;

/* How the cache is used. */
enum { CACHE_NONE, CACHE_PREFIX, CACHE_STEPS };

/* One run: an index into the values of each setting. */
typedef struct setting {
    int threads, chunk, batch, cache, cpu;
} setting;

static const int thread_values[] = {1, 2, 3, 8};
static const int64_t chunk_values[] = {0, 1, 7, 64, 65}; /* 0: the whole prompt */
static const char *const cache_names[] = {"none", "prefix", "token by token"};

typedef struct difference {
    bool found;
    int64_t token, logit;
    float baseline, value;
} difference;

typedef struct verification {
    const verify_options *o;
    const alloy_model *model;
    alloy_ids ids;
    int64_t vocab;
    float *baseline, *logits; /* [tokens, vocab] */
    const char *cpus[MOST_VALUES];
    int cpu_count;
    setting runs[MOST_RUNS];
    difference differences[MOST_RUNS];
    int run_count;
} verification;

/* ---- The runs ---------------------------------------------------------------------------------------------------------------------- */

static int value_of(const setting *s, int i)
{
    const int values[SETTINGS] = {s->threads, s->chunk, s->batch, s->cache, s->cpu};
    return values[i];
}

typedef bool pair_table[SETTINGS][MOST_VALUES][SETTINGS][MOST_VALUES];

static int fresh_pairs(pair_table seen, const setting *s, bool mark)
{
    int count = 0;
    for (int i = 0; i < SETTINGS; i++)
        for (int j = i + 1; j < SETTINGS; j++) {
            bool *pair = &seen[i][value_of(s, i)][j][value_of(s, j)];
            count += !*pair;
            *pair = *pair || mark;
        }
    return count;
}

/* The number `index` of the whole product. */
static setting product_at(int index, int cpus)
{
    setting s;
    s.threads = index % 4, index /= 4;
    s.chunk = index % 5, index /= 5;
    s.batch = index % 2, index /= 2;
    s.cache = index % 3, index /= 3;
    s.cpu = index % cpus;
    return s;
}

/* Takes, again and again, the combination that brings the most pairs that were not seen. */
static void choose_runs(verification *v)
{
    static pair_table seen;
    memset(seen, 0, sizeof seen);
    int product = 4 * 5 * 2 * 3 * v->cpu_count;
    for (v->run_count = 0; v->run_count < MOST_RUNS; v->run_count++) {
        int most = 0;
        for (int i = 0; i < product; i++) {
            setting s = product_at(i, v->cpu_count);
            int pairs = fresh_pairs(seen, &s, false);
            if (pairs > most) {
                most = pairs;
                v->runs[v->run_count] = s;
            }
        }
        if (most == 0)
            return;
        fresh_pairs(seen, &v->runs[v->run_count], true);
    }
}

/* Tokens of the piece that begins at `at`: everything, a prefix and the rest, or a prefix and then one by one. */
static int64_t piece_at(int cache, int64_t at, int64_t count)
{
    int64_t prefix = count / 2;
    if (cache == CACHE_NONE || prefix == 0)
        return count - at;
    if (at < prefix)
        return prefix - at;
    return cache == CACHE_PREFIX ? count - at : 1;
}

/* Neighbours of the prompt: other lengths, other places of the same ids. They bring one token with each later piece. */
static alloy_sequence neighbour(const verification *v, alloy_cache *cache, int i, bool first)
{
    int64_t lengths[BATCH] = {3, 17, 0, 64, 90}, count = first ? lengths[i] : 1;
    count = count < v->ids.count ? count : v->ids.count;
    return (alloy_sequence){cache, v->ids.ids + (v->ids.count - count) / (i + 1), count};
}

static alloy_status run_piece(verification *v, alloy_session *session, alloy_cache **caches, bool batch, int64_t at,
                              int64_t count)
{
    alloy_sequence sequences[BATCH];
    int n = batch ? BATCH : 1, target = batch ? TARGET : 0;
    int64_t before = 0, rows = 0;
    for (int i = 0; i < n; i++) {
        sequences[i] =
            i == target ? (alloy_sequence){caches[i], v->ids.ids + at, count} : neighbour(v, caches[i], i, at == 0);
        before += i < target ? sequences[i].count : 0;
        rows += sequences[i].count;
    }
    float *logits = alloy_memory_new((size_t)(rows * v->vocab), sizeof *logits);
    if (!logits)
        return ALLOY_NOMEM;
    alloy_status status =
        alloy_forward(session, sequences, n, logits, &(alloy_forward_options){.logits = ALLOY_LOGITS_ALL});
    if (!status)
        memcpy(v->logits + at * v->vocab, logits + before * v->vocab, (size_t)(count * v->vocab) * sizeof *logits);
    alloy_memory_free(logits);
    return status;
}

/* The logits of every token under one setting, into v->logits. */
static alloy_status compute(verification *v, const setting *s)
{
    alloy_session_options options = alloy_cli_session_options(&v->o->common);
    options.threads = thread_values[s->threads];
    options.chunk = chunk_values[s->chunk] ? chunk_values[s->chunk] : v->ids.count + 256;
    options.cpu = v->cpus[s->cpu];
    alloy_session *session;
    alloy_cache *caches[BATCH] = {NULL};
    alloy_status status = alloy_session_open(&session, v->model, &options);
    for (int i = 0; i < (s->batch ? BATCH : 1) && !status; i++)
        status = alloy_cache_open(&caches[i], session, 2 * v->ids.count + 256);
    for (int64_t at = 0, count; at < v->ids.count && !status; at += count) {
        count = piece_at(s->cache, at, v->ids.count);
        status = run_piece(v, session, caches, s->batch, at, count);
    }
    for (int i = 0; i < BATCH; i++)
        alloy_cache_close(caches[i]);
    alloy_session_close(session);
    return status;
}

static difference first_difference(const verification *v)
{
    int64_t count = v->ids.count * v->vocab;
    if (memcmp(v->baseline, v->logits, (size_t)count * sizeof *v->logits) == 0)
        return (difference){0};
    int64_t i = 0;
    while (memcmp(&v->baseline[i], &v->logits[i], sizeof(float)) == 0)
        i++;
    return (difference){true, i / v->vocab, i % v->vocab, v->baseline[i], v->logits[i]};
}

/* The baseline: one thread, the whole prompt at once, alone, this machine's best instruction set. */
static alloy_status run_all(verification *v)
{
    alloy_status status = compute(v, &(setting){.cpu = v->cpu_count - 1});
    if (status)
        return status;
    memcpy(v->baseline, v->logits, (size_t)(v->ids.count * v->vocab) * sizeof *v->logits);
    for (int i = 0; i < v->run_count && !status; i++) {
        status = compute(v, &v->runs[i]);
        v->differences[i] = first_difference(v);
    }
    return status;
}

/* ---- The report -------------------------------------------------------------------------------------------------------------------- */

static void chunk_name(char out[24], const setting *s)
{
    int64_t chunk = chunk_values[s->chunk];
    snprintf(out, 24, chunk ? "%lld" : "whole", (long long)chunk);
}

static const char *missing_cpu(const verification *v, int i)
{
    const char *name = alloy_kernels_name(i);
    for (int j = 0; j < v->cpu_count; j++)
        if (strcmp(v->cpus[j], name) == 0)
            return NULL;
    return name;
}

static void print_text(const verification *v)
{
    alloy_cli_table table;
    alloy_cli_table_open(&table, ">threads|>chunk|batch|cached|cpu|bits");
    for (int i = 0; i < v->run_count; i++) {
        const setting *s = &v->runs[i];
        const difference *d = &v->differences[i];
        char chunk[24];
        chunk_name(chunk, s);
        alloy_cli_table_cell(&table, "%d", thread_values[s->threads]);
        alloy_cli_table_cell(&table, "%s", chunk);
        alloy_cli_table_cell(&table, "%s", s->batch ? "of 5" : "alone");
        alloy_cli_table_cell(&table, "%s", cache_names[s->cache]);
        alloy_cli_table_cell(&table, "%s", v->cpus[s->cpu]);
        if (d->found)
            alloy_cli_table_cell(&table, "DIFFER at token %lld, logit %lld: %a, not %a", (long long)d->token,
                                 (long long)d->logit, (double)d->value, (double)d->baseline);
        else
            alloy_cli_table_cell(&table, "same");
    }
    alloy_cli_table_print(&table);
    for (int i = 0; i < alloy_kernels_count(); i++)
        if (missing_cpu(v, i))
            alloy_cli_print("not run: %s, which this processor or build does not have\n", missing_cpu(v, i));
    alloy_cli_print("%d settings, %lld tokens, %lld logits each\n", v->run_count, (long long)v->ids.count,
                    (long long)v->vocab);
}

static void write_text(alloy_json_writer *w, const char *key, const char *text)
{
    alloy_json_write_key(w, key);
    alloy_json_write_string(w, text, strlen(text));
}

static alloy_status print_json(const verification *v)
{
    alloy_text text = {0};
    alloy_json_writer w;
    alloy_json_writer_open(&w, &text, 2);
    alloy_json_write_object(&w);
    alloy_json_write_key(&w, "tokens");
    alloy_json_write_int64(&w, v->ids.count);
    alloy_json_write_key(&w, "runs");
    alloy_json_write_array(&w);
    for (int i = 0; i < v->run_count; i++) {
        char chunk[24];
        chunk_name(chunk, &v->runs[i]);
        alloy_json_write_object(&w);
        alloy_json_write_key(&w, "threads");
        alloy_json_write_int64(&w, thread_values[v->runs[i].threads]);
        write_text(&w, "chunk", chunk);
        alloy_json_write_key(&w, "batch");
        alloy_json_write_int64(&w, v->runs[i].batch ? BATCH : 1);
        write_text(&w, "cached", cache_names[v->runs[i].cache]);
        write_text(&w, "cpu", v->cpus[v->runs[i].cpu]);
        alloy_json_write_key(&w, "same");
        alloy_json_write_bool(&w, !v->differences[i].found);
        alloy_json_write_object_end(&w);
    }
    alloy_json_write_array_end(&w);
    alloy_json_write_key(&w, "not_run");
    alloy_json_write_array(&w);
    for (int i = 0; i < alloy_kernels_count(); i++)
        if (missing_cpu(v, i))
            alloy_json_write_string(&w, missing_cpu(v, i), strlen(missing_cpu(v, i)));
    alloy_json_write_array_end(&w);
    alloy_json_write_object_end(&w);
    alloy_status status = alloy_cli_print_json(&text);
    alloy_text_free(&text);
    return status;
}

static alloy_status report(const verification *v)
{
    if (!v->o->common.json)
        print_text(v);
    alloy_status status = v->o->common.json ? print_json(v) : alloy_cli_flush();
    int different = 0;
    for (int i = 0; i < v->run_count; i++)
        different += v->differences[i].found;
    if (status || different == 0)
        return status;
    return alloy_fail(ALLOY_DIFFERENT, "%s: %d of %d settings change the bits of the logits", v->o->model, different,
                      v->run_count);
}

/* ---- The command --------------------------------------------------------------------------------------------------------------------- */

static alloy_status draw_ids(verification *v)
{
    int64_t count = v->o->tokens.given ? v->o->tokens.value : DEFAULT_TOKENS, context = alloy_model_context(v->model);
    alloy_status status = ALLOY_OK;
    for (int64_t i = 0; i < count && i < context && !status; i++) {
        double draw = alloy_random_uniform((uint64_t)v->o->seed.value, 0, (uint64_t)i);
        status = alloy_cli_ids_push(&v->ids, (int64_t)(draw * (double)v->vocab));
    }
    return status;
}

static void find_cpus(verification *v)
{
    for (int i = 0; i < alloy_kernels_count() && v->cpu_count < MOST_VALUES; i++)
        if (alloy_kernels_get(alloy_kernels_name(i)))
            v->cpus[v->cpu_count++] = alloy_kernels_name(i);
}

static alloy_status verify(verification *v)
{
    v->vocab = alloy_model_vocab_size(v->model);
    find_cpus(v);
    alloy_status status =
        v->o->ids || v->o->ids_file ? alloy_cli_ids_given(&v->ids, v->o->ids, v->o->ids_file) : draw_ids(v);
    if (status)
        return status;
    size_t numbers = (size_t)(v->ids.count * v->vocab);
    v->baseline = alloy_memory_new(numbers, sizeof *v->baseline);
    v->logits = alloy_memory_new(numbers, sizeof *v->logits);
    choose_runs(v);
    status = v->baseline && v->logits ? run_all(v) : ALLOY_NOMEM;
    return status ? status : report(v);
}

static alloy_status run(const void *options)
{
    const verify_options *o = options;
    static verification v;
    v.o = o;
    alloy_model *model;
    alloy_status status = alloy_cli_open_model(&model, &o->common, o->model);
    v.model = model;
    if (!status)
        status = verify(&v);
    alloy_memory_free(v.baseline);
    alloy_memory_free(v.logits);
    alloy_ids_free(&v.ids);
    alloy_cli_close_model(model);
    return status;
}

#define AT(field) offsetof(verify_options, field)

static const alloy_cli_place places[] = {
    {.name = "MODEL", .offset = AT(model), .help = "A model's folder, or user/name in the Hub's cache"}};

static const alloy_cli_option flags[] = {
    {.name = "ids",
     .kind = ALLOY_CLI_TEXT,
     .offset = AT(ids),
     .value = "1,2,3",
     .help = "Token ids (default: drawn at random)"},
    {.name = "ids-file",
     .kind = ALLOY_CLI_TEXT,
     .offset = AT(ids_file),
     .value = "FILE",
     .help = "The same from a file"},
    {.name = "tokens",
     .letter = 'n',
     .kind = ALLOY_CLI_INTEGER,
     .offset = AT(tokens),
     .value = "N",
     .least = 1,
     .most = 1 << 20,
     .help = "Tokens to draw (default: 200, which crosses blocks and chunks)"},
    {.name = "seed",
     .kind = ALLOY_CLI_INTEGER,
     .offset = AT(seed),
     .value = "N",
     .least = 0,
     .most = 9e15,
     .help = "Of the draw (default: 0)"},
};

const alloy_cli_command alloy_cli_verify = {
    .name = "verify",
    .summary = "are the bits the same whatever the threads, chunks, batch, cache, processor?",
    .about = "Computes the logits of a prompt under many settings and compares them bit for bit: threads 1, 2, 3, 8; "
             "chunks 1, 7, 64, 65 and whole; alone or "
             "in a ragged batch of 5; cached or not; every instruction set that this machine has. Settings are tried "
             "in pairs. Exit code 1 when a bit differs.",
    .examples = "  alloy verify examples/models/moby\n  alloy verify tests/golden/qwen3_5 -n 150 --json\n",
    .places = places,
    .place_count = 1,
    .options = flags,
    .option_count = sizeof flags / sizeof *flags,
    .opens_model = true,
    .options_size = sizeof(verify_options),
    .run = run,
};
