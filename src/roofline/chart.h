/* Charts of a report, drawn as SVG. The unit is a *forward*: the results that share an analysis, one a chip. It has
 *
 *     the roofline    FLOP/s over FLOPs a byte, both logarithmic: a slope and a roof a chip, a mark a module
 *     its legend
 *     layers          for one chip: what each layer's work takes each unit of it
 *     traffic         bytes read and written, by what they are of
 *
 * Each is a block: an <svg> as wide as what it stands in. Inside, horizontal places are percentages of its plot, and
 * vertical ones pixels, so that a page can be of any width and its letters stay as large as they are; in a file of its
 * own every block has ALLOY_CHART_WIDTH. Colours are classes of chart.css; what must be told apart differs in shape,
 * place or words too. */
#ifndef ALLOY_ROOFLINE_CHART_H
#define ALLOY_ROOFLINE_CHART_H

#include "roofline/report.h"

enum { ALLOY_CHART_WIDTH = 960 }; /* pixels */

/* The rules that all charts need. */
extern const char alloy_chart_css[], alloy_chart_css_sha256[];

/* The first result of each forward: the next one after `result` (NULL: the first of all); NULL after the last. */
const alloy_report_result *alloy_chart_forward(const alloy_report *report, const alloy_report_result *result);

/* The result of the same forward on its next chip; NULL after the last. */
const alloy_report_result *alloy_chart_chip(const alloy_report *report, const alloy_report_result *result);

/* The times of a row's work on a result's chip. */
alloy_roofline_time alloy_chart_time(const alloy_report *report, const alloy_report_result *result,
                                     const alloy_work *work);

/* Blocks, `y` pixels below the top of the <svg> around them; each returns its height in pixels. `first` is a forward's
 * first result; layers are those of any. */
double alloy_chart_roofline(const alloy_report *report, const alloy_report_result *first, double y, alloy_text *out);
double alloy_chart_legend(const alloy_report *report, const alloy_report_result *first, double y, alloy_text *out);
double alloy_chart_layers(const alloy_report *report, const alloy_report_result *result, double y, alloy_text *out);
double alloy_chart_traffic(const alloy_report_result *result, double y, alloy_text *out);

/* A picture of the kind of module that has this number, in a place of its own: what marks it in the chart. */
void alloy_chart_mark(const alloy_report_result *result, int64_t kind, alloy_text *out);

#endif
