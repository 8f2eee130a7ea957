/* What the reports are made from (report.h). */
#include "roofline/report.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "base/status.h"
#include "roofline/analysis.h"

enum { ACCOUNTINGS = 2 };

/* A point, analysed; NULL: nobody asked yet. */
struct alloy_report_analysis {
    alloy_roofline *classic, *exact, *exact_by_steps;
    alloy_roofline_memory memory;
};

void alloy_report_sequences(const alloy_report_point *point, alloy_text *out)
{
    for (int64_t i = 0; i < point->sequences_count; i++) {
        const alloy_roofline_sequences *s = &point->sequences[i];
        alloy_text_string(out, i ? "," : "");
        if (s->count != 1)
            alloy_text_format(out, "%lldx", (long long)s->count);
        alloy_text_format(out, "%lld+%lld", (long long)s->tokens, (long long)s->cached);
    }
}

/* ---- Names and sums ---------------------------------------------------------------------------------------------- */

void alloy_report_point_name(const alloy_report_point *point, alloy_text *out)
{
    const alloy_roofline_sequences *s = point->sequences;
    alloy_text_format(out, "%s (", point->mode);
    if (point->sequences_count > 1) {
        alloy_report_sequences(point, out);
    } else {
        alloy_text_format(out, "B=%lld", (long long)s->count);
        if (strcmp(point->mode, "decode") != 0)
            alloy_text_format(out, ", Q=%lld", (long long)s->tokens);
        if (strcmp(point->mode, "prefill") != 0)
            alloy_text_format(out, ", cache=%lld", (long long)s->cached);
    }
    alloy_text_char(out, ')');
}

double alloy_report_flops(const alloy_work *work)
{
    return alloy_count_double(alloy_count_add(work->tensor_flops, work->vector_flops));
}

double alloy_report_bytes(const alloy_work *work)
{
    return alloy_count_double(alloy_count_add(alloy_work_read(work), alloy_work_written(work)));
}

/* ---- Formats ----------------------------------------------------------------------------------------------------- */

const char *alloy_report_weight_format(const alloy_roofline *r)
{
    return r->model->weights && !r->terms.weight_given ? "as stored" : alloy_peak_name(r->terms.weight);
}

const char *alloy_report_activation_format(const alloy_roofline *r)
{
    return alloy_peak_name(r->terms.activation);
}

const char *alloy_report_kv_format(const alloy_roofline *r)
{
    return alloy_peak_name(r->terms.kv);
}

alloy_peak alloy_report_compute_peak(const alloy_report *report, const alloy_roofline *r)
{
    alloy_peak format = r->terms.activation;
    if (report->request->compute_dtype)
        alloy_format_by_name("compute_dtype", report->request->compute_dtype, &format); /* known: times were taken */
    return format;
}

const char *alloy_report_compute_format(const alloy_report *report, const alloy_roofline *r)
{
    return alloy_peak_name(alloy_report_compute_peak(report, r));
}

/* ---- Analyses ---------------------------------------------------------------------------------------------------- */

static alloy_status analyse(const alloy_report *report, const alloy_report_point *point, alloy_accounting accounting,
                            bool by_steps, const alloy_roofline **out)
{
    const alloy_report_request *q = report->request;
    struct alloy_report_analysis *a = &report->analyses[point - q->points];
    alloy_roofline **kept = accounting == ALLOY_CLASSIC ? &a->classic : by_steps ? &a->exact_by_steps : &a->exact;
    alloy_status status = ALLOY_OK;
    if (!*kept) {
        alloy_roofline_options options = q->options;
        options.sequences = point->sequences;
        options.sequences_count = point->sequences_count;
        options.accounting = accounting;
        options.delta = by_steps ? ALLOY_DELTA_STEP : options.delta;
        options.ops = q->level >= ALLOY_LEVEL_OPS || q->both;
        status = alloy_roofline_open(kept, q->model, &options);
    }
    *out = *kept;
    return status;
}

static alloy_status need_memory(const alloy_report *report)
{
    const alloy_report_request *q = report->request;
    alloy_status status = ALLOY_OK;
    alloy_wide weights = ALLOY_NOT_COUNTED;
    for (int64_t i = 0; i < q->point_count && !status; i++) {
        alloy_roofline_options options = q->options;
        options.sequences = q->points[i].sequences;
        options.sequences_count = q->points[i].sequences_count;
        status = alloy_roofline_needs_with(q->model, &options, q->page, weights, &report->analyses[i].memory);
        weights = alloy_wide_of(report->analyses[i].memory.weights);
    }
    return status;
}

/* ---- Results ----------------------------------------------------------------------------------------------------- */

/* All units busy at once, each at its share of the peak, and what every op adds. */
static double estimate(const alloy_efficiency *e, const alloy_report_result *result)
{
    if (!e->given)
        return 0;
    const alloy_roofline_time *t = &result->bounds.overlap;
    double compute = fmax(t->tensor, t->vector) / e->compute, memory = t->memory / e->memory;
    return fmax(compute, memory) + e->overhead * (double)alloy_roofline_ops(result->roofline);
}

static alloy_status fit(const alloy_report *report, alloy_report_result *result)
{
    const alloy_report_request *q = report->request;
    if (q->times_only || !(result->chip->chip->memory > 0))
        return ALLOY_OK;
    const alloy_report_result *before = result - 1;
    if (before >= report->results && before->chip == result->chip && before->point == result->point) {
        result->batch = before->batch;
        result->context = before->context;
        return ALLOY_OK;
    }
    alloy_roofline_options options = q->options;
    options.sequences = result->point->sequences;
    options.sequences_count = result->point->sequences_count;
    return alloy_roofline_fits_with(q->model, &options, q->page, alloy_wide_of(result->memory->weights),
                                    result->chip->chip->memory, &result->batch, &result->context);
}

static alloy_status add_result(alloy_report *report, const alloy_report_point *point, const alloy_report_chip *chip,
                               alloy_accounting accounting)
{
    const alloy_report_request *q = report->request;
    alloy_report_result *result = &report->results[report->result_count++];
    bool by_steps = chip->steps_delta && q->options.delta == ALLOY_DELTA_AUTO;
    *result = (alloy_report_result){
        .point = point, .chip = chip, .accounting = accounting, .memory = &report->analyses[point - q->points].memory};
    alloy_status status = analyse(report, point, accounting, by_steps, &result->roofline);
    if (!status)
        status = analyse(report, point, ALLOY_EXACT, by_steps, &result->exact);
    if (!status)
        status = alloy_roofline_on(result->roofline, chip->chip, q->compute_dtype, &result->bounds);
    if (!status)
        status = alloy_roofline_on(result->exact, chip->chip, q->compute_dtype, &result->exact_bounds);
    if (!status)
        status = fit(report, result);
    if (!status && q->both && accounting == ALLOY_EXACT)
        status =
            alloy_differences_open(&result->differences, report->analyses[point - q->points].classic, result->roofline);
    if (!status)
        result->estimate = estimate(&q->efficiency, result);
    return status;
}

static alloy_status add_results(alloy_report *report)
{
    const alloy_report_request *q = report->request;
    alloy_status status = q->times_only ? ALLOY_OK : need_memory(report);
    for (int64_t c = 0; c < q->chip_count; c++)
        for (int64_t p = 0; p < q->point_count; p++)
            for (int a = 0; a < ACCOUNTINGS && !status; a++)
                if (q->both || q->options.accounting == (alloy_accounting)a)
                    status = add_result(report, &q->points[p], &q->chips[c], (alloy_accounting)a);
    return status;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

alloy_status alloy_report_open(alloy_report **out, const alloy_report_request *request)
{
    *out = NULL;
    alloy_report *report = alloy_memory_zeroed(1, sizeof *report);
    if (!report)
        return ALLOY_NOMEM;
    const alloy_report_request *q = report->request = &report->taken;
    alloy_status status = alloy_options_take(&report->taken, sizeof report->taken, request, "alloy_report_request");
    if (!status) {
        report->analyses = alloy_memory_zeroed((size_t)q->point_count, sizeof *report->analyses);
        report->results =
            alloy_memory_zeroed((size_t)(q->point_count * q->chip_count), ACCOUNTINGS * sizeof *report->results);
        status = report->analyses && report->results ? add_results(report) : ALLOY_NOMEM;
    }
    if (status) {
        alloy_report_close(report);
        return status;
    }
    *out = report;
    return ALLOY_OK;
}

void alloy_report_close(alloy_report *report)
{
    if (!report)
        return;
    for (int64_t i = 0; report->analyses && i < report->request->point_count; i++) {
        alloy_roofline_close(report->analyses[i].classic);
        alloy_roofline_close(report->analyses[i].exact);
        alloy_roofline_close(report->analyses[i].exact_by_steps);
    }
    for (int64_t i = 0; i < report->result_count; i++)
        alloy_differences_close(&report->results[i].differences);
    alloy_memory_free(report->analyses);
    alloy_memory_free(report->results);
    alloy_memory_free(report);
}

/* ---- Documents --------------------------------------------------------------------------------------------------- */

int64_t alloy_report_row_count(const alloy_report *report, int level)
{
    int64_t rows = 0;
    for (int64_t i = 0; i < report->result_count; i++)
        for (int l = ALLOY_LEVEL_MODULES; l <= level; l++)
            rows += alloy_roofline_row_count(report->results[i].roofline, (alloy_roofline_level)l);
    return rows;
}

alloy_status alloy_report_write(const alloy_report *report, alloy_report_form form, char **text, size_t *size)
{
    static void (*const writers[])(const alloy_report *, alloy_text *) = {
        [ALLOY_REPORT_TEXT] = alloy_report_text, [ALLOY_REPORT_COMPARISON] = alloy_report_comparison,
        [ALLOY_REPORT_JSON] = alloy_report_json, [ALLOY_REPORT_CSV] = alloy_report_csv,
        [ALLOY_REPORT_HTML] = alloy_report_html, [ALLOY_REPORT_SVG] = alloy_report_svg};
    alloy_text out = {0};
    *text = NULL;
    *size = 0;
    if ((unsigned)form >= sizeof writers / sizeof *writers)
        return alloy_fail(ALLOY_ARG, "form %d of a report is not known", (int)form);
    writers[form](report, &out);
    if (out.failed) {
        alloy_text_free(&out);
        return alloy_text_status(&(alloy_text){.failed = true});
    }
    *text = out.bytes;
    *size = out.size;
    return ALLOY_OK;
}

char *alloy_report_point_text(const alloy_report_point *point, bool lengths)
{
    alloy_text text = {0};
    if (lengths)
        alloy_report_sequences(point, &text);
    else
        alloy_report_point_name(point, &text);
    if (text.failed)
        alloy_text_free(&text);
    return text.bytes;
}
