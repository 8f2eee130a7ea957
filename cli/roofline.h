/* The parts of `alloy roofline`: its options, and what its flags say of points, chips and routing. */
#ifndef ALLOY_CLI_ROOFLINE_H
#define ALLOY_CLI_ROOFLINE_H

#include "alloy/report.h"
#include "files/json_fields.h"
#include "job.h"

typedef struct alloy_cli_roofline_options {
    alloy_cli_common common; /* kv_dtype: of the roofline's own flag */
    const char *mode, *sequences;
    alloy_cli_integer batch, seq_len, chunk_len, kv_cache_len;
    alloy_cli_texts at, hardware;
    const char *accounting, *dtype, *weight_dtype, *activation_dtype, *indexer_dtype, *compute_dtype;
    alloy_cli_integer level, page;
    const char *explain; /* NULL: not asked; "": everything */
    const char *routing, *delta, *fusion, *logits, *efficiency;
    const char *html, *svg; /* files; "-": standard output */
    bool csv, list, host_refresh, measure;
    alloy_cli_integer runs;
} alloy_cli_roofline_options;

/* ---- Points: roofline_points.c ----------------------------------------------------------------------------------- */

/* What --mode with its lengths, --at or --sequences ask for; without any of them three forwards. */
alloy_status alloy_cli_points_open(const alloy_cli_roofline_options *options, alloy_report_point **points,
                                   int64_t *count);
void alloy_cli_points_close(alloy_report_point *points, int64_t count);

/* ---- Chips: roofline_chips.c ------------------------------------------------------------------------------------- */

typedef struct alloy_cli_chips {
    alloy_report_chip *items; /* [count] */
    alloy_text *labels;       /* [count] */
    alloy_chip **files;       /* [count] those that were read from files; else NULL */
    alloy_host *host;         /* this machine, if it is among them */
    int64_t count;
} alloy_cli_chips;

/* What --hardware names: built-in chips, files, this machine; H100 without any. */
alloy_status alloy_cli_chips_open(const alloy_cli_roofline_options *options, alloy_cli_chips *chips);
void alloy_cli_chips_close(alloy_cli_chips *chips);

/* --list: the chips with their peaks and sources; all built-in ones where --hardware names none. */
alloy_status alloy_cli_chips_print(const alloy_cli_roofline_options *options);

/* ---- This machine: roofline_host.c ------------------------------------------------------------------------------- */

/* Measured, or from the file that keeps what was. */
alloy_status alloy_cli_host_open(const alloy_cli_roofline_options *options, alloy_host *host);

/* What was measured, for people and as the field "host" of a document. */
void alloy_cli_host_print(const alloy_host *host);
void alloy_cli_host_write(alloy_json_writer *writer, const alloy_host *host);

/* --measure: the model's forwards are run, and printed beside their bounds. */
alloy_status alloy_cli_measure(const alloy_cli_job *job);

/* ---- How to count: roofline_terms.c ------------------------------------------------------------------------------ */

/* All but the sequences. `given`, the routing of a file or empty, is the caller's to free. */
alloy_status alloy_cli_terms_read(const alloy_cli_roofline_options *options, const alloy_model *model,
                                  alloy_roofline_options *out, alloy_routing_file *given);

/* Says where a point has another number of tokens than the file that its routing is from. */
void alloy_cli_routing_compare(const alloy_cli_roofline_options *options, const alloy_model *model,
                               const alloy_routing_file *given, const alloy_report_point *points, int64_t point_count);

/* "compute=0.6,memory=0.8,overhead=3us"; NULL: none. */
alloy_status alloy_cli_efficiency_read(const char *text, alloy_efficiency *out);

/* ---- Explanations: roofline_explain.c ---------------------------------------------------------------------------- */

/* --explain: the conventions, the formulas of a module (of all where its name is "") and the chips' sources. */
alloy_status alloy_cli_explain(const alloy_cli_roofline_options *options, const alloy_report_request *request);

#endif
