/* Where a run's tokens went, from `alloy logits --routing-out` to `alloy roofline --routing`. */
#include "spawn.h"

#define MOE ALLOY_SOURCE_DIR "/tests/golden/qwen3_moe"

static void a_run_tells_the_roofline_where_its_tokens_went(void **state)
{
    (void)state;
    char *folder = test_folder();
    char *routing = path_in(folder, "routing.json"), *out = path_in(folder, "logits.safetensors");
    struct answer answer = run(plainly, "logits", MOE, "--ids", "5,6,7", "--out", out, "--routing-out", routing);
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    size_t size;
    char *text = read_whole(routing, &size);
    assert_int_equal(strncmp(text, "{\"0\":[", 6), 0);
    int64_t tokens = 0;
    for (char *at = strchr(text, '['); *at != ']'; at++)
        tokens += *at >= '0' && *at <= '9' ? *at - '0' : 0;
    assert_int_equal(tokens, 3 * 2); /* 2 experts a token, of 8: no count has two digits */
    free(text);
    answer =
        run(plainly, "roofline", MOE, "--sequences", "3+0", "--accounting", "exact", "--routing", routing, "--json");
    expect_code(&answer, ALLOY_OK);
    expect_json(&answer);
    expect_text(answer.err, "");
    forget(&answer);
    answer = run(plainly, "roofline", MOE, "--at", "prefill:3", "--at", "decode:7", "--routing", routing);
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.err, "layer 0 routes 3 tokens, decode (B=1, cache=7) has 1");
    assert_null(strstr(answer.err, "prefill"));
    forget(&answer);
    answer =
        run(plainly, "roofline", ALLOY_SOURCE_DIR "/tests/golden/qwen3", "--accounting", "exact", "--routing", routing);
    expect_code(&answer, ALLOY_ARG);
    forget(&answer);
    remove_folder(folder);
}

/* A model without experts has nothing to tell. */
static void a_dense_model_routes_nothing(void **state)
{
    (void)state;
    char *folder = test_folder();
    char *routing = path_in(folder, "routing.json"), *out = path_in(folder, "logits.safetensors");
    struct answer answer = run(plainly, "logits", ALLOY_SOURCE_DIR "/tests/golden/qwen3", "--ids", "5,6", "--out", out,
                               "--routing-out", routing);
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    size_t size;
    char *text = read_whole(routing, &size);
    expect_bytes(text, size, "{}\n");
    free(text);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_tells_the_roofline_where_its_tokens_went),
        cmocka_unit_test(a_dense_model_routes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
