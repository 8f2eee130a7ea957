/* alloy/compare.h as a program uses it: a capture that is its own reference, two models, the promise of identical bits,
 * and option structs of callers that were built with another header. */
#include "support.h"

#include <math.h>

#include "alloy/compare.h"
#include "base/memory.h"

#define GOLDEN ALLOY_SOURCE_DIR "/tests/golden/"

enum { TOKENS = 5, VOCAB = 256, LAYERS = 4 };
static const int64_t some_ids[TOKENS] = {5, 9, 200, 31, 7};

struct fixture {
    alloy_model *model;
    alloy_session *session;
};

static struct fixture open_fixture(const char *folder, const alloy_load_options *options)
{
    struct fixture f;
    expect_ok(alloy_model_open(&f.model, folder, options));
    expect_ok(
        alloy_session_open(&f.session, f.model,
                           &(alloy_session_options){.size = sizeof(alloy_session_options), .threads = 1, .chunk = 2}));
    return f;
}

static void close_fixture(struct fixture *f)
{
    alloy_session_close(f->session);
    alloy_model_close(f->model);
}

/* ---- Captures ---------------------------------------------------------------------------------------------------- */

static void count_steps(void *user, const char *what, int64_t done, int64_t total)
{
    int *steps = user;
    assert_string_equal(what, "prefill");
    assert_int_equal(total, TOKENS);
    assert_true(done > 0 && done <= total);
    ++*steps;
}

/* The hidden states and the routing are where they belong, and what was not asked for is not there. */
static void a_capture_holds_what_was_asked_for(void **state)
{
    (void)state;
    struct fixture f = open_fixture(GOLDEN "qwen3_moe", NULL);
    int steps = 0;
    alloy_capture_options options = {
        .size = sizeof options, .hidden = true, .routing = true, .progress = count_steps, .user = &steps};
    alloy_capture *all, *plain;
    expect_ok(alloy_capture_open(&all, f.session, some_ids, TOKENS, &options));
    expect_ok(alloy_capture_open(&plain, f.session, some_ids, TOKENS, NULL));
    assert_int_equal(steps, 3); /* chunks of 2 */
    assert_int_equal(all->tokens, TOKENS);
    assert_memory_equal(all->ids, some_ids, sizeof some_ids);
    assert_memory_equal(all->logits, plain->logits, TOKENS * (size_t)all->vocab_size * sizeof(float));
    assert_null(plain->hidden);
    assert_null(plain->routing);
    for (int64_t i = 0; i < all->layers; i++) {
        int64_t routed = 0;
        for (int64_t e = 0; e < all->routing[i].experts; e++)
            routed += all->routing[i].tokens[e];
        int64_t experts = all->routing[i].tokens ? 2 : 0; /* a token of the golden model */
        assert_int_equal(routed, TOKENS * experts);
    }
    alloy_capture_close(all);
    alloy_capture_close(plain);
    expect_failure(alloy_capture_open(&plain, f.session, some_ids, 0, NULL), ALLOY_ARG, "no token ids");
    assert_null(plain);
    close_fixture(&f);
}

/* ---- Comparisons ------------------------------------------------------------------------------------------------- */

/* What was written is a reference that the same model meets to the bit, and another one does not. */
static void a_capture_is_its_own_reference(void **state)
{
    (void)state;
    struct fixture f = open_fixture(GOLDEN "qwen3", NULL);
    char *folder = test_folder(), *path = path_in(folder, "out.safetensors");
    alloy_capture *capture;
    alloy_comparison *c;
    alloy_capture_options options = {.size = sizeof options, .hidden = true};
    expect_ok(alloy_capture_open(&capture, f.session, some_ids, TOKENS, &options));
    expect_ok(alloy_capture_write(capture, path));
    expect_ok(alloy_compare_reference(&c, f.session, path, NULL));
    assert_true(c->passed && c->has_logits && !c->has_greedy);
    assert_int_equal(c->dtype, ALLOY_F32);
    assert_int_equal(c->tokens, TOKENS);
    assert_int_equal(c->layer_count, LAYERS);
    assert_int_equal(c->first_departure, LAYERS);
    assert_string_equal(c->layers[1].mixer, "qwen3_attention");
    for (int i = 0; i < LAYERS; i++)
        assert_true(c->layers[i].distance.error == 0 && c->layers[i].relative == 0 && isnan(c->layers[i].theirs));
    assert_int_equal(c->choices.equal, TOKENS);
    expect_ok(alloy_comparison_status(c, "a", "b"));
    alloy_comparison_close(c);
    capture->hidden[TOKENS * capture->width] += 1; /* the second layer's first number */
    expect_ok(alloy_capture_write(capture, path));
    expect_ok(alloy_compare_reference(&c, f.session, path, NULL));
    assert_false(c->passed);
    assert_int_equal(c->first_departure, 1);
    assert_true(c->layers[0].passed && c->logits.passed && fabs(c->layers[1].distance.error - 1) < 1e-3);
    expect_failure(alloy_comparison_status(c, "mine", "its reference"), ALLOY_DIFFERENT,
                   "mine departs from its reference: layer 1 is off by");
    alloy_comparison_close(c);
    alloy_capture_close(capture);
    remove_folder(folder);
    close_fixture(&f);
}

static void a_model_is_equal_to_itself_and_to_no_other(void **state)
{
    (void)state;
    struct fixture a = open_fixture(GOLDEN "qwen3", NULL), b = open_fixture(GOLDEN "qwen3", NULL);
    struct fixture other =
        open_fixture(GOLDEN "qwen3", &(alloy_load_options){.size = sizeof(alloy_load_options), .num_layers = 2});
    alloy_comparison *c;
    expect_ok(alloy_compare_models(&c, a.session, b.session, some_ids, TOKENS, NULL));
    assert_true(c->passed && c->has_logits && c->has_greedy);
    assert_int_equal(c->dtype, ALLOY_DTYPE_NONE);
    assert_int_equal(c->greedy_count, 24);
    assert_int_equal(c->greedy_equal, 24);
    alloy_comparison_close(c);
    expect_failure(alloy_compare_check(a.model, other.model), ALLOY_ARG, "4 layers of 64", "2 layers of 64");
    expect_failure(alloy_compare_models(&c, a.session, other.session, some_ids, TOKENS, NULL), ALLOY_ARG, "2 layers");
    assert_null(c);
    close_fixture(&a);
    close_fixture(&b);
    close_fixture(&other);
}

/* ---- Identical bits ---------------------------------------------------------------------------------------------- */

static void every_setting_gives_the_same_bits(void **state)
{
    (void)state;
    struct fixture f = open_fixture(GOLDEN "qwen3", NULL);
    alloy_verification *v;
    alloy_verify_options options = {.size = sizeof options, .cpu = "generic"};
    expect_ok(alloy_verify(&v, f.model, some_ids, TOKENS, &options));
    assert_int_equal(v->tokens, TOKENS);
    assert_string_equal(v->reference_cpu, "generic");
    assert_int_equal(v->missing_count, 0);
    assert_true(v->run_count >= 20); /* 4 numbers of threads times 5 chunks */
    assert_int_equal(v->first_difference, v->run_count);
    expect_ok(alloy_verification_status(v));
    v->first_difference = 1;
    expect_failure(alloy_verification_status(v), ALLOY_DIFFERENT, "logits differ", "cpu generic");
    alloy_verification_close(v);
    expect_failure(alloy_verify(&v, f.model, NULL, 0, NULL), ALLOY_ARG, "no token ids");
    assert_null(v);
    close_fixture(&f);
}

/* ---- Option structs ---------------------------------------------------------------------------------------------- */

/* A caller of tomorrow has a field more, one of yesterday knows the tolerance alone. */
static void option_structs_of_other_headers_are_served_or_refused(void **state)
{
    (void)state;
    struct fixture a = open_fixture(GOLDEN "qwen3", NULL);
    struct {
        alloy_compare_options known;
        int64_t unknown;
    } later = {.known.size = sizeof later};
    struct {
        size_t size;
        double tolerance;
    } earlier = {.size = sizeof earlier};
    alloy_comparison *c;
    expect_ok(alloy_compare_models(&c, a.session, a.session, some_ids, TOKENS, &later.known));
    alloy_comparison_close(c);
    later.unknown = 1;
    expect_failure(alloy_compare_models(&c, a.session, a.session, some_ids, TOKENS, &later.known), ALLOY_ARG,
                   "alloy_compare_options", "older than the caller");
    assert_null(c);
    expect_ok(alloy_compare_models(&c, a.session, a.session, some_ids, TOKENS, (const void *)&earlier));
    alloy_comparison_close(c);
    earlier.tolerance = -1; /* a field that the caller does know: nothing is near enough */
    expect_ok(alloy_compare_models(&c, a.session, a.session, some_ids, TOKENS, (const void *)&earlier));
    assert_false(c->passed);
    alloy_comparison_close(c);
    expect_failure(alloy_compare_models(&c, a.session, a.session, some_ids, TOKENS, &(alloy_compare_options){0}),
                   ALLOY_ARG, "size is 0");
    close_fixture(&a);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* Each allocation fails in turn: NOMEM, nothing half-made, nothing lost. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct fixture f = open_fixture(GOLDEN "qwen3", NULL);
    alloy_comparison *c;
    alloy_status status = ALLOY_NOMEM;
    int64_t n = 0;
    for (; status == ALLOY_NOMEM; n++) {
        alloy_memory_fail_after(n);
        status = alloy_compare_reference(&c, f.session, GOLDEN "qwen3/expected.safetensors", NULL);
        alloy_memory_fail_after(-1);
        assert_true(status == ALLOY_OK || !c);
    }
    expect_ok(status);
    assert_true(n > 5);
    alloy_comparison_close(c);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_capture_holds_what_was_asked_for),
        cmocka_unit_test(a_capture_is_its_own_reference),
        cmocka_unit_test(a_model_is_equal_to_itself_and_to_no_other),
        cmocka_unit_test(every_setting_gives_the_same_bits),
        cmocka_unit_test(option_structs_of_other_headers_are_served_or_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
