/* The report for people.
 *
 *     Roofline | H100-SXM5 | bf16 | prefill (B=1, Q=4096)
 *     ------------------------------------------------------------------------------
 *     TOTAL: 10.18 TFLOPs / 3.77 GB / AI = 2703.7
 *     H100-SXM5: compute=10.30 ms, memory=1.12 ms -> bottleneck=compute (10.30 ms / forward)
 *
 * then the total of the other accounting, bounds, memory, and tables of rows down to the level asked for. Over several
 * chips it is a table of times, a line a chip. */
#include <math.h>
#include <string.h>

#include "base/table.h"
#include "base/figures.h"
#include "roofline/report.h"

enum { LINE = 100, NAME = 12 };

static const char DASHES[] =
    "------------------------------------------------------------------------------\n"; /* 78 */

/* ---- Formats ----------------------------------------------------------------------------------------------------- */

/* "bf16", and what is not. */
static void append_formats(const alloy_report *report, const alloy_roofline *roofline, alloy_text *out)
{
    const char *compute = alloy_report_compute_format(report, roofline);
    const struct {
        const char *what, *format;
    } others[] = {{"weights", alloy_report_weight_format(roofline)},
                  {"activations", alloy_report_activation_format(roofline)},
                  {"kv", alloy_report_kv_format(roofline)}};
    alloy_text_string(out, compute);
    bool any = false;
    for (int i = 0; i < 3; i++) {
        if (strcmp(others[i].format, compute) == 0)
            continue;
        alloy_text_format(out, "%s%s %s", any ? ", " : " (", others[i].what, others[i].format);
        any = true;
    }
    alloy_text_string(out, any ? ")" : "");
}

/* ---- Opening lines ----------------------------------------------------------------------------------------------- */

static void append_total(const alloy_work *total, alloy_text *out)
{
    alloy_text_flops(out, alloy_report_flops(total));
    alloy_text_string(out, " / ");
    alloy_text_bytes(out, alloy_report_bytes(total));
    alloy_text_string(out, " / AI = ");
    alloy_text_intensity(out, alloy_report_flops(total), alloy_report_bytes(total));
}

static void append_times(const alloy_roofline_time *t, bool vector, alloy_text *out)
{
    alloy_text_string(out, "compute=");
    alloy_text_seconds(out, t->tensor);
    if (vector) {
        alloy_text_string(out, ", vector=");
        alloy_text_seconds(out, t->vector);
    }
    alloy_text_string(out, ", memory=");
    alloy_text_seconds(out, t->memory);
    alloy_text_format(out, " -> bottleneck=%s (", t->bottleneck);
    alloy_text_seconds(out, t->seconds);
    alloy_text_string(out, vector ? ")" : " / forward)"); /* three times fill the line */
}

static void append_head(const alloy_report *report, const alloy_report_result *r, alloy_text *out)
{
    const char *chip = r->chip->chip->name;
    alloy_text_format(out, "Roofline | %s | ", chip);
    append_formats(report, r->roofline, out);
    alloy_text_string(out, " | ");
    alloy_report_point_name(r->point, out);
    if (r->accounting == ALLOY_EXACT)
        alloy_text_string(out, " | exact");
    alloy_text_format(out, "\n%sTOTAL: ", DASHES);
    append_total(alloy_roofline_total(r->roofline), out);
    alloy_text_format(out, "\n%s: ", chip);
    append_times(&r->bounds.overlap, r->accounting == ALLOY_EXACT, out);
    alloy_text_char(out, '\n');
}

/* A classic report says what the exact accounting finds. */
static void append_exact(const alloy_report_result *r, alloy_text *out)
{
    const alloy_roofline_time *t = &r->exact_bounds.overlap;
    if (r->accounting == ALLOY_EXACT)
        return;
    alloy_text_string(out, "exact: ");
    append_total(alloy_roofline_total(r->exact), out);
    alloy_text_format(out, " -> bottleneck=%s (", t->bottleneck);
    alloy_text_seconds(out, t->seconds);
    alloy_text_string(out, " / forward)\n");
}

/* ---- The summary ------------------------------------------------------------------------------------------------- */

static void append_bounds(const alloy_report_result *r, alloy_text *out)
{
    const alloy_roofline_bounds *b = &r->bounds;
    alloy_text_string(out, "bounds: overlap ");
    alloy_text_seconds(out, b->overlap.seconds);
    alloy_text_string(out, ", per module ");
    alloy_text_seconds(out, b->per_module);
    alloy_text_string(out, ", serial ");
    alloy_text_seconds(out, b->serial);
    alloy_text_string(out, "; at most ");
    if (b->tokens_per_second < 10)
        alloy_text_number(out, b->tokens_per_second, 'g', 3);
    else
        alloy_text_short(out, b->tokens_per_second);
    alloy_text_string(out, " tokens/s\n");
    if (b->joules_per_token > 0) {
        alloy_text_string(out, "energy: ");
        alloy_text_number(out, b->joules_per_token, 'g', 3);
        alloy_text_string(out, " J/token at ");
        alloy_text_number(out, r->chip->chip->power, 'f', 0);
        alloy_text_string(out, " W\n");
    }
    if (b->price_per_token > 0) {
        alloy_text_string(out, "price: ");
        alloy_text_number(out, b->price_per_token * 1e6, 'g', 3);
        alloy_text_string(out, " a million tokens at ");
        alloy_text_number(out, r->chip->chip->price_per_hour, 'g', 4);
        alloy_text_string(out, " an hour\n");
    }
}

static void append_estimate(const alloy_efficiency *e, const alloy_report_result *r, alloy_text *out)
{
    if (!e->given)
        return;
    alloy_text_string(out, "estimate (not a bound): ");
    alloy_text_seconds(out, r->estimate);
    alloy_text_string(out, " / forward at compute ");
    alloy_text_number(out, e->compute, 'g', 4);
    alloy_text_string(out, ", memory ");
    alloy_text_number(out, e->memory, 'g', 4);
    if (e->overhead > 0) {
        alloy_text_format(out, ", %lld ops x ", (long long)alloy_roofline_ops(r->roofline));
        alloy_text_seconds(out, e->overhead);
    }
    alloy_text_char(out, '\n');
}

static void append_fits(const alloy_report_result *r, alloy_text *out)
{
    if (r->batch > 0)
        alloy_text_format(out, "; there %s %lld such sequence%s, or one on %lld cached tokens",
                          r->batch == 1 ? "fits" : "fit", (long long)r->batch, r->batch == 1 ? "" : "s",
                          (long long)r->context);
    else if (r->context > 0)
        alloy_text_format(out, "; no such sequence fits, but one on %lld cached tokens does", (long long)r->context);
    else if (alloy_count_double(r->memory->weights) > r->chip->chip->memory)
        alloy_text_string(out, "; the weights alone do not fit");
    else
        alloy_text_string(out, "; no such sequence fits");
}

static void append_memory(const alloy_report_result *r, alloy_text *out)
{
    const alloy_roofline_memory *m = r->memory;
    const struct {
        const char *what;
        alloy_count bytes;
    } parts[] = {{"weights ", m->weights},
                 {", cache ", m->allocated_cache},
                 {", state ", m->state},
                 {", tensors ", m->activations},
                 {", logits ", m->logits}};
    alloy_text_string(out, "memory: ");
    alloy_text_bytes(out, alloy_count_double(m->total));
    if (r->chip->chip->memory > 0) {
        alloy_text_string(out, " of ");
        alloy_text_bytes(out, r->chip->chip->memory);
        append_fits(r, out);
    }
    alloy_text_string(out, "\n        ");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        alloy_text_string(out, parts[i].what);
        alloy_text_bytes(out, alloy_count_double(parts[i].bytes));
    }
    alloy_text_char(out, '\n');
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

/* Of "model.layers.0.self_attn.q_proj.weight" the last word that tells something. */
static void append_weight(const char *weight, alloy_text *out)
{
    static const char usual[] = ".weight";
    size_t size = strlen(weight);
    if (size > sizeof usual - 1 && strcmp(weight + size - (sizeof usual - 1), usual) == 0)
        size -= sizeof usual - 1;
    size_t first = size;
    while (first > 0 && weight[first - 1] != '.')
        first--;
    alloy_text_char(out, ' ');
    alloy_text_append(out, weight + first, size - first);
}

static void append_name(const alloy_roofline_row *row, alloy_text *out)
{
    if (!row->op) {
        alloy_text_string(out, row->name);
        return;
    }
    alloy_text_format(out, "  %s", row->op);
    if (row->weight)
        append_weight(row->weight, out);
}

static void add_cell(alloy_table *table, alloy_text *cell)
{
    alloy_table_cell(table, "%s", alloy_text_get(cell));
    table->cells.failed |= cell->failed;
    alloy_text_clear(cell);
}

static void add_row(const alloy_report *report, const alloy_report_result *r, const alloy_roofline_row *row,
                    alloy_table *table, alloy_text *cell)
{
    alloy_roofline_time time;
    alloy_roofline_time_on(r->roofline, row->work, r->chip->chip, report->request->compute_dtype, &time);
    append_name(row, cell);
    add_cell(table, cell);
    if (row->op)
        alloy_table_cell(table, "%s", "");
    else if (row->layer >= 0)
        alloy_table_cell(table, "%lld", (long long)row->layer);
    else
        alloy_table_cell(table, row->modules > 1 ? "x%lld" : "", (long long)row->modules);
    alloy_text_short(cell, alloy_count_double(row->work->tensor_flops));
    add_cell(table, cell);
    if (r->accounting == ALLOY_EXACT) {
        alloy_text_short(cell, alloy_count_double(row->work->vector_flops));
        add_cell(table, cell);
    }
    alloy_text_bytes(cell, alloy_count_double(alloy_work_read(row->work)));
    add_cell(table, cell);
    alloy_text_bytes(cell, alloy_count_double(alloy_work_written(row->work)));
    add_cell(table, cell);
    alloy_text_intensity(cell, alloy_report_flops(row->work), alloy_report_bytes(row->work));
    add_cell(table, cell);
    alloy_text_seconds(cell, time.seconds);
    add_cell(table, cell);
    alloy_table_cell(table, "%s", time.seconds > 0 ? time.bottleneck : "-");
}

static void append_rows(const alloy_report *report, const alloy_report_result *r, alloy_roofline_level level,
                        alloy_text *out)
{
    alloy_table table;
    alloy_text cell = {0};
    const char *first = level == ALLOY_LEVEL_KINDS     ? "kind|>n"
                        : level == ALLOY_LEVEL_MODULES ? "module|>layer"
                                                       : "op|>layer";
    alloy_text_format(&cell, "%s|>FLOPs|%s>read|>written|>AI|>time|bound by", first,
                      r->accounting == ALLOY_EXACT ? ">vector|" : "");
    alloy_table_open(&table, alloy_text_get(&cell));
    table.line = LINE;
    alloy_text_clear(&cell);
    int64_t module = -1;
    for (int64_t i = 0; i < alloy_roofline_row_count(r->roofline, level); i++) {
        alloy_roofline_row row = alloy_roofline_row_at(r->roofline, level, i);
        if (level == ALLOY_LEVEL_OPS && row.module != module) {
            alloy_roofline_row head = alloy_roofline_row_at(r->roofline, ALLOY_LEVEL_MODULES, row.module);
            add_row(report, r, &head, &table, &cell);
            module = row.module;
        }
        add_row(report, r, &row, &table, &cell);
    }
    alloy_text_char(out, '\n');
    alloy_table_append(&table, out);
    alloy_text_free(&cell);
}

/* "+1.5 G", "-960"; "" where both are equal. */
static void add_change(alloy_table *table, alloy_text *cell, alloy_wide classic, alloy_wide exact)
{
    double change = (double)(exact - classic);
    if (change != 0) {
        alloy_text_char(cell, change < 0 ? '-' : '+');
        alloy_text_short(cell, fabs(change));
    }
    add_cell(table, cell);
}

static void append_differences(const alloy_differences *differences, alloy_text *out)
{
    alloy_table table;
    alloy_text cell = {0};
    const char *name = "";
    alloy_text_string(out, "\nFrom classic to exact, by cause; what is not named agrees:\n");
    alloy_table_open(&table, "|>FLOPs|>B read|>B written");
    table.line = LINE;
    for (int64_t i = 0; i < differences->count; i++) {
        const alloy_difference *d = &differences->items[i];
        bool begins = strcmp(d->name, name) != 0;
        name = d->name;
        if (begins)
            alloy_table_cell(&table, "%s", name);
        for (int c = 0; c < 3 && begins; c++)
            alloy_table_cell(&table, "%s", "");
        alloy_table_cell(&table, "  %s", d->cause);
        add_change(&table, &cell, d->by[ALLOY_CLASSIC].flops, d->by[ALLOY_EXACT].flops);
        add_change(&table, &cell, d->by[ALLOY_CLASSIC].read, d->by[ALLOY_EXACT].read);
        add_change(&table, &cell, d->by[ALLOY_CLASSIC].written, d->by[ALLOY_EXACT].written);
    }
    alloy_table_append(&table, out);
    alloy_text_free(&cell);
}

static void append_result(const alloy_report *report, const alloy_report_result *r, alloy_text *out)
{
    append_head(report, r, out);
    append_exact(r, out);
    append_bounds(r, out);
    append_estimate(&report->request->efficiency, r, out);
    append_memory(r, out);
    int level = report->request->level;
    if (level >= ALLOY_LEVEL_KINDS)
        append_rows(report, r, ALLOY_LEVEL_KINDS, out);
    if (level == ALLOY_LEVEL_MODULES || level == ALLOY_LEVEL_OPS)
        append_rows(report, r, (alloy_roofline_level)level, out);
    if (r->differences.count > 0)
        append_differences(&r->differences, out);
}

void alloy_report_text(const alloy_report *report, alloy_text *out)
{
    for (int64_t i = 0; i < report->result_count; i++) {
        alloy_text_string(out, i ? "\n" : "");
        append_result(report, &report->results[i], out);
    }
}

/* ---- Over several chips ------------------------------------------------------------------------------------------ */

/* "mini", or with its lengths where another point is of the same mode. */
static void append_heading(const alloy_report_request *q, const alloy_report_point *point, alloy_text *out)
{
    bool mini = strcmp(point->mode, "mini-prefill") == 0;
    alloy_text_string(out, mini ? "mini" : point->mode);
    for (int64_t i = 0; i < q->point_count; i++)
        if (&q->points[i] != point && strcmp(q->points[i].mode, point->mode) == 0) {
            alloy_text_char(out, ' ');
            alloy_report_sequences(point, out);
            break;
        }
    alloy_text_char(out, ':');
}

/* The unit of the longest time, unless the shortest would vanish in it. */
static alloy_time_unit unit_of_column(const alloy_report *report, const alloy_report_point *point,
                                      alloy_accounting accounting)
{
    double least = INFINITY, most = 0;
    for (int64_t i = 0; i < report->result_count; i++) {
        const alloy_report_result *r = &report->results[i];
        if (r->point != point || r->accounting != accounting)
            continue;
        least = fmin(least, r->bounds.overlap.seconds);
        most = fmax(most, r->bounds.overlap.seconds);
    }
    alloy_time_unit unit = alloy_time_unit_of(most);
    return least < unit.seconds / 10 ? alloy_time_unit_of(least) : unit;
}

static void append_compared(const alloy_report *report, const alloy_report_result *r, alloy_text *out)
{
    alloy_time_unit unit = unit_of_column(report, r->point, r->accounting);
    append_heading(report->request, r->point, out);
    char time[64];
    alloy_print_number(time, sizeof time, r->bounds.overlap.seconds / unit.seconds, 'f', unit.decimals);
    alloy_text_format(out, " %*s %s (%s)", unit.decimals ? 5 : 4, time, unit.name, r->bounds.overlap.bottleneck);
}

/* A chip's results by one accounting, from `index` on; returns the index after the chip's. */
static int64_t append_chip(const alloy_report *report, int64_t index, alloy_accounting accounting, alloy_text *out)
{
    alloy_text cell = {0};
    const alloy_report_chip *chip = report->results[index].chip;
    size_t line = strlen(chip->label) > NAME ? strlen(chip->label) : NAME;
    bool begins = true;
    alloy_text_format(out, "%-*s", NAME, chip->label);
    for (; index < report->result_count && report->results[index].chip == chip; index++) {
        if (report->results[index].accounting != accounting)
            continue;
        append_compared(report, &report->results[index], &cell);
        bool wraps = line + 1 + cell.size > LINE;
        if (wraps)
            alloy_text_format(out, "\n%*s", NAME, "");
        else if (!begins)
            alloy_text_char(out, ' ');
        line = (wraps ? NAME : line + !begins) + cell.size;
        begins = false;
        alloy_text_append(out, alloy_text_get(&cell), cell.size);
        out->failed |= cell.failed;
        alloy_text_clear(&cell);
    }
    alloy_text_char(out, '\n');
    alloy_text_free(&cell);
    return index;
}

void alloy_report_comparison(const alloy_report *report, alloy_text *out)
{
    const alloy_report_request *q = report->request;
    for (int a = ALLOY_CLASSIC; a <= ALLOY_EXACT; a++) {
        if (!q->both && q->options.accounting != (alloy_accounting)a)
            continue;
        if (q->both)
            alloy_text_string(out, a == ALLOY_CLASSIC ? "classic:\n" : "exact:\n");
        for (int64_t i = 0; i < report->result_count;)
            i = append_chip(report, i, (alloy_accounting)a, out);
    }
}
