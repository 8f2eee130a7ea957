/* The roofline of a forward (chart.h).
 *
 * A module of F FLOPs, B bytes and t seconds is a mark at (F / B, F / t), its area as t. Modules that are alike lie on
 * one place: their marks are drawn over each other, so that many look denser than one, and share one title. What has no
 * FLOPs cannot stand on logarithmic axes; it stands in their corner, under the tick "0". */
#include "roofline/chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "roofline/analysis.h"
#include "base/figures.h"
#include "roofline/markup.h"

/* ---- Results ----------------------------------------------------------------------------------------------------- */

const alloy_report_result *alloy_chart_chip(const alloy_report *report, const alloy_report_result *result)
{
    const alloy_report_result *end = report->results + report->result_count;
    for (const alloy_report_result *next = result + 1; next < end; next++)
        if (next->roofline == result->roofline)
            return next;
    return NULL;
}

static bool is_first(const alloy_report *report, const alloy_report_result *result)
{
    for (const alloy_report_result *before = report->results; before < result; before++)
        if (before->roofline == result->roofline)
            return false;
    return true;
}

const alloy_report_result *alloy_chart_forward(const alloy_report *report, const alloy_report_result *result)
{
    const alloy_report_result *end = report->results + report->result_count;
    for (result = result ? result + 1 : report->results; result < end; result++)
        if (is_first(report, result))
            return result;
    return NULL;
}

alloy_roofline_time alloy_chart_time(const alloy_report *report, const alloy_report_result *result,
                                     const alloy_work *work)
{
    alloy_roofline_time time; /* the report's bounds were taken with the same peaks: this cannot fail */
    alloy_roofline_time_on(result->roofline, work, result->chip->chip, report->request->compute_dtype, &time);
    return time;
}

/* ---- Kinds of modules -------------------------------------------------------------------------------------------- */

enum { COLOURS = 7 }; /* .k0 ... .k6 of chart.css */

static int64_t kind_of(const alloy_roofline *r, const alloy_roofline_row *row)
{
    for (int64_t i = 0; i < alloy_roofline_row_count(r, ALLOY_LEVEL_KINDS); i++) {
        alloy_roofline_row kind = alloy_roofline_row_at(r, ALLOY_LEVEL_KINDS, i);
        if (strcmp(kind.kind, row->kind) == 0 && strcmp(kind.name, row->name) == 0)
            return i;
    }
    return 0;
}

/* A shape around (0, 0) with the area of a circle of radius r: one a kind of module. */
static void append_shape(alloy_text *out, const char *kind, double r)
{
    if (strcmp(kind, "mixer") == 0) {
        alloy_markup(out, "<circle r='%f'/>", r);
    } else if (strcmp(kind, "ffn") == 0) {
        double a = 0.886 * r;
        alloy_markup(out, "<path d='M%f %fH%fV%fH%fZ'/>", -a, -a, a, a, -a);
    } else if (strcmp(kind, "embedding") == 0) {
        double a = 1.347 * r, b = 0.778 * r; /* a triangle, point up */
        alloy_markup(out, "<path d='M0 %fL%f %fH%fZ'/>", -2 * b, a, b, -a);
    } else if (strcmp(kind, "head") == 0) {
        double a = 1.347 * r, b = 0.778 * r; /* point down */
        alloy_markup(out, "<path d='M0 %fL%f %fH%fZ'/>", 2 * b, a, -b, -a);
    } else if (strcmp(kind, "norm") == 0) {
        double a = 1.253 * r; /* a diamond */
        alloy_markup(out, "<path d='M0 %fL%f 0L0 %fL%f 0Z'/>", -a, a, a, -a);
    } else {
        double a = 1.189 * r, b = a / 3; /* a cross */
        alloy_markup(out, "<path d='M%f %fH%fV%fH%fV%fH%fV%fH%fV%fH%fV%fH%fZ'/>", -b, -a, b, -b, a, b, b, a, -b, b, -a,
                     -b, -b);
    }
}

void alloy_chart_mark(const alloy_report_result *result, int64_t kind, alloy_text *out)
{
    const char *shape = alloy_roofline_row_at(result->roofline, ALLOY_LEVEL_KINDS, kind).kind;
    alloy_markup(out, "<svg class='mark k%lld' width='16' height='16' viewBox='-8 -8 16 16' aria-hidden='true'>",
                 (long long)kind % COLOURS);
    append_shape(out, shape, 5);
    alloy_text_string(out, "</svg>");
}

/* ---- Scales ------------------------------------------------------------------------------------------------------ */

enum { LEFT = 56, RIGHT = 24, TOP = 30, PLOT = 400, BOTTOM = 48 }; /* pixels; PLOT: its height */

typedef struct range {
    double low, high; /* log10 */
} range;

typedef struct scales {
    range intensity, speed;
    double first; /* the least intensity above 0, log10: left of it is the place of 0 */
} scales;

static void widen(range *r, double value)
{
    if (!(value > 0) || !isfinite(value))
        return;
    r->low = fmin(r->low, log10(value));
    r->high = fmax(r->high, log10(value));
}

static double along(const range *r, double value)
{
    return fmin(fmax((log10(value) - r->low) / (r->high - r->low), 0), 1);
}

static double percent_of(const scales *s, double intensity)
{
    return intensity > 0 ? 100 * along(&s->intensity, intensity) : 0;
}

static double height_of(const scales *s, double speed)
{
    return speed > 0 ? PLOT * (1 - along(&s->speed, speed)) : PLOT;
}

/* What a chip's lines are drawn from. */
struct roof {
    double peak, vector; /* FLOP/s; vector 0: not in this accounting */
    double bandwidth;    /* bytes/s */
};

static struct roof roof_of(const alloy_report *report, const alloy_report_result *result)
{
    struct roof r = {.bandwidth = result->chip->chip->memory_bandwidth};
    alloy_peak format = alloy_report_compute_peak(report, result->roofline);
    alloy_chip_peak(result->chip->chip, format, &r.peak);
    if (result->accounting == ALLOY_EXACT)
        alloy_chip_vector_peak(result->chip->chip, format, &r.vector);
    return r;
}

static scales find_scales(const alloy_report *report, const alloy_report_result *first)
{
    static const double MARGIN = 0.2, ROOM = 0.6; /* decades: around everything; right of ridges and above roofs */
    const alloy_roofline *r = first->roofline;
    scales s = {{INFINITY, -INFINITY}, {INFINITY, -INFINITY}, 0};
    bool has_zero = false;
    for (int64_t i = 0; i < r->work_count; i++) {
        const alloy_work *work = &r->works[i].work;
        has_zero = has_zero || alloy_report_flops(work) == 0;
        widen(&s.intensity, alloy_report_flops(work) / alloy_report_bytes(work));
        for (const alloy_report_result *on = first; on; on = alloy_chart_chip(report, on))
            widen(&s.speed, alloy_report_flops(work) / alloy_chart_time(report, on, work).seconds);
    }
    for (const alloy_report_result *on = first; on; on = alloy_chart_chip(report, on)) {
        struct roof roof = roof_of(report, on);
        widen(&s.intensity, roof.peak / roof.bandwidth);
        widen(&s.intensity, roof.peak / roof.bandwidth * pow(10, ROOM));
        widen(&s.intensity, roof.peak / roof.bandwidth / pow(10, 2 * ROOM));
        widen(&s.speed, roof.peak * pow(10, ROOM - MARGIN));
        widen(&s.speed, roof.vector);
    }
    s.intensity.low -= MARGIN;
    s.intensity.high += MARGIN;
    s.speed.low -= 2 * MARGIN;
    s.first = s.intensity.low;
    s.intensity.low -= has_zero ? 2 * MARGIN : 0;
    return s;
}

/* ---- Axes -------------------------------------------------------------------------------------------------------- */

static void append_power_of_ten(alloy_text *out, int exponent)
{
    static const char *const units[] = {"", " K", " M", " G", " T", " P", " E"};
    enum { LEAST = -3, MOST = 20 }; /* others would not fit beside each other */
    if (exponent < LEAST || exponent > MOST) {
        alloy_text_format(out, "1e%d", exponent);
        return;
    }
    if (exponent < 0) {
        alloy_text_format(out, "0.%0*d", -exponent, 1);
        return;
    }
    int unit = exponent / 3;
    alloy_text_char(out, '1');
    for (int i = 3 * unit; i < exponent; i++)
        alloy_text_char(out, '0');
    alloy_text_string(out, units[unit]);
}

static void append_axes(alloy_text *out, const scales *s, const char *format)
{
    static const int MOST_LABELS = 9;
    const range *x = &s->intensity, *y = &s->speed;
    int step = 1 + (int)(x->high - s->first) / MOST_LABELS;
    for (int e = (int)ceil(s->first); e <= floor(x->high); e += step) {
        double place = 100 * (e - x->low) / (x->high - x->low);
        alloy_markup(out, "<line class='grid' x1='%f%%' x2='%f%%' y1='0' y2='%f'/>", place, place, (double)PLOT);
        alloy_markup(out, "<text class='tick' x='%f%%' y='%f' text-anchor='middle'>", place, PLOT + 18.0);
        append_power_of_ten(out, e);
        alloy_text_string(out, "</text>");
    }
    if (s->first > x->low)
        alloy_markup(out, "<text class='tick' x='0' y='%f' text-anchor='middle'>0</text>", PLOT + 18.0);
    step = 1 + (int)(y->high - y->low) / MOST_LABELS;
    for (int e = (int)ceil(y->low); e <= floor(y->high); e += step) {
        double place = PLOT * (1 - (e - y->low) / (y->high - y->low));
        alloy_markup(out, "<line class='grid' x1='0' x2='100%%' y1='%f' y2='%f'/>", place, place);
        alloy_markup(out, "<text class='tick' x='-8' y='%f' text-anchor='end'>", place + 4);
        append_power_of_ten(out, e);
        alloy_text_string(out, "</text>");
    }
    alloy_markup(out, "<line class='axis' x1='0' x2='100%%' y1='%f' y2='%f'/>", (double)PLOT, (double)PLOT);
    alloy_markup(out,
                 "<text class='label' x='50%%' y='%f' text-anchor='middle'>Arithmetic intensity, FLOPs / byte</text>",
                 PLOT + 40.0);
    alloy_markup(out, "<text class='label' x='%f' y='-14'>%s FLOP/s</text>", 8.0 - LEFT, format);
}

/* ---- Roofs ------------------------------------------------------------------------------------------------------- */

enum { DASHES = 4, MOST_LABELLED = 6, LINE = 15 }; /* .d0 ... .d3 of chart.css; chips; pixels from line to line */

static void append_line(alloy_text *out, const char *class, int64_t dash, const scales *s, const double from[2],
                        const double to[2])
{
    alloy_markup(out, "<line class='%s d%lld' x1='%f%%' y1='%f' x2='%f%%' y2='%f'/>", class, (long long)dash % DASHES,
                 percent_of(s, from[0]), height_of(s, from[1]), percent_of(s, to[0]), height_of(s, to[1]));
}

/* The slope from where it enters the plot to the ridge, the roof from there, and where vector work ends. */
static void append_roof(alloy_text *out, const scales *s, const struct roof *roof, int64_t dash)
{
    double left = fmax(pow(10, s->first), pow(10, s->speed.low) / roof->bandwidth), right = pow(10, s->intensity.high);
    double ridge = roof->peak / roof->bandwidth, corner = roof->vector / roof->bandwidth;
    append_line(out, "roof", dash, s, (double[]){left, left * roof->bandwidth}, (double[]){ridge, roof->peak});
    append_line(out, "roof", dash, s, (double[]){ridge, roof->peak}, (double[]){right, roof->peak});
    if (roof->vector > 0 && roof->vector < roof->peak)
        append_line(out, "vector-roof", dash, s, (double[]){corner, roof->vector}, (double[]){right, roof->vector});
}

static void append_ridge(alloy_text *out, const scales *s, const struct roof *roof)
{
    double x = percent_of(s, roof->peak / roof->bandwidth);
    alloy_markup(out, "<line class='ridge' x1='%f%%' x2='%f%%' y1='%f' y2='%f'/>", x, x, height_of(s, roof->peak),
                 (double)PLOT);
    alloy_markup(out, "<text class='region' x='%f%%' y='%f' dx='-8' text-anchor='end'>bound by memory</text>", x,
                 PLOT - 8.0);
    alloy_markup(out, "<text class='region' x='%f%%' y='%f' dx='8'>compute</text>", x, PLOT - 8.0);
    if (roof->vector > 0 && roof->vector < roof->peak)
        alloy_markup(out, "<text class='region' x='100%%' y='%f' text-anchor='end'>vector unit</text>",
                     height_of(s, roof->vector) - 5);
}

struct label {
    const char *name;
    double peak; /* FLOP/s */
};

static int compare_labels(const void *a, const void *b)
{
    double x = ((const struct label *)a)->peak, y = ((const struct label *)b)->peak;
    return (x > y) - (x < y);
}

/* Names stand at the height of their roofs, left of where the steepest slope reaches the lowest of them: nothing else
 * is drawn there. From the lowest up, each at least a line above the one before. */
static void append_labels(alloy_text *out, const scales *s, struct label *labels, int64_t count, double bandwidth)
{
    double below = INFINITY;
    qsort(labels, (size_t)count, sizeof *labels, compare_labels);
    for (int64_t i = 0; i < count; i++) {
        below = fmin(height_of(s, labels[i].peak) - 4, below - LINE);
        alloy_markup(out, "<text class='name' x='%f%%' y='%f' dx='-12' text-anchor='end'>%s</text>\n",
                     percent_of(s, labels->peak / bandwidth), below, alloy_markup_cut(labels[i].name, 28));
    }
}

static void append_roofs(alloy_text *out, const alloy_report *report, const alloy_report_result *first, const scales *s)
{
    struct label labels[MOST_LABELLED];
    int64_t chip = 0;
    double bandwidth = 0; /* largest */
    for (const alloy_report_result *on = first; on; on = alloy_chart_chip(report, on), chip++) {
        struct roof roof = roof_of(report, on);
        append_roof(out, s, &roof, chip);
        if (on == first && !alloy_chart_chip(report, on))
            append_ridge(out, s, &roof);
        if (chip < MOST_LABELLED) /* the legend has them all */
            labels[chip] = (struct label){on->chip->chip->name, roof.peak};
        bandwidth = fmax(bandwidth, roof.bandwidth);
    }
    append_labels(out, s, labels, chip < MOST_LABELLED ? chip : MOST_LABELLED, bandwidth);
}

/* ---- Marks ------------------------------------------------------------------------------------------------------- */

static void append_figures(alloy_text *out, const alloy_work *work)
{
    alloy_text_flops(out, alloy_report_flops(work));
    alloy_text_string(out, ", ");
    alloy_text_bytes(out, alloy_count_double(alloy_work_read(work)));
    alloy_text_string(out, " read, ");
    alloy_text_bytes(out, alloy_count_double(alloy_work_written(work)));
    alloy_text_string(out, " written, ");
    alloy_text_intensity(out, alloy_report_flops(work), alloy_report_bytes(work));
    alloy_text_string(out, " FLOPs / byte");
}

static void append_time(alloy_text *out, const alloy_report_result *on, const alloy_roofline_time *time)
{
    alloy_text_seconds(out, time->seconds);
    alloy_markup(out, " on %s, bound by %s", on->chip->chip->name, time->bottleneck);
}

typedef struct mark {
    int64_t work, row; /* indices */
    double seconds;
} mark;

/* Long ones first, so that short ones are not hidden; those that lie on one place together. */
static int compare_marks(const void *a, const void *b)
{
    const mark *x = a, *y = b;
    if (x->seconds != y->seconds)
        return x->seconds < y->seconds ? 1 : -1;
    if (x->work != y->work)
        return x->work < y->work ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* "layers 0-2, 4-6"; nothing for what is outside of them. */
static void append_layers(alloy_text *out, const alloy_roofline *r, const mark *marks, int64_t count)
{
    static const int MOST_RUNS = 8;
    int runs = 0;
    for (int64_t i = 0, end; i < count; i = end) {
        int64_t layer = r->rows[marks[i].row].site.layer, last = layer;
        for (end = i + 1; end < count && r->rows[marks[end].row].site.layer == last + 1; end++)
            last++;
        if (layer < 0)
            continue;
        if (runs++ == MOST_RUNS) {
            alloy_text_string(out, ", …");
            return;
        }
        alloy_markup(out, runs > 1 ? ", %lld" : count > 1 ? "layers %lld" : "layer %lld", (long long)layer);
        if (last > layer)
            alloy_markup(out, "-%lld", (long long)last);
    }
}

/* Modules of the same work, [count] marks. */
static void append_marks(alloy_text *out, const alloy_report_result *on, const scales *s,
                         const alloy_roofline_time *time, double radius, const mark *marks, int64_t count)
{
    const alloy_roofline *r = on->roofline;
    alloy_roofline_row row = alloy_roofline_row_at(r, ALLOY_LEVEL_MODULES, marks->row);
    alloy_markup(out, "<svg class='at mark k%lld' x='%f%%' y='%f'><title>%s", (long long)kind_of(r, &row) % COLOURS,
                 percent_of(s, alloy_report_flops(row.work) / alloy_report_bytes(row.work)),
                 height_of(s, alloy_report_flops(row.work) / time->seconds), row.name);
    if (row.layer >= 0)
        alloy_text_string(out, ", ");
    append_layers(out, r, marks, count);
    alloy_text_string(out, count > 1 ? "\neach " : "\n");
    append_time(out, on, time);
    alloy_text_char(out, '\n');
    append_figures(out, row.work);
    alloy_text_string(out, "</title>");
    for (int64_t i = 0; i < count; i++)
        append_shape(out, row.kind, radius);
    alloy_text_string(out, "</svg>\n");
}

static void append_all_marks(alloy_text *out, const alloy_report *report, const alloy_report_result *on,
                             const scales *s, bool several)
{
    static const double LEAST_RADIUS = 3;
    const double most_radius = several ? 10 : 14; /* roofs are close to each other */
    const alloy_roofline *r = on->roofline;
    mark *marks = alloy_memory_new((size_t)r->row_count, sizeof *marks);
    if (!marks) {
        out->failed = true;
        return;
    }
    for (int64_t i = 0; i < r->row_count; i++) {
        int64_t work = r->rows[i].work;
        marks[i] = (mark){work, i, alloy_chart_time(report, on, &r->works[work].work).seconds};
    }
    qsort(marks, (size_t)r->row_count, sizeof *marks, compare_marks);
    for (int64_t i = 0, end; i < r->row_count; i = end) {
        for (end = i + 1; end < r->row_count && marks[end].work == marks[i].work;)
            end++;
        alloy_roofline_time time = alloy_chart_time(report, on, &r->works[marks[i].work].work);
        double radius = fmax(LEAST_RADIUS, most_radius * sqrt(time.seconds / marks[0].seconds));
        append_marks(out, on, s, &time, radius, marks + i, end - i);
    }
    alloy_memory_free(marks);
}

static void append_total_shape(alloy_text *out)
{
    alloy_text_string(out, "<circle r='7'/><path d='M-11 0H11M0 -11V11'/>");
}

static void append_total(alloy_text *out, const alloy_report_result *on, const scales *s)
{
    const alloy_work *work = alloy_roofline_total(on->roofline);
    const alloy_roofline_time *time = &on->bounds.overlap;
    alloy_markup(out, "<svg class='at total' x='%f%%' y='%f'><title>the whole forward\n",
                 percent_of(s, alloy_report_flops(work) / alloy_report_bytes(work)),
                 height_of(s, alloy_report_flops(work) / time->seconds));
    append_time(out, on, time);
    alloy_text_char(out, '\n');
    append_figures(out, work);
    alloy_text_string(out, "</title>");
    append_total_shape(out);
    alloy_text_string(out, "</svg>\n");
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

double alloy_chart_roofline(const alloy_report *report, const alloy_report_result *first, double y, alloy_text *out)
{
    scales s = find_scales(report, first);
    bool several = alloy_chart_chip(report, first) != NULL;
    alloy_markup(out, "<svg class='block roofline' x='%f' y='%f' width='%f' height='%f'>\n", (double)LEFT, y + TOP,
                 (double)ALLOY_CHART_WIDTH - LEFT - RIGHT, (double)PLOT);
    append_axes(out, &s, alloy_report_compute_format(report, first->roofline));
    append_roofs(out, report, first, &s);
    for (const alloy_report_result *on = first; on; on = alloy_chart_chip(report, on)) {
        append_all_marks(out, report, on, &s, several);
        append_total(out, on, &s);
    }
    alloy_text_string(out, "</svg>\n");
    return TOP + PLOT + BOTTOM;
}

static void append_chip_lines(alloy_text *out, const alloy_report *report, const alloy_report_result *on, int64_t dash,
                              double y)
{
    struct roof roof = roof_of(report, on);
    alloy_markup(out, "<line class='roof d%lld' x1='0' x2='20' y1='%f' y2='%f'/><text x='28' y='%f'>%s</text>",
                 (long long)dash % DASHES, y, y, y + 4, alloy_markup_cut(on->chip->chip->name, 40));
    alloy_markup(out, "<text class='quiet' x='28' y='%f'>", y + 4 + LINE);
    alloy_text_bytes(out, roof.bandwidth);
    alloy_text_string(out, "/s, ");
    alloy_text_short(out, roof.peak);
    alloy_markup(out, "FLOP/s in %s, ridge at ", alloy_report_compute_format(report, on->roofline));
    alloy_text_intensity(out, roof.peak, roof.bandwidth);
    alloy_text_string(out, "</text>\n");
}

double alloy_chart_legend(const alloy_report *report, const alloy_report_result *first, double y, alloy_text *out)
{
    static const double ROW = 20, WIDTH = 360;
    const alloy_roofline *r = first->roofline;
    int64_t kinds = alloy_roofline_row_count(r, ALLOY_LEVEL_KINDS), chips = 0;
    for (const alloy_report_result *on = first; on; on = alloy_chart_chip(report, on))
        chips++;
    double height = ROW * (double)(kinds + 2 * chips + 2), at = ROW / 2;
    alloy_markup(out, "<svg class='block legend' x='%f' y='%f' width='%f' height='%f'>\n", (double)LEFT, y, WIDTH,
                 height);
    for (int64_t i = 0; i < kinds; i++, at += ROW) {
        alloy_roofline_row kind = alloy_roofline_row_at(r, ALLOY_LEVEL_KINDS, i);
        alloy_markup(out, "<svg class='at mark k%lld' x='10' y='%f'>", (long long)i % COLOURS, at);
        append_shape(out, kind.kind, 6);
        alloy_markup(out, "</svg><text x='28' y='%f'>%s</text>", at + 4, alloy_markup_cut(kind.name, 34));
        alloy_markup(out, "<text class='quiet' x='100%%' y='%f' text-anchor='end'>%lld × %s</text>\n", at + 4,
                     (long long)kind.modules, kind.kind);
    }
    alloy_markup(out, "<svg class='at total' x='10' y='%f'>", at);
    append_total_shape(out);
    alloy_markup(out, "</svg><text x='28' y='%f'>the whole forward</text>\n", at + 4);
    at += ROW;
    alloy_markup(out, "<text class='quiet' x='0' y='%f'>Area: time. Denser: several.%s</text>\n", at + 4,
                 first->accounting == ALLOY_EXACT ? " Thin roof: vector unit." : "");
    at += ROW;
    int64_t dash = 0;
    for (const alloy_report_result *on = first; on; on = alloy_chart_chip(report, on), at += 2 * ROW)
        append_chip_lines(out, report, on, dash++, at);
    alloy_text_string(out, "</svg>\n");
    return height;
}
