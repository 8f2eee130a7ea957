/* Fuzzing in small: copies of known files, changed in ways that come from a fixed seed, through the promises of
 * fuzz/targets.h. Runs the same everywhere; under the sanitizers it finds what they can see. */
#include "support.h"

#include "attacks/safetensors_cases.h"
#include "base/random.h"
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

struct source {
    uint64_t stream, counter;
};

static uint32_t draw(struct source *source, size_t below)
{
    uint32_t words[4];
    alloy_random_4(20240607, source->stream, source->counter++, words);
    return below ? (uint32_t)(words[0] % below) : 0;
}

static size_t insert(uint8_t *bytes, size_t size, size_t at, const void *piece, size_t length)
{
    if (size + length > LARGEST)
        return size;
    memmove(bytes + at + length, bytes + at, size - at);
    memcpy(bytes + at, piece, length);
    return size + length;
}

/* One change; returns the new size. */
static size_t change(uint8_t *bytes, size_t size, struct source *source)
{
    size_t at = draw(source, size + 1), length = 1 + draw(source, 8);
    const char *piece = pieces[draw(source, sizeof pieces / sizeof *pieces)];
    length = length < size - at ? length : size - at;
    switch (draw(source, 6)) {
    case 0: /* a bit */
        if (at < size)
            bytes[at] ^= (uint8_t)(1u << draw(source, 8));
        return size;
    case 1: /* a byte */
        if (at < size)
            bytes[at] = (uint8_t)draw(source, 256);
        return size;
    case 2: /* taken out */
        memmove(bytes + at, bytes + at + length, size - at - length);
        return size - length;
    case 3: /* cut short */
        return draw(source, 4) ? size : at;
    case 4: { /* a part again elsewhere */
        uint8_t copy[8];
        memcpy(copy, bytes + at, length);
        return insert(bytes, size, draw(source, size + 1), copy, length);
    }
    default:
        return insert(bytes, size, at, piece, strlen(piece));
    }
}

static size_t change_some(uint8_t *bytes, size_t size, struct source *source)
{
    for (uint32_t changes = 1 + draw(source, 4); changes > 0; changes--)
        size = change(bytes, size, source);
    return size;
}

/* The promises read exactly the bytes that are theirs: a copy of the right size lets the sanitizers see one more. */
static void try_bytes(void (*target)(const uint8_t *, size_t), const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    target(exact, size);
    free(exact);
}

static void changed_documents_break_no_promise(void **state)
{
    (void)state;
    uint8_t bytes[LARGEST];
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct source source = {round, 0};
        const char *document = documents[round % (sizeof documents / sizeof *documents)];
        size_t size = strlen(document);
        memcpy(bytes, document, size);
        if (round >= sizeof documents / sizeof *documents)
            size = change_some(bytes, size, &source);
        try_bytes(fuzz_json, bytes, size);
    }
}

/* The header's size is put right again most of the time, so that changes reach what is behind it. */
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
        struct source source = {round, 0};
        const struct safetensors_case *seed = &safetensors_cases[round % SAFETENSORS_CASES];
        size_t size;
        uint8_t *whole = safetensors_case_bytes(seed, &size);
        assert_non_null(whole);
        memcpy(bytes, whole, size);
        free(whole);
        if (round >= SAFETENSORS_CASES)
            size = change_some(bytes, size, &source);
        if (draw(&source, 8))
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
