/* What the reports are made from: forwards of one model ("points"), each analysed, on chips.
 *
 * alloy_report_open does all that can fail: it analyses each point once (once more where a chip's engine steps the
 * delta rule), takes the times on each chip, the memory and what fits. The writers only append to a text, whose status
 * tells whether memory was short. */
#ifndef ALLOY_ROOFLINE_REPORT_H
#define ALLOY_ROOFLINE_REPORT_H

#include "alloy/report.h"
#include "base/text.h"
#include "roofline/differences.h"

/* One point on one chip by one accounting. */
typedef struct alloy_report_result {
    const alloy_report_point *point;
    const alloy_report_chip *chip;
    alloy_accounting accounting;
    const alloy_roofline *roofline;
    alloy_roofline_bounds bounds;
    const alloy_roofline *exact; /* of the same point and chip; `roofline` itself where that is exact */
    alloy_roofline_bounds exact_bounds;
    alloy_differences differences; /* of the exact result from the classic one before it, where both are asked for */
    const alloy_roofline_memory *memory; /* needed */
    int64_t batch, context;              /* what fits into the chip's memory; 0 where that is not known, or none does */
    double estimate;                     /* seconds; 0 without an efficiency */
} alloy_report_result;

struct alloy_report {
    alloy_report_request taken;
    const alloy_report_request *request; /* it */
    alloy_report_result *results;        /* [result_count] by chip, point, accounting */
    int64_t result_count;
    struct alloy_report_analysis *analyses; /* [point_count] */
};

/* "4096+0,32x1+8192": new and cached tokens, as --sequences takes them. */
void alloy_report_sequences(const alloy_report_point *point, alloy_text *out);

/* "decode (B=1, cache=4096)" */
void alloy_report_point_name(const alloy_report_point *point, alloy_text *out);

double alloy_report_flops(const alloy_work *work); /* of both units */
double alloy_report_bytes(const alloy_work *work); /* read and written */

/* The formats that a model's parts are counted in: "bf16"; of stored weights "as stored". */
const char *alloy_report_weight_format(const alloy_roofline *roofline);
const char *alloy_report_activation_format(const alloy_roofline *roofline);
const char *alloy_report_kv_format(const alloy_roofline *roofline);
alloy_peak alloy_report_compute_peak(const alloy_report *report, const alloy_roofline *roofline);
const char *alloy_report_compute_format(const alloy_report *report, const alloy_roofline *roofline);

/* Each writes a whole document: text for people, at most 100 columns where names allow; one JSON object; CSV with a
 * line of headings; one page that needs nothing else; the page's charts (chart.h). */
void alloy_report_text(const alloy_report *report, alloy_text *out);
void alloy_report_json(const alloy_report *report, alloy_text *out);
void alloy_report_csv(const alloy_report *report, alloy_text *out);
void alloy_report_html(const alloy_report *report, alloy_text *out);
void alloy_report_svg(const alloy_report *report, alloy_text *out);

/* The times of all points on all chips, a line a chip. */
void alloy_report_comparison(const alloy_report *report, alloy_text *out);

#endif
