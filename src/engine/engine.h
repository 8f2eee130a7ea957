/* What alloy_generate adds to an engine. */
#ifndef ALLOY_ENGINE_ENGINE_H
#define ALLOY_ENGINE_ENGINE_H

#include "alloy/alloy.h"

/* Called in each step that computes tokens of prompts, with how many were computed so far, before ids are drawn from
 * them; false cancels all requests. */
typedef bool alloy_engine_progress(void *user, int64_t computed);
void alloy_engine_on_progress(alloy_engine *engine, alloy_engine_progress *progress, void *user);

void alloy_engine_cancel_all(alloy_engine *engine);

#endif
