/* A report as one HTML page that needs nothing else: no network, no files beside it.
 *
 *     bounds          every result in a row
 *     a forward       its figures, the roofline, layers on each chip, traffic, tables of kinds and of modules
 *
 * Cells of figures carry the number itself in data-v, by which page.js sorts. The policy in the head allows the page
 * its own three pieces of style and script, by their hashes, and nothing else: what a config might smuggle in would not
 * run. Markup is well-formed XML but for the script. */
#include <math.h>

#include "roofline/chart.h"
#include "base/figures.h"
#include "roofline/markup.h"
#include "roofline/analysis.h"

extern const char alloy_page_css[], alloy_page_css_sha256[], alloy_page_js[], alloy_page_js_sha256[];

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

typedef void figure_function(alloy_text *text, double value);

static void open_table(alloy_text *out, const char *class, const char *what)
{
    alloy_markup(out,
                 "<div class='scroll' tabindex='0' role='region' aria-label='%s'><table class='%s' aria-label='%s'>\n"
                 "<thead><tr>",
                 what, class, what);
}

static void close_table(alloy_text *out)
{
    alloy_text_string(out, "</tbody></table></div>\n");
}

static void add_heading(alloy_text *out, const char *text)
{
    alloy_markup(out, "<th scope='col'>%s</th>", text);
}

static void add_text_heading(alloy_text *out, const char *text)
{
    alloy_markup(out, "<th scope='col' class='text'>%s</th>", text);
}

static void add_text(alloy_text *out, const char *text)
{
    alloy_markup(out, "<td class='text'>%s</td>", text);
}

static void add_figure(alloy_text *out, double value, figure_function *figure)
{
    alloy_text_string(out, "<td data-v='");
    if (isfinite(value))
        alloy_text_double(out, value);
    else
        alloy_text_string(out, "-1"); /* below every number, so that rows can be sorted */
    alloy_text_string(out, "'>");
    figure(out, value);
    alloy_text_string(out, "</td>");
}

/* The same of a whole number, of which no digit is lost. */
static void add_count(alloy_text *out, alloy_count value, figure_function *figure)
{
    alloy_text_string(out, "<td data-v='");
    alloy_text_count(out, alloy_wide_of(value), 0);
    alloy_text_string(out, "'>");
    figure(out, alloy_count_double(value));
    alloy_text_string(out, "</td>");
}

static void append_whole(alloy_text *out, double value)
{
    alloy_text_count(out, (alloy_wide)value, ',');
}

static void append_ratio(alloy_text *out, double value)
{
    alloy_text_intensity(out, value, 1);
}

static void append_three_digits(alloy_text *out, double value)
{
    alloy_text_number(out, value, 'g', 3);
}

/* ---- Bounds ------------------------------------------------------------------------------------------------------ */

/* Columns that not every report has. */
typedef struct columns {
    bool accounting, vector, energy, price, estimate, fits;
} columns;

static columns find_columns(const alloy_report *report)
{
    columns c = {.accounting = report->request->both};
    for (int64_t i = 0; i < report->result_count; i++) {
        const alloy_report_result *r = &report->results[i];
        c.vector = c.vector || r->accounting == ALLOY_EXACT;
        c.energy = c.energy || r->bounds.joules_per_token > 0;
        c.price = c.price || r->bounds.price_per_token > 0;
        c.estimate = c.estimate || r->estimate > 0;
        c.fits = c.fits || r->chip->chip->memory > 0;
    }
    return c;
}

static const char *accounting_of(const alloy_report_result *result)
{
    return result->accounting == ALLOY_EXACT ? "exact" : "classic";
}

/* The number of a forward, for links. */
static int64_t number_of(const alloy_report *report, const alloy_report_result *result)
{
    int64_t number = 1;
    for (const alloy_report_result *r = NULL; (r = alloy_chart_forward(report, r)); number++)
        if (r->roofline == result->roofline)
            break;
    return number;
}

static void append_bound_headings(alloy_text *out, const columns *c)
{
    add_text_heading(out, "Forward");
    if (c->accounting)
        add_text_heading(out, "Accounting");
    add_text_heading(out, "Chip");
    add_heading(out, "Time");
    add_text_heading(out, "Bound by");
    add_heading(out, "Tokens / s");
    if (c->estimate)
        add_heading(out, "Estimate");
    add_heading(out, "Compute");
    if (c->vector)
        add_heading(out, "Vector");
    add_heading(out, "Memory");
    add_heading(out, "By module");
    add_heading(out, "Serial");
    if (c->energy)
        add_heading(out, "J / token");
    if (c->price)
        add_heading(out, "Price / M tokens");
    if (c->fits) {
        add_heading(out, "Fits batch");
        add_heading(out, "Fits context");
    }
    alloy_text_string(out, "</tr></thead><tbody>\n");
}

static void append_bound(alloy_text *out, const alloy_report *report, const alloy_report_result *r, const columns *c)
{
    const alloy_roofline_bounds *b = &r->bounds;
    alloy_markup(out, "<tr><th scope='row' class='text'><a href='#forward-%lld'>", (long long)number_of(report, r));
    alloy_report_point_name(r->point, out);
    alloy_text_string(out, "</a></th>");
    if (c->accounting)
        add_text(out, accounting_of(r));
    add_text(out, r->chip->chip->name);
    add_figure(out, b->overlap.seconds, alloy_text_seconds);
    add_text(out, b->overlap.bottleneck);
    add_figure(out, b->tokens_per_second, alloy_text_short);
    if (c->estimate)
        add_figure(out, r->estimate, alloy_text_seconds);
    add_figure(out, b->overlap.tensor, alloy_text_seconds);
    if (c->vector)
        add_figure(out, b->overlap.vector, alloy_text_seconds);
    add_figure(out, b->overlap.memory, alloy_text_seconds);
    add_figure(out, b->per_module, alloy_text_seconds);
    add_figure(out, b->serial, alloy_text_seconds);
    if (c->energy)
        add_figure(out, b->joules_per_token, append_three_digits);
    if (c->price)
        add_figure(out, 1e6 * b->price_per_token, append_three_digits);
    if (c->fits) {
        add_count(out, alloy_count_of(r->batch), append_whole);
        add_count(out, alloy_count_of(r->context), append_whole);
    }
    alloy_text_string(out, "</tr>\n");
}

static void append_bounds(const alloy_report *report, alloy_text *out)
{
    columns c = find_columns(report);
    alloy_text_string(out, "<section><h2 id='bounds'>Bounds</h2>\n"
                           "<p class='quiet'>Time is the least that a forward can take: all units busy at once, the "
                           "slowest decides. By module, units work at once inside a module only; serial, one after "
                           "the other.</p>\n");
    open_table(out, "bounds", "Bounds of every result");
    append_bound_headings(out, &c);
    for (int64_t i = 0; i < report->result_count; i++)
        append_bound(out, report, &report->results[i], &c);
    close_table(out);
    alloy_text_string(out, "</section>\n");
}

/* ---- Kinds and modules ------------------------------------------------------------------------------------------- */

static void append_work_headings(alloy_text *out, const alloy_report *report, const alloy_report_result *first)
{
    bool one_chip = !alloy_chart_chip(report, first);
    if (first->accounting == ALLOY_EXACT) {
        add_heading(out, "Tensor FLOPs");
        add_heading(out, "Vector FLOPs");
    } else {
        add_heading(out, "FLOPs");
    }
    add_heading(out, "Read");
    add_heading(out, "Written");
    add_heading(out, "FLOPs / byte");
    for (const alloy_report_result *on = first; on; on = alloy_chart_chip(report, on)) {
        alloy_markup(out, one_chip ? "<th scope='col'>Time</th>" : "<th scope='col'>Time on %s</th>",
                     on->chip->chip->name);
        add_text_heading(out, "Bound by");
    }
    alloy_text_string(out, "</tr></thead><tbody>\n");
}

static void append_work(alloy_text *out, const alloy_report *report, const alloy_report_result *first,
                        const alloy_work *work)
{
    alloy_count read = alloy_work_read(work), written = alloy_work_written(work);
    add_count(out, work->tensor_flops, alloy_text_short);
    if (first->accounting == ALLOY_EXACT)
        add_count(out, work->vector_flops, alloy_text_short);
    add_count(out, read, alloy_text_bytes);
    add_count(out, written, alloy_text_bytes);
    add_figure(out, alloy_report_flops(work) / alloy_report_bytes(work), append_ratio);
    for (const alloy_report_result *on = first; on; on = alloy_chart_chip(report, on)) {
        alloy_roofline_time time = alloy_chart_time(report, on, work);
        add_figure(out, time.seconds, alloy_text_seconds);
        add_text(out, time.bottleneck);
    }
    alloy_text_string(out, "</tr>\n");
}

static void append_kinds(const alloy_report *report, const alloy_report_result *first, alloy_text *out)
{
    alloy_text_string(out, "<h3>Kinds of modules</h3>\n");
    open_table(out, "kinds", "Kinds of modules");
    add_text_heading(out, "Name");
    add_text_heading(out, "Kind");
    add_heading(out, "Modules");
    append_work_headings(out, report, first);
    for (int64_t i = 0; i < alloy_roofline_row_count(first->roofline, ALLOY_LEVEL_KINDS); i++) {
        alloy_roofline_row row = alloy_roofline_row_at(first->roofline, ALLOY_LEVEL_KINDS, i);
        alloy_text_string(out, "<tr><th scope='row' class='text'>");
        alloy_chart_mark(first, i, out);
        alloy_markup(out, "%s</th>", row.name);
        add_text(out, row.kind);
        add_count(out, alloy_count_of(row.modules), append_whole);
        append_work(out, report, first, row.work);
    }
    close_table(out);
}

static void append_modules(const alloy_report *report, const alloy_report_result *first, alloy_text *out)
{
    alloy_text_string(out, "<h3>Modules</h3>\n");
    open_table(out, "modules", "Modules");
    add_heading(out, "Layer");
    add_text_heading(out, "Name");
    add_text_heading(out, "Kind");
    append_work_headings(out, report, first);
    for (int64_t i = 0; i < alloy_roofline_row_count(first->roofline, ALLOY_LEVEL_MODULES); i++) {
        alloy_roofline_row row = alloy_roofline_row_at(first->roofline, ALLOY_LEVEL_MODULES, i);
        alloy_markup(out, row.layer < 0 ? "<tr><td data-v='-1'></td>" : "<tr><td data-v='%lld'>%lld</td>",
                     (long long)row.layer, (long long)row.layer);
        alloy_markup(out, "<th scope='row' class='text'>%s</th>", row.name);
        add_text(out, row.kind);
        append_work(out, report, first, row.work);
    }
    close_table(out);
}

/* ---- A forward --------------------------------------------------------------------------------------------------- */

static void open_tile(alloy_text *out, const char *what, double value, figure_function *figure)
{
    alloy_markup(out, "<div><dt>%s</dt><dd>", what);
    figure(out, value);
    alloy_text_string(out, "<small>");
}

static void close_tile(alloy_text *out, const char *small)
{
    alloy_markup(out, "%s</small></dd></div>\n", small);
}

/* Of the only chip. */
static void append_time_tiles(const alloy_report_result *result, alloy_text *out)
{
    open_tile(out, "Time", result->bounds.overlap.seconds, alloy_text_seconds);
    alloy_markup(out, "%s, bound by ", result->chip->chip->name);
    close_tile(out, result->bounds.overlap.bottleneck);
    open_tile(out, "Tokens / s", result->bounds.tokens_per_second, alloy_text_short);
    alloy_text_count(out, alloy_roofline_tokens(result->roofline), ',');
    close_tile(out, " new tokens");
}

static void append_tiles(const alloy_report *report, const alloy_report_result *first, alloy_text *out)
{
    const alloy_work *total = alloy_roofline_total(first->roofline);
    double flops = alloy_report_flops(total), bytes = alloy_report_bytes(total);
    alloy_text_string(out, "<dl class='figures'>\n");
    if (!alloy_chart_chip(report, first))
        append_time_tiles(first, out);
    open_tile(out, "Work", flops, alloy_text_flops);
    alloy_text_count(out, alloy_roofline_ops(first->roofline), ',');
    close_tile(out, " ops");
    open_tile(out, "Traffic", bytes, alloy_text_bytes);
    alloy_text_bytes(out, alloy_count_double(alloy_work_written(total)));
    close_tile(out, " of it written");
    open_tile(out, "Intensity", flops / bytes, append_ratio);
    close_tile(out, "FLOPs / byte");
    open_tile(out, "Memory needed", alloy_count_double(first->memory->total), alloy_text_bytes);
    alloy_text_bytes(out, alloy_count_double(first->memory->weights));
    close_tile(out, " of it weights");
    alloy_text_string(out, "</dl>\n");
}

static void open_chart(alloy_text *out, const char *heading, const char *name, const char *class, const char *label)
{
    alloy_markup(out, "<figure><h3>%s%s</h3><div class='%s' tabindex='0' role='img' aria-label='%s'>\n", heading, name,
                 class, label);
}

static void close_chart(alloy_text *out)
{
    alloy_text_string(out, "</div></figure>\n");
}

static void append_charts(const alloy_report *report, const alloy_report_result *first, alloy_text *out)
{
    open_chart(out, "Roofline", "", "chart pair",
               "Roofline chart: each module's FLOPs a second over its FLOPs a byte, below what the chips can do. The "
               "tables below have its figures; arrow keys go from mark to mark.");
    alloy_chart_roofline(report, first, 0, out);
    alloy_chart_legend(report, first, 0, out);
    close_chart(out);
    alloy_text_string(out, "<div class='columns'><div>\n");
    for (const alloy_report_result *on = first; on; on = alloy_chart_chip(report, on)) {
        open_chart(out, "Time of each layer on ", on->chip->chip->name, "chart",
                   "Bar chart: how long each unit works on each layer, memory divided into reading and writing. Arrow "
                   "keys go from layer to layer.");
        alloy_chart_layers(report, on, 0, out);
        close_chart(out);
    }
    alloy_text_string(out, "</div><figure><h3>Bytes read and written</h3>\n");
    alloy_chart_traffic(first, 0, out);
    alloy_text_string(out, "</figure></div>\n");
}

static void append_forward(const alloy_report *report, const alloy_report_result *first, alloy_text *out)
{
    alloy_markup(out, "<section><h2 id='forward-%lld'>", (long long)number_of(report, first));
    alloy_report_point_name(first->point, out);
    alloy_markup(out, ", %s</h2>\n", accounting_of(first));
    append_tiles(report, first, out);
    append_charts(report, first, out);
    append_kinds(report, first, out);
    append_modules(report, first, out);
    alloy_text_string(out, "</section>\n");
}

/* ---- The page ---------------------------------------------------------------------------------------------------- */

static void append_head(const alloy_report *report, alloy_text *out)
{
    alloy_markup(out,
                 "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'/>\n"
                 "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; img-src data:; style-src "
                 "'sha256-%s' 'sha256-%s'; script-src 'sha256-%s'; base-uri 'none'; form-action 'none'\"/>\n"
                 "<meta name='viewport' content='width=device-width, initial-scale=1'/>\n"
                 "<meta name='color-scheme' content='light dark'/>\n<meta name='referrer' content='no-referrer'/>\n"
                 "<link rel='icon' href='data:,'/>\n<title>Roofline of %s</title>\n",
                 alloy_chart_css_sha256, alloy_page_css_sha256, alloy_page_js_sha256, report->request->name);
    alloy_text_string(out, "<style>");
    alloy_text_string(out, alloy_chart_css);
    alloy_text_string(out, "</style>\n<style>");
    alloy_text_string(out, alloy_page_css);
    alloy_text_string(out, "</style>\n</head>\n");
}

static void append_model(const alloy_report *report, alloy_text *out)
{
    const alloy_roofline *r = report->results->roofline;
    const alloy_config *c = &r->model->config;
    alloy_markup(out, "<header><h1>Roofline of <bdi>%s</bdi></h1>\n<p class='quiet'>%s, %lld layers, hidden %lld, ",
                 report->request->name, c->model_type, (long long)c->num_hidden_layers, (long long)c->hidden_size);
    alloy_text_string(out, "vocabulary ");
    alloy_text_count(out, c->vocab_size, ',');
    alloy_markup(out, "; weights %s, activations %s, KV cache %s, computed in %s</p></header>\n",
                 alloy_report_weight_format(r), alloy_report_activation_format(r), alloy_report_kv_format(r),
                 alloy_report_compute_format(report, r));
}

void alloy_report_html(const alloy_report *report, alloy_text *out)
{
    append_head(report, out);
    alloy_text_string(out, "<body>\n");
    append_model(report, out);
    alloy_text_string(out, "<main>\n");
    append_bounds(report, out);
    for (const alloy_report_result *r = NULL; (r = alloy_chart_forward(report, r));)
        append_forward(report, r, out);
    alloy_markup(out,
                 "</main>\n<footer>alloy %s. Sizes are decimal: 1 GB is 10<sup>9</sup> bytes.</footer>\n"
                 "<div id='tip' role='status'></div>\n<script>",
                 alloy_version());
    alloy_text_string(out, alloy_page_js);
    alloy_text_string(out, "</script>\n</body>\n</html>\n");
}
