/* Fuzzing in small: copies of known files, changed in ways that come from a fixed seed, through the promises of
 * fuzz/targets.h. Runs the same everywhere; under the sanitizers it finds what they can see. */
#include "support.h"

#include "attacks/safetensors_cases.h"
#include "fuzz/changes.h"
#include "fuzz/targets.h"

enum { LARGEST = 4096, ROUNDS = 12000 };

static const char *const documents[] = {
    "{\"a\": [1, -2.5e+10, true, false, null, \"x\\n\\u00e9\\ud83d\\ude00\"], \"b\": {\"c\": {}, \"d\": []}}",
    "[[[[[[[[]]]]]]]]",
    "{\"hidden_size\": 4096, \"rope_scaling\": {\"factor\": 4.0, \"type\": \"yarn\"}, \"eos_token_id\": [1, 2]}",
    "{\"\": 1, \"a\": 1, \"b\": 1, \"c\": 1, \"d\": 1, \"e\": 1, \"aa\": 1, \"\\u0062\\u0062\": 1}",
    "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"",
};

/* Pieces that break parsers. */
static const char *const pieces[] = {"\"",
                                     "\\",
                                     "\\u",
                                     "\\ud800",
                                     "\\udc00",
                                     "{",
                                     "}",
                                     "[",
                                     "]",
                                     ",",
                                     ":",
                                     "-",
                                     "0",
                                     "1e999",
                                     "null",
                                     "\xFF",
                                     "\xC3",
                                     "\xED\xA0\x80",
                                     "18446744073709551615",
                                     "9223372036854775808",
                                     "\"dtype\":",
                                     "[0,0]"};

static struct changes changes_of(uint64_t round)
{
    return (struct changes){20240607, round, 0, pieces, sizeof pieces / sizeof *pieces, LARGEST};
}

static void changed_documents_break_no_promise(void **state)
{
    (void)state;
    uint8_t bytes[LARGEST];
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct changes changes = changes_of(round);
        const char *document = documents[round % (sizeof documents / sizeof *documents)];
        size_t size = strlen(document);
        memcpy(bytes, document, size);
        if (round >= sizeof documents / sizeof *documents)
            size = change_some(&changes, bytes, size);
        try_bytes(fuzz_json, bytes, size);
    }
}

/* The header's size is put right again most of the time, so that changes reach what is after it. */
static void state_size(uint8_t *bytes, size_t size, size_t data)
{
    uint64_t header = size >= 8 + data ? size - 8 - data : 0;
    for (size_t i = 0; i < 8 && i < size; i++)
        bytes[i] = (uint8_t)(header >> 8 * i);
}

static void changed_safetensors_break_no_promise(void **state)
{
    (void)state;
    uint8_t bytes[LARGEST];
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct changes changes = changes_of(round);
        const struct safetensors_case *seed = &safetensors_cases[round % SAFETENSORS_CASES];
        size_t size;
        uint8_t *whole = safetensors_case_bytes(seed, &size);
        assert_non_null(whole);
        memcpy(bytes, whole, size);
        free(whole);
        if (round >= SAFETENSORS_CASES)
            size = change_some(&changes, bytes, size);
        if (draw(&changes, 8))
            state_size(bytes, size, seed->data);
        try_bytes(fuzz_safetensors, bytes, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changed_documents_break_no_promise),
        cmocka_unit_test(changed_safetensors_break_no_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
