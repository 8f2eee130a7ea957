/* What a counted forward is kept as, and what reads one: the analysis counts (analysis.c), the reducers turn an op's
 * neutral record into bytes by one accounting (reduce.c), routing.c says how many experts are read. */
#ifndef ALLOY_ROOFLINE_ANALYSIS_H
#define ALLOY_ROOFLINE_ANALYSIS_H

#include "base/arena.h"
#include "engine/count.h"
#include "roofline/formats.h"

/* Options made sure of: sizes of elements, and how routing is modelled. */
typedef struct alloy_roofline_terms {
    alloy_accounting accounting;
    bool stored;       /* the model has files, whose dtypes are known */
    bool weight_given; /* weights are `weight`, whatever the model says */
    alloy_peak weight, activation, kv, indexer;
    bool op_fusion;
    bool all_logits;
    bool ops; /* each op is kept as a row */
    alloy_delta delta;
    alloy_routing routing;
    double zipf;
    const int64_t *experts_read; /* [layers] */
    alloy_span *spans;           /* [span_count], in the arena that they were resolved with */
    int64_t span_count;
    int64_t tokens, sequences, hidden;
} alloy_roofline_terms;

alloy_status alloy_roofline_resolve(alloy_roofline_terms *terms, const alloy_model *model,
                                    const alloy_roofline_options *options, alloy_arena *arena);

/* Counts by these terms, one layer of each kind; `explanation` may be NULL. What is alike may come more than once. */
alloy_status alloy_roofline_count(const alloy_model *model, alloy_roofline_terms *terms, alloy_explanation *explanation,
                                  alloy_record_function *record, void *user);

/* The first layer whose site of this kind does the same; of a site outside the layers -1. */
int64_t alloy_roofline_like(const alloy_model *model, const alloy_roofline_terms *terms, const alloy_site *site);

/* Does this accounting have a row for what happens at the site? Classic has none for the norms of layers. */
bool alloy_roofline_has_row(const alloy_roofline_terms *terms, const alloy_site *site);

/* Adds one record (call NULL: what crosses the module's border) by the accounting. Bytes of an op that reads an
 * expected number of experts are rounded, half to even, so that ops sum to modules and modules to the total. */
void alloy_roofline_reduce(const alloy_roofline_terms *terms, const alloy_site *site, const alloy_args *call,
                           const alloy_cost *cost, alloy_work *sum);

/* A record as published conventions have it (classic.c). */
typedef struct alloy_classic {
    alloy_cost cost;       /* FLOPs of both units are to be added */
    bool f32_weights;      /* its weights have 4 bytes an element, whatever the others' dtype is */
    alloy_wide f32_copies; /* elements of an input that are written and read again as fp32 */
} alloy_classic;

/* Makes it of an exact record; false: the two are the same but for dtypes, and the formulas are the op's own. */
bool alloy_roofline_classic(const alloy_roofline_terms *terms, const alloy_site *site, const alloy_args *call,
                            const alloy_cost *exact, alloy_classic *out);

/* Bits of an element of a parameter, and of its block scales in all. */
int alloy_roofline_weight_bits(const alloy_roofline_terms *terms, const alloy_weight *weight);
alloy_wide alloy_roofline_scale_bits(const alloy_roofline_terms *terms, const alloy_weight *weight);

/* Different experts that `tokens` tokens of a layer are expected to meet (alloy_count_model); `user`: the terms. */
double alloy_roofline_experts_read(void *user, int64_t layer, int64_t experts, int64_t per_token, int64_t tokens,
                                   double distinct);

/* A row as it is stored: rows of equal modules share their work. */
typedef struct alloy_module_row {
    alloy_site site;
    int64_t work; /* index */
} alloy_module_row;

typedef struct alloy_module_work {
    alloy_work work;
    int64_t op_count;      /* records of ops that it sums */
    int64_t first_op, ops; /* of the list of ops, where they are kept */
} alloy_module_work;

typedef struct alloy_op_row {
    int64_t module;          /* index of its work */
    const char *op, *weight; /* weight NULL: none */
    alloy_work work;
} alloy_op_row;

typedef struct alloy_kind_row {
    const char *kind, *name;
    int64_t modules;
    alloy_work work;
} alloy_kind_row;

struct alloy_roofline {
    const alloy_model *model;
    alloy_arena *arena;
    alloy_roofline_terms terms;
    bool keeps_ops;
    alloy_module_row *rows; /* [row_count] in the order of the forward */
    int64_t row_count, row_capacity;
    alloy_module_work *works; /* [work_count] */
    int64_t work_count, work_capacity;
    alloy_op_row *ops; /* [op_count] where they are kept: of each work once */
    int64_t op_count, op_capacity;
    int64_t *ops_before;   /* [row_count + 1] ops of the rows before, where they are kept */
    alloy_kind_row *kinds; /* [kind_count] in the order of their first module */
    int64_t kind_count, kind_capacity;
    int64_t *first; /* [layers] of those that are walked: the first row */
    alloy_work total;
    int64_t all_ops;     /* of the forward */
    alloy_status status; /* the first failure while counting */
};

/* alloy_roofline_open by terms that are resolved; they must outlive the result. */
alloy_status alloy_roofline_gather(alloy_roofline **out, const alloy_model *model, const alloy_roofline_terms *terms);

/* alloy_roofline_needs and _fits where the bytes of weights, which no length changes, are known already. */
enum { ALLOY_NOT_COUNTED = -1 };
alloy_status alloy_roofline_needs_with(const alloy_model *model, const alloy_roofline_options *options, int64_t page,
                                       alloy_wide weights, alloy_roofline_memory *out);
alloy_status alloy_roofline_fits_with(const alloy_model *model, const alloy_roofline_options *options, int64_t page,
                                      alloy_wide weights, double bytes, int64_t *batch, int64_t *context);

/* The kind and the name of a site's rows. */
const char *alloy_roofline_kind(const alloy_site *site);
const char *alloy_roofline_name(const alloy_model *model, const alloy_site *site);

#endif
