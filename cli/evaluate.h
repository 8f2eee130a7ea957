/* Running a model over given ids, for the commands that look at numbers: logits, compare, verify. */
#ifndef ALLOY_CLI_EVALUATE_H
#define ALLOY_CLI_EVALUATE_H

#include "alloy/alloy.h"

typedef struct alloy_cli_evaluation {
    int64_t tokens, vocab, layers;
    int64_t width;       /* floats of a hidden row */
    float *logits;       /* [tokens, vocab] */
    float **hidden;      /* [layers] of [tokens, width]; NULL unless asked for */
    alloy_status status; /* of keeping hidden states */
} alloy_cli_evaluation;  /* {0} is empty */

/* The logits of every token, and the output of every layer where `hidden` says so. */
alloy_status alloy_cli_evaluate(alloy_cli_evaluation *out, alloy_session *session, const alloy_ids *ids, bool hidden);
void alloy_cli_evaluation_free(alloy_cli_evaluation *evaluation);

/* The `count` ids that greedy decoding appends, past any end of sequence; appended to `out`. */
alloy_status alloy_cli_greedy(alloy_session *session, const alloy_ids *ids, int64_t count, alloy_ids *out);

/* The ids of --ids or --ids-file; ARG unless exactly one is given. */
alloy_status alloy_cli_ids_given(alloy_ids *ids, const char *text, const char *file);

#endif
