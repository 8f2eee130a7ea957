/* The count reading of a whole model: every op's record for a batch that is given by lengths alone. */
#ifndef ALLOY_ENGINE_COUNT_H
#define ALLOY_ENGINE_COUNT_H

#include "checkpoint/model.h"
#include "ops/pass.h"

typedef struct alloy_count_request {
    const alloy_span *spans; /* [span_count]; `first` is not read */
    int64_t span_count;
    bool all_logits;       /* every row, else each sequence's last */
    const int64_t *layers; /* [layer_count] those that are read, rising; NULL: all */
    int64_t layer_count;
    alloy_count_model model;
    alloy_explanation *explanation; /* NULL: nobody asks for formulas */
} alloy_count_request;

/* Are these lengths that can be (RANGE, LIMIT), and how many tokens and sequences are they? */
alloy_status alloy_count_batch(const alloy_span *spans, int64_t span_count, int64_t *tokens, int64_t *sequences);

/* Calls `record` for each op in order. The model may be described only (alloy_model_describe). Touches no weight and no
 * state. */
alloy_status alloy_model_count(const alloy_model *model, const alloy_count_request *request,
                               alloy_record_function *record, void *user);

#endif
