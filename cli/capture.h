/* What a model computes for a list of ids, kept whole: logits of every token, and where asked for the output of every
 * layer and where its tokens went. For logits and compare. */
#ifndef ALLOY_CLI_CAPTURE_H
#define ALLOY_CLI_CAPTURE_H

#include "alloy/alloy.h"

/* What is kept besides logits. */
enum { ALLOY_CLI_CAPTURE_HIDDEN = 1, ALLOY_CLI_CAPTURE_ROUTING = 2 };

/* Where a layer's tokens went. */
typedef struct alloy_cli_routing {
    int64_t experts;
    int64_t *tokens; /* [experts] */
} alloy_cli_routing; /* {0}: the layer does not route */

typedef struct alloy_cli_capture {
    int64_t tokens, vocab_size;
    int64_t layers, width;      /* of hidden; width is the hidden size times the streams of the residual */
    float *logits;              /* [tokens, vocab_size] */
    float *hidden;              /* [layers, tokens, width]; NULL unless asked for */
    alloy_cli_routing *routing; /* [layers]; NULL unless asked for */
} alloy_cli_capture;            /* {0} is empty */

/* Runs the ids from an empty cache, with a bar of that label. */
alloy_status alloy_cli_capture_run(alloy_cli_capture *capture, alloy_session *session, const alloy_ids *ids, int what,
                                   const char *label);
void alloy_cli_capture_free(alloy_cli_capture *capture);

/* Layer `layer` of the hidden states. */
const float *alloy_cli_capture_layer(const alloy_cli_capture *capture, int64_t layer);

#endif
