/* A request: a prompt, the settings of its outputs, and the outputs that grow from it. engine.c steps requests; this
 * says what one is, whether it is sound, and how it ends.
 *
 * Invariants: nothing points to the caller's memory once it is open. Until `computed` reaches prompt_count the first
 * output's cache takes the prompt and no output has an id; after it every output that has not ended has a cache. When
 * the request is over no output has one. */
#ifndef ALLOY_ENGINE_REQUEST_H
#define ALLOY_ENGINE_REQUEST_H

#include "engine/output.h"

enum { ALLOY_REQUEST_TEXT = 1024 };

struct alloy_request {
    alloy_engine *engine; /* NULL: it is over, or has not begun */
    void *user;
    alloy_sampling sampling;
    alloy_output_rules rules;
    alloy_stops stops;
    int64_t *eos_ids; /* what rules.eos_ids points to */
    int64_t *prompt;  /* [prompt_count] */
    int64_t prompt_count, computed;
    alloy_growing_output *outputs; /* [output_count] */
    int64_t output_count;
    alloy_usage usage;
    alloy_status status;           /* not OK: it has failed, and why is in `text` */
    char text[ALLOY_REQUEST_TEXT]; /* NUL-terminated */
};

/* Makes a request that has not begun. `file` has the model's end-of-sequence ids, for options that name none. ARG,
 * RANGE, CONTEXT, LIMIT, NOMEM. */
alloy_status alloy_request_open(alloy_request **out, const alloy_session *session, const alloy_tokenizer *tokenizer,
                                const alloy_generation_config *file, const alloy_prompt *prompt,
                                const alloy_generate_options *options);

/* Has any output not ended? */
bool alloy_request_is_live(const alloy_request *request);

/* Keeps the thread's text of a failure, the first one. */
void alloy_request_fail(alloy_request *request, alloy_status status);

/* Ends outputs that have not ended, and closes all caches. */
void alloy_request_end(alloy_request *request, alloy_finish finish);

#endif
