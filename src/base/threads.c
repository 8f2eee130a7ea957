/* A pool of threads for each team (threads.h).
 *
 * How a loop runs. All loops of a team draw their tasks from one sequence of tickets that never restarts. A loop of n
 * tasks is the tickets [end - n, end). `next` is the first ticket that nobody has claimed, `done` counts the tickets
 * whose tasks have returned. The caller writes the loop's description, then raises `end`; from then on everybody, the
 * caller included, claims ticket after ticket by raising `next` by one, and counts each in `done`. The caller works
 * until no ticket is left and then waits for done == end, that is for tasks that others are in the middle of.
 *
 * Invariants.
 *
 *  1. done <= next <= end. All three only grow. They are 64 bits: at a ticket a nanosecond they last for 500 years, so
 *     no number ever comes back, and a compare-and-swap that succeeds has seen the present.
 *  2. Between loops done == next == end. Only the caller raises `end`, and only between loops; only then does it write
 *     the description.
 *  3. A worker reads `next`, then `end`, then the description, then claims with a compare-and-swap. `end` was written
 *     after the description (release, acquire), so the description is that of the ticket's loop or of a later one; it
 *     is not of a later one if the claim succeeds, because that loop cannot have begun while the ticket was unclaimed.
 *     A worker that was not scheduled between the reads may have read a mixture: then its claim fails. The description
 *     consists of atomics because it may be read while it is written.
 *  4. A worker holds up the caller only while it has a ticket. One that is not scheduled at any other point costs
 *     nothing but its help, and no one ever waits for a worker to arrive or to leave.
 *  5. What a task wrote is seen by the caller: `done` is raised with release by each and read with acquire.
 *  6. Whoever is about to sleep says so first and looks again: the caller sets `caller_sleeps` and then reads `done`,
 *     while who raises `done` to the end then reads `caller_sleeps`; a worker counts itself in `sleepers` and then
 *     reads `end`, while the caller raises `end` and then reads `sleepers`. These are sequentially consistent, so one
 *     of the two sees the other. Were a worker missed, the loop would be done without it.
 *  7. `sleepers` is lowered for a worker that was woken by the one who woke it, else by the worker: no one is woken
 *     twice.
 *  8. Workers are awake without a task only between alloy_team_begin and alloy_team_end, and then for at most
 *     AWAKE nanoseconds. Between calls of the library nothing runs.
 *  9. A thread that was made is joined by alloy_team_close, except in a forked child, where it does not exist: the
 *     number of forks that led to this process is not the one that the pool was made in, and every loop runs alone.
 *
 * Losing the processor. Where other programs want the processors too, a worker now and then has its processor taken
 * away while it holds a ticket, and the caller waits for as long as that other program's time slice is: some
 * milliseconds, the time of many tasks. So a worker whom the caller had to wait for, asleep, and whose task took far
 * longer than the one before, asks the system whether its processor was taken away; if so it rests, that is sleeps and
 * claims nothing, for a time that doubles, up to MOST_REST, each time that this happens soon after a rest. Beside a
 * busy neighbour a team thus falls back to what its caller can do alone, and tries again a few times a second. */
#include "base/threads.h"

#include <errno.h>
#include <fenv.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/processors.h"
#include "base/status.h"

enum {
    STACK_BYTES = 512 * 1024, /* a worker's, of address space; tasks keep what is large in their scratch */
    AWAKE = 20 * 1000,        /* ns that one who waits stays awake */
    LOSS = 1000 * 1000,       /* ns beyond the usual that make a task a late one */
    LEAST_REST = 4 * 1000 * 1000,
    MOST_REST = 256 * 1000 * 1000, /* ns */
    LOOKS_A_TIME = 16,             /* looks between two readings of the clock */
    WOKEN_AT_ONCE = 4,             /* by one who wakes others; those wake the next */
};

/* A worker that is a thread: all but the caller. */
struct worker {
    struct alloy_pool *pool;
    pthread_t thread;
    int number; /* 1 to threads - 1 */
    void *scratch;
    int64_t usual;           /* ns of the last task */
    long taken_away;         /* times that the system took its processor away, when last asked */
    int64_t rested_at, rest; /* ns: when the last rest ended, and how long it was */
};

struct alloy_pool {
    /* Written by the caller between loops. */
    _Alignas(ALLOY_ALIGNMENT) atomic_uint_least64_t end;
    atomic_uint_least64_t first; /* ticket of task 0 */
    _Atomic(alloy_task *) task;
    _Atomic(void *) context;
    atomic_bool open; /* within a bracket */

    _Alignas(ALLOY_ALIGNMENT) atomic_uint_least64_t next;

    _Alignas(ALLOY_ALIGNMENT) atomic_uint_least64_t done;
    atomic_uint caller_sleeps; /* futex: 1 while the caller does or is about to */

    _Alignas(ALLOY_ALIGNMENT) atomic_uint calls; /* futex of sleeping workers: raised when some are wanted */
    atomic_int sleepers;
    atomic_bool closing;
    atomic_uint closed; /* futex of resting workers: 1 when the team closes */

    /* The caller's alone. */
    _Alignas(ALLOY_ALIGNMENT) int brackets; /* begun and not ended */
    fenv_t environment;                     /* the caller's, during a bracket */
    unsigned forks;                         /* `forks` of the process that made the threads */
    int workers;                            /* threads made */
    struct worker worker[];                 /* [threads - 1] */
};

/* ---- The system -------------------------------------------------------------------------------------------------- */

_Static_assert(sizeof(atomic_uint) == 4, "a futex is a word of 32 bits");

/* Sleeps while *word is `value`, for at most `nanoseconds` (negative: no limit). True: woken by `wake`. */
static bool sleep_while(atomic_uint *word, unsigned value, int64_t nanoseconds)
{
    struct timespec limit = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, nanoseconds < 0 ? NULL : &limit, NULL, 0) == 0;
}

/* Wakes up to `count` that sleep at the word; their number. */
static int wake(atomic_uint *word, int count)
{
    long woken = syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
    return woken < 0 ? 0 : (int)woken;
}

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Tells the processor that this is a loop that waits. */
static inline void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* How often the system took the processor of this thread away to give it to another. */
static long times_taken_away(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

/* ---- Forks ------------------------------------------------------------------------------------------------------- */

static atomic_uint forks; /* that led from the process that loaded the library to this one */

static void count_fork(void)
{
    atomic_fetch_add(&forks, 1);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

static bool has_workers(const struct alloy_pool *pool)
{
    return pool->workers > 0 && pool->forks == atomic_load_explicit(&forks, memory_order_relaxed);
}

/* ---- Tickets ----------------------------------------------------------------------------------------------------- */

/* A claimed task. */
struct ticket {
    alloy_task *task;
    void *context;
    int64_t index;
    uint64_t end; /* of its loop */
};

static bool tickets_left(struct alloy_pool *pool)
{
    return atomic_load(&pool->next) < atomic_load(&pool->end);
}

/* Invariant 3. */
static bool claim(struct alloy_pool *pool, struct ticket *ticket)
{
    uint64_t number = atomic_load_explicit(&pool->next, memory_order_acquire);
    do {
        ticket->end = atomic_load_explicit(&pool->end, memory_order_acquire);
        if (number >= ticket->end)
            return false;
        ticket->task = atomic_load_explicit(&pool->task, memory_order_relaxed);
        ticket->context = atomic_load_explicit(&pool->context, memory_order_relaxed);
        ticket->index = (int64_t)(number - atomic_load_explicit(&pool->first, memory_order_relaxed));
    } while (!atomic_compare_exchange_weak_explicit(&pool->next, &number, number + 1, memory_order_acq_rel,
                                                    memory_order_acquire));
    return true;
}

/* Counts a task of a worker as done. True: it was the last, and the caller slept. */
static bool finish(struct alloy_pool *pool, const struct ticket *ticket)
{
    if (atomic_fetch_add(&pool->done, 1) + 1 != ticket->end || atomic_exchange(&pool->caller_sleeps, 0) == 0)
        return false;
    wake(&pool->caller_sleeps, 1);
    return true;
}

/* Wakes workers for tickets that are left: a few, which wake others in turn. */
static void wake_workers(struct alloy_pool *pool)
{
    int asleep = atomic_load(&pool->sleepers);
    if (asleep <= 0)
        return;
    uint64_t end = atomic_load(&pool->end), next = atomic_load(&pool->next);
    uint64_t wanted = next < end ? end - next : 0;
    if (wanted == 0)
        return;
    atomic_fetch_add(&pool->calls, 1);
    int woken = wake(&pool->calls, wanted < WOKEN_AT_ONCE ? (int)wanted : WOKEN_AT_ONCE);
    atomic_fetch_sub(&pool->sleepers, woken);
}

/* ---- Workers ----------------------------------------------------------------------------------------------------- */

/* Invariant 8. */
static bool stay_awake(struct alloy_pool *pool)
{
    int64_t until = 0;
    while (atomic_load_explicit(&pool->open, memory_order_relaxed)) {
        for (int i = 0; i < LOOKS_A_TIME; i++) {
            if (tickets_left(pool))
                return true;
            pause_briefly();
        }
        int64_t now = nanoseconds();
        if (until == 0)
            until = now + AWAKE;
        else if (now > until)
            return false;
    }
    return false;
}

/* Invariants 6 and 7. */
static void sleep_until_called(struct alloy_pool *pool)
{
    atomic_fetch_add(&pool->sleepers, 1);
    unsigned call = atomic_load(&pool->calls);
    bool woken = false;
    if (!tickets_left(pool) && !atomic_load(&pool->closing))
        woken = sleep_while(&pool->calls, call, -1);
    if (!woken)
        atomic_fetch_sub(&pool->sleepers, 1);
}

/* The caller had to sleep until this worker was done with a task that took `took` nanoseconds. */
static void consider_rest(struct worker *w, int64_t took)
{
    if (took < 2 * w->usual + LOSS)
        return;
    long taken_away = times_taken_away();
    bool lost = taken_away != w->taken_away;
    w->taken_away = taken_away;
    if (!lost)
        return;
    int64_t now = nanoseconds();
    bool soon = w->rest > 0 && now - w->rested_at < 2 * w->rest;
    w->rest = !soon ? LEAST_REST : w->rest < MOST_REST / 2 ? 2 * w->rest : MOST_REST;
    sleep_while(&w->pool->closed, 0, w->rest);
    w->rested_at = nanoseconds();
}

static void run_tickets(struct worker *w)
{
    fesetenv(FE_DFL_ENV);
    for (struct ticket ticket; claim(w->pool, &ticket);) {
        int64_t begin = nanoseconds();
        ticket.task(ticket.context, ticket.index, w->scratch);
        int64_t took = nanoseconds() - begin;
        if (finish(w->pool, &ticket))
            consider_rest(w, took);
        w->usual = took;
    }
}

static void *work(void *argument)
{
    struct worker *w = argument;
    struct alloy_pool *pool = w->pool;
    char name[16]; /* as long as the system takes */
    snprintf(name, sizeof name, "alloy-%d", w->number);
    pthread_setname_np(pthread_self(), name);
    while (!atomic_load(&pool->closing)) {
        if (tickets_left(pool))
            run_tickets(w);
        if (stay_awake(pool))
            continue;
        sleep_until_called(pool);
        wake_workers(pool);
    }
    return NULL;
}

/* ---- The caller -------------------------------------------------------------------------------------------------- */

static void run_alone(const alloy_team *team, int64_t tasks, alloy_task *task, void *context)
{
    for (int64_t i = 0; i < tasks; i++)
        task(context, i, team->scratch[0]);
}

/* Waits for tasks that others are in the middle of. */
static void wait_for_others(struct alloy_pool *pool, uint64_t end)
{
    int64_t until = 0;
    for (;;) {
        for (int i = 0; i < LOOKS_A_TIME; i++) {
            if (atomic_load_explicit(&pool->done, memory_order_acquire) == end)
                return;
            pause_briefly();
        }
        int64_t now = nanoseconds();
        if (until == 0)
            until = now + AWAKE;
        else if (now > until)
            break;
    }
    for (;;) {
        atomic_store(&pool->caller_sleeps, 1);
        if (atomic_load(&pool->done) == end)
            break;
        sleep_while(&pool->caller_sleeps, 1, -1);
    }
    atomic_store(&pool->caller_sleeps, 0);
}

static void run_together(const alloy_team *team, int64_t tasks, alloy_task *task, void *context)
{
    struct alloy_pool *pool = team->pool;
    uint64_t first = atomic_load_explicit(&pool->end, memory_order_relaxed), end = first + (uint64_t)tasks, mine = 0;
    atomic_store_explicit(&pool->first, first, memory_order_relaxed);
    atomic_store_explicit(&pool->task, task, memory_order_relaxed);
    atomic_store_explicit(&pool->context, context, memory_order_relaxed);
    atomic_store(&pool->end, end);
    wake_workers(pool);
    for (struct ticket ticket; claim(pool, &ticket); mine++)
        task(context, ticket.index, team->scratch[0]);
    if (atomic_fetch_add(&pool->done, mine) + mine != end)
        wait_for_others(pool, end);
}

void alloy_team_begin(const alloy_team *team)
{
    struct alloy_pool *pool = team->pool;
    if (pool->brackets++ > 0)
        return;
    fegetenv(&pool->environment);
    fesetenv(FE_DFL_ENV);
    atomic_store_explicit(&pool->open, true, memory_order_relaxed);
}

void alloy_team_end(const alloy_team *team)
{
    struct alloy_pool *pool = team->pool;
    if (--pool->brackets > 0)
        return;
    atomic_store_explicit(&pool->open, false, memory_order_relaxed);
    fesetenv(&pool->environment);
}

void alloy_parallel(const alloy_team *team, int64_t tasks, alloy_task *task, void *context)
{
    bool bracket = team->pool->brackets == 0;
    if (bracket)
        alloy_team_begin(team);
    if (tasks > 1 && has_workers(team->pool))
        run_together(team, tasks, task, context);
    else
        run_alone(team, tasks, task, context);
    if (bracket)
        alloy_team_end(team);
}

/* ---- Opening and closing ----------------------------------------------------------------------------------------- */

/* Blocks the signals that have nothing to do with what a thread does, so that a worker inherits that: the process's
 * handlers then run in its own threads. */
static void block_signals(sigset_t *before)
{
    static const int of_the_thread[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof of_the_thread / sizeof *of_the_thread; i++)
        sigdelset(&blocked, of_the_thread[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, before);
}

static int start_thread(struct worker *w)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error)
        return error;
    error = pthread_attr_setstacksize(&attributes, STACK_BYTES);
    if (!error)
        error = pthread_create(&w->thread, &attributes, work, w);
    pthread_attr_destroy(&attributes);
    if (error == EINVAL) /* the process's thread-local variables, which lie there too, are larger */
        error = pthread_create(&w->thread, NULL, work, w);
    return error;
}

static void say_once(int threads, int wanted, int error)
{
    static atomic_bool said;
    if (!atomic_exchange(&said, true))
        alloy_warn("%d of %d threads: the system gives no more (%s); results are the same", threads, wanted,
                   strerror(error));
}

/* Scratch and a thread for each worker, while the system gives threads. */
static alloy_status add_workers(alloy_team *team, int threads)
{
    struct alloy_pool *pool = team->pool;
    sigset_t before;
    int error = 0;
    alloy_status status = ALLOY_OK;
    block_signals(&before);
    while (team->threads < threads && !error && !status) {
        void *scratch = alloy_memory_aligned(2 * ALLOY_SCRATCH_BYTES, 1);
        if (!scratch) {
            status = ALLOY_NOMEM;
            break;
        }
        if (team->threads > 0) {
            struct worker *w = &pool->worker[pool->workers];
            *w = (struct worker){.pool = pool, .number = team->threads, .scratch = scratch};
            error = start_thread(w);
        }
        if (error) {
            alloy_memory_free(scratch);
            break;
        }
        pool->workers += team->threads > 0;
        team->scratch[team->threads++] = scratch;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        say_once(team->threads, threads, error);
    return status;
}

alloy_status alloy_team_open(alloy_team *team, int threads)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *team = (alloy_team){0};
    if (threads < 0 || threads > ALLOY_MOST_THREADS)
        return alloy_fail(ALLOY_RANGE, "threads: %d, expected 1 to %d (0: one a processor)", threads,
                          ALLOY_MOST_THREADS);
    if (threads == 0)
        threads = alloy_processors();
    pthread_once(&once, watch_forks);
    size_t bytes = sizeof(struct alloy_pool) + (size_t)threads * sizeof(struct worker);
    team->scratch = alloy_memory_zeroed((size_t)threads, sizeof *team->scratch);
    team->pool = alloy_memory_aligned(bytes, 1);
    if (!team->scratch || !team->pool) {
        alloy_team_close(team);
        return ALLOY_NOMEM;
    }
    memset(team->pool, 0, bytes);
    team->pool->forks = atomic_load(&forks);
    alloy_status status = add_workers(team, threads);
    if (status)
        alloy_team_close(team);
    return status;
}

static void join_workers(struct alloy_pool *pool)
{
    atomic_store(&pool->closing, true);
    atomic_fetch_add(&pool->calls, 1);
    wake(&pool->calls, INT_MAX);
    atomic_store(&pool->closed, 1);
    wake(&pool->closed, INT_MAX);
    for (int i = 0; i < pool->workers; i++)
        pthread_join(pool->worker[i].thread, NULL);
}

void alloy_team_close(alloy_team *team)
{
    if (team->pool && has_workers(team->pool))
        join_workers(team->pool);
    for (int i = 0; i < team->threads; i++)
        alloy_memory_free(team->scratch[i]);
    alloy_memory_free(team->scratch);
    alloy_memory_free(team->pool);
    *team = (alloy_team){0};
}
