/* This machine in `alloy roofline`: --hardware host, and --measure, a model that is run beside its bound. */
#include <string.h>

#include "base/status.h"
#include "output.h"
#include "progress.h"
#include "roofline.h"
#include "base/figures.h"
#include "table.h"

enum { PERCENT = 100 };

/* ---- The machine ------------------------------------------------------------------------------------------------- */

static void show_host_progress(void *user, double done)
{
    (void)user;
    alloy_cli_progress("measuring this machine", "%", (int64_t)(done * PERCENT), PERCENT);
}

alloy_status alloy_cli_host_open(const alloy_cli_roofline_options *o, alloy_host *host)
{
    alloy_host_options options = {.size = sizeof options,
                                  .threads = (int)o->common.threads.value,
                                  .cpu = o->common.cpu,
                                  .refresh = o->host_refresh,
                                  .progress = show_host_progress};
    alloy_status status = alloy_host_measure(host, &options);
    alloy_cli_progress_clear();
    if (!status && host->busy)
        alloy_cli_say("other programs were busy while this machine was measured: its figures may be too low "
                      "(--host-refresh measures again)");
    return status;
}

static const char *rate(alloy_text *cell, double per_second)
{
    alloy_text_clear(cell);
    alloy_text_short(cell, per_second);
    return alloy_text_get(cell);
}

void alloy_cli_host_print(const alloy_host *host)
{
    alloy_table table;
    alloy_text cell = {0};
    alloy_cli_print("host: %s, %d threads, %s kernels\n", host->processor, host->threads, host->cpu);
    alloy_table_open(&table, "level|>size|>read B/s|>write B/s|>copy B/s");
    for (int i = 0; i < host->level_count; i++) {
        const alloy_host_level *level = &host->levels[i];
        if (level->level > 0)
            alloy_table_cell(&table, "L%lld", (long long)level->level);
        else
            alloy_table_cell(&table, "memory");
        alloy_table_cell(&table, "%s", alloy_cli_bytes(level->size));
        alloy_table_cell(&table, "%s", rate(&cell, level->read));
        alloy_table_cell(&table, "%s", rate(&cell, level->write));
        alloy_table_cell(&table, "%s", rate(&cell, level->copy));
    }
    alloy_cli_table_print(&table);
    alloy_cli_print("linear layers, FLOP/s:");
    for (int p = 0; p < ALLOY_PEAK_COUNT; p++)
        if (host->chip.peak[p] > 0)
            alloy_cli_print(" %s %s", alloy_peak_name((alloy_peak)p), rate(&cell, host->chip.peak[p]));
    alloy_cli_print("; element by element: %s\n\n", rate(&cell, host->elementwise));
    alloy_text_free(&cell);
}

void alloy_cli_host_write(alloy_json_writer *w, const alloy_host *host)
{
    alloy_json_field_object(w, "host");
    alloy_json_field_text(w, "processor", host->processor);
    alloy_json_field_text(w, "cpu", host->cpu);
    alloy_json_field_int64(w, "threads", host->threads);
    alloy_json_field_bool(w, "busy", host->busy);
    alloy_json_field_array(w, "levels");
    for (int i = 0; i < host->level_count; i++) {
        const alloy_host_level *level = &host->levels[i];
        alloy_json_write_object(w);
        alloy_json_field_int64(w, "level", level->level);
        alloy_json_field_double(w, "size", level->size);
        alloy_json_field_double(w, "read", level->read);
        alloy_json_field_double(w, "write", level->write);
        alloy_json_field_double(w, "copy", level->copy);
        alloy_json_write_object_end(w);
    }
    alloy_json_write_array_end(w);
    alloy_json_field_object(w, "peaks");
    for (int p = 0; p < ALLOY_PEAK_COUNT; p++)
        if (host->chip.peak[p] > 0)
            alloy_json_field_double(w, alloy_peak_name((alloy_peak)p), host->chip.peak[p]);
    alloy_json_write_object_end(w);
    alloy_json_field_double(w, "elementwise", host->elementwise);
    alloy_json_write_object_end(w);
}

/* ---- A run beside its bound -------------------------------------------------------------------------------------- */

static bool show_run(void *user, int64_t done, int64_t runs)
{
    const char *const *mode = user;
    alloy_cli_progress(*mode, "runs", done, runs);
    return true;
}

static const char *time_text(alloy_text *cell, double seconds)
{
    alloy_text_clear(cell);
    alloy_text_seconds(cell, seconds);
    return alloy_text_get(cell);
}

static void print_rows(const alloy_measured_row *rows, int64_t count)
{
    alloy_table table;
    alloy_text cell = {0};
    alloy_table_open(&table, "kind|module|>modules|>bound|>measured|>efficiency|limited by");
    for (int64_t i = 0; i < count; i++) {
        alloy_table_cell(&table, "%s", rows[i].kind);
        alloy_table_cell(&table, "%s", i < count - 1 ? rows[i].name : "");
        alloy_table_cell(&table, "%lld", (long long)rows[i].modules);
        alloy_table_cell(&table, "%s", time_text(&cell, rows[i].bound));
        alloy_table_cell(&table, "%s", time_text(&cell, rows[i].measured));
        alloy_table_number(&table, rows[i].efficiency, 'f', 2);
        alloy_table_cell(&table, "%s", rows[i].bottleneck);
    }
    alloy_cli_table_print(&table);
    for (int64_t i = 0; i < count; i++)
        if (rows[i].fault) {
            alloy_cli_print("%s: measured %s", rows[i].name, time_text(&cell, rows[i].measured));
            alloy_cli_print(" beside a bound of %s, run by run %.0f %% faster than it: the model of this machine is at "
                            "fault, or other programs were busy\n",
                            time_text(&cell, rows[i].bound), (rows[i].efficiency - 1) * PERCENT);
        }
    alloy_text_free(&cell);
}

static void print_measurement(const alloy_report_point *point, const alloy_measurement *m)
{
    int64_t count;
    const alloy_measured_row *rows = alloy_measurement_rows(m, &count);
    alloy_measured_machine machine = alloy_measurement_machine(m);
    alloy_text cell = {0};
    alloy_cli_print("%s: %lld new tokens after %lld, %.1f tokens/s\n", point->mode, (long long)point->sequences->tokens,
                    (long long)point->sequences->cached, (double)point->sequences->tokens / rows[count - 1].measured);
    alloy_cli_print("between the runs: memory %sB/s read (%.2f of the host's)", rate(&cell, machine.memory_bandwidth),
                    machine.memory_share);
    alloy_cli_print(", linear %sFLOP/s (%.2f)\n", rate(&cell, machine.compute), machine.compute_share);
    alloy_text_free(&cell);
    print_rows(rows, count);
    alloy_cli_print("\n");
}

static void write_measurement(alloy_json_writer *w, const alloy_report_point *point, const alloy_measurement *m)
{
    int64_t count;
    const alloy_measured_row *rows = alloy_measurement_rows(m, &count);
    alloy_measured_machine machine = alloy_measurement_machine(m);
    alloy_json_write_object(w);
    alloy_json_field_text(w, "mode", point->mode);
    alloy_json_field_int64(w, "tokens", point->sequences->tokens);
    alloy_json_field_int64(w, "cached", point->sequences->cached);
    alloy_json_field_double(w, "memory_bandwidth", machine.memory_bandwidth);
    alloy_json_field_double(w, "memory_share", machine.memory_share);
    alloy_json_field_double(w, "compute", machine.compute);
    alloy_json_field_double(w, "compute_share", machine.compute_share);
    alloy_json_field_array(w, "rows");
    for (int64_t i = 0; i < count; i++) {
        alloy_json_write_object(w);
        alloy_json_field_text(w, "kind", rows[i].kind);
        alloy_json_field_text(w, "name", rows[i].name);
        alloy_json_field_int64(w, "modules", rows[i].modules);
        alloy_json_field_double(w, "bound", rows[i].bound);
        alloy_json_field_double(w, "measured", rows[i].measured);
        alloy_json_field_double(w, "efficiency", rows[i].efficiency);
        alloy_json_field_text(w, "bottleneck", rows[i].bottleneck);
        alloy_json_field_bool(w, "fault", rows[i].fault);
        alloy_json_write_object_end(w);
    }
    alloy_json_write_array_end(w);
    alloy_json_write_object_end(w);
}

/* One forward of one sequence in one pass. */
static alloy_status measure_point(const alloy_cli_job *job, const alloy_host *host, const alloy_report_point *point,
                                  bool first, alloy_json_writer *w)
{
    const alloy_cli_roofline_options *o = job->options;
    if (point->sequences_count != 1 || point->sequences->count != 1)
        return alloy_fail(ALLOY_ARG, "--measure runs one sequence at a time: no --batch, no --sequences");
    alloy_session_options options = {
        .size = sizeof options, .threads = host->threads, .cpu = host->cpu, .chunk = point->sequences->tokens};
    alloy_peak kv = ALLOY_PEAK_FP32;
    if (o->common.kv_dtype && alloy_format_by_name("--kv-dtype", o->common.kv_dtype, &kv))
        return alloy_last_status();
    options.kv_dtype = kv == ALLOY_PEAK_FP32   ? ALLOY_F32
                       : kv == ALLOY_PEAK_BF16 ? ALLOY_BF16
                       : kv == ALLOY_PEAK_FP16 ? ALLOY_F16
                                               : ALLOY_F8_E4M3; /* which the session refuses */
    const char *mode = point->mode;
    alloy_session *session;
    alloy_measurement *measurement = NULL;
    alloy_measure_options measure = {.size = sizeof measure,
                                     .tokens = point->sequences->tokens,
                                     .cached = point->sequences->cached,
                                     .runs = o->runs.value,
                                     .progress = show_run,
                                     .user = &mode};
    alloy_status status = alloy_session_open(&session, job->model, &options);
    if (status)
        return status;
    status = alloy_roofline_measure(&measurement, session, host, &measure);
    alloy_cli_progress_clear();
    if (!status && !w && first)
        alloy_cli_host_print(host);
    if (!status && w)
        write_measurement(w, point, measurement);
    else if (!status)
        print_measurement(point, measurement);
    alloy_measurement_close(measurement);
    alloy_session_close(session);
    return status;
}

/* Said before the machine is measured, which takes seconds, and before anything is made for the tokens. */
static alloy_status check_points(const alloy_model *model, const alloy_report_point *points, int64_t count)
{
    int64_t context = alloy_model_context(model);
    for (int64_t p = 0; p < count; p++)
        for (int64_t i = 0; i < points[p].sequences_count; i++) {
            const alloy_roofline_sequences *s = &points[p].sequences[i];
            if (s->tokens > context || s->cached > context - s->tokens)
                return alloy_fail(ALLOY_CONTEXT, "--measure: %lld tokens after %lld, the model's context is %lld",
                                  (long long)s->tokens, (long long)s->cached, (long long)context);
        }
    return ALLOY_OK;
}

/* Without lengths: short ones, which any model finishes in a minute. */
static alloy_status open_points(const alloy_cli_roofline_options *o, alloy_report_point **points, int64_t *count)
{
    alloy_cli_roofline_options short_ones = *o;
    if (!o->mode && o->at.count == 0 && !o->sequences) {
        short_ones.at = (alloy_cli_texts){.items = {"prefill:512", "decode:512"}, .count = 2};
    }
    return alloy_cli_points_open(&short_ones, points, count);
}

alloy_status alloy_cli_measure(const alloy_cli_job *job)
{
    const alloy_cli_roofline_options *o = job->options;
    alloy_host host;
    alloy_report_point *points;
    int64_t count;
    if (alloy_model_tensors(job->model) == 0)
        return alloy_fail(ALLOY_ARG, "--measure runs the model: %s has no weights (alloy init makes some)",
                          o->common.model);
    alloy_status status = open_points(o, &points, &count);
    if (status)
        return status;
    status = check_points(job->model, points, count);
    status = status ? status : alloy_cli_host_open(o, &host);
    alloy_cli_document document;
    alloy_json_writer *w = !status && o->common.json ? alloy_cli_document_open(&document, 2) : NULL;
    if (w) {
        alloy_cli_host_write(w, &host);
        alloy_json_field_array(w, "measured");
    }
    for (int64_t i = 0; i < count && !status; i++)
        status = measure_point(job, &host, &points[i], i == 0, w);
    if (w)
        alloy_json_write_array_end(w);
    if (w && !status)
        status = alloy_cli_document_print(&document);
    else if (w)
        alloy_text_free(&document.text);
    alloy_cli_points_close(points, count);
    return status;
}
