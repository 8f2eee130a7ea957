/* A report as one SVG file: the charts of each forward below each other (chart.h), with their rules. */
#include "roofline/chart.h"
#include "roofline/markup.h"

static const double EDGE = 24, GAP = 28, TITLE = 34, HEADING = 26; /* pixels */

static double append_heading(alloy_text *out, const char *class, double y, const char *before, const char *after)
{
    alloy_markup(out, "<text class='%s' x='0' y='%f'>%s%s</text>\n", class, y + 16, before, after);
    return class[0] == 't' ? TITLE : HEADING;
}

static double append_forward(const alloy_report *report, const alloy_report_result *first, double y, alloy_text *out)
{
    alloy_markup(out, "<text class='title' x='0' y='%f'>", y + 16);
    alloy_report_point_name(first->point, out);
    alloy_markup(out, ", %s</text>\n", first->accounting == ALLOY_EXACT ? "exact" : "classic");
    y += TITLE;
    y += alloy_chart_roofline(report, first, y, out) + GAP;
    y += alloy_chart_legend(report, first, y, out) + GAP;
    for (const alloy_report_result *on = first; on; on = alloy_chart_chip(report, on)) {
        y += append_heading(out, "heading", y, "Time of each layer on ", on->chip->chip->name);
        y += alloy_chart_layers(report, on, y, out) + GAP;
    }
    y += append_heading(out, "heading", y, "Bytes read and written", "");
    return y + alloy_chart_traffic(first, y, out) + 2 * GAP;
}

void alloy_report_svg(const alloy_report *report, alloy_text *out)
{
    alloy_text blocks = {0};
    double y = append_heading(&blocks, "title", 0, "Roofline of ", alloy_markup_cut(report->request->name, 64));
    for (const alloy_report_result *r = NULL; (r = alloy_chart_forward(report, r));)
        y = append_forward(report, r, y, &blocks);
    double width = ALLOY_CHART_WIDTH + 2 * EDGE, height = y + EDGE;
    alloy_markup(out,
                 "<svg xmlns='http://www.w3.org/2000/svg' class='file' width='%f' height='%f' viewBox='%f %f %f %f'>\n"
                 "<title>Roofline of %s</title>\n<style>\n",
                 width, height, -EDGE, -EDGE, width, height, report->request->name);
    alloy_text_string(out, alloy_chart_css);
    alloy_markup(out, "</style>\n<rect class='ground' x='%f' y='%f' width='%f' height='%f'/>\n", -EDGE, -EDGE, width,
                 height);
    alloy_text_append(out, alloy_text_get(&blocks), blocks.size);
    alloy_text_string(out, "</svg>\n");
    out->failed = out->failed || blocks.failed;
    alloy_text_free(&blocks);
}
