/* The promise of canonical arithmetic, on every kind of model: the same tokens give the same logits bit for bit,
 * whatever the chunk, the batch around them, the cache, the threads and the instruction set. And: what a forward
 * refuses, and caches copied and cut. */
#include "engine/models.h"

#include <math.h>

#include "kernels/kernels.h"
#include "engine/cache.h"
#include "engine/session.h"

enum { TOKENS = 150, MOST_VOCAB = 512 };

static const char *const CASES[] = {GOLDEN("qwen3"), GOLDEN("qwen3_5"), GOLDEN("qwen3_moe"),
                                    GOLDEN("llama_linear_sharded")};
enum { CASE_COUNT = sizeof CASES / sizeof *CASES };

/* A case and its logits at the settings that all others are held to: one thread, one pass, the best kernels. */
struct reference {
    alloy_model *model;
    int64_t ids[TOKENS], vocab;
    float *logits; /* [TOKENS, vocab] */
};

static void begin(struct reference *r, const char *folder)
{
    r->model = open_model(folder);
    r->vocab = alloy_model_vocab_size(r->model);
    fill_ids(r->ids, TOKENS, 1);
    alloy_session *session = open_session(r->model, 1, 512, NULL);
    r->logits = logits_of(session, r->ids, TOKENS);
    alloy_session_close(session);
}

static void end(struct reference *r)
{
    free(r->logits);
    alloy_model_close(r->model);
}

static void expect_same_logits(const struct reference *r, alloy_session *session, const char *what)
{
    float *logits = logits_of(session, r->ids, TOKENS);
    expect_same_bits(logits, r->logits, TOKENS * r->vocab, what);
    free(logits);
}

static void bits_do_not_depend_on_the_chunk(void **state)
{
    (void)state;
    static const int64_t chunks[] = {1, 7, 64, 65};
    for (int i = 0; i < CASE_COUNT; i++) {
        struct reference r;
        begin(&r, CASES[i]);
        for (size_t j = 0; j < sizeof chunks / sizeof *chunks; j++) {
            alloy_session *session = open_session(r.model, 2, chunks[j], NULL);
            expect_same_logits(&r, session, CASES[i]);
            alloy_session_close(session);
        }
        end(&r);
    }
}

static void bits_do_not_depend_on_the_threads(void **state)
{
    (void)state;
    static const int threads[] = {2, 3, 8};
    for (int i = 0; i < CASE_COUNT; i++) {
        struct reference r;
        begin(&r, CASES[i]);
        for (size_t j = 0; j < sizeof threads / sizeof *threads; j++) {
            alloy_session *session = open_session(r.model, threads[j], 100, NULL);
            expect_same_logits(&r, session, CASES[i]);
            alloy_session_close(session);
        }
        end(&r);
    }
}

static void bits_do_not_depend_on_the_instruction_set(void **state)
{
    (void)state;
    for (int i = 0; i < CASE_COUNT; i++) {
        struct reference r;
        begin(&r, CASES[i]);
        for (int j = 0; j < alloy_kernels_count(); j++) {
            const char *name = alloy_kernels_name(j);
            if (!alloy_kernels_get(name)) {
                print_message("  %s: not run, %s\n", name, alloy_error());
                continue;
            }
            alloy_session *session = open_session(r.model, 2, 0, name);
            expect_text(alloy_session_cpu(session), name);
            expect_same_logits(&r, session, name);
            alloy_session_close(session);
        }
        end(&r);
    }
}

static void bits_do_not_depend_on_the_batch(void **state)
{
    (void)state;
    enum { SEQUENCES = 5 };
    static const int64_t counts[SEQUENCES] = {1, 63, TOKENS, 64, 17};
    for (int i = 0; i < CASE_COUNT; i++) {
        struct reference r;
        begin(&r, CASES[i]);
        alloy_session *session = open_session(r.model, 2, 50, NULL);
        alloy_sequence batch[SEQUENCES];
        int64_t ids[SEQUENCES][TOKENS], rows = 0;
        for (int s = 0; s < SEQUENCES; s++) {
            if (s == 2)
                memcpy(ids[s], r.ids, sizeof r.ids);
            else
                fill_ids(ids[s], counts[s], 77u + (uint32_t)s);
            batch[s] = (alloy_sequence){open_cache(session), ids[s], counts[s]};
            rows += counts[s];
        }
        float *logits = malloc((size_t)(rows * r.vocab) * sizeof *logits);
        expect_ok(
            alloy_forward(session, batch, SEQUENCES, logits,
                          &(alloy_forward_options){.size = sizeof(alloy_forward_options), .logits = ALLOY_LOGITS_ALL}));
        expect_same_bits(logits + (counts[0] + counts[1]) * r.vocab, r.logits, TOKENS * r.vocab, CASES[i]);
        float *alone = logits_of(session, ids[4], counts[4]);
        expect_same_bits(logits + (rows - counts[4]) * r.vocab, alone, counts[4] * r.vocab, CASES[i]);
        for (int s = 0; s < SEQUENCES; s++) {
            assert_int_equal(alloy_cache_length(batch[s].cache), counts[s]);
            alloy_cache_close(batch[s].cache);
        }
        free(alone);
        free(logits);
        alloy_session_close(session);
        end(&r);
    }
}

static void bits_do_not_depend_on_the_cache(void **state)
{
    (void)state;
    static const int64_t steps[] = {1, 1, 62, 1, 20, 65}; /* sum: TOKENS */
    for (int i = 0; i < CASE_COUNT; i++) {
        struct reference r;
        begin(&r, CASES[i]);
        alloy_session *session = open_session(r.model, 2, 0, NULL);
        float *logits = malloc((size_t)(TOKENS * r.vocab) * sizeof *logits);
        alloy_cache *cache = open_cache(session);
        for (int64_t at = 0, j = 0; at < TOKENS; at += steps[j++])
            run_all(session, cache, r.ids + at, steps[j], logits + at * r.vocab);
        expect_same_bits(logits, r.logits, TOKENS * r.vocab, "in unequal steps");
        expect_ok(alloy_cache_truncate(cache, 0));
        for (int64_t at = 0; at < TOKENS; at++)
            run_all(session, cache, r.ids + at, 1, logits + at * r.vocab);
        expect_same_bits(logits, r.logits, TOKENS * r.vocab, "token by token, in the same cache begun anew");
        free(logits);
        alloy_cache_close(cache);
        alloy_session_close(session);
        end(&r);
    }
}

/* Rounded keys and values give other numbers than fp32 ones, but the same whatever the chunk. */
static void bits_of_a_narrow_cache_do_not_depend_on_the_chunk(void **state)
{
    (void)state;
    static const alloy_dtype dtypes[] = {ALLOY_BF16, ALLOY_F16};
    struct reference r;
    begin(&r, CASES[0]);
    for (int i = 0; i < 2; i++) {
        float *logits[3];
        static const int64_t chunks[3] = {512, 7, 1};
        for (int j = 0; j < 3; j++) {
            alloy_session *session;
            expect_ok(alloy_session_open(
                &session, r.model,
                &(alloy_session_options){
                    .size = sizeof(alloy_session_options), .threads = 2, .chunk = chunks[j], .kv_dtype = dtypes[i]}));
            logits[j] = logits_of(session, r.ids, TOKENS);
            alloy_session_close(session);
        }
        expect_same_bits(logits[1], logits[0], TOKENS * r.vocab, alloy_dtype_name(dtypes[i]));
        expect_same_bits(logits[2], logits[0], TOKENS * r.vocab, alloy_dtype_name(dtypes[i]));
        assert_memory_not_equal(logits[0], r.logits, (size_t)(TOKENS * r.vocab) * sizeof *r.logits);
        for (int j = 0; j < 3; j++)
            free(logits[j]);
    }
    end(&r);
}

/* ---- The comparison can fail ------------------------------------------------------------------------------------- */

/* RMS norm whose sum runs in one chain. */
static void norm_in_another_order(float *y, const float *x, const float *w, int64_t rows, int64_t d, float eps)
{
    for (int64_t t = 0; t < rows; t++) {
        float sum = 0;
        for (int64_t i = 0; i < d; i++)
            sum = fmaf(x[t * d + i], x[t * d + i], sum);
        float scale = 1 / sqrtf(sum / (float)d + eps);
        for (int64_t i = 0; i < d; i++)
            y[t * d + i] = x[t * d + i] * scale * (w ? w[i] : 1);
    }
}

static void a_kernel_that_sums_in_another_order_is_noticed(void **state)
{
    (void)state;
    struct reference r;
    begin(&r, CASES[0]);
    alloy_session *session = open_session(r.model, 1, 0, NULL);
    alloy_kernels broken = *session->kernels;
    broken.rms_norm = norm_in_another_order;
    session->kernels = &broken;
    float *logits = logits_of(session, r.ids, TOKENS);
    assert_memory_not_equal(logits, r.logits, (size_t)(TOKENS * r.vocab) * sizeof *logits);
    for (int64_t i = 0; i < TOKENS * r.vocab; i++)
        if (!(fabsf(logits[i] - r.logits[i]) < 1e-3f))
            fail_msg("number %lld is %g, expected about %g", (long long)i, (double)logits[i], (double)r.logits[i]);
    free(logits);
    alloy_session_close(session);
    end(&r);
}

/* ---- What a forward writes and tells ----------------------------------------------------------------------------- */

static void last_rows_are_the_last_of_all_rows(void **state)
{
    (void)state;
    struct reference r;
    begin(&r, CASES[1]);
    alloy_session *session = open_session(r.model, 2, 20, NULL);
    alloy_sequence two[2] = {{open_cache(session), r.ids, 30}, {open_cache(session), r.ids, TOKENS}};
    float last[2][MOST_VOCAB];
    assert_int_equal(r.vocab * 2, 2 * 256);
    expect_ok(alloy_forward(session, two, 2, &last[0][0], NULL));
    expect_same_bits(&last[0][0], r.logits + 29 * r.vocab, r.vocab, "the shorter sequence");
    expect_same_bits(&last[0][0] + r.vocab, r.logits + (TOKENS - 1) * r.vocab, r.vocab, "the longer sequence");
    alloy_cache_close(two[0].cache);
    alloy_cache_close(two[1].cache);
    alloy_session_close(session);
    end(&r);
}

static bool stop_behind_40(void *user, int64_t done, int64_t tokens)
{
    *(int64_t *)user += 1;
    assert_int_equal(tokens, TOKENS);
    return done < 40;
}

static void progress_can_stop_a_forward(void **state)
{
    (void)state;
    struct reference r;
    begin(&r, CASES[0]);
    alloy_session *session = open_session(r.model, 1, 20, NULL);
    alloy_cache *cache = open_cache(session);
    int64_t calls = 0;
    alloy_forward_options options = {
        .size = sizeof options, .logits = ALLOY_LOGITS_NONE, .progress = stop_behind_40, .user = &calls};
    expect_ok(alloy_forward(session, &(alloy_sequence){cache, r.ids, TOKENS}, 1, NULL, &options));
    assert_int_equal(calls, 2);
    assert_int_equal(alloy_cache_length(cache), 40);
    float logits[MOST_VOCAB];
    expect_ok(alloy_forward(session, &(alloy_sequence){cache, r.ids + 40, TOKENS - 40}, 1, logits, NULL));
    expect_same_bits(logits, r.logits + (TOKENS - 1) * r.vocab, r.vocab, "the rest, later");
    alloy_cache_close(cache);
    alloy_session_close(session);
    end(&r);
}

/* ---- What a forward refuses -------------------------------------------------------------------------------------- */

/* Two sequences of which the second is at fault: the first has not run either. */
static void expect_refused(alloy_session *session, alloy_sequence bad, alloy_status status, const char *word)
{
    alloy_cache *good = open_cache(session);
    int64_t id = 3, length = alloy_cache_length(bad.cache);
    float logits[2 * MOST_VOCAB];
    expect_failure(alloy_forward(session, (alloy_sequence[]){{good, &id, 1}, bad}, 2, logits, NULL), status, word);
    assert_int_equal(alloy_cache_length(good), 0);
    assert_int_equal(alloy_cache_length(bad.cache), length);
    alloy_cache_close(good);
}

static void p6_ids_outside_the_vocabulary_are_refused(void **state)
{
    (void)state;
    alloy_model *model = open_model(CASES[0]);
    alloy_session *session = open_session(model, 1, 0, NULL);
    alloy_cache *cache = open_cache(session);
    int64_t ids[2] = {1, 2};
    run_all(session, cache, ids, 2, (float[2 * MOST_VOCAB]){0});
    static const int64_t bad[] = {-1, 256, INT64_C(1) << 40, INT64_MIN};
    for (int i = 0; i < 4; i++) {
        ids[1] = bad[i];
        expect_refused(session, (alloy_sequence){cache, ids, 2}, ALLOY_RANGE, "0 to 255");
    }
    expect_refused(session, (alloy_sequence){cache, ids, 0}, ALLOY_ARG, "no new tokens");
    expect_failure(alloy_forward(session, NULL, 0, NULL, NULL), ALLOY_ARG, "no sequences");
    alloy_cache_close(cache);
    alloy_session_close(session);
    alloy_model_close(model);
}

static void p8_a_full_context_is_refused(void **state)
{
    (void)state;
    alloy_model *model = open_model(CASES[0]);
    alloy_session *session = open_session(model, 1, 0, NULL);
    alloy_cache *cache;
    expect_ok(alloy_cache_open(&cache, session, 10));
    int64_t ids[11];
    float logits[MOST_VOCAB];
    fill_ids(ids, 11, 5);
    expect_refused(session, (alloy_sequence){cache, ids, 11}, ALLOY_CONTEXT, "context of 10");
    expect_ok(alloy_forward(session, &(alloy_sequence){cache, ids, 10}, 1, logits, NULL));
    expect_refused(session, (alloy_sequence){cache, ids, 1}, ALLOY_CONTEXT, "1 tokens after 10");
    alloy_cache_close(cache);
    expect_failure(alloy_cache_open(&cache, session, -1), ALLOY_RANGE, "-1");
    assert_null(cache);
    alloy_session_close(session);
    alloy_model_close(model);
}

struct failures {
    int64_t sequence[3];
    int count;
};

static void take_failure(void *user, int64_t sequence, alloy_status status)
{
    struct failures *failures = user;
    assert_true(failures->count < 3 && status != ALLOY_OK);
    failures->sequence[failures->count++] = sequence;
}

/* Where the caller takes failures, the sound sequences run, and their rows of logits stand in their places. */
static void bad_sequences_end_alone_where_the_caller_takes_failures(void **state)
{
    (void)state;
    struct reference r;
    begin(&r, CASES[0]);
    alloy_session *session = open_session(r.model, 1, 16, NULL);
    alloy_cache *good = open_cache(session), *large = open_cache(session), *last = open_cache(session), *full;
    int64_t bad[2] = {1, 256};
    struct failures failures = {0};
    float *logits = malloc(4 * MOST_VOCAB * sizeof *logits);
    expect_ok(alloy_cache_open(&full, session, 10));
    const alloy_sequence sequences[] = {
        {full, r.ids, 11}, {good, r.ids, TOKENS}, {large, bad, 2}, {last, r.ids, TOKENS}};
    alloy_forward_options options = {.size = sizeof options, .failed = take_failure, .user = &failures};
    expect_ok(alloy_forward(session, sequences, 4, logits, &options));
    assert_int_equal(failures.count, 2);
    assert_int_equal(failures.sequence[0], 0);
    assert_int_equal(failures.sequence[1], 2);
    expect_same_bits(logits + r.vocab, r.logits + (TOKENS - 1) * r.vocab, r.vocab, "beside failures");
    expect_same_bits(logits + 3 * r.vocab, r.logits + (TOKENS - 1) * r.vocab, r.vocab, "after failures");
    assert_int_equal(alloy_cache_length(full), 0);
    free(logits);
    alloy_cache_close(full);
    alloy_cache_close(good);
    alloy_cache_close(large);
    alloy_cache_close(last);
    alloy_session_close(session);
    end(&r);
}

/* The second sequence finds no page: the first, of which an earlier pass has computed a part, is empty too. */
static void an_error_in_mid_run_leaves_empty_caches(void **state)
{
    (void)state;
    struct reference r;
    begin(&r, CASES[0]);
    alloy_session *session;
    expect_ok(
        alloy_session_open(&session, r.model,
                           &(alloy_session_options){
                               .size = sizeof(alloy_session_options), .threads = 1, .chunk = 16, .kv_bytes = 1 << 18}));
    alloy_cache *first = open_cache(session), *second = open_cache(session), *full = open_cache(session);
    int64_t ids[20] = {0}, taken = 0;
    float logits[2 * MOST_VOCAB];
    while (!alloy_cache_reserve(full, taken + 64))
        taken += 64;
    assert_true(taken > 64);
    expect_ok(alloy_cache_truncate(full, 0));
    alloy_cache_clear(full);
    expect_ok(alloy_cache_reserve(full, taken - 64)); /* leaves room for one sequence, not for two */
    const alloy_sequence sequences[] = {{first, ids, 20}, {second, ids, 20}};
    expect_failure(alloy_forward(session, sequences, 2, logits, NULL), ALLOY_LIMIT, "KV cache is full");
    assert_int_equal(alloy_cache_length(first), 0);
    assert_int_equal(alloy_cache_length(second), 0);
    alloy_cache_close(first);
    alloy_cache_close(second);
    alloy_cache_close(full);
    alloy_session_close(session);
    end(&r);
}

static void shared_and_foreign_caches_are_refused(void **state)
{
    (void)state;
    alloy_model *model = open_model(CASES[0]), *other = open_model(CASES[0]);
    alloy_session *session = open_session(model, 1, 64, NULL), *foreign = open_session(other, 1, 64, NULL), *narrow,
                  *short_chunks;
    expect_ok(alloy_session_open(
        &narrow, model,
        &(alloy_session_options){
            .size = sizeof(alloy_session_options), .threads = 1, .chunk = 64, .kv_dtype = ALLOY_BF16}));
    short_chunks = open_session(model, 1, 8, NULL);
    int64_t id = 7;
    float logits[3 * MOST_VOCAB];
    alloy_cache *cache = open_cache(session);
    alloy_sequence twice[] = {{cache, &id, 1}, {cache, &id, 1}};
    expect_failure(alloy_forward(session, twice, 2, logits, NULL), ALLOY_ARG, "sequences 0 and 1 share a cache");
    assert_int_equal(alloy_cache_length(cache), 0);
    alloy_cache_close(cache);
    alloy_session *const makers[] = {foreign, narrow, short_chunks};
    for (int i = 0; i < 3; i++) {
        cache = open_cache(makers[i]);
        expect_refused(session, (alloy_sequence){cache, &id, 1}, ALLOY_ARG, "another model or other session options");
        alloy_cache_close(cache);
        alloy_session_close(makers[i]);
    }
    alloy_session_close(session);
    alloy_model_close(other);
    alloy_model_close(model);
}

static void sessions_check_their_options(void **state)
{
    (void)state;
    alloy_model *model = open_model(CASES[0]);
    alloy_session *session;
    expect_failure(alloy_session_open(&session, model,
                                      &(alloy_session_options){.size = sizeof(alloy_session_options), .chunk = -1}),
                   ALLOY_RANGE, "chunk");
    expect_failure(
        alloy_session_open(&session, model,
                           &(alloy_session_options){.size = sizeof(alloy_session_options), .kv_dtype = ALLOY_F64}),
        ALLOY_ARG, "kv_dtype", "F64");
    expect_failure(alloy_session_open(&session, model,
                                      &(alloy_session_options){.size = sizeof(alloy_session_options), .cpu = "avx3"}),
                   ALLOY_ARG, "avx3");
    expect_failure(alloy_session_open(&session, model,
                                      &(alloy_session_options){.size = sizeof(alloy_session_options), .threads = -1}),
                   ALLOY_RANGE, "threads");
    assert_null(session);
    alloy_model_close(model);
}

/* ---- Caches ------------------------------------------------------------------------------------------------------ */

static void a_copy_goes_its_own_way(void **state)
{
    (void)state;
    for (int i = 0; i < CASE_COUNT; i++) {
        struct reference r;
        begin(&r, CASES[i]);
        alloy_session *session = open_session(r.model, 2, 0, NULL);
        alloy_cache *cache = open_cache(session), *copy;
        float *logits = malloc((size_t)(TOKENS * r.vocab) * sizeof *logits);
        assert_int_equal(alloy_cache_bytes(cache), 0);
        run_all(session, cache, r.ids, 90, logits);
        assert_true(alloy_cache_bytes(cache) > 0);
        expect_ok(alloy_cache_copy(&copy, cache));
        assert_int_equal(alloy_cache_length(copy), 90);
        assert_int_equal(alloy_cache_bytes(copy), alloy_cache_bytes(cache));
        int64_t other[20];
        fill_ids(other, 20, 99);
        run_all(session, copy, other, 20, logits);
        run_all(session, cache, r.ids + 90, TOKENS - 90, logits + 90 * r.vocab);
        expect_same_bits(logits + 90 * r.vocab, r.logits + 90 * r.vocab, (TOKENS - 90) * r.vocab, "beside its copy");
        alloy_cache_close(cache);
        assert_int_equal(alloy_cache_length(copy), 110);
        alloy_cache_close(copy);
        free(logits);
        alloy_session_close(session);
        end(&r);
    }
}

static void full_attention_is_cut_in_place(void **state)
{
    (void)state;
    struct reference r;
    begin(&r, CASES[0]);
    alloy_session *session = open_session(r.model, 2, 0, NULL);
    alloy_cache *cache = open_cache(session);
    float *logits = malloc((size_t)(TOKENS * r.vocab) * sizeof *logits);
    int64_t other[60];
    fill_ids(other, 60, 99);
    run_all(session, cache, r.ids, 70, logits);
    run_all(session, cache, other, 60, logits);
    expect_ok(alloy_cache_truncate(cache, 70));
    run_all(session, cache, r.ids + 70, TOKENS - 70, logits);
    expect_same_bits(logits, r.logits + 70 * r.vocab, (TOKENS - 70) * r.vocab, "behind a cut");
    expect_failure(alloy_cache_truncate(cache, TOKENS + 1), ALLOY_RANGE, "151", "150");
    expect_failure(alloy_cache_truncate(cache, -1), ALLOY_RANGE, "-1");
    free(logits);
    alloy_cache_close(cache);
    alloy_session_close(session);
    end(&r);
}

static void a_recurrent_state_is_not_cut(void **state)
{
    (void)state;
    struct reference r;
    begin(&r, CASES[1]);
    alloy_session *session = open_session(r.model, 2, 0, NULL);
    alloy_cache *cache = open_cache(session);
    float *logits = malloc((size_t)(TOKENS * r.vocab) * sizeof *logits);
    run_all(session, cache, r.ids, 70, logits);
    expect_failure(alloy_cache_truncate(cache, 69), ALLOY_UNSUPPORTED, "qwen3_5_gdn");
    expect_ok(alloy_cache_truncate(cache, 70));
    run_all(session, cache, r.ids + 70, TOKENS - 70, logits);
    expect_same_bits(logits, r.logits + 70 * r.vocab, (TOKENS - 70) * r.vocab, "behind a refused cut");
    free(logits);
    alloy_cache_close(cache);
    alloy_session_close(session);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_do_not_depend_on_the_chunk),
        cmocka_unit_test(bits_do_not_depend_on_the_threads),
        cmocka_unit_test(bits_do_not_depend_on_the_instruction_set),
        cmocka_unit_test(bits_do_not_depend_on_the_batch),
        cmocka_unit_test(bits_do_not_depend_on_the_cache),
        cmocka_unit_test(bits_of_a_narrow_cache_do_not_depend_on_the_chunk),
        cmocka_unit_test(a_kernel_that_sums_in_another_order_is_noticed),
        cmocka_unit_test(last_rows_are_the_last_of_all_rows),
        cmocka_unit_test(progress_can_stop_a_forward),
        cmocka_unit_test(p6_ids_outside_the_vocabulary_are_refused),
        cmocka_unit_test(p8_a_full_context_is_refused),
        cmocka_unit_test(bad_sequences_end_alone_where_the_caller_takes_failures),
        cmocka_unit_test(an_error_in_mid_run_leaves_empty_caches),
        cmocka_unit_test(shared_and_foreign_caches_are_refused),
        cmocka_unit_test(sessions_check_their_options),
        cmocka_unit_test(a_copy_goes_its_own_way),
        cmocka_unit_test(full_attention_is_cut_in_place),
        cmocka_unit_test(a_recurrent_state_is_not_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
