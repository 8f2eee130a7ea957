/* Parallel loops: every task runs once, in a clean floating-point environment, and the caller's own comes back. */
#include "support.h"

#include <fenv.h>
#include <stdatomic.h>
#include <sys/wait.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "base/memory.h"
#include "base/threads.h"

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
    assert_int_equal(team_among(1), 1);
    if (geteuid() == 0) { /* others have processes that count too */
        assert_int_equal(team_among(3), 3);
        assert_int_equal(team_among(100), 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: a process that has used OpenMP cannot be forked and use it again */
        cmocka_unit_test(f10_a_team_takes_the_threads_that_there_are),
        cmocka_unit_test(every_task_runs_once_whatever_the_team),
        cmocka_unit_test(the_callers_floating_point_environment_is_restored),
        cmocka_unit_test(a_team_has_one_to_1024_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
