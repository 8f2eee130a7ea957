/* Memory that ends anywhere: with the n-th allocation failing, and all behind it, for every n that there is, opening a
 * model, a session and a cache and running a forward gives NOMEM, frees all (which the sanitizers see) and leaves
 * nothing half made. */
#include "engine/models.h"

#include <fcntl.h>

#include "base/memory.h"
#include "engine/cache.h"

enum { TOKENS = 70, MOST_ALLOCATIONS = 100000 };

struct run {
    alloy_model *model;
    alloy_session *session;
    alloy_cache *cache;
    float *logits; /* [vocab] */
};

static alloy_status run_once(struct run *run, const char *folder)
{
    int64_t ids[TOKENS];
    fill_ids(ids, TOKENS, 3);
    alloy_status status = alloy_model_open(&run->model, folder, NULL);
    if (!status)
        status = alloy_session_open(
            &run->session, run->model,
            &(alloy_session_options){.size = sizeof(alloy_session_options), .threads = 1, .chunk = 40});
    if (!status)
        status = alloy_cache_open(&run->cache, run->session, 0);
    return status ? status
                  : alloy_forward(run->session, &(alloy_sequence){run->cache, ids, TOKENS}, 1, run->logits, NULL);
}

static void expect_nomem(const struct run *run, alloy_status status, int64_t n)
{
    if (status != ALLOY_NOMEM)
        fail_msg("allocation %lld failed: %s: %s", (long long)n, alloy_status_name(status), alloy_error());
    assert_true(strlen(alloy_error()) > 0);
    assert_null(strchr(alloy_error(), '\n'));
    if (run->cache)
        assert_int_equal(alloy_cache_length(run->cache), 0);
}

static void end_run(struct run *run)
{
    alloy_cache_close(run->cache);
    alloy_session_close(run->session);
    alloy_model_close(run->model);
    run->cache = NULL;
    run->session = NULL;
    run->model = NULL;
}

/* Descriptors that are open: a failed opening closes its files. */
static int open_descriptors(void)
{
    int count = 0;
    for (int i = 0; i < 256; i++)
        count += fcntl(i, F_GETFD) >= 0;
    return count;
}

static void walk(const char *folder)
{
    float logits[256], expected[256];
    struct run run = {.logits = expected};
    expect_ok(run_once(&run, folder));
    end_run(&run);
    run.logits = logits;
    int descriptors = open_descriptors();
    int64_t n = 0;
    alloy_status status = ALLOY_NOMEM;
    for (; status && n < MOST_ALLOCATIONS; n++) {
        alloy_memory_fail_after(n);
        status = run_once(&run, folder);
        alloy_memory_fail_after(-1);
        if (status)
            expect_nomem(&run, status, n);
        end_run(&run);
        assert_int_equal(open_descriptors(), descriptors);
    }
    expect_ok(status);
    expect_same_bits(logits, expected, 256, "the run that no failure met");
    print_message("  %s: fewer than %lld allocations\n", folder, (long long)n);
}

static void a_dense_model_ends_in_nomem_anywhere(void **state)
{
    (void)state;
    walk(GOLDEN("qwen3"));
}

static void a_hybrid_does(void **state)
{
    (void)state;
    walk(GOLDEN("qwen3_5"));
}

static void routed_experts_do(void **state)
{
    (void)state;
    walk(GOLDEN("qwen3_moe"));
}

static void shards_do(void **state)
{
    (void)state;
    walk(GOLDEN("llama_linear_sharded"));
}

/* After a failure in a forward the same session and cache go on as if nothing had been. */
static void a_session_goes_on_after_nomem(void **state)
{
    (void)state;
    alloy_model *model = open_model(GOLDEN("qwen3_5"));
    alloy_session *session = open_session(model, 1, 0, NULL);
    alloy_cache *cache = open_cache(session);
    int64_t ids[TOKENS];
    float logits[256];
    fill_ids(ids, TOKENS, 3);
    float *expected = last_logits(GOLDEN("qwen3_5"), NULL, ids, TOKENS);
    alloy_status status = ALLOY_NOMEM;
    for (int64_t n = 0; status && n < MOST_ALLOCATIONS; n++) {
        alloy_memory_fail_after(n);
        status = alloy_forward(session, &(alloy_sequence){cache, ids, TOKENS}, 1, logits, NULL);
        alloy_memory_fail_after(-1);
        assert_int_equal(alloy_cache_length(cache), status ? 0 : TOKENS);
    }
    expect_same_bits(logits, expected, 256, "after failures");
    free(expected);
    alloy_cache_close(cache);
    alloy_session_close(session);
    alloy_model_close(model);
}

/* What sequences keep is reserved before, as a server does; from then on a token takes no memory. */
static void steps_of_decoding_allocate_nothing(void **state)
{
    (void)state;
    static const char *const folders[] = {"qwen3", "qwen3_moe", "qwen3_5", "dsv4"};
    enum { STEPS = 200, PROMPT = 8 };
    for (size_t f = 0; f < sizeof folders / sizeof *folders; f++)
        for (int threads = 1; threads <= 2; threads++) {
            char folder[4096];
            snprintf(folder, sizeof folder, "%s/tests/golden/%s", ALLOY_SOURCE_DIR, folders[f]);
            struct run run = {0};
            float *logits = malloc(4096 * sizeof *logits);
            int64_t ids[PROMPT + STEPS];
            fill_ids(ids, PROMPT + STEPS, 3);
            expect_ok(alloy_model_open(&run.model, folder, NULL));
            expect_ok(alloy_session_open(
                &run.session, run.model,
                &(alloy_session_options){.size = sizeof(alloy_session_options), .threads = threads, .chunk = PROMPT}));
            expect_ok(alloy_cache_open(&run.cache, run.session, 0));
            expect_ok(alloy_cache_reserve(run.cache, PROMPT + STEPS));
            expect_ok(alloy_forward(run.session, &(alloy_sequence){run.cache, ids, PROMPT}, 1, logits, NULL));
            alloy_memory_fail_after(0);
            alloy_status status = ALLOY_OK;
            int step = 0;
            for (; step < STEPS && !status; step++)
                status =
                    alloy_forward(run.session, &(alloy_sequence){run.cache, ids + PROMPT + step, 1}, 1, logits, NULL);
            alloy_memory_fail_after(-1);
            if (status)
                fail_msg("%s, %d threads: step %d of decoding needs memory: %s", folders[f], threads, step,
                         alloy_error());
            free(logits);
            end_run(&run);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_of_decoding_allocate_nothing),
        cmocka_unit_test(a_dense_model_ends_in_nomem_anywhere),
        cmocka_unit_test(a_hybrid_does),
        cmocka_unit_test(routed_experts_do),
        cmocka_unit_test(shards_do),
        cmocka_unit_test(a_session_goes_on_after_nomem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
