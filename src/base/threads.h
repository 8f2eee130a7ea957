/* Threads: the only place that knows how work is spread. A parallel loop divides tasks among workers; tasks are
 * independent, so the result never depends on how many workers there were or who ran what (canonical arithmetic,
 * docs/numerics.md).
 *
 * Each worker's floating-point environment is set to the default (round to nearest even, denormals kept, no traps)
 * while it works and restored afterwards: other libraries in the process switch on flush-to-zero. */
#ifndef ALLOY_BASE_THREADS_H
#define ALLOY_BASE_THREADS_H

#include <stddef.h>
#include <stdint.h>

#include "alloy/alloy.h"

/* Each worker has two scratch buffers of ALLOY_SCRATCH_BYTES: one for the task, one for a kernel that the task calls
 * (alloy_kernel_scratch). */
enum { ALLOY_MOST_THREADS = 1024, ALLOY_SCRATCH_BYTES = 512 * 1024 };

/* A team of workers with their scratch buffers. One parallel loop at a time; calls from one thread at a time. */
typedef struct alloy_team {
    int threads;       /* workers, at least 1 */
    uint8_t **scratch; /* [threads] 2 * ALLOY_SCRATCH_BYTES each, aligned to ALLOY_ALIGNMENT */
} alloy_team;

/* threads 0: as many as this process may use processors. Fewer, with a warning, where the system gives no more.
 * ALLOY_RANGE outside 0..ALLOY_MOST_THREADS. */
alloy_status alloy_team_open(alloy_team *team, int threads);
void alloy_team_close(alloy_team *team);

/* A task: `index` in [0, tasks), `scratch` ALLOY_SCRATCH_BYTES of the worker's own. Must not fail: what can be wrong is
 * checked before. */
typedef void alloy_task(void *context, int64_t index, void *scratch);

/* The kernels' half of a worker's scratch, from the task's. */
static inline void *alloy_kernel_scratch(void *scratch)
{
    return (uint8_t *)scratch + ALLOY_SCRATCH_BYTES;
}

/* Runs tasks 0..tasks-1, in no particular order, and returns when all are done. */
void alloy_parallel(const alloy_team *team, int64_t tasks, alloy_task *task, void *context);

/* Processors that this process may use. */
int alloy_processors(void);

#endif
