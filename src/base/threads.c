/* Threads by OpenMP (threads.h). */
#include "base/threads.h"

#include <fenv.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"

int alloy_processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : omp_get_num_procs();
    return count < 1 ? 1 : count > ALLOY_MOST_THREADS ? ALLOY_MOST_THREADS : count;
}

static void *wait_for_gate(void *gate)
{
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

/* How many of `wanted` workers, the caller among them, the system lets run at once. OpenMP's library ends the process
 * where it cannot make a thread, so that is tried before it is asked. */
static int workers_that_start(int wanted)
{
    pthread_t started[ALLOY_MOST_THREADS];
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    int workers = 1, error = 0;
    pthread_mutex_lock(&gate); /* so that none ends before the last has begun */
    while (workers < wanted && !(error = pthread_create(&started[workers], NULL, wait_for_gate, &gate)))
        workers++;
    pthread_mutex_unlock(&gate);
    for (int i = 1; i < workers; i++)
        pthread_join(started[i], NULL);
    if (error)
        alloy_warn("%d of %d threads: the system gives no more (%s); results are the same", workers, wanted,
                   strerror(error));
    return workers;
}

static void do_nothing(void *context, int64_t index, void *scratch)
{
    (void)context, (void)index, (void)scratch;
}

alloy_status alloy_team_open(alloy_team *team, int threads)
{
    *team = (alloy_team){0};
    if (threads < 0 || threads > ALLOY_MOST_THREADS)
        return alloy_fail(ALLOY_RANGE, "threads: %d, expected 1 to %d (0: one a processor)", threads,
                          ALLOY_MOST_THREADS);
    if (threads == 0)
        threads = alloy_processors();
    threads = workers_that_start(threads);
    team->scratch = alloy_memory_zeroed((size_t)threads, sizeof *team->scratch);
    if (!team->scratch)
        return ALLOY_NOMEM;
    for (team->threads = 0; team->threads < threads; team->threads++) {
        team->scratch[team->threads] = alloy_memory_aligned(2 * ALLOY_SCRATCH_BYTES, 1);
        if (!team->scratch[team->threads]) {
            alloy_team_close(team);
            return ALLOY_NOMEM;
        }
    }
    alloy_parallel(team, threads, do_nothing, NULL); /* OpenMP makes its threads now, and keeps them */
    return ALLOY_OK;
}

void alloy_team_close(alloy_team *team)
{
    for (int i = 0; i < team->threads; i++)
        alloy_memory_free(team->scratch[i]);
    alloy_memory_free(team->scratch);
    *team = (alloy_team){0};
}

static void run_alone(const alloy_team *team, int64_t tasks, alloy_task *task, void *context)
{
    fenv_t before;
    fegetenv(&before);
    fesetenv(FE_DFL_ENV);
    for (int64_t i = 0; i < tasks; i++)
        task(context, i, team->scratch[0]);
    fesetenv(&before);
}

void alloy_parallel(const alloy_team *team, int64_t tasks, alloy_task *task, void *context)
{
    int threads = tasks < team->threads ? (int)tasks : team->threads;
    if (threads <= 1) {
        run_alone(team, tasks, task, context);
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        fenv_t before;
        fegetenv(&before);
        fesetenv(FE_DFL_ENV);
        void *scratch = team->scratch[omp_get_thread_num()];
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < tasks; i++)
            task(context, i, scratch);
        fesetenv(&before);
    }
}
