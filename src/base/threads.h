/* Threads: the only place that knows how work is spread. A parallel loop divides tasks among workers; tasks are
 * independent, so the result never depends on how many workers there were or who ran what (canonical arithmetic,
 * docs/numerics.md). docs/threads.md says what that means for users.
 *
 * The floating-point environment is the default (round to nearest even, denormals kept, no traps) while tasks run, and
 * the caller's is restored afterwards: other libraries in the process switch on flush-to-zero.
 *
 * In a child that was forked from a process with an open team the team has no workers: the child runs its loops alone
 * and may close it. */
#ifndef ALLOY_BASE_THREADS_H
#define ALLOY_BASE_THREADS_H

#include <stddef.h>
#include <stdint.h>

#include "alloy/alloy.h"

/* Each worker has two scratch buffers of ALLOY_SCRATCH_BYTES: one for the task, one for a kernel that the task calls
 * (alloy_kernel_scratch). */
enum { ALLOY_SCRATCH_BYTES = 512 * 1024 };

/* A team of workers with their scratch buffers: the caller, who is number 0, and a thread for each of the others. One
 * parallel loop at a time; calls from one thread at a time. Teams do not know of each other. */
typedef struct alloy_team {
    int threads;       /* workers, at least 1 */
    uint8_t **scratch; /* [threads] 2 * ALLOY_SCRATCH_BYTES each, aligned to ALLOY_ALIGNMENT */
    struct alloy_pool *pool;
} alloy_team; /* {0} is closed */

/* threads 0: alloy_processors(). Fewer, with a warning that a process says once, where the system gives no more.
 * ALLOY_RANGE outside 0..ALLOY_MOST_THREADS, ALLOY_NOMEM. */
alloy_status alloy_team_open(alloy_team *team, int threads);
void alloy_team_close(alloy_team *team);

/* Around loops that follow each other closely (a forward): between them workers wait awake for some microseconds.
 * Outside, and after that, they sleep. Loops need no bracket. Brackets may be nested. */
void alloy_team_begin(const alloy_team *team);
void alloy_team_end(const alloy_team *team);

/* A task: `index` in [0, tasks), `scratch` ALLOY_SCRATCH_BYTES of the worker's own. Must not fail: what can be wrong is
 * checked before. Tasks should be short (up to some 100 microseconds): the loop ends when its last task does. */
typedef void alloy_task(void *context, int64_t index, void *scratch);

/* The kernels' half of a worker's scratch, from the task's. */
static inline void *alloy_kernel_scratch(void *scratch)
{
    return (uint8_t *)scratch + ALLOY_SCRATCH_BYTES;
}

/* Runs tasks 0..tasks-1, in no particular order, and returns when all are done. */
void alloy_parallel(const alloy_team *team, int64_t tasks, alloy_task *task, void *context);

#endif
