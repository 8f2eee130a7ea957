/* A file of reference tensors, as tests/golden/ has: what a model should compute.
 *
 *     NAME.safetensors   input_ids [T]; logits [T, V] and hidden.I [T, ...] in F64 or F32; greedy [N] (optional): the
 *                        ids that greedy decoding appends, past end-of-sequence ids too
 *     NAME.json          (optional) transformers_fp32_max_abs_error, transformers_fp32_hidden_error: what transformers'
 *                        own float32 departs from it by */
#ifndef ALLOY_CLI_REFERENCE_H
#define ALLOY_CLI_REFERENCE_H

#include "alloy/alloy.h"
#include "files/safetensors.h"

typedef struct alloy_cli_reference {
    alloy_safetensors file;
    alloy_ids input_ids, greedy;
    const alloy_stored_tensor *logits; /* NULL: none */
    int64_t layers;                    /* hidden.0 .. */
    double logits_error;               /* of transformers; NAN: not known */
    double *hidden_error;              /* [hidden_error_count] */
    int64_t hidden_error_count;
} alloy_cli_reference; /* {0} is closed */

alloy_status alloy_cli_reference_open(alloy_cli_reference *reference, const char *path);
void alloy_cli_reference_close(alloy_cli_reference *reference);

/* hidden.I */
const alloy_stored_tensor *alloy_cli_reference_hidden(const alloy_cli_reference *reference, int64_t layer);

/* How far values are from a tensor of as many elements: the largest absolute difference (infinite for one that is not
 * finite) and the largest magnitude in the tensor. FORMAT, naming both sizes, when there are not `count` elements. */
typedef struct alloy_cli_distance {
    double error, largest;
} alloy_cli_distance;
alloy_status alloy_cli_reference_distance(const alloy_stored_tensor *tensor, const float *values, int64_t count,
                                          alloy_cli_distance *out);

#endif
