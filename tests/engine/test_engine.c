/* Requests that come and go: each gets what it would get alone, to the bit, whatever happens to its neighbours. */
#include "support.h"

#include <math.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "attacks/spoiled_model.h"
#include "base/memory.h"

#define GOLDEN ALLOY_SOURCE_DIR "/tests/golden/"

enum { VOCAB = 256, STEPS = 200, NEW = 16, LONG = 40, CHUNK = 12, MOST_REQUESTS = 8 };

struct fixture {
    alloy_model *model;
    alloy_session *session;
    alloy_engine *engine;
    int64_t long_prompt[LONG];
};

static struct fixture open_fixture(const char *folder)
{
    struct fixture f = {0};
    expect_ok(alloy_model_open(&f.model, folder, NULL));
    expect_ok(alloy_session_open(
        &f.session, f.model,
        &(alloy_session_options){.size = sizeof(alloy_session_options), .threads = 2, .chunk = CHUNK}));
    expect_ok(alloy_engine_open(&f.engine, f.session, NULL));
    for (int64_t i = 0; i < LONG; i++)
        f.long_prompt[i] = (i * 37 + 11) % 199;
    return f;
}

static void close_fixture(struct fixture *f)
{
    alloy_engine_close(f->engine);
    alloy_session_close(f->session);
    alloy_model_close(f->model);
}

/* All log-probabilities of each step are kept: they show every bit of the logits. */
static const alloy_generate_options greedy = {
    .size = sizeof greedy, .max_new_tokens = NEW, .ignore_eos = true, .logprobs = VOCAB};

static alloy_generate_options sampled(uint64_t seed)
{
    alloy_generate_options options = greedy;
    options.sampling = (alloy_sampling){.temperature = 1.5, .top_k = 40, .repetition_penalty = 1.2, .seed = seed};
    return options;
}

static alloy_request *submit(struct fixture *f, alloy_prompt prompt, alloy_generate_options options)
{
    alloy_request *request;
    expect_ok(alloy_engine_submit(&request, f->engine, &prompt, &options));
    return request;
}

/* Steps until all are over, at most `most` times. Every event belongs to a request that has not failed before it. */
static int64_t run(struct fixture *f, int64_t most)
{
    int64_t steps = 0;
    for (; steps < most && alloy_engine_live(f->engine) > 0; steps++) {
        const alloy_event *events;
        int64_t count;
        alloy_engine_step(f->engine, &events, &count);
        for (int64_t i = 0; i < count; i++) {
            assert_int_equal(events[i].status, alloy_request_status(events[i].request));
            assert_true(events[i].status || events[i].piece.id >= 0);
        }
    }
    return steps;
}

static bool are_same(const alloy_output *a, const alloy_output *b)
{
    bool same = a->count == b->count && a->finish == b->finish;
    for (int64_t i = 0; same && i < a->count; i++)
        same = a->ids[i] == b->ids[i];
    for (int64_t i = 0; same && i < a->count * VOCAB; i++)
        same = a->likeliest[i].id == b->likeliest[i].id && a->likeliest[i].logprob == b->likeliest[i].logprob;
    return same;
}

static void expect_as_alone(struct fixture *f, alloy_request *request, alloy_prompt prompt,
                            alloy_generate_options options, int64_t output, const char *what)
{
    alloy_generation *alone;
    expect_ok(alloy_request_status(request));
    expect_ok(alloy_generate(&alone, f->session, NULL, &prompt, 1, &options));
    const alloy_output *a = alloy_generation_output(alone, output), *b = alloy_request_output(request, output);
    if (!are_same(a, b))
        fail_msg("%s: %lld ids (%s) alone and %lld (%s) in the batch, or others", what, (long long)a->count,
                 alloy_finish_name(a->finish), (long long)b->count, alloy_finish_name(b->finish));
    alloy_generation_close(alone);
}

static const int64_t short_ids[] = {5, 9, 200, 31, 7};
static const alloy_prompt short_prompt = {short_ids, 5};

/* ---- Neighbours -------------------------------------------------------------------------------------------------- */

static void requests_that_come_while_others_run_get_what_they_get_alone(void **state)
{
    (void)state;
    const char *const folders[] = {GOLDEN "qwen3", GOLDEN "qwen3_5", GOLDEN "qwen3_moe"};
    for (int i = 0; i < 3; i++) {
        struct fixture f = open_fixture(folders[i]);
        alloy_prompt long_prompt = {f.long_prompt, LONG};
        alloy_generate_options many = sampled(3);
        many.num_return_sequences = 3;
        alloy_request *first = submit(&f, short_prompt, greedy);
        run(&f, 3);
        alloy_request *second = submit(&f, long_prompt, many);
        run(&f, 2); /* in the middle of its prompt */
        alloy_request *third = submit(&f, short_prompt, sampled(9));
        run(&f, INT64_MAX);
        expect_as_alone(&f, first, short_prompt, greedy, 0, "the first");
        for (int64_t k = 0; k < 3; k++)
            expect_as_alone(&f, second, long_prompt, many, k, "outputs of one prompt");
        expect_as_alone(&f, third, short_prompt, sampled(9), 0, "the third");
        assert_int_equal(alloy_request_usage(second)->computed_tokens, LONG);
        assert_int_equal(alloy_request_usage(second)->completion_tokens, 3 * NEW);
        assert_int_equal(alloy_engine_usage(f.engine)->completion_tokens, 5 * NEW);
        alloy_request_close(first);
        alloy_request_close(second);
        alloy_request_close(third);
        close_fixture(&f);
    }
}

/* A prompt is computed a chunk a step, beside the new tokens of others. */
static void a_long_prompt_does_not_stop_its_neighbours(void **state)
{
    (void)state;
    struct fixture f = open_fixture(GOLDEN "qwen3");
    alloy_request *first = submit(&f, short_prompt, greedy);
    run(&f, 1);
    alloy_request *second = submit(&f, (alloy_prompt){f.long_prompt, LONG}, greedy);
    for (int64_t step = 1; step <= 4; step++) { /* 11, 11, 11, 7 tokens of the prompt */
        run(&f, 1);
        assert_int_equal(alloy_request_output(first, 0)->count, 1 + step);
        assert_int_equal(alloy_request_output(second, 0)->count, step == 4);
        assert_int_equal(alloy_request_usage(second)->computed_tokens, step < 4 ? 11 * step : LONG);
    }
    alloy_request_close(first);
    alloy_request_close(second);
    close_fixture(&f);
}

/* A copy of the model in which the row of `id` in the embedding is NaN: who reads that id fails. */
static struct fixture open_poisoned(const char *folder, const char *sound, int64_t id)
{
    spoil_model(folder, sound,
                &(struct spoil){.fill = "model.embed_tokens.weight", .value = (float)NAN, .one_row = true, .row = id});
    return open_fixture(folder);
}

/* The id that this request draws as its fourth. */
static int64_t fourth_id(const char *folder, alloy_generate_options options)
{
    struct fixture f = open_fixture(folder);
    alloy_request *request = submit(&f, short_prompt, options);
    run(&f, INT64_MAX);
    int64_t id = alloy_request_output(request, 0)->ids[3];
    alloy_request_close(request);
    close_fixture(&f);
    return id;
}

/* One request turns NaN when it reads the id that it has drawn (the routers of the second model see it first), one
 * fills its context, one is cancelled: the others' bits are those of running alone. */
static void one_that_fails_ends_alone(void **state)
{
    (void)state;
    const char *const sound[] = {GOLDEN "qwen3", GOLDEN "qwen3_moe", GOLDEN "qwen3_5"};
    for (int i = 0; i < 3; i++) {
        char *folder = test_folder();
        int64_t poison = fourth_id(sound[i], sampled(5));
        struct fixture f = open_poisoned(folder, sound[i], poison);
        alloy_prompt long_prompt = {f.long_prompt, LONG};
        alloy_generate_options limited = sampled(1);
        limited.context = 9;
        limited.max_new_tokens = 0;
        for (int64_t t = 0; t < LONG; t++)
            f.long_prompt[t] = f.long_prompt[t] == poison ? 1 : f.long_prompt[t];
        alloy_request *fails = submit(&f, short_prompt, sampled(5));
        alloy_request *good = submit(&f, long_prompt, greedy);
        alloy_request *full = submit(&f, short_prompt, limited);
        alloy_request *gone = submit(&f, long_prompt, sampled(2));
        alloy_request *dead = submit(&f, (alloy_prompt){(int64_t[]){4, poison, 8}, 3}, greedy);
        run(&f, 6);
        alloy_engine_cancel(f.engine, gone);
        run(&f, INT64_MAX);
        expect_failure(alloy_request_status(fails), ALLOY_RANGE, "not finite", "model.embed_tokens.weight");
        assert_int_equal(alloy_request_output(fails, 0)->count, 4);
        assert_int_equal(alloy_request_output(fails, 0)->finish, ALLOY_FINISH_FAILED);
        expect_failure(alloy_request_status(dead), ALLOY_RANGE, "not finite");
        assert_int_equal(alloy_request_output(dead, 0)->count, 0);
        assert_int_equal(alloy_request_output(gone, 0)->finish, ALLOY_FINISH_CANCELLED);
        assert_int_equal(alloy_request_output(full, 0)->count, 4);
        assert_int_equal(alloy_request_output(full, 0)->finish, ALLOY_FINISH_LENGTH);
        expect_as_alone(&f, good, long_prompt, greedy, 0, "beside failures");
        expect_as_alone(&f, full, short_prompt, limited, 0, "a full context");
        alloy_request *const all[] = {fails, good, full, gone, dead};
        for (int k = 0; k < 5; k++)
            alloy_request_close(all[k]);
        close_fixture(&f);
        remove_folder(folder);
    }
}

/* ---- Ends -------------------------------------------------------------------------------------------------------- */

static void requests_outlive_their_engine_and_may_be_closed_at_any_time(void **state)
{
    (void)state;
    struct fixture f = open_fixture(GOLDEN "qwen3_5");
    alloy_request *closed = submit(&f, short_prompt, greedy), *kept = submit(&f, short_prompt, greedy);
    run(&f, 4);
    alloy_request_close(closed);
    assert_int_equal(alloy_engine_live(f.engine), 1);
    run(&f, 1);
    alloy_engine_close(f.engine);
    f.engine = NULL;
    assert_int_equal(alloy_request_output(kept, 0)->count, 5);
    assert_int_equal(alloy_request_output(kept, 0)->finish, ALLOY_FINISH_CANCELLED);
    assert_null(alloy_request_output(kept, 1));
    alloy_request_close(kept);
    alloy_request_close(NULL);
    close_fixture(&f);
}

static void a_request_that_is_refused_leaves_the_others_alone(void **state)
{
    (void)state;
    struct fixture f = open_fixture(GOLDEN "qwen3");
    alloy_request *good = submit(&f, short_prompt, greedy), *bad;
    run(&f, 2);
    const int64_t large[] = {VOCAB};
    expect_failure(alloy_engine_submit(&bad, f.engine, &(alloy_prompt){large, 1}, NULL), ALLOY_RANGE, "256");
    assert_null(bad);
    expect_failure(alloy_engine_submit(&bad, f.engine, &short_prompt,
                                       &(alloy_generate_options){.size = sizeof(alloy_generate_options), .context = 5}),
                   ALLOY_CONTEXT, "context of 5");
    alloy_generate_options options = sampled(1);
    options.num_return_sequences = 16;
    alloy_status status = ALLOY_NOMEM;
    int64_t n = 0;
    for (; status == ALLOY_NOMEM; n++) {
        alloy_memory_fail_after(n);
        status = alloy_engine_submit(&bad, f.engine, &short_prompt, &options);
        alloy_memory_fail_after(-1);
        assert_true(status == ALLOY_NOMEM || status == ALLOY_OK);
        if (n % 4 == 0)
            run(&f, 1);
    }
    assert_true(n > 10);
    alloy_request_close(bad);
    run(&f, INT64_MAX);
    expect_as_alone(&f, good, short_prompt, greedy, 0, "beside refusals");
    alloy_request_close(good);
    close_fixture(&f);
}

static void an_fp64_session_has_no_engine(void **state)
{
    (void)state;
    alloy_model *model;
    alloy_session *session;
    alloy_engine *engine;
    expect_ok(alloy_model_open(&model, GOLDEN "qwen3", NULL));
    expect_ok(alloy_session_open(&session, model,
                                 &(alloy_session_options){.size = sizeof(alloy_session_options), .backend = "fp64"}));
    expect_failure(alloy_engine_open(&engine, session, NULL), ALLOY_UNSUPPORTED, "fp64");
    alloy_session_close(session);
    alloy_model_close(model);
}

/* After the first ids of its outputs a request needs no memory: 200 steps while every allocation fails. */
static void steps_allocate_nothing(void **state)
{
    (void)state;
    const char *const folders[] = {GOLDEN "qwen3", GOLDEN "qwen3_5", GOLDEN "qwen3_moe"};
    for (int i = 0; i < 3; i++) {
        struct fixture f = open_fixture(folders[i]);
        alloy_generate_options options = sampled(7);
        options.logprobs = 0;
        options.max_new_tokens = STEPS + 10;
        options.num_return_sequences = 3;
        alloy_request *request = submit(&f, short_prompt, options);
        run(&f, 2);
        alloy_memory_fail_after(0);
        assert_int_equal(run(&f, STEPS), STEPS);
        alloy_memory_fail_after(-1);
        expect_ok(alloy_request_status(request));
        assert_int_equal(alloy_request_output(request, 2)->count, STEPS + 2);
        alloy_request_close(request);
        close_fixture(&f);
    }
}

/* A child that decodes, with a call of getppid before and after the steps. */
static void decode_between_marks(const char *folder)
{
    struct fixture f = open_fixture(folder);
    alloy_generate_options options = sampled(7);
    options.logprobs = 0;
    options.max_new_tokens = STEPS;
    alloy_request *request = submit(&f, short_prompt, options);
    run(&f, 2);
    syscall(SYS_getppid);
    run(&f, 100);
    syscall(SYS_getppid);
    _exit(alloy_request_output(request, 0)->count == 102 ? 0 : 1);
}

/* Those of weights (are the files as they were?) and of threads. */
static bool may_call(uint64_t number)
{
    return number == SYS_newfstatat || number == SYS_fstat || number == SYS_futex || number == SYS_sched_yield;
}

/* The number of the call that the child stands at, or -1 where it is none's beginning. */
static int64_t call_of(pid_t pid)
{
    struct __ptrace_syscall_info info;
    long size = ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
    return size > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY ? (int64_t)info.entry.nr : -1;
}

static void steps_make_no_system_call_but_those_of_weights_and_threads(void **state)
{
    (void)state;
    if (ALLOY_TEST_SANITIZED) {
        print_message("not run under a sanitizer: it makes calls of its own\n");
        return;
    }
    int status, marks = 0, calls = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(77);
        raise(SIGSTOP);
        decode_between_marks(GOLDEN "qwen3");
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD); /* so that stops say what they are */
    while (WIFSTOPPED(status)) {
        int64_t call = call_of(pid);
        marks += call == SYS_getppid;
        calls += marks == 1;
        if (marks == 1 && call >= 0 && call != SYS_getppid && !may_call((uint64_t)call))
            fail_msg("a step makes system call %lld", (long long)call);
        ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(marks, 2);
    assert_true(calls > 0);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* 32 outputs of a prompt of 1,000 tokens: its pages once, and of each output the last page and what is new. */
static void a_fork_takes_the_memory_of_one_prompt_and_of_tails(void **state)
{
    (void)state;
    enum { PROMPT = 1000, OUTPUTS = 32, PAGE = 64 };
    const char *const folders[] = {GOLDEN "qwen3", GOLDEN "qwen3_moe"}; /* all their layers keep all rows */
    for (int i = 0; i < 2; i++) {
        struct fixture f = open_fixture(folders[i]);
        int64_t ids[PROMPT];
        for (int64_t t = 0; t < PROMPT; t++)
            ids[t] = (t * 31 + 7) % 199;
        alloy_generate_options options = sampled(4);
        options.logprobs = 0;
        options.max_new_tokens = 40;
        alloy_request *one = submit(&f, (alloy_prompt){ids, PROMPT}, options);
        run(&f, (PROMPT + CHUNK - 1) / CHUNK);
        uint64_t prompt = alloy_session_cache_bytes(f.session), page = prompt / ((PROMPT + PAGE - 1) / PAGE);
        alloy_request_close(one);
        assert_int_equal(alloy_session_cache_bytes(f.session), 0);
        options.num_return_sequences = OUTPUTS;
        alloy_request *many = submit(&f, (alloy_prompt){ids, PROMPT}, options);
        run(&f, (PROMPT + CHUNK - 1) / CHUNK);
        assert_int_equal(alloy_session_cache_bytes(f.session), prompt); /* nothing is written yet */
        run(&f, 1);
        assert_int_equal(alloy_session_cache_bytes(f.session), prompt + (OUTPUTS - 1) * page);
        run(&f, 30); /* past position 1,024: a page more for each */
        assert_int_equal(alloy_session_cache_bytes(f.session), prompt + (2 * OUTPUTS - 1) * page);
        alloy_request_close(many);
        assert_int_equal(alloy_session_cache_bytes(f.session), 0);
        close_fixture(&f);
    }
}

/* One request outgrows the pool: it ends with LIMIT, gives its pages back, and the other goes on. */
static void a_full_pool_ends_one_request_alone(void **state)
{
    (void)state;
    struct fixture f = {0};
    expect_ok(alloy_model_open(&f.model, GOLDEN "qwen3", NULL));
    expect_ok(alloy_session_open(
        &f.session, f.model,
        &(alloy_session_options){
            .size = sizeof(alloy_session_options), .threads = 2, .chunk = CHUNK, .kv_bytes = 1 << 20}));
    expect_ok(alloy_engine_open(&f.engine, f.session, NULL));
    alloy_generate_options endless = {
        .size = sizeof endless, .ignore_eos = true, .max_new_tokens = 4000, .context = 5000};
    int64_t *ids = calloc(3000, sizeof *ids);
    alloy_request *good = submit(&f, short_prompt, greedy);
    alloy_request *large = submit(&f, (alloy_prompt){ids, 3000}, endless);
    run(&f, INT64_MAX);
    expect_failure(alloy_request_status(large), ALLOY_LIMIT, "KV cache is full");
    assert_int_equal(alloy_request_output(large, 0)->finish, ALLOY_FINISH_FAILED);
    assert_int_equal(alloy_session_cache_bytes(f.session), 0);
    expect_as_alone(&f, good, short_prompt, greedy, 0, "beside a full pool");
    alloy_request_close(good);
    alloy_request_close(large);
    free(ids);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_that_come_while_others_run_get_what_they_get_alone),
        cmocka_unit_test(a_long_prompt_does_not_stop_its_neighbours),
        cmocka_unit_test(one_that_fails_ends_alone),
        cmocka_unit_test(requests_outlive_their_engine_and_may_be_closed_at_any_time),
        cmocka_unit_test(a_request_that_is_refused_leaves_the_others_alone),
        cmocka_unit_test(an_fp64_session_has_no_engine),
        cmocka_unit_test(steps_allocate_nothing),
        cmocka_unit_test(steps_make_no_system_call_but_those_of_weights_and_threads),
        cmocka_unit_test(a_fork_takes_the_memory_of_one_prompt_and_of_tails),
        cmocka_unit_test(a_full_pool_ends_one_request_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
