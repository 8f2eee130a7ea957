/* Whatever goes wrong, a config is refused without a leak: memory that runs out at any allocation, and texts with any
 * byte changed. */
#include "config/dump.h"
#include "config/samples.h"

#include "base/memory.h"
#include "base/random.h"
#include "config/generation.h"

enum { MOST_ALLOCATIONS = 1000, MUTATIONS = 20000, MOST_CHANGES = 4 };

/* Parses, saves and parses again. */
static alloy_status parse_and_save(const char *json)
{
    alloy_config *config = NULL, *again = NULL;
    alloy_text saved = {0};
    alloy_status status = alloy_config_parse(&config, "config.json", json, strlen(json));
    if (!status)
        status = alloy_config_to_json(config, &saved);
    if (!status)
        status = alloy_config_parse(&again, "saved.json", alloy_text_get(&saved), saved.size);
    alloy_text_free(&saved);
    alloy_config_close(config);
    alloy_config_close(again);
    return status;
}

static alloy_status parse_generation(const char *json)
{
    alloy_generation_config *config;
    alloy_status status = alloy_generation_config_parse(&config, "generation_config.json", json, strlen(json), 0);
    alloy_generation_config_close(config);
    return status;
}

/* Lets each allocation of a call fail in turn, until it succeeds. */
static void walk(alloy_status (*call)(const char *), const char *json)
{
    for (int n = 0; n < MOST_ALLOCATIONS; n++) {
        alloy_memory_fail_after(n);
        alloy_status status = call(json);
        alloy_memory_fail_after(-1);
        if (status == ALLOY_OK)
            return;
        if (status != ALLOY_NOMEM)
            fail_msg("allocation %d of %s: %s %s", n, json, alloy_status_name(status), alloy_error());
        expect_failure(status, ALLOY_NOMEM, "out of memory");
    }
    fail_msg("%s: still fails after %d allocations", json, MOST_ALLOCATIONS);
}

static void memory_runs_out_anywhere(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLES; i++)
        walk(parse_and_save, samples[i]);
    walk(parse_generation, "{\"eos_token_id\": [1, 2, 3], \"num_beams\": 3, \"temperature\": 0.5}");
}

/* Changes a few bytes: what a digit, a bracket or a quote in a wrong place does. */
static void mutate(char *json, size_t size, uint64_t counter)
{
    static const char likely[] = "0123456789-+.eE{}[]\",: \\untfa\x80\xFF\n";
    uint32_t draws[4];
    alloy_random_4(1, 0, 2 * counter, draws);
    uint32_t changes = 1 + draws[0] % MOST_CHANGES;
    for (uint32_t i = 0; i < changes; i++) {
        alloy_random_4(1, 1 + i, 2 * counter + 1, draws);
        if (draws[0] % 4 == 0)
            memmove(json + draws[1] % size, json + draws[2] % size,
                    size - (draws[1] % size > draws[2] % size ? draws[1] % size : draws[2] % size));
        else
            json[draws[1] % size] = likely[draws[2] % (sizeof likely - 1)];
    }
}

static void any_byte_may_be_wrong(void **state)
{
    (void)state;
    int sound = 0;
    for (int i = 0; i < MUTATIONS; i++) {
        const char *sample = samples[i % SAMPLES];
        size_t size = strlen(sample);
        char *json = malloc(size);
        alloy_config *config;
        assert_non_null(json);
        memcpy(json, sample, size);
        mutate(json, size, (uint64_t)i);
        alloy_status status = alloy_config_parse(&config, "config.json", json, size);
        if (status == ALLOY_OK) {
            alloy_text saved = {0};
            expect_ok(alloy_config_to_json(config, &saved));
            alloy_text_free(&saved);
            sound++;
        } else {
            assert_null(config);
            assert_true(status == ALLOY_FORMAT || status == ALLOY_RANGE || status == ALLOY_LIMIT ||
                        status == ALLOY_UNSUPPORTED);
            assert_true(*alloy_error() && !strchr(alloy_error(), '\n'));
        }
        alloy_config_close(config);
        free(json);
    }
    assert_true(sound > 0 && sound < MUTATIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_runs_out_anywhere),
        cmocka_unit_test(any_byte_may_be_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
