/* Where address space or threads are short the command gives the right result or says that memory is short, with 2 to
 * 64 threads and at whatever allocation it meets the limit: it never ends otherwise. */
#include "spawn.h"

#define GENERATE "generate", MOBY, "--ids", "1,2,3", "-n", "3", "-t"
#define VERIFY "verify", MOBY, "-n", "8", "-q", "-t"

static char *const thread_counts[] = {"2", "3", "8", "64"};
enum { COUNTS = sizeof thread_counts / sizeof *thread_counts };

/* The answer of an unlimited run, or NOMEM with a line that says so. True: the former. */
static bool expect_right_or_nomem(const struct answer *answer, const char *right, const char *limit)
{
    if (answer->code == ALLOY_OK && strcmp(answer->out, right) == 0)
        return true;
    const char *line = strstr(answer->err, "alloy: ");
    if (answer->code == ALLOY_NOMEM && line && (strstr(line, "memory") || strstr(line, "address space")))
        return false;
    fail_msg("%s\nwith %s: ended with %d (signal %d), printed \"%s\"\n%s\nexpected \"%s\" or NOMEM", answer->line,
             limit, answer->code, answer->signal, answer->out, answer->err, right);
    return false;
}

/* The least address space, to a page, in which the program gets as far as its own first line. */
static size_t least_memory(void)
{
    size_t low = 0, high = (size_t)1 << 30, page = 4096;
    while (high - low > page) {
        size_t middle = (low + high) / 2 / page * page;
        struct answer answer = run((struct setup){.memory = middle}, "--version");
        if (answer.code == ALLOY_OK)
            high = middle;
        else
            low = middle;
        forget(&answer);
    }
    return high;
}

/* Runs under limits of `first` bytes and `steps` more, `step` apart; how many of them gave the result. */
static int sweep_memory(char **words, size_t first, size_t step, int steps)
{
    struct answer unlimited = run_words(plainly, words);
    int right = 0;
    expect_code(&unlimited, ALLOY_OK);
    for (int i = 0; i < steps; i++) {
        char limit[64];
        size_t memory = first + (size_t)i * step;
        snprintf(limit, sizeof limit, "%zu bytes of address space", memory);
        struct answer answer = run_words((struct setup){.memory = memory}, words);
        right += expect_right_or_nomem(&answer, unlimited.out, limit);
        forget(&answer);
    }
    forget(&unlimited);
    return right;
}

static void f10_short_of_address_space_it_is_right_or_nomem(void **state)
{
    (void)state;
    if (ALLOY_TEST_SANITIZED) {
        print_message("not run under a sanitizer: limits of address space\n");
        return;
    }
    size_t least = least_memory();
    for (int i = 0; i < COUNTS; i++) {
        char *generate[] = {ALLOY_COMMAND, GENERATE, thread_counts[i], NULL};
        assert_true(sweep_memory(generate, least, 472 * 1024, 30) < 30); /* begins where it cannot be right */
        assert_true(sweep_memory(generate, least, 6000 * 1024, 30) > 0); /* ends where it can */
        char *verify[] = {ALLOY_COMMAND, VERIFY, thread_counts[i], NULL};
        sweep_memory(verify, least, 3300 * 1024, 10);
    }
}

static void f10_short_of_threads_it_is_right(void **state)
{
    (void)state;
    static const int limits[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 40, 63, 64, 65, 200};
    struct answer reachable = run((struct setup){.processes = 1000}, "info", MOBY);
    bool can_run = reachable.code == ALLOY_OK;
    forget(&reachable);
    if (!can_run) {
        print_message("not run: another user cannot run %s on %s\n", ALLOY_COMMAND, MOBY);
        return;
    }
    if (ALLOY_TEST_SANITIZED)
        setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* that needs a thread of its own */
    for (int i = 0; i < COUNTS; i++) {
        struct answer unlimited = run(plainly, GENERATE, thread_counts[i]);
        expect_code(&unlimited, ALLOY_OK);
        for (size_t j = 0; j < sizeof limits / sizeof *limits; j++) {
            char limit[64];
            snprintf(limit, sizeof limit, "%d threads of the user", limits[j]);
            struct answer answer = run((struct setup){.processes = limits[j]}, GENERATE, thread_counts[i]);
            assert_true(expect_right_or_nomem(&answer, unlimited.out, limit));
            if (geteuid() == 0) { /* the user has no other process: the warning comes where it must, once */
                bool fewer = limits[j] < atoi(thread_counts[i]);
                const char *said = strstr(answer.err, "the system gives no more");
                assert_int_equal(said != NULL, fewer);
                assert_true(!said || !strstr(said + 1, "the system gives no more"));
            }
            forget(&answer);
        }
        forget(&unlimited);
    }
}

/* Other programs' libraries end the process when these are odd. */
static void variables_of_other_thread_libraries_have_no_effect(void **state)
{
    (void)state;
    static const char *const names[] = {"OMP_STACKSIZE",   "OMP_NUM_THREADS",   "OMP_THREAD_LIMIT",
                                        "OMP_WAIT_POLICY", "GOMP_CPU_AFFINITY", "GOMP_SPINCOUNT"};
    static const char *const values[] = {"1000000G", "-1", "1", "nonsense"};
    struct answer plain = run(plainly, GENERATE, "3");
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        for (size_t n = 0; n < sizeof names / sizeof *names; n++)
            setenv(names[n], values[v], 1);
        struct answer answer = run(plainly, GENERATE, "3");
        expect_code(&answer, ALLOY_OK);
        expect_text(answer.out, plain.out);
        assert_null(strstr(answer.err, "warning"));
        forget(&answer);
    }
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        unsetenv(names[n]);
    forget(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f10_short_of_address_space_it_is_right_or_nomem),
        cmocka_unit_test(f10_short_of_threads_it_is_right),
        cmocka_unit_test(variables_of_other_thread_libraries_have_no_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
