/* What a model computes for a list of ids, handed on as it comes: the logits of every token, and where asked for the
 * output of every layer and where its tokens went. alloy_capture keeps it whole (alloy/compare.h). */
#ifndef ALLOY_COMPARE_CAPTURE_H
#define ALLOY_COMPARE_CAPTURE_H

#include "alloy/compare.h"

/* Rows of one tensor, tokens `first` on of the list of ids: layer's output, or the logits where layer is -1. A layer's
 * rows come in rising order, and before the logits of the same tokens. */
typedef alloy_status alloy_rows_function(void *user, int64_t layer, int64_t first, int64_t rows, int64_t width,
                                         const float *values);

typedef struct alloy_listener {
    alloy_rows_function *rows;
    bool hidden;                   /* of layers too, not only of logits */
    alloy_routed_function *routed; /* may be NULL */
    void *user;
    const char *what; /* for `progress`, which may be NULL */
    alloy_progress_function *progress;
    void *progress_user;
} alloy_listener;

/* Runs the ids from an empty cache, a chunk of tokens at a time. Holds the logits of one chunk and nothing of the
 * others. What `rows` returns ends it. */
alloy_status alloy_listen(alloy_session *session, const int64_t *ids, int64_t count, const alloy_listener *listener);

/* Floats a token that a layer gives: the hidden size times the streams of the residual. */
int64_t alloy_hidden_width(const alloy_model *model);

/* One token's hidden states, or its logits for layer -1. */
void alloy_capture_row(const alloy_capture *capture, int64_t layer, int64_t token, double *out);

#endif
