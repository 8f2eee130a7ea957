/* Alloy: reports of what forwards of a model cost on chips (roofline.h), as documents.
 *
 * Experimental: names and structs of this header may change in any version. Structs that begin with their size are as
 * in compare.h. */
#ifndef ALLOY_REPORT_H
#define ALLOY_REPORT_H

#include "alloy/alloy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One forward: lengths, and what users call it. */
typedef struct alloy_report_point {
    const char *mode;                    /* "prefill", "mini-prefill", "decode"; "ragged" where sequences differ */
    alloy_roofline_sequences *sequences; /* [sequences_count] */
    int64_t sequences_count;
} alloy_report_point;

typedef struct alloy_report_chip {
    const char *label; /* as it was asked for */
    const alloy_chip *chip;
    bool steps_delta; /* its engine runs the delta rule token by token: this machine */
} alloy_report_chip;

/* An estimate beside the bound: the shares of the peaks that are reached, and the time that each op adds. */
typedef struct alloy_efficiency {
    bool given;
    double compute, memory; /* 1e-6 to 1 */
    double overhead;        /* seconds an op */
} alloy_efficiency;

typedef struct alloy_report_request {
    size_t size; /* sizeof (alloy_report_request) */
    const alloy_model *model;
    const char *name;               /* of the model, as it was given */
    alloy_roofline_options options; /* but its sequences */
    bool both;                      /* both accountings, and where they differ; options.accounting is not read */
    int level;                      /* alloy_roofline_level: rows down to this one */
    const char *compute_dtype;      /* NULL: that of the activations */
    int64_t page;                   /* tokens a page of the cache; 0: 1 */
    alloy_efficiency efficiency;
    bool times_only;                  /* memory is not asked for: ALLOY_REPORT_COMPARISON alone */
    const alloy_report_point *points; /* [point_count] */
    int64_t point_count;
    const alloy_report_chip *chips; /* [chip_count] */
    int64_t chip_count;
} alloy_report_request;

typedef struct alloy_report alloy_report;

/* Analyses each point, takes the times on each chip, the memory and what fits. What the request points to must outlive
 * the report. */
ALLOY_API alloy_status alloy_report_open(alloy_report **out, const alloy_report_request *request);
ALLOY_API void alloy_report_close(alloy_report *report);

/* Rows that a document of this level has, of modules and of ops. */
ALLOY_API int64_t alloy_report_row_count(const alloy_report *report, int level);

typedef enum alloy_report_form {
    ALLOY_REPORT_TEXT,       /* for people, at most 100 columns where names allow */
    ALLOY_REPORT_COMPARISON, /* the same of several chips: the times of all points, a line a chip */
    ALLOY_REPORT_JSON,       /* one object */
    ALLOY_REPORT_CSV,        /* with a line of headings */
    ALLOY_REPORT_HTML,       /* one page that needs nothing else */
    ALLOY_REPORT_SVG,        /* the page's charts */
} alloy_report_form;

/* A whole document, with a NUL after its *size bytes, freed with alloy_free. */
ALLOY_API alloy_status alloy_report_write(const alloy_report *report, alloy_report_form form, char **text,
                                          size_t *size);

/* "decode (B=1, cache=4096)"; `lengths`: "4096+0,32x1+8192", new and cached tokens. Freed with alloy_free; NULL where
 * memory is short. */
ALLOY_API char *alloy_report_point_text(const alloy_report_point *point, bool lengths);

/* The routing of a run as a file: {"LAYER": [tokens of each expert], ...}. By layers; 0 where one does not route. */
typedef struct alloy_routing_file {
    int64_t *experts_read; /* [layers] that had tokens, for ALLOY_ROUTING_GIVEN */
    double *tokens;        /* [layers] that were routed: choices by the experts that a token goes to */
} alloy_routing_file;

/* FORMAT: JSON that is not sound; ARG: layers, or numbers of experts, that are not the model's. */
ALLOY_API alloy_status alloy_routing_file_read(alloy_routing_file *out, const alloy_model *model, const char *path);
ALLOY_API void alloy_routing_file_free(alloy_routing_file *file);

#ifdef __cplusplus
}
#endif

#endif
