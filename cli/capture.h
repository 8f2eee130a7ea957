/* What a model computes for a list of ids: handed on as it comes, or kept whole. The logits of every token, and where
 * asked for the output of every layer and where its tokens went. For logits and compare. */
#ifndef ALLOY_CLI_CAPTURE_H
#define ALLOY_CLI_CAPTURE_H

#include "alloy/alloy.h"

/* ---- Handed on --------------------------------------------------------------------------------------------------- */

/* Rows of one tensor, tokens `first` on of the list of ids: layer's output, or the logits where layer is -1. A layer's
 * rows come in rising order, and before the logits of the same tokens. */
typedef alloy_status alloy_cli_rows_function(void *user, int64_t layer, int64_t first, int64_t rows, int64_t width,
                                             const float *values);

typedef struct alloy_cli_listener {
    alloy_cli_rows_function *rows;
    bool hidden;                   /* of layers too, not only of logits */
    alloy_routed_function *routed; /* may be NULL */
    void *user;
} alloy_cli_listener;

/* Runs the ids from an empty cache, a chunk of tokens at a time, with a bar of that label. Holds the logits of one
 * chunk and nothing of the others. What `rows` returns ends it. */
alloy_status alloy_cli_listen(alloy_session *session, const alloy_ids *ids, const alloy_cli_listener *listener,
                              const char *label);

/* Floats a token that a layer gives: the hidden size times the streams of the residual. */
int64_t alloy_cli_hidden_width(const alloy_model *model);

/* ---- Kept -------------------------------------------------------------------------------------------------------- */

/* What is kept besides logits. */
enum { ALLOY_CLI_CAPTURE_HIDDEN = 1, ALLOY_CLI_CAPTURE_ROUTING = 2 };

/* Where a layer's tokens went. */
typedef struct alloy_cli_routing {
    int64_t experts;
    int64_t *tokens; /* [experts] */
} alloy_cli_routing; /* {0}: the layer does not route */

typedef struct alloy_cli_capture {
    int64_t tokens, vocab_size;
    int64_t layers, width;      /* of hidden: alloy_cli_hidden_width */
    float *logits;              /* [tokens, vocab_size] */
    float *hidden;              /* [layers, tokens, width]; NULL unless asked for */
    alloy_cli_routing *routing; /* [layers]; NULL unless asked for */
} alloy_cli_capture;            /* {0} is empty */

alloy_status alloy_cli_capture_run(alloy_cli_capture *capture, alloy_session *session, const alloy_ids *ids, int what,
                                   const char *label);
void alloy_cli_capture_free(alloy_cli_capture *capture);

/* Layer `layer` of the hidden states. */
const float *alloy_cli_capture_layer(const alloy_cli_capture *capture, int64_t layer);

/* One token's hidden states, or its logits for layer -1. */
void alloy_cli_capture_row(const alloy_cli_capture *capture, int64_t layer, int64_t token, double *out);

#endif
