/* Parallel loops: every task runs once, in a clean floating-point environment, and the caller's own comes back; nobody
 * waits for a worker that has no task; nothing runs between calls; a forked child goes on alone. Built with
 * ThreadSanitizer too (preset `races`), which watches the protocol at the head of src/base/threads.c. */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "base/memory.h"
#include "base/processors.h"
#include "base/threads.h"

#if defined(__SANITIZE_THREAD__)
enum { CHILDREN_HAVE_THREADS = 0 }; /* ThreadSanitizer knows no thread that a forked child starts */
#else
enum { CHILDREN_HAVE_THREADS = 1 };
#endif

enum { TASKS = 10007 };

struct record {
    atomic_int runs[TASKS];
    atomic_int unclean; /* tasks that saw another environment than the default */
    _Atomic(void *) scratch[TASKS];
};

static void note(void *context, int64_t index, void *scratch)
{
    struct record *record = context;
    atomic_fetch_add(&record->runs[index], 1);
    atomic_store(&record->scratch[index], scratch);
    memset(scratch, (int)index, 64);
    memset(alloy_kernel_scratch(scratch), (int)index, ALLOY_SCRATCH_BYTES);
    volatile float smallest = 0x1p-126f, half = 0.5f;
    volatile float denormal = smallest * half;
    if (denormal == 0 || fegetround() != FE_TONEAREST)
        atomic_fetch_add(&record->unclean, 1);
    fesetround(FE_UPWARD);
    fesetround(FE_TONEAREST);
}

static void run(int threads, int64_t tasks)
{
    struct record *record = calloc(1, sizeof *record);
    assert_non_null(record);
    alloy_team team;
    expect_ok(alloy_team_open(&team, threads));
    alloy_parallel(&team, tasks, note, record);
    for (int64_t i = 0; i < TASKS; i++)
        assert_int_equal(record->runs[i], i < tasks);
    assert_int_equal(record->unclean, 0);
    for (int64_t i = 0; i < tasks; i++) {
        bool known = false;
        for (int worker = 0; worker < team.threads; worker++)
            known = known || record->scratch[i] == team.scratch[worker];
        assert_true(known);
        assert_int_equal((uintptr_t)record->scratch[i] % ALLOY_ALIGNMENT, 0);
    }
    alloy_team_close(&team);
    free(record);
}

static void every_task_runs_once_whatever_the_team(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 3, 8};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        run(threads[i], 0);
        run(threads[i], 1);
        run(threads[i], 2);
        run(threads[i], 1000);
    }
    run(0, TASKS);
}

/* Other libraries flush denormals to zero and round elsewhere: tasks must not notice, and the library must get its
 * settings back. */
static void the_callers_floating_point_environment_is_restored(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads += 2) {
        fesetround(FE_DOWNWARD);
#if defined(__SSE__)
        unsigned before = _mm_getcsr();
        _mm_setcsr(before | 0x8040); /* flush to zero, denormals are zero */
#endif
        run(threads, 500);
        assert_int_equal(fegetround(), FE_DOWNWARD);
#if defined(__SSE__)
        assert_int_equal(_mm_getcsr() & 0x8040, 0x8040);
        _mm_setcsr(before);
#endif
        fesetround(FE_TONEAREST);
    }
}

static void a_team_has_one_to_1024_workers(void **state)
{
    (void)state;
    alloy_team team;
    expect_failure(alloy_team_open(&team, -1), ALLOY_RANGE, "threads: -1", "1 to 1024");
    expect_failure(alloy_team_open(&team, 1025), ALLOY_RANGE, "threads: 1025");
    expect_failure(alloy_team_open(&team, INT32_MAX), ALLOY_RANGE, "threads");
    expect_ok(alloy_team_open(&team, 0));
    assert_int_equal(team.threads, alloy_processors());
    alloy_team_close(&team);
    assert_int_equal(team.threads, 0);
    for (int n = 0; n < 4; n++) {
        alloy_memory_fail_after(n);
        alloy_status status = alloy_team_open(&team, 3);
        alloy_memory_fail_after(-1);
        expect_failure(status, ALLOY_NOMEM, "memory");
        assert_null(team.scratch);
    }
}

/* ---- Many loops -------------------------------------------------------------------------------------------------- */

struct sums {
    atomic_int_least64_t sum; /* of the indices that ran */
    int64_t plain[64];        /* [index] written without an atomic: the loop itself must order it */
};

static void add_index(void *context, int64_t index, void *scratch)
{
    struct sums *sums = context;
    (void)scratch;
    atomic_fetch_add(&sums->sum, index + 1);
    sums->plain[index]++;
}

/* Loops of every size up to 64, one right after the other, so that late workers of one meet the next. */
static void run_many_loops(const alloy_team *team, int loops)
{
    for (int i = 0; i < loops; i++) {
        struct sums sums = {0}; /* of this loop: a task that ran in another would be missed here or find junk */
        int64_t tasks = i % 64 + 1;
        alloy_parallel(team, tasks, add_index, &sums);
        if (sums.sum != tasks * (tasks + 1) / 2)
            fail_msg("loop %d of %lld tasks: indices add up to %lld", i, (long long)tasks, (long long)sums.sum);
        for (int64_t t = 0; t < 64; t++)
            assert_int_equal(sums.plain[t], t < tasks);
    }
}

static void loops_that_follow_each_other_do_not_mix(void **state)
{
    (void)state;
    static const int threads[] = {2, 3, 16};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        alloy_team team;
        expect_ok(alloy_team_open(&team, threads[i]));
        run_many_loops(&team, 3000);
        alloy_team_begin(&team);
        alloy_team_begin(&team);
        run_many_loops(&team, 3000);
        alloy_team_end(&team);
        run_many_loops(&team, 3000);
        alloy_team_end(&team);
        alloy_team_close(&team);
    }
}

static void *run_a_team(void *failed)
{
    alloy_team team;
    if (alloy_team_open(&team, 3)) {
        atomic_store((atomic_bool *)failed, true);
        return NULL;
    }
    for (int i = 0; i < 2000; i++) {
        struct sums sums = {0};
        alloy_parallel(&team, 32, add_index, &sums);
        if (sums.sum != 32 * 33 / 2)
            atomic_store((atomic_bool *)failed, true);
    }
    alloy_team_close(&team);
    return NULL;
}

static void teams_of_several_threads_work_side_by_side(void **state)
{
    (void)state;
    enum { SIDE_BY_SIDE = 4 };
    pthread_t threads[SIDE_BY_SIDE];
    atomic_bool failed[SIDE_BY_SIDE] = {0};
    for (int i = 0; i < SIDE_BY_SIDE; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_a_team, &failed[i]), 0);
    for (int i = 0; i < SIDE_BY_SIDE; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(failed[i]);
    }
}

static void run_inner(void *context, int64_t index, void *scratch)
{
    struct sums *sums = context;
    alloy_team team;
    (void)scratch;
    if (alloy_team_open(&team, 2))
        return;
    struct sums inner = {0};
    alloy_parallel(&team, 10, add_index, &inner);
    alloy_team_close(&team);
    sums[index].sum = inner.sum;
}

static void a_task_may_open_a_team_of_its_own(void **state)
{
    (void)state;
    struct sums sums[8] = {0};
    alloy_team team;
    expect_ok(alloy_team_open(&team, 3));
    alloy_parallel(&team, 8, run_inner, sums);
    alloy_team_close(&team);
    for (int i = 0; i < 8; i++)
        assert_int_equal(sums[i].sum, 55);
}

/* ---- Workers that are held up ------------------------------------------------------------------------------------ */

enum { PATIENCE = 60 }; /* seconds after which a test says that it hangs */

struct holdup {
    int64_t held, tasks;
    atomic_int finished; /* tasks other than those that are held up */
    atomic_bool hangs;
};

static void hold_up(void *context, int64_t index, void *scratch)
{
    struct holdup *holdup = context;
    (void)scratch;
    if (index >= holdup->held) {
        atomic_fetch_add(&holdup->finished, 1);
        return;
    }
    for (time_t end = time(NULL) + PATIENCE; atomic_load(&holdup->finished) < holdup->tasks - holdup->held;) {
        usleep(100);
        if (time(NULL) > end) {
            atomic_store(&holdup->hangs, true);
            return;
        }
    }
}

/* All workers but one have a task that ends only when every other task is done: the one does them all. */
static void a_worker_that_is_held_up_holds_up_its_task_alone(void **state)
{
    (void)state;
    for (int threads = 2; threads <= 4; threads++) {
        alloy_team team;
        expect_ok(alloy_team_open(&team, threads));
        for (int round = 0; round < 20; round++) {
            struct holdup holdup = {.held = threads - 1, .tasks = 500};
            alloy_parallel(&team, holdup.tasks, hold_up, &holdup);
            assert_false(holdup.hangs);
        }
        alloy_team_close(&team);
    }
}

/* ---- Between calls ----------------------------------------------------------------------------------------------- */

/* Processor seconds that the process takes while this thread sleeps for 0.3 s. */
static double seconds_of_sleep(void)
{
    usleep(20000);
    double begin = processor_seconds();
    usleep(300000);
    return processor_seconds() - begin;
}

static void nothing_runs_between_calls(void **state)
{
    (void)state;
    alloy_team team;
    expect_ok(alloy_team_open(&team, 8));
    run_many_loops(&team, 100);
    double outside = seconds_of_sleep();
    alloy_team_begin(&team);
    run_many_loops(&team, 100);
    double inside = seconds_of_sleep();
    alloy_team_end(&team);
    alloy_team_close(&team);
    if (outside > 0.01 || inside > 0.01)
        fail_msg("in 0.3 s of sleep the process took %.4f s of processor time, and in a bracket %.4f s; expected "
                 "next to nothing",
                 outside, inside);
}

static int threads_of_process(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *entry; (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

static void closing_ends_the_threads(void **state)
{
    (void)state;
    int before = threads_of_process();
    for (int i = 0; i < 100; i++) {
        alloy_team team;
        expect_ok(alloy_team_open(&team, 4));
        if (i % 2)
            alloy_parallel(&team, 5, add_index, &(struct sums){0});
        assert_int_equal(threads_of_process(), before + 3);
        alloy_team_close(&team);
        for (int looks = 0; threads_of_process() > before && looks < 1000; looks++)
            usleep(1000); /* the system counts a thread for a moment after it was joined */
        assert_int_equal(threads_of_process(), before);
    }
}

/* ---- Signals ----------------------------------------------------------------------------------------------------- */

static pthread_t main_thread;
static atomic_int elsewhere, arrived; /* signals that ran in another thread, and all */

static void note_signal(int number)
{
    (void)number;
    atomic_fetch_add(&elsewhere, !pthread_equal(pthread_self(), main_thread));
    atomic_fetch_add(&arrived, 1);
}

static void handlers_run_in_the_threads_of_the_program(void **state)
{
    (void)state;
    main_thread = pthread_self();
    struct sigaction action = {.sa_handler = note_signal}, before;
    sigaction(SIGUSR1, &action, &before);
    alloy_team team;
    sigset_t mask;
    expect_ok(alloy_team_open(&team, 4));
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    assert_false(sigismember(&mask, SIGUSR1)); /* only the workers block it */
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    for (int i = 0; i < 20; i++) { /* to the process, while only workers could take it */
        pthread_sigmask(SIG_BLOCK, &mask, NULL);
        kill(getpid(), SIGUSR1);
        run_many_loops(&team, 20);
        assert_int_equal(arrived, i);
        pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
        assert_int_equal(arrived, i + 1);
    }
    alloy_team_close(&team);
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(elsewhere, 0);
}

/* A worker's task writes where it must not; the caller's waits for the end that this makes. */
static void reach_nowhere(void *context, int64_t index, void *scratch)
{
    volatile char *pages = context;
    (void)scratch;
    if (pthread_equal(pthread_self(), main_thread))
        sleep(PATIENCE);
    else
        pages[index * 4096] = 1;
}

static void leave(int number)
{
    _exit(number);
}

/* A fault is the worker's own: the command's handler tells which file was cut short. */
static void a_fault_in_a_worker_reaches_the_handler(void **state)
{
    (void)state;
    pid_t pid = CHILDREN_HAVE_THREADS ? fork() : -1;
    if (pid < 0) {
        print_message("not run: a fault in a worker of a child\n");
        return;
    }
    if (pid == 0) {
        alloy_team team;
        main_thread = pthread_self();
        signal(SIGSEGV, leave);
        signal(SIGBUS, leave);
        void *pages = mmap(NULL, 4 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages == MAP_FAILED || alloy_team_open(&team, 4))
            _exit(100);
        alloy_parallel(&team, 4, reach_nowhere, pages);
        _exit(101);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), SIGSEGV);
}

/* ---- Forks ------------------------------------------------------------------------------------------------------- */

/* What a child does with a team that it got: 0 when all is right. */
static int use_inherited(alloy_team *team, int brackets)
{
    alarm(PATIENCE);
    for (int i = 0; i < 100; i++) {
        struct sums sums = {0};
        alloy_parallel(team, 64, add_index, &sums);
        if (sums.sum != 64 * 65 / 2)
            return 1;
    }
    while (brackets-- > 0)
        alloy_team_end(team);
    alloy_team_close(team);
    if (!CHILDREN_HAVE_THREADS)
        return 0;
    if (alloy_team_open(team, 3)) /* its own has workers again */
        return 2;
    struct sums sums = {0};
    alloy_parallel(team, 64, add_index, &sums);
    bool right = team->threads == 3 && sums.sum == 64 * 65 / 2;
    alloy_team_close(team);
    return right ? 0 : 3;
}

static void expect_child(pid_t pid)
{
    int status;
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        fail_msg("the child ended with status %x", (unsigned)status);
}

static void a_forked_child_goes_on_alone(void **state)
{
    (void)state;
    alloy_team team;
    expect_ok(alloy_team_open(&team, 4));
    for (int brackets = 0; brackets <= 2; brackets++) {
        for (int i = 0; i < brackets; i++)
            alloy_team_begin(&team);
        run_many_loops(&team, 50);
        pid_t pid = fork();
        if (pid == 0) {
            pid_t grandchild = fork();
            if (grandchild == 0)
                _exit(use_inherited(&team, brackets));
            int status;
            bool right = waitpid(grandchild, &status, 0) == grandchild && status == 0;
            _exit(right ? use_inherited(&team, brackets) : 4);
        }
        run_many_loops(&team, 50); /* and so does the parent */
        expect_child(pid);
        for (int i = 0; i < brackets; i++)
            alloy_team_end(&team);
    }
    alloy_team_close(&team);
}

struct forking {
    const alloy_team *team;
    atomic_bool stop;
    atomic_int loops;
};

static void *keep_running(void *context)
{
    struct forking *forking = context;
    while (!atomic_load(&forking->stop)) {
        struct sums sums = {0};
        alloy_parallel(forking->team, 64, add_index, &sums);
        if (sums.sum != 64 * 65 / 2)
            atomic_store(&forking->stop, true);
        atomic_fetch_add(&forking->loops, 1);
    }
    return NULL;
}

/* Another thread's loop is in the middle when the process forks: the child has neither that thread nor its workers, and
 * closes the team without waiting for them. */
static void a_fork_in_the_middle_of_a_loop_harms_neither_side(void **state)
{
    (void)state;
    alloy_team team;
    expect_ok(alloy_team_open(&team, 3));
    struct forking forking = {.team = &team};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, keep_running, &forking), 0);
    for (int i = 0; i < 20; i++) {
        int before = atomic_load(&forking.loops);
        while (atomic_load(&forking.loops) == before)
            usleep(50);
        pid_t pid = fork();
        if (pid == 0) {
            alarm(PATIENCE);
            alloy_team_close(&team);
            if (!CHILDREN_HAVE_THREADS)
                _exit(0);
            bool right = alloy_team_open(&team, 2) == ALLOY_OK;
            struct sums sums = {0};
            alloy_parallel(&team, 64, add_index, &sums);
            alloy_team_close(&team);
            _exit(right && sums.sum == 64 * 65 / 2 ? 0 : 1);
        }
        expect_child(pid);
    }
    assert_false(forking.stop);
    forking.stop = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    alloy_team_close(&team);
}

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

/* In a process of its own that may have `most` threads: what a team of 8 has, or 100 when it failed. */
static int team_among(rlim_t most)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {most, most};
        static struct warnings warnings;
        alloy_team team;
        if ((geteuid() == 0 && setuid(65531) != 0) || setrlimit(RLIMIT_NPROC, &limit) != 0)
            _exit(101); /* root has no limit, so this is a user that has no other process */
        collect_warnings(&warnings);
        if (alloy_team_open(&team, 8))
            _exit(100);
        struct record *record = calloc(1, sizeof *record);
        alloy_parallel(&team, TASKS, note, record);
        for (int64_t i = 0; record && i < TASKS; i++)
            if (record->runs[i] != 1)
                _exit(102);
        _exit(warnings.count == (team.threads < 8) ? team.threads : 103);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void f10_a_team_takes_the_threads_that_there_are(void **state)
{
    (void)state;
    if (!CHILDREN_HAVE_THREADS) {
        print_message("not run under ThreadSanitizer: limits of processes\n");
        return;
    }
    assert_int_equal(team_among(1), 1);
    if (geteuid() == 0) { /* others have processes that count too */
        assert_int_equal(team_among(3), 3);
        assert_int_equal(team_among(100), 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_once_whatever_the_team),
        cmocka_unit_test(the_callers_floating_point_environment_is_restored),
        cmocka_unit_test(a_team_has_one_to_1024_workers),
        cmocka_unit_test(loops_that_follow_each_other_do_not_mix),
        cmocka_unit_test(teams_of_several_threads_work_side_by_side),
        cmocka_unit_test(a_task_may_open_a_team_of_its_own),
        cmocka_unit_test(a_worker_that_is_held_up_holds_up_its_task_alone),
        cmocka_unit_test(nothing_runs_between_calls),
        cmocka_unit_test(closing_ends_the_threads),
        cmocka_unit_test(handlers_run_in_the_threads_of_the_program),
        cmocka_unit_test(a_fault_in_a_worker_reaches_the_handler),
        cmocka_unit_test(a_forked_child_goes_on_alone),
        cmocka_unit_test(a_fork_in_the_middle_of_a_loop_harms_neither_side),
        cmocka_unit_test(f10_a_team_takes_the_threads_that_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
