/* The report as CSV (RFC 4180, lines end in one newline): a row a module, down to the level asked for. Rows of each
 * level sum to its total; counts stand with all their digits, times in seconds. */
#include <math.h>
#include <string.h>

#include "roofline/report.h"

static void append_field(alloy_text *out, const char *text)
{
    bool quoted = strpbrk(text, ",\"\r\n") != NULL;
    if (quoted)
        alloy_text_char(out, '"');
    for (; *text; text++) {
        if (*text == '"')
            alloy_text_char(out, '"');
        alloy_text_char(out, *text);
    }
    if (quoted)
        alloy_text_char(out, '"');
    alloy_text_char(out, ',');
}

static void append_number(alloy_text *out, alloy_count value)
{
    alloy_text_count(out, alloy_wide_of(value), 0);
    alloy_text_char(out, ',');
}

static void append_double(alloy_text *out, double value)
{
    if (isfinite(value)) /* else the field is empty */
        alloy_text_double(out, value);
    alloy_text_char(out, ',');
}

static void append_headings(alloy_text *out)
{
    alloy_text_string(out, "hardware,mode,sequences,accounting,level,kind,name,layer,modules,op,weight,"
                           "flops,tensor_flops,vector_flops,bytes,bytes_read,bytes_written,");
    for (int i = 0; i < ALLOY_TRAFFIC_COUNT; i++)
        alloy_text_format(out, "read_%s,", alloy_traffic_name((alloy_traffic)i));
    for (int i = 0; i < ALLOY_TRAFFIC_COUNT; i++)
        alloy_text_format(out, "written_%s,", alloy_traffic_name((alloy_traffic)i));
    alloy_text_string(out, "tensor_seconds,vector_seconds,memory_seconds,seconds,bottleneck\n");
}

static void append_sequences(alloy_text *out, const alloy_report_point *point)
{
    alloy_text sequences = {0};
    alloy_report_sequences(point, &sequences);
    append_field(out, alloy_text_get(&sequences));
    out->failed |= sequences.failed;
    alloy_text_free(&sequences);
}

static void append_names(alloy_text *out, const alloy_report_result *r, int level, const alloy_roofline_row *row)
{
    append_field(out, r->chip->chip->name);
    append_field(out, r->point->mode);
    append_sequences(out, r->point);
    append_field(out, r->accounting == ALLOY_EXACT ? "exact" : "classic");
    append_number(out, alloy_count_of(level));
    append_field(out, row->kind);
    append_field(out, row->name);
    if (row->layer >= 0)
        append_number(out, alloy_count_of(row->layer));
    else
        alloy_text_char(out, ',');
    append_number(out, alloy_count_of(row->modules));
    append_field(out, row->op ? row->op : "");
    append_field(out, row->weight ? row->weight : "");
}

static void append_row(alloy_text *out, const alloy_report *report, const alloy_report_result *r, int level,
                       const alloy_roofline_row *row)
{
    const alloy_work *work = row->work;
    alloy_count read = alloy_work_read(work), written = alloy_work_written(work);
    alloy_roofline_time time;
    alloy_roofline_time_on(r->roofline, work, r->chip->chip, report->request->compute_dtype, &time);
    append_names(out, r, level, row);
    append_number(out, alloy_count_add(work->tensor_flops, work->vector_flops));
    append_number(out, work->tensor_flops);
    append_number(out, work->vector_flops);
    append_number(out, alloy_count_add(read, written));
    append_number(out, read);
    append_number(out, written);
    for (int i = 0; i < ALLOY_TRAFFIC_COUNT; i++)
        append_number(out, work->read[i]);
    for (int i = 0; i < ALLOY_TRAFFIC_COUNT; i++)
        append_number(out, work->written[i]);
    append_double(out, time.tensor);
    append_double(out, time.vector);
    append_double(out, time.memory);
    append_double(out, time.seconds);
    alloy_text_format(out, "%s\n", time.bottleneck);
}

void alloy_report_csv(const alloy_report *report, alloy_text *out)
{
    append_headings(out);
    for (int64_t i = 0; i < report->result_count; i++) {
        const alloy_report_result *r = &report->results[i];
        for (int level = ALLOY_LEVEL_TOTAL; level <= report->request->level; level++)
            for (int64_t j = 0; j < alloy_roofline_row_count(r->roofline, (alloy_roofline_level)level); j++) {
                alloy_roofline_row row = alloy_roofline_row_at(r->roofline, (alloy_roofline_level)level, j);
                append_row(out, report, r, level, &row);
            }
    }
}
