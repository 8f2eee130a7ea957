/* A session: what a model is run with (alloy.h). */
#ifndef ALLOY_ENGINE_SESSION_H
#define ALLOY_ENGINE_SESSION_H

#include "backends/cpu/cpu.h"
#include "base/arena.h"
#include "base/threads.h"
#include "checkpoint/model.h"

/* Arrays of a forward, which stay for the next one: a step of decoding allocates nothing. */
typedef struct alloy_forward_room {
    int64_t count;              /* most sequences that there is room for */
    alloy_span *spans;          /* [count] of the pass that runs */
    int64_t *span_sequence;     /* [count] number of the span's sequence */
    int64_t *ids, *rows;        /* [chunk] */
    alloy_state *states;        /* [layers] */
    alloy_state_block **blocks; /* [layers, count] */
    bool *failed;               /* [count] sequences that have failed; [count] spans of the pass that have */
} alloy_forward_room;           /* {0} is empty */

struct alloy_session {
    const alloy_model *model;
    const alloy_backend *backend;
    alloy_runs runs; /* of the backend */
    const alloy_kernels *kernels;
    alloy_team team;
    int64_t chunk;               /* most tokens of one pass */
    alloy_dtype kv_dtype;        /* of caches: F32, BF16, F16 */
    alloy_pages *pages;          /* of its caches; one owner of it */
    alloy_arena *arena, *tables; /* of the pass that runs */
    alloy_forward_room room;
    /* Of its passes; NULL. */
    alloy_site_function *watch;
    void *watch_user;
    alloy_observe_function *observe;
    void *observe_user;
    alloy_follow_function *follow;
    void *follow_user;
};

/* Makes room for so many sequences; NOMEM. */
alloy_status alloy_forward_room_grow(alloy_session *session, int64_t sequences);
void alloy_forward_room_free(alloy_forward_room *room);

/* alloy_forward of which each sequence gives its last row of logits, or, where `wanted` [count] is false, none. */
alloy_status alloy_forward_wanted(alloy_session *session, const alloy_sequence *sequences, int64_t count,
                                  const bool *wanted, float *logits, const alloy_forward_options *options);

#endif
