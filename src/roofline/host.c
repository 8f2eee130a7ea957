/* Measuring this machine (alloy.h, host.h).
 *
 * Every figure is a series of readings (probe.h); rounds take one reading of each series, so that a disturbance of some
 * milliseconds spoils one reading of several figures and not several of one. A reading's rate is what the workers did
 * by the time that they had processors for, so that other programs hardly show in figures of what each worker has for
 * itself. Where workers share something, memory above all, a reading counts only if they had processors for FAIR of its
 * time, that is, all at once. The figure is the median of the readings that count. On a busy machine there may be too
 * few by the end of BUDGET: then what was reached at the least stands in, and `busy` says so.
 *
 * A worker's place for a cache is as large as the geometric mean of its share of that cache and of the one before it:
 * too large for the one, small enough for the other. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/median.h"
#include "base/options.h"
#include "base/processors.h"
#include "base/status.h"
#include "roofline/host.h"
#include "roofline/probe.h"

enum {
    READINGS = 7,       /* of a figure */
    POINT_READINGS = 3, /* of a point */
    LEAST_READINGS = 3, /* that must count */
    MOST_SERIES = 3 * ALLOY_HOST_LEVELS + ALLOY_HOST_POINTS + 8,
    PAGE = 4096,
    MIB = 1 << 20,
};

static const double READING = 3e-3; /* s, about */
static const double BUDGET = 8;     /* s, for all rounds */
static const double FAIR = 0.9;

struct series {
    alloy_probe probe;
    double *figure; /* a second series of the same figure counts where it is higher */
    bool together;  /* workers share what is measured */
    int64_t places; /* of memory, through which the readings go; 0: always the same */
    int wanted, count;
    double rates[READINGS]; /* of readings that count, a second */
    double least;           /* of all, the best by the clock, or of one worker alone */
};

struct measurement {
    alloy_host *host;
    alloy_prober prober;
    alloy_cache_level caches[ALLOY_CACHE_LEVELS];
    int cache_count;
    struct series series[MOST_SERIES];
    int count;
};

/* ---- What is measured -------------------------------------------------------------------------------------------- */

static struct series *add(struct measurement *m, alloy_probe probe, int wanted, double *figure)
{
    struct series *series = &m->series[m->count++];
    probe.repeats = 1;
    *series = (struct series){.probe = probe, .figure = figure, .wanted = wanted};
    return series;
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* Of a cache: a worker's share, and all that the workers use. Bytes. */
static double share(const alloy_cache_level *cache, int threads)
{
    return cache->size / smaller((double)cache->shared, threads);
}

static double total(const alloy_cache_level *cache, int threads)
{
    return cache->size * ceil((double)threads / (double)cache->shared);
}

/* Memory to measure with: far more than the caches hold, and little of this machine's, but a place for each worker's
 * largest probe. */
static size_t memory_bytes(const alloy_cache_level *last, int threads)
{
    double installed = alloy_installed_memory(), bytes = larger(8 * total(last, threads), 64.0 * MIB);
    bytes = smaller(bytes, 2048.0 * MIB);
    if (installed > 0)
        bytes = smaller(bytes, larger(installed / 8, 16.0 * MIB));
    return (size_t)(larger(bytes, (double)threads * MIB) / MIB) * MIB;
}

/* Reading, writing and copying in places of `bytes`; cache NULL: memory. */
static void add_level(struct measurement *m, const alloy_cache_level *cache, size_t bytes)
{
    int threads = m->host->threads;
    alloy_host_level *level = &m->host->levels[m->host->level_count++];
    double *figures[] = {&level->read, &level->write, &level->copy};
    level->level = cache ? cache->level : 0;
    level->size = cache ? total(cache, threads) : alloy_installed_memory();
    level->working_set = cache ? (double)bytes * threads : (double)m->prober.bytes;
    for (int kind = ALLOY_PROBE_READ; kind <= ALLOY_PROBE_COPY; kind++) {
        alloy_probe probe = {.kind = (alloy_probe_kind)kind, .bytes = bytes, .tasks = cache ? 0 : threads};
        struct series *series = add(m, probe, READINGS, figures[kind]);
        series->together = threads > 1 && (!cache || cache->shared > 1);
        series->places = cache ? 0 : (int64_t)(m->prober.bytes / bytes);
    }
}

static void add_levels(struct measurement *m)
{
    int threads = m->host->threads;
    double before = 0;
    for (int i = 0; i < m->cache_count; i++) {
        double mine = share(&m->caches[i], threads), place = i ? sqrt(before * mine) : mine / 2;
        size_t bytes = (size_t)(place / PAGE) * PAGE;
        before = mine;
        if (bytes >= PAGE && bytes * (size_t)threads <= m->prober.bytes)
            add_level(m, &m->caches[i], bytes);
    }
    add_level(m, NULL, MIB);
}

/* Does a place of so many bytes lie in a cache that a worker has for itself? */
static bool is_own(const struct measurement *m, size_t bytes)
{
    for (int i = 0; i < m->cache_count; i++)
        if (m->caches[i].shared == 1 && (double)bytes <= m->caches[i].size)
            return true;
    return m->host->threads == 1;
}

static void add_points(struct measurement *m)
{
    size_t threads = (size_t)m->host->threads;
    for (size_t bytes = 2 * PAGE; bytes * threads <= m->prober.bytes; bytes *= 2) {
        if (m->host->point_count == ALLOY_HOST_POINTS)
            return;
        alloy_host_point *point = &m->host->points[m->host->point_count++];
        alloy_probe probe = {.kind = ALLOY_PROBE_READ, .bytes = bytes};
        point->working_set = (double)(bytes * threads);
        add(m, probe, POINT_READINGS, &point->read)->together = !is_own(m, bytes);
    }
}

/* Shapes that linear is fastest at (kernels.h), which lie in the second cache or near it. */
static void add_kernels(struct measurement *m)
{
    static const struct {
        alloy_dtype dtype;
        alloy_peak peak;
    } weights[] = {{ALLOY_F32, ALLOY_PEAK_FP32}, {ALLOY_BF16, ALLOY_PEAK_BF16}, {ALLOY_F16, ALLOY_PEAK_FP16}};
    static const int64_t tokens[] = {24, 72};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 2; j++) {
            alloy_probe probe = {
                .kind = ALLOY_PROBE_LINEAR, .dtype = weights[i].dtype, .n = tokens[j], .k = 1024, .rows = 96};
            probe.bytes = alloy_probe_bytes(&probe);
            add(m, probe, READINGS, &m->host->chip.peak[weights[i].peak]);
        }
    alloy_probe probe = {.kind = ALLOY_PROBE_ADD_SCALED, .n = 1024};
    probe.bytes = alloy_probe_bytes(&probe);
    add(m, probe, READINGS, &m->host->elementwise);
}

/* ---- Readings ---------------------------------------------------------------------------------------------------- */

/* Sets how often the probe repeats, or how many places of memory it takes, by a first reading, which comes to nothing
 * else: caches warm. */
static void calibrate(const alloy_prober *prober, struct series *series)
{
    alloy_probe *probe = &series->probe;
    alloy_probe_reading reading = alloy_prober_run(prober, probe);
    double times = reading.processor_seconds > 0 ? READING / reading.processor_seconds : 1000;
    if (series->places)
        probe->tasks = (int64_t)larger(smaller((double)probe->tasks * times, (double)series->places), 1);
    else
        probe->repeats = (int64_t)larger(smaller(times, 1e6), 1);
}

static void read_once(const alloy_prober *prober, struct series *series)
{
    alloy_probe *probe = &series->probe;
    alloy_probe_reading reading = alloy_prober_run(prober, probe);
    if (series->places && (probe->first += probe->tasks) + probe->tasks > series->places)
        probe->first = 0;
    if (!(reading.processor_seconds > 0) || !(reading.seconds > 0))
        return;
    double one = reading.amount / (reading.processor_seconds * prober->team.threads);
    series->least = larger(series->least, larger(reading.amount / reading.seconds, one));
    if (!series->together || reading.processor_seconds >= FAIR * reading.seconds)
        series->rates[series->count++] = reading.amount / reading.processor_seconds;
}

static bool round_of(struct measurement *m, double end, double *done)
{
    int taken = 0, wanted = 0;
    for (int i = 0; i < m->count && alloy_seconds() < end; i++)
        if (m->series[i].count < m->series[i].wanted)
            read_once(&m->prober, &m->series[i]);
    for (int i = 0; i < m->count; i++) {
        taken += m->series[i].count;
        wanted += m->series[i].wanted;
    }
    *done = (double)taken / wanted;
    return taken < wanted;
}

/* The figure of a series; false where too few readings count. */
static bool conclude(struct series *series)
{
    bool sound = series->count >= LEAST_READINGS;
    double median = alloy_median(series->rates, series->count);
    *series->figure = larger(*series->figure, sound ? median : larger(median, series->least));
    return sound;
}

static void take_readings(struct measurement *m, const alloy_host_options *options)
{
    double begin = alloy_seconds(), end = begin + BUDGET, done = 0;
    for (int i = 0; i < m->count; i++)
        calibrate(&m->prober, &m->series[i]);
    while (round_of(m, end, &done) && alloy_seconds() < end)
        if (options->progress)
            options->progress(options->user, larger(done, smaller((alloy_seconds() - begin) / BUDGET, 1)));
    for (int i = 0; i < m->count; i++)
        m->host->busy |= !conclude(&m->series[i]);
    if (options->progress)
        options->progress(options->user, 1);
}

/* ---- The chip ---------------------------------------------------------------------------------------------------- */

static double most_of(const alloy_host_level *level)
{
    return larger(level->read, larger(level->write, level->copy));
}

void alloy_host_complete(alloy_host *host)
{
    alloy_chip *chip = &host->chip;
    const alloy_host_level *memory = &host->levels[host->level_count - 1], *last = memory - 1;
    chip->name = "host";
    chip->source = "measured on this machine";
    chip->fp32_is_vector = true;
    chip->memory_bandwidth = most_of(memory);
    chip->memory = memory->size;
    if (host->level_count < 2)
        return;
    chip->cache = last->size;
    chip->cache_bandwidth = larger(most_of(last), chip->memory_bandwidth);
    for (int i = 0; !host->busy && i < host->point_count && host->points[i].read > 1.5 * memory->read; i++)
        chip->cache = larger(chip->cache, host->points[i].working_set); /* more than the system tells of */
}

static alloy_status measure(alloy_host *host, const alloy_kernels *kernels, const alloy_host_options *options)
{
    struct measurement m = {.host = host};
    m.cache_count = alloy_cache_levels(m.caches, NULL);
    size_t bytes = memory_bytes(&m.caches[m.cache_count - 1], host->threads);
    alloy_status status = alloy_prober_open(&m.prober, host->threads, kernels, bytes);
    if (status)
        return status;
    add_levels(&m);
    add_points(&m);
    add_kernels(&m);
    take_readings(&m, options);
    alloy_prober_close(&m.prober);
    host->measured = (int64_t)time(NULL);
    alloy_host_complete(host);
    return ALLOY_OK;
}

/* The figures of the file, if it has them. One that is there and cannot be used is no error, but is not passed over in
 * silence. */
static bool take_from_file(alloy_host *host, const char *path)
{
    bool has;
    alloy_status status = alloy_path_has(path, &has);
    if (!status && has)
        status = alloy_host_read(host, path);
    if (status)
        alloy_warn("%s; measured again", alloy_error());
    return has && !status;
}

alloy_status alloy_host_measure(alloy_host *host, const alloy_host_options *options)
{
    alloy_host_options o;
    *host = (alloy_host){0};
    alloy_status status = alloy_options_take(&o, sizeof o, options, "alloy_host_options");
    if (status)
        return status;
    const alloy_kernels *kernels = alloy_kernels_wanted(o.cpu);
    if (!kernels)
        return alloy_last_status();
    if (o.threads < 0 || o.threads > ALLOY_MOST_THREADS)
        return alloy_fail(ALLOY_RANGE, "threads: %d, expected 1 to %d (0: one a processor)", o.threads,
                          ALLOY_MOST_THREADS);
    host->threads = o.threads ? o.threads : alloy_processors();
    snprintf(host->cpu, sizeof host->cpu, "%s", kernels->name);
    alloy_processor_name(host->processor, sizeof host->processor);
    alloy_text path = {0};
    bool has_path = alloy_host_file(host, &path) == ALLOY_OK;
    if (!has_path || o.refresh || !take_from_file(host, alloy_text_get(&path))) {
        status = measure(host, kernels, &o);
        if (!status && has_path && alloy_host_write(host, alloy_text_get(&path)))
            alloy_warn("%s; the measurement of this machine is not kept", alloy_error());
    }
    alloy_text_free(&path);
    if (status)
        *host = (alloy_host){0};
    return status;
}
