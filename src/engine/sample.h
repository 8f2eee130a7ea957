/* The next token from a row of logits.
 *
 * Steps, in the order in which transformers applies its processors: repetition penalty, frequency and presence penalty,
 * temperature, top-k, top-p, min-p, draw. All in fp32 but the sums of probabilities, which are fp64 chains in one
 * order: rising id where every id takes part, falling score (ties to the lower id) where ids were ranked. exp is the
 * kernel table's, so a token never hangs on a machine's libm.
 *
 * Invariants: a logit that is not finite, before or after the penalties, is RANGE and never a token; the random draw is
 * a function of (seed, sequence, position) and of nothing else. */
#ifndef ALLOY_ENGINE_SAMPLE_H
#define ALLOY_ENGINE_SAMPLE_H

#include "alloy/alloy.h"
#include "kernels/kernels.h"

typedef struct alloy_candidate {
    float score;  /* logit after the penalties */
    float weight; /* its probability over that of the likeliest */
    int64_t id;
} alloy_candidate;

/* Scratch of one step; serves any number of sequences, one after the other. */
typedef struct alloy_sampler {
    const alloy_kernels *kernels;
    alloy_sampling sampling; /* sound; 0 replaced where it means "none" */
    int64_t vocab_size;
    float *scores;        /* [vocab_size] logits after penalties; NULL: not needed yet */
    float *weights;       /* [vocab_size], likewise */
    bool penalises;       /* the settings have penalties */
    int64_t *occurrences; /* [vocab_size] of an id in the output; all zero between calls. NULL: never needed yet */
    uint8_t *seen; /* [vocab_size] id occurs in prompt or output; all zero between calls. NULL: never needed yet */
    alloy_candidate *candidates; /* [vocab_size]; NULL: nothing was ranked yet */
} alloy_sampler;                 /* {0} is closed */

/* What has been read and written before the token to be drawn. */
typedef struct alloy_history {
    const int64_t *prompt; /* [prompt_count] */
    int64_t prompt_count;
    const int64_t *output; /* [output_count] */
    int64_t output_count;
    uint64_t sequence; /* number among the outputs of this prompt */
} alloy_history;

void alloy_sampler_open(alloy_sampler *sampler, const alloy_kernels *kernels, int64_t vocab_size);
void alloy_sampler_close(alloy_sampler *sampler);

/* The settings of the next steps. RANGE, naming the field, for one that is invalid. Memory that settings need is taken
 * once: NOMEM only at the first use of its kind. */
alloy_status alloy_sampler_set(alloy_sampler *sampler, const alloy_sampling *sampling);

/* The next id. `logits` [vocab_size] are left alone. */
alloy_status alloy_sampler_next(alloy_sampler *sampler, const float *logits, const alloy_history *history, int64_t *id);

/* The `count` likeliest ids, likeliest first, and the logarithm of their probability; with the same for `chosen`.
 * Before penalties and temperature. The sampler must rank or keep log-probabilities (alloy_sampler_ranks). */
alloy_status alloy_sampler_logprobs(alloy_sampler *sampler, const float *logits, int64_t chosen, float *chosen_logprob,
                                    alloy_logprob *likeliest, int64_t count);

/* Makes room for ranking in a sampler whose settings need none. */
alloy_status alloy_sampler_ranks(alloy_sampler *sampler);

#endif
