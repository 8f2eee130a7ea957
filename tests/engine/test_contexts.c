/* Contexts that no machine has memory for: a config may claim them, and nothing is allocated until tokens come
 * (C15). */
#include "engine/models.h"

#include "base/memory.h"
#include "engine/cache.h"

enum { VOCAB = 256 };

static const int64_t BILLION = 1000000000;

/* The dense reference case, with a context of a billion tokens. */
static alloy_model *open_long_model(char *folder)
{
    struct model_copy copy;
    char *config =
        changed_config(GOLDEN("qwen3"), "\"max_position_embeddings\": 4096", "\"max_position_embeddings\": 1000000000");
    begin_copy(&copy, GOLDEN("qwen3"));
    end_copy(&copy, GOLDEN("qwen3"), config, folder);
    free(config);
    struct refusal refusal = begin_refusal(4 << 20);
    alloy_model *model = open_model(folder);
    end_refusal(&refusal, "opening");
    assert_int_equal(alloy_model_context(model), BILLION);
    return model;
}

static void c15_a_billion_tokens_of_context_load_and_run(void **state)
{
    (void)state;
    char *folder = test_folder();
    alloy_model *model = open_long_model(folder);
    alloy_session *session = open_session(model, 1, 0, NULL);
    struct refusal refusal = begin_refusal(0);
    alloy_cache *cache = open_cache(session);
    int64_t ids[5] = {3, 1, 4, 1, 5};
    float logits[VOCAB];
    expect_ok(alloy_forward(session, &(alloy_sequence){cache, ids, 5}, 1, logits, NULL));
    end_refusal(&refusal, "five tokens");
    assert_true(alloy_cache_bytes(cache) < 1 << 20);
    float *expected = last_logits(GOLDEN("qwen3"), NULL, ids, 5);
    expect_same_bits(logits, expected, VOCAB, "logits of five tokens");
    free(expected);
    alloy_cache_close(cache);
    alloy_session_close(session);
    alloy_model_close(model);
    remove_folder(folder);
}

static void c15_a_cache_of_so_many_is_refused_when_asked_for(void **state)
{
    (void)state;
    char *folder = test_folder(), bytes[64], machine[64];
    alloy_model *model = open_long_model(folder);
    alloy_session *session = open_session(model, 1, 0, NULL);
    alloy_cache *cache;
    /* 4 layers of keys and values: 2 heads of 16 in fp32 */
    snprintf(bytes, sizeof bytes, "%lld bytes", 4 * 2 * 2 * 16 * 4 * (long long)BILLION);
    snprintf(machine, sizeof machine, "this machine has %zu", alloy_memory_of_machine());
    struct refusal refusal = begin_refusal(0);
    expect_failure(alloy_cache_open(&cache, session, BILLION), ALLOY_LIMIT, "1000000000 tokens", bytes, machine);
    assert_null(cache);
    expect_failure(alloy_cache_open(&cache, session, INT64_MAX), ALLOY_LIMIT, "9223372036854775807 tokens",
                   "more than 2^64 bytes");
    expect_failure(alloy_cache_open(&cache, session, -1), ALLOY_RANGE, "-1 tokens");
    expect_ok(alloy_cache_open(&cache, session, 0));
    expect_failure(alloy_cache_reserve(cache, BILLION), ALLOY_LIMIT, "1000000000 tokens", bytes); /* a forward's */
    assert_int_equal(alloy_cache_bytes(cache), 0);
    end_refusal(&refusal, "a cache of a billion tokens");
    alloy_cache_close(cache);
    alloy_session_close(session);
    alloy_model_close(model);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(c15_a_billion_tokens_of_context_load_and_run),
        cmocka_unit_test(c15_a_cache_of_so_many_is_refused_when_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
