/* Bars: the layers of a forward on one chip, and what its traffic is made of (chart.h). */
#include <math.h>

#include "base/memory.h"
#include "roofline/analysis.h"
#include "roofline/chart.h"
#include "base/figures.h"
#include "roofline/markup.h"

/* ---- Layers ------------------------------------------------------------------------------------------------------ */

enum { TICKS = 4 };                                                /* of the time axis, beside 0 */
enum { LEFT = 56, RIGHT = 24, TOP = 48, PLOT = 200, BOTTOM = 40 }; /* pixels; PLOT: its height */
enum { MOST_BESIDE = 64 };                                         /* layers whose bars are still wide enough */

/* A layer, or what stands before or after all of them. */
typedef struct slot {
    alloy_work work;
    double seconds;       /* sum of its modules' bounds */
    const char *names[2]; /* of its mixer and FFN; NULL: none */
} slot;

/* Slot 0 is before the layers, slot i + 1 layer i. Rows come in the order of the forward. */
static void fill_slots(const alloy_report *report, const alloy_report_result *on, slot *slots, int64_t layers)
{
    const alloy_roofline *r = on->roofline;
    int64_t outside = 0;
    for (int64_t i = 0; i < r->row_count; i++) {
        alloy_roofline_row row = alloy_roofline_row_at(r, ALLOY_LEVEL_MODULES, i);
        if (row.layer >= 0)
            outside = layers + 1;
        slot *s = &slots[row.layer >= 0 ? row.layer + 1 : outside];
        alloy_work_add(&s->work, row.work, 1);
        s->seconds += alloy_chart_time(report, on, row.work).seconds;
        alloy_site_kind kind = r->rows[i].site.kind;
        if (kind == ALLOY_SITE_MIXER || kind == ALLOY_SITE_FFN)
            s->names[kind == ALLOY_SITE_FFN] = row.name;
    }
}

/* A number of 1, 2 or 5 times a power of ten: `most` of them reach `value`. */
static double round_step(double value, int most)
{
    double power = pow(10, floor(log10(value / most))), rest = value / most / power;
    return power * (rest <= 1 ? 1 : rest <= 2 ? 2 : rest <= 5 ? 5 : 10);
}

/* What the highest bar leaves free a little of. */
static double axis_end(const alloy_report *report, const alloy_report_result *on, const slot *slots, int64_t count)
{
    static const double ROOM = 1.05;
    double most = 0;
    for (int64_t i = 0; i < count; i++)
        most = fmax(most, alloy_chart_time(report, on, &slots[i].work).seconds);
    return most > 0 ? ROOM * most : 1;
}

static void append_time_axis(alloy_text *out, double most)
{
    alloy_time_unit unit = alloy_time_unit_of(most);
    double step = round_step(most / unit.seconds, TICKS);
    for (int i = 0; i <= TICKS && i * step <= most / unit.seconds; i++) {
        double y = PLOT * (1 - i * step * unit.seconds / most);
        alloy_markup(out, "<line class='grid' x1='0' x2='100%%' y1='%f' y2='%f'/>", y, y);
        alloy_markup(out, "<text class='tick' x='-8' y='%f' text-anchor='end'>", y + 4);
        alloy_text_number(out, i * step, 'g', 6);
        alloy_text_string(out, "</text>\n");
    }
    alloy_markup(out, "<text class='label' x='%f' y='-12'>%s</text>\n", 8.0 - LEFT, unit.name);
}

static void append_layer_axis(alloy_text *out, int64_t layers)
{
    static const int MOST_LABELS = 10;
    int64_t step = (int64_t)fmax(1, round_step((double)layers, MOST_LABELS));
    double width = 100 / (double)(layers + 2);
    for (int64_t i = 0; i < layers; i += step)
        alloy_markup(out, "<text class='tick' x='%f%%' y='%f' text-anchor='middle'>%lld</text>\n",
                     width * ((double)i + 1.5), PLOT + 16.0, (long long)i);
    alloy_markup(out, "<text class='label' x='50%%' y='%f' text-anchor='middle'>Layer</text>\n", PLOT + 34.0);
    bool wide = layers <= MOST_BESIDE; /* else they would stand on the numbers beside them */
    alloy_markup(out, "<text class='tick' x='%f%%' y='%f' dx='%f' text-anchor='%s'>in</text>\n", width / 2, PLOT + 16.0,
                 wide ? 0.0 : -6.0, wide ? "middle" : "end");
    alloy_markup(out, "<text class='tick' x='%f%%' y='%f' text-anchor='%s'>out</text>\n", 100 - width / 2, PLOT + 16.0,
                 wide ? "middle" : "start");
}

static void append_bar(alloy_text *out, const char *class, double x, double width, double from, double to)
{
    if (to > from)
        alloy_markup(out, "<rect class='%s' x='%f%%' y='%f' width='%f%%' height='%f'/>", class, x, PLOT * (1 - to),
                     width, PLOT * (to - from));
}

static void append_slot_title(alloy_text *out, const slot *s, const alloy_roofline_time *time, int64_t index,
                              int64_t layers)
{
    alloy_text_string(out, "<title>");
    if (index == 0)
        alloy_text_string(out, "before the layers");
    else if (index == layers + 1)
        alloy_text_string(out, "after the layers");
    else
        alloy_markup(out, "layer %lld: %s, %s", (long long)index - 1, s->names[0], s->names[1]);
    alloy_text_char(out, '\n');
    alloy_text_seconds(out, s->seconds);
    alloy_text_string(out, " module by module\ncompute ");
    alloy_text_seconds(out, time->tensor);
    if (alloy_count_double(s->work.vector_flops) > 0) {
        alloy_text_string(out, ", vector ");
        alloy_text_seconds(out, time->vector);
    }
    alloy_text_string(out, ", memory ");
    alloy_text_seconds(out, time->memory);
    alloy_text_char(out, '\n');
    alloy_text_bytes(out, alloy_count_double(alloy_work_read(&s->work)));
    alloy_text_string(out, " read, ");
    alloy_text_bytes(out, alloy_count_double(alloy_work_written(&s->work)));
    alloy_text_string(out, " written</title>");
}

/* A unit's bar: memory's is divided into reading and writing. */
enum unit { TENSOR, VECTOR, MEMORY, UNITS };

static double unit_time(const alloy_roofline_time *time, enum unit unit)
{
    return unit == TENSOR ? time->tensor : unit == VECTOR ? time->vector : time->memory;
}

static void append_unit(alloy_text *out, const slot *s, const alloy_roofline_time *time, enum unit unit, double most,
                        double x, double width)
{
    double end = unit_time(time, unit) / most, bytes = alloy_report_bytes(&s->work);
    if (unit != MEMORY) {
        append_bar(out, unit == TENSOR ? "tensor" : "vector", x, width, 0, end);
        return;
    }
    double read = bytes > 0 ? end * alloy_count_double(alloy_work_read(&s->work)) / bytes : 0;
    append_bar(out, "read", x, width, 0, read);
    append_bar(out, "written", x, width, read, end);
}

/* Side by side: units that work at the same time. */
static void append_beside(alloy_text *out, const slot *s, const alloy_roofline_time *time, double most, double left,
                          double width, bool exact)
{
    double bar = 0.84 * width / (exact ? UNITS : UNITS - 1), x = left + 0.08 * width;
    for (int unit = TENSOR; unit < UNITS; unit++) {
        if (unit == VECTOR && !exact)
            continue;
        append_unit(out, s, time, (enum unit)unit, most, x, bar);
        x += bar;
    }
}

/* One before the other, the shortest in front, and no gap to the next layer: bars too narrow to stand side by side
 * become areas. */
static void append_overlaid(alloy_text *out, const slot *s, const alloy_roofline_time *time, double most, double left,
                            double width)
{
    static const double SEAM = 0.01; /* percent, of rounding */
    int order[UNITS] = {TENSOR, VECTOR, MEMORY};
    for (int i = 1; i < UNITS; i++)
        for (int j = i; j > 0 && unit_time(time, (enum unit)order[j]) > unit_time(time, (enum unit)order[j - 1]); j--) {
            int longer = order[j];
            order[j] = order[j - 1];
            order[j - 1] = longer;
        }
    for (int i = 0; i < UNITS; i++)
        append_unit(out, s, time, (enum unit)order[i], most, left, width + SEAM);
}

static void append_key(alloy_text *out, bool exact)
{
    static const struct {
        const char *class, *text;
        double width;
    } keys[] = {{"tensor", "compute", 78}, {"vector", "vector", 66}, {"read", "read", 58}, {"written", "written", 0}};
    double x = 0;
    for (int i = 0; i < 4; i++) {
        if (i == 1 && !exact)
            continue;
        alloy_markup(out, "<rect class='%s' x='%f' y='-44' width='12' height='12'/><text x='%f' y='-34'>%s</text>\n",
                     keys[i].class, x, x + 17, keys[i].text);
        x += keys[i].width;
    }
}

double alloy_chart_layers(const alloy_report *report, const alloy_report_result *result, double y, alloy_text *out)
{
    int64_t layers = result->roofline->model->config.num_hidden_layers, count = layers + 2;
    slot *slots = alloy_memory_zeroed((size_t)count, sizeof *slots);
    if (!slots) {
        out->failed = true;
        return 0;
    }
    fill_slots(report, result, slots, layers);
    double most = axis_end(report, result, slots, count), width = 100 / (double)count;
    bool exact = result->accounting == ALLOY_EXACT;
    alloy_markup(out, "<svg class='block layers' x='%f' y='%f' width='%f' height='%f'>\n", (double)LEFT, y + TOP,
                 (double)ALLOY_CHART_WIDTH - LEFT - RIGHT, (double)PLOT);
    append_key(out, exact);
    append_time_axis(out, most);
    append_layer_axis(out, layers);
    for (int64_t i = 0; i < count; i++) {
        alloy_roofline_time time = alloy_chart_time(report, result, &slots[i].work);
        alloy_text_string(out, "<g class='layer'>");
        append_slot_title(out, &slots[i], &time, i, layers);
        if (layers > MOST_BESIDE)
            append_overlaid(out, &slots[i], &time, most, width * (double)i, width);
        else
            append_beside(out, &slots[i], &time, most, width * (double)i, width, exact);
        alloy_markup(out, "<rect class='hit' x='%f%%' width='%f%%' height='%f'/></g>\n", width * (double)i, width,
                     (double)PLOT);
    }
    alloy_markup(out, "<line class='axis' x1='0' x2='100%%' y1='%f' y2='%f'/></svg>\n", (double)PLOT, (double)PLOT);
    alloy_memory_free(slots);
    return TOP + PLOT + BOTTOM;
}

/* ---- Traffic ----------------------------------------------------------------------------------------------------- */

static void append_traffic(alloy_text *out, alloy_traffic kind, const alloy_work *work, double most, double y)
{
    double read = alloy_count_double(work->read[kind]), written = alloy_count_double(work->written[kind]);
    double first = 100 * read / most, second = 100 * written / most;
    alloy_markup(
        out, "<g class='traffic'><text x='0' y='%f'>%s</text><text class='quiet' x='100%%' y='%f' text-anchor='end'>",
        y + 12, alloy_traffic_name(kind), y + 12);
    alloy_text_bytes(out, read);
    alloy_text_string(out, " read, ");
    alloy_text_bytes(out, written);
    alloy_markup(out, " written</text><rect class='track' y='%f' width='100%%' height='12'/>", y + 18);
    alloy_markup(out, "<rect class='read' y='%f' width='%f%%' height='12'/>", y + 18, first);
    alloy_markup(out, "<rect class='written' x='%f%%' y='%f' width='%f%%' height='12'/></g>\n", first, y + 18, second);
}

static double moved(const alloy_work *work, int kind)
{
    return alloy_count_double(alloy_count_add(work->read[kind], work->written[kind]));
}

double alloy_chart_traffic(const alloy_report_result *result, double y, alloy_text *out)
{
    static const double ROW = 42;
    const alloy_work *work = alloy_roofline_total(result->roofline);
    double most = 1;
    int rows = 0;
    for (int i = 0; i < ALLOY_TRAFFIC_COUNT; i++) {
        most = fmax(most, moved(work, i));
        rows += moved(work, i) > 0;
    }
    alloy_markup(out, "<svg class='block traffics' x='%f' y='%f' width='%f' height='%f'>\n", (double)LEFT, y,
                 (double)ALLOY_CHART_WIDTH - LEFT - RIGHT, rows * ROW);
    double at = 0;
    for (int i = 0; i < ALLOY_TRAFFIC_COUNT; i++)
        if (moved(work, i) > 0) {
            append_traffic(out, (alloy_traffic)i, work, most, at);
            at += ROW;
        }
    alloy_text_string(out, "</svg>\n");
    return rows * ROW;
}
