/* Predicted beside measured: a model's forward on this machine, kind of module by kind of module.
 *
 * The bound is taken with the reading of the run: exact accounting, the delta rule step by step, activations and states
 * in fp32, weights in the files' dtypes, keys and values in the session's. Between the runs the machine itself is read
 * (probe.h): memory and the linear kernel of the model's dtype. The chip's figures are scaled by what these readings
 * give now over what they gave when the host was measured, so that a busy machine does not pass for a slow engine.
 *
 *     efficiency = bound / measured
 *
 * A measurement more than FAULT below its bound cannot be: then the machine's model is wrong, and the row says so. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/median.h"
#include "base/memory.h"
#include "base/options.h"
#include "base/status.h"
#include "engine/cache.h"
#include "engine/session.h"
#include "roofline/analysis.h"
#include "roofline/host.h"
#include "roofline/probe.h"

enum {
    DEFAULT_RUNS = 5,
    MOST_RUNS = 1000,
    READINGS = 5,
    PROBE_BYTES = 256 << 20,
    LINEAR_TOKENS = 72, /* as in host.c */
    LINEAR_WIDTH = 1024,
    LINEAR_ROWS = 96,
    LINEAR_REPEATS = 16,
};
static const double FAULT = 0.05;

struct alloy_measurement {
    alloy_measured_row *rows; /* [count] kinds, then the total */
    int64_t count;
    alloy_measured_machine machine;
    alloy_roofline *roofline;
    alloy_arena *arena; /* of the terms */
    alloy_roofline_terms terms;
};

struct measure {
    alloy_measurement *out;
    alloy_session *session;
    const alloy_model *model;
    const alloy_host *host;
    const alloy_measure_options *options;
    int64_t runs;
    alloy_cache *before; /* the cached tokens */
    int64_t *ids;        /* [tokens + cached] */
    float *logits;
    alloy_prober prober;
    double *samples;          /* [count, runs] seconds a run, by row; the last row: all of it */
    double *memory, *compute; /* [runs] readings, bytes/s and FLOP/s */
    double *bounds, *ratios;  /* [runs] of one row */
    alloy_peak peak;          /* of the model's weights */
    /* Of the first run. */
    int64_t *experts_read; /* [layers] */
    bool routes;           /* has the model experts? */
    alloy_status status;   /* NOMEM while they were counted */
    /* The run that is being watched. */
    double *row_seconds; /* [count] */
    int64_t row;         /* whose site runs; -1: none */
    double since;
};

/* ---- Watching a run ---------------------------------------------------------------------------------------------- */

static int64_t row_of(const struct measure *m, const alloy_site *site)
{
    const char *kind = alloy_roofline_kind(site), *name = alloy_roofline_name(m->model, site);
    for (int64_t i = 0; i < m->out->count - 1; i++)
        if (strcmp(m->out->rows[i].kind, kind) == 0 && strcmp(m->out->rows[i].name, name) == 0)
            return i;
    return -1;
}

/* Time goes to the site that was running. */
static void watch(void *user, const alloy_site *site)
{
    struct measure *m = user;
    double now = alloy_seconds();
    if (m->row >= 0)
        m->row_seconds[m->row] += now - m->since;
    m->row = row_of(m, site);
    m->since = now;
}

/* Different experts that a layer's tokens went to: the same in every run, as the tokens are. */
static void keep_routing(void *user, int64_t layer, int64_t experts, int64_t count, const int32_t *chosen)
{
    struct measure *m = user;
    bool *seen = alloy_arena_take_zeroed(m->out->arena, (size_t)experts, sizeof *seen);
    if (!seen) {
        m->status = ALLOY_NOMEM;
        return;
    }
    m->routes = true;
    for (int64_t i = 0; i < count; i++) {
        m->experts_read[layer] += !seen[chosen[i]];
        seen[chosen[i]] = true;
    }
}

/* ---- Readings ---------------------------------------------------------------------------------------------------- */

static alloy_probe linear_probe(const struct measure *m)
{
    alloy_dtype dtype = m->model->head->dtype;
    alloy_probe probe = {.kind = ALLOY_PROBE_LINEAR,
                         .repeats = LINEAR_REPEATS,
                         .dtype = dtype,
                         .n = LINEAR_TOKENS,
                         .k = LINEAR_WIDTH,
                         .rows = LINEAR_ROWS};
    probe.bytes = alloy_probe_bytes(&probe);
    return probe;
}

/* The best of a few readings: what disturbs one only lowers it, and a bound must be what the machine can do. */
static double best_rate(const alloy_prober *prober, const alloy_probe *probe)
{
    double best = 0;
    for (int i = 0; i < READINGS; i++) {
        alloy_probe_reading reading = alloy_prober_run(prober, probe);
        double rate = reading.amount / reading.seconds;
        best = rate > best ? rate : best;
    }
    return best;
}

static void read_machine(struct measure *m, int64_t run)
{
    alloy_probe read = alloy_memory_probe(&m->prober, ALLOY_PROBE_READ), linear = linear_probe(m);
    m->memory[run] = best_rate(&m->prober, &read);
    m->compute[run] = best_rate(&m->prober, &linear);
}

/* ---- Runs -------------------------------------------------------------------------------------------------------- */

static alloy_status run_once(struct measure *m, int64_t run)
{
    alloy_cache *cache;
    alloy_status status = alloy_cache_copy(&cache, m->before);
    if (!status) /* a cache that grows moves all it holds, which in a generation is once in many tokens */
        status = alloy_cache_reserve(cache, m->options->cached + m->options->tokens);
    if (status) {
        alloy_cache_close(cache);
        return status;
    }
    memset(m->row_seconds, 0, (size_t)m->out->count * sizeof *m->row_seconds);
    m->row = -1;
    m->session->watch = run < 0 ? NULL : watch;
    m->session->watch_user = m;
    double begin = alloy_seconds();
    alloy_forward_options options = {.size = sizeof options, .routed = run < 0 ? keep_routing : NULL, .user = m};
    status = alloy_forward(m->session, &(alloy_sequence){cache, m->ids + m->options->cached, m->options->tokens}, 1,
                           m->logits, &options);
    double end = alloy_seconds();
    if (m->row >= 0)
        m->row_seconds[m->row] += end - m->since;
    m->row_seconds[m->out->count - 1] = end - begin;
    m->session->watch = NULL;
    alloy_cache_close(cache);
    for (int64_t i = 0; run >= 0 && i < m->out->count; i++)
        m->samples[i * m->runs + run] = m->row_seconds[i];
    return status;
}

/* The first run brings pages in and is not kept. */
static alloy_status run_all(struct measure *m)
{
    alloy_status status = alloy_cache_open(&m->before, m->session, 0);
    if (!status && m->options->cached > 0)
        status =
            alloy_forward(m->session, &(alloy_sequence){m->before, m->ids, m->options->cached}, 1, NULL,
                          &(alloy_forward_options){.size = sizeof(alloy_forward_options), .logits = ALLOY_LOGITS_NONE});
    for (int64_t run = -1; run < m->runs && !status; run++) {
        status = run_once(m, run);
        if (!status && run >= 0)
            read_machine(m, run);
        if (m->options->progress && !m->options->progress(m->options->user, run + 2, m->runs + 1))
            return alloy_fail(ALLOY_ARG, "the measurement was stopped");
    }
    return status;
}

/* What the host gave when it was measured. */
static double read_then(const struct measure *m)
{
    return m->host->levels[m->host->level_count - 1].read;
}

static double compute_then(const struct measure *m)
{
    return m->host->chip.peak[m->peak];
}

/* ---- The bound --------------------------------------------------------------------------------------------------- */

static alloy_status make_rows(struct measure *m)
{
    alloy_measurement *out = m->out;
    int64_t kinds = alloy_roofline_row_count(out->roofline, ALLOY_LEVEL_KINDS);
    out->rows = alloy_memory_zeroed((size_t)kinds + 1, sizeof *out->rows);
    if (!out->rows)
        return ALLOY_NOMEM;
    out->count = kinds + 1;
    for (int64_t i = 0; i < kinds; i++) {
        alloy_roofline_row kind = alloy_roofline_row_at(out->roofline, ALLOY_LEVEL_KINDS, i);
        out->rows[i] =
            (alloy_measured_row){.kind = kind.kind, .name = kind.name, .modules = kind.modules, .work = kind.work};
    }
    out->rows[kinds] = (alloy_measured_row){.kind = "total",
                                            .name = "total",
                                            .modules = alloy_roofline_row_count(out->roofline, ALLOY_LEVEL_MODULES),
                                            .work = alloy_roofline_total(out->roofline)};
    return ALLOY_OK;
}

/* The chip as it was around a run. */
static alloy_chip chip_at(const struct measure *m, int64_t run)
{
    alloy_chip chip = m->host->chip;
    double memory = m->memory[run] / read_then(m), compute = m->compute[run] / compute_then(m);
    chip.memory_bandwidth *= memory;
    chip.cache_bandwidth *= compute; /* a cache slows down as its processor does */
    for (int i = 0; i < ALLOY_PEAK_COUNT; i++) {
        chip.peak[i] *= compute;
        chip.vector_peak[i] *= compute;
    }
    return chip;
}

/* Each run is compared with the machine as it was around it; medians are of these comparisons. */
static alloy_status conclude_row(struct measure *m, int64_t i)
{
    alloy_measured_row *row = &m->out->rows[i];
    double *measured = m->samples + i * m->runs, *bounds = m->bounds, *ratios = m->ratios;
    for (int64_t run = 0; run < m->runs; run++) {
        alloy_chip chip = chip_at(m, run);
        alloy_roofline_time time;
        alloy_status status =
            alloy_roofline_time_on(m->out->roofline, row->work, &chip, alloy_peak_name(m->peak), &time);
        if (status)
            return status;
        row->bottleneck = time.bottleneck;
        bounds[run] = time.seconds;
        ratios[run] = measured[run] > 0 ? time.seconds / measured[run] : 0;
    }
    row->bound = alloy_median(bounds, m->runs);
    row->measured = alloy_median(measured, m->runs);
    row->efficiency = alloy_median(ratios, m->runs);
    row->fault = row->efficiency > 1 + FAULT;
    return ALLOY_OK;
}

static alloy_status conclude(struct measure *m)
{
    alloy_status status = ALLOY_OK;
    for (int64_t i = 0; i < m->out->count && !status; i++)
        status = conclude_row(m, i);
    alloy_measured_machine *machine = &m->out->machine;
    machine->memory_bandwidth = alloy_median(m->memory, m->runs);
    machine->compute = alloy_median(m->compute, m->runs);
    machine->memory_share = machine->memory_bandwidth / read_then(m);
    machine->compute_share = machine->compute / compute_then(m);
    return status;
}

/* ---- All of it --------------------------------------------------------------------------------------------------- */

static alloy_status check(const struct measure *m)
{
    const alloy_measure_options *o = m->options;
    if (o->tokens < 1 || o->cached < 0 || o->runs < 0 || o->runs > MOST_RUNS)
        return alloy_fail(ALLOY_RANGE, "measure: %lld tokens after %lld in %lld runs, expected 1.., 0.. and 1..%d",
                          (long long)o->tokens, (long long)o->cached, (long long)o->runs, (int)MOST_RUNS);
    if (m->host->level_count < 1 || !(compute_then(m) > 0))
        return alloy_fail(ALLOY_UNSUPPORTED, "measure: this host has no figure for weights of dtype %s",
                          alloy_dtype_name(m->model->head->dtype));
    if (o->tokens > m->session->chunk)
        return alloy_fail(ALLOY_ARG, "measure: %lld tokens do not go through a session of chunk %lld in one pass",
                          (long long)o->tokens, (long long)m->session->chunk);
    if (o->cached + o->tokens > m->model->config.max_position_embeddings)
        return alloy_fail(ALLOY_CONTEXT, "measure: %lld tokens after %lld pass the model's context of %lld",
                          (long long)o->tokens, (long long)o->cached,
                          (long long)m->model->config.max_position_embeddings);
    return ALLOY_OK;
}

/* By even routing before the first run, which tells how the tokens are routed. */
static alloy_status predict(struct measure *m)
{
    alloy_roofline_sequences sequence = {1, m->options->tokens, m->options->cached};
    alloy_peak kv = alloy_peak_of_dtype(m->session->kv_dtype);
    alloy_roofline_options options = {.size = sizeof options,
                                      .sequences = &sequence,
                                      .sequences_count = 1,
                                      .accounting = ALLOY_EXACT,
                                      .activation_dtype = "fp32",
                                      .kv_dtype = alloy_peak_name(kv),
                                      .delta = ALLOY_DELTA_STEP,
                                      .routing = m->routes ? ALLOY_ROUTING_GIVEN : ALLOY_ROUTING_EVEN,
                                      .experts_read = m->experts_read};
    alloy_roofline_close(m->out->roofline);
    m->out->roofline = NULL;
    alloy_status status = alloy_roofline_resolve(&m->out->terms, m->model, &options, m->out->arena);
    return status ? status : alloy_roofline_gather(&m->out->roofline, m->model, &m->out->terms);
}

/* The bound of what was run. */
static alloy_status predict_again(struct measure *m)
{
    if (m->status || !m->routes)
        return m->status;
    alloy_status status = predict(m);
    int64_t kinds = m->out->count - 1;
    for (int64_t i = 0; i < kinds && !status; i++)
        m->out->rows[i].work = alloy_roofline_row_at(m->out->roofline, ALLOY_LEVEL_KINDS, i).work;
    if (!status)
        m->out->rows[kinds].work = alloy_roofline_total(m->out->roofline);
    return status;
}

static alloy_status prepare(struct measure *m)
{
    size_t tokens = (size_t)(m->options->tokens + m->options->cached), vocab = (size_t)m->model->config.vocab_size,
           runs = (size_t)m->runs, rows = (size_t)m->out->count;
    m->ids = alloy_memory_new(tokens, sizeof *m->ids);
    m->experts_read =
        alloy_arena_take_zeroed(m->out->arena, (size_t)m->model->config.num_hidden_layers, sizeof *m->experts_read);
    m->logits = alloy_memory_new(vocab, sizeof *m->logits);
    m->samples = alloy_memory_new(rows * runs, sizeof *m->samples);
    m->memory = alloy_memory_new(runs, sizeof *m->memory);
    m->compute = alloy_memory_new(runs, sizeof *m->compute);
    m->bounds = alloy_memory_new(runs, sizeof *m->bounds);
    m->ratios = alloy_memory_new(runs, sizeof *m->ratios);
    m->row_seconds = alloy_memory_new(rows, sizeof *m->row_seconds);
    if (!m->ids || !m->experts_read || !m->logits || !m->samples || !m->memory || !m->compute || !m->bounds ||
        !m->ratios || !m->row_seconds)
        return ALLOY_NOMEM;
    for (size_t i = 0; i < tokens; i++)
        m->ids[i] = (int64_t)((i * 7919 + 13) % vocab); /* any text: its content decides routing alone */
    return alloy_prober_open(&m->prober, m->session->team.threads, m->session->kernels, PROBE_BYTES);
}

static void clean_up(struct measure *m)
{
    alloy_cache_close(m->before);
    alloy_prober_close(&m->prober);
    alloy_memory_free(m->ids);
    alloy_memory_free(m->logits);
    alloy_memory_free(m->samples);
    alloy_memory_free(m->memory);
    alloy_memory_free(m->compute);
    alloy_memory_free(m->bounds);
    alloy_memory_free(m->ratios);
    alloy_memory_free(m->row_seconds);
}

static alloy_status measure(struct measure *m)
{
    alloy_status status = check(m);
    if (!status)
        status = predict(m);
    if (!status)
        status = make_rows(m);
    if (!status)
        status = prepare(m);
    if (!status)
        status = run_all(m);
    if (!status)
        status = predict_again(m);
    return status ? status : conclude(m);
}

alloy_status alloy_roofline_measure(alloy_measurement **out, alloy_session *session, const alloy_host *host,
                                    const alloy_measure_options *options)
{
    alloy_measure_options o;
    *out = NULL;
    alloy_status status = alloy_options_take(&o, sizeof o, options, "alloy_measure_options");
    if (status)
        return status;
    struct measure m = {.session = session,
                        .model = session->model,
                        .host = host,
                        .peak = alloy_peak_of_dtype(session->model->head->dtype),
                        .options = &o,
                        .runs = o.runs ? o.runs : DEFAULT_RUNS};
    m.out = alloy_memory_zeroed(1, sizeof *m.out);
    if (!m.out)
        return ALLOY_NOMEM;
    m.out->arena = alloy_arena_new();
    status = m.out->arena ? measure(&m) : ALLOY_NOMEM;
    clean_up(&m);
    if (status) {
        alloy_measurement_close(m.out);
        return status;
    }
    *out = m.out;
    return ALLOY_OK;
}

void alloy_measurement_close(alloy_measurement *m)
{
    if (!m)
        return;
    alloy_roofline_close(m->roofline);
    alloy_arena_free(m->arena);
    alloy_memory_free(m->rows);
    alloy_memory_free(m);
}

const alloy_measured_row *alloy_measurement_rows(const alloy_measurement *m, int64_t *count)
{
    *count = m->count;
    return m->rows;
}

alloy_measured_machine alloy_measurement_machine(const alloy_measurement *m)
{
    return m->machine;
}
