/* The bytes of converted tensors, made row by row while they are written, so that no tensor is ever held whole.
 *
 *   kept    bytes as the model has them, its scales too
 *   cast    each value rounded to nearest even
 *   packed  FP8: scales of 128 x 128 tiles, amax / 448 in F32; FP4: scales of 32 elements of a row, amax / 6. As powers
 *           of two (E8M0) scales are rounded up. An element is the nearest even to its value / scale, the quotient
 *           unrounded.
 *
 * What rounding costs is measured on the way: each row is widened again and compared with what it came from.
 *
 * Where the model's weights are bounded (weight_memory), a row is held while it is read. */
#ifndef ALLOY_CHECKPOINT_CONVERT_ROWS_H
#define ALLOY_CHECKPOINT_CONVERT_ROWS_H

#include "alloy/extend.h"
#include "files/residency.h"

enum { ALLOY_FP8_TILE = 128, ALLOY_FP4_TILE = 32 }; /* rows and columns; columns of one row */

struct alloy_row_scratch;

/* A tensor being made, or the scales beside one. */
typedef struct alloy_made_tensor {
    const char *name;                 /* in the new files */
    const alloy_weight *const *parts; /* [part_count] one above the other, alike in shape and dtype */
    int64_t part_count;
    int64_t rows, columns;             /* of one part */
    alloy_dtype dtype;                 /* of the tensor that is made: F32 to F4; kept: that of the parts */
    alloy_dtype scale_dtype;           /* NONE: it has none; F32 or F8_E8M0 */
    bool keeps;                        /* the parts' bytes as they are */
    bool is_scales;                    /* these are the scales of that tensor */
    struct alloy_row_scratch *scratch; /* shared by all tensors of a model */
    /* sums over the elements that are not kept */
    double largest, largest_error, squares, error_squares;
} alloy_made_tensor;

/* Bytes of one row that is made, and how many there are. */
size_t alloy_made_row_bytes(const alloy_made_tensor *tensor);
int64_t alloy_made_rows(const alloy_made_tensor *tensor);

/* Room for rows of tensors of up to `columns` columns; `residency`: the model's, or NULL. NULL with the thread's text
 * set when memory is short. */
struct alloy_row_scratch *alloy_row_scratch_new(int64_t columns, alloy_residency *residency);
void alloy_row_scratch_free(struct alloy_row_scratch *scratch);

/* Gives bytes [offset, offset + size) of the tensor, in rising order (alloy_tensor_source). RANGE that names a weight
 * and its place where a value is not finite, or is not once it is rounded. */
alloy_status alloy_made_bytes(alloy_made_tensor *tensor, uint64_t offset, void *to, size_t size);

#endif
