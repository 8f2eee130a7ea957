/* A file of reference tensors, as tests/golden/ has and script/reference writes: what a model should compute.
 *
 *     NAME.safetensors   input_ids [T]; logits [T, V] and hidden.I [T, ...] in F64, F32, BF16 or F16; greedy [N]
 *                        (optional): the ids that greedy decoding appends, past end-of-sequence ids too
 *       its metadata     (optional) dtype: what it was computed in, "float64", "float32", "bfloat16" or "float16";
 *                        without it, that of its tensors. num_layers: it is of the first so many layers of the model,
 *                        and so are its logits; without it, of all
 *     NAME.json          (optional) transformers_fp32_max_abs_error, transformers_fp32_hidden_error: what transformers'
 *                        own float32 departs from it by
 *
 * The file may be larger than memory: it is mapped, and read a row at a time. */
#ifndef ALLOY_COMPARE_REFERENCE_H
#define ALLOY_COMPARE_REFERENCE_H

#include "alloy/compare.h"
#include "files/safetensors.h"

typedef struct alloy_reference {
    alloy_safetensors file;
    alloy_ids input_ids, greedy;
    const alloy_stored_tensor *logits; /* NULL: none */
    int64_t layers;                    /* hidden.0 .. */
    alloy_dtype dtype;                 /* what it was computed in */
    int64_t num_layers;                /* it is of the first so many of the model; 0: of all */
    double logits_error;               /* of transformers; NAN: not known */
    double *hidden_error;              /* [hidden_error_count] */
    int64_t hidden_error_count;
} alloy_reference; /* {0} is closed */

/* Appends the ids of a tensor of I64 or I32. */
alloy_status alloy_ids_take(alloy_ids *ids, const alloy_stored_tensor *tensor);

/* `map`: map the file; else it is read into memory. */
alloy_status alloy_reference_open(alloy_reference *reference, const char *path, bool map);
void alloy_reference_close(alloy_reference *reference);

/* hidden.I; the logits for layer -1. NULL where there is none. */
const alloy_stored_tensor *alloy_reference_tensor(const alloy_reference *reference, int64_t layer);

/* Can the tensor be compared with `count` numbers? FORMAT for another dtype, or naming both sizes. */
alloy_status alloy_reference_check(const alloy_reference *reference, const alloy_stored_tensor *tensor, int64_t count);

/* Row `row` of a tensor that was checked, `width` numbers each. */
void alloy_reference_row(const alloy_stored_tensor *tensor, int64_t row, int64_t width, double *out);

#endif
