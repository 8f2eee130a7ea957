/* A session: what a model is run with (alloy.h). */
#ifndef ALLOY_MODEL_SESSION_H
#define ALLOY_MODEL_SESSION_H

#include "backends/cpu/cpu.h"
#include "base/arena.h"
#include "base/threads.h"
#include "model/model.h"

struct alloy_session {
    const alloy_model *model;
    const alloy_backend *backend;
    alloy_runs runs; /* of the backend */
    const alloy_kernels *kernels;
    alloy_team team;
    int64_t chunk;               /* most tokens of one pass */
    alloy_dtype kv_dtype;        /* of caches: F32, BF16, F16 */
    alloy_arena *arena, *tables; /* of the pass that runs */
    /* Of its passes; NULL. */
    alloy_site_function *watch;
    void *watch_user;
    alloy_observe_function *observe;
    void *observe_user;
    alloy_follow_function *follow;
    void *follow_user;
};

#endif
