/* One output while it grows: its cache, its ids, its text, its log-probabilities.
 *
 * Invariants: `shown` <= text.size; what lies between may belong to a stop text that has begun; `shown` stands between
 * characters. After the output has finished nothing is appended. The public view (alloy_output) points into this. */
#ifndef ALLOY_ENGINE_OUTPUT_H
#define ALLOY_ENGINE_OUTPUT_H

#include "alloy/alloy.h"
#include "base/text.h"
#include "engine/sample.h"
#include "engine/stop.h"

/* What all outputs of a request share. */
typedef struct alloy_output_rules {
    const alloy_tokenizer *tokenizer; /* NULL: no text */
    const int64_t *eos_ids;           /* [eos_count]; none where eos is ignored */
    int64_t eos_count;
    const alloy_stops *stops;
    int64_t likeliest_count; /* ids kept a step; 0: no log-probabilities */
} alloy_output_rules;

typedef struct alloy_growing_output {
    alloy_output view;  /* made by alloy_output_view */
    alloy_cache *cache; /* of its sequence; NULL: the prompt is not computed yet, or the output has ended */
    int64_t *ids;       /* [count] of room [capacity] */
    int64_t count, capacity;
    int64_t most;    /* ids that it may have */
    float *logprobs; /* [count] of room [logprob_capacity]; NULL unless kept */
    int64_t logprob_capacity;
    alloy_logprob *likeliest; /* [count, likeliest_count] of room [likeliest_capacity] rows */
    int64_t likeliest_capacity;
    alloy_decoder *decoder; /* NULL without a tokenizer */
    alloy_text text;
    size_t shown; /* bytes of text handed to the stream */
    alloy_finish finish;
} alloy_growing_output;

alloy_status alloy_output_open(alloy_growing_output *output, const alloy_output_rules *rules, int64_t most);
void alloy_output_close(alloy_growing_output *output);

/* Appends an id and finds out whether the output ends with it. */
alloy_status alloy_output_push(alloy_growing_output *output, const alloy_output_rules *rules, int64_t id);

/* Keeps the log-probabilities of the id pushed last, from the logits it was drawn from. */
alloy_status alloy_output_keep_logprobs(alloy_growing_output *output, const alloy_output_rules *rules,
                                        alloy_sampler *sampler, const float *logits);

/* Ends it: what the decoder holds back is flushed. */
alloy_status alloy_output_end(alloy_growing_output *output, const alloy_output_rules *rules, alloy_finish finish);

/* The text that can be shown now and was not yet. */
alloy_piece alloy_output_show(alloy_growing_output *output, const alloy_output_rules *rules);

/* What it is now, until it grows. */
const alloy_output *alloy_output_view(alloy_growing_output *output, const alloy_output_rules *rules);

#endif
