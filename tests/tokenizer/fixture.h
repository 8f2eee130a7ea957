/* Small tokenizers for tests: a tokenizer.json from parts, most of which are plain. */
#ifndef ALLOY_TESTS_TOKENIZER_FIXTURE_H
#define ALLOY_TESTS_TOKENIZER_FIXTURE_H

#include "support.h"

/* The values of the file's keys, as JSON; NULL: null (added tokens: none; model: PLAIN_MODEL). */
struct parts {
    const char *added, *normalizer, *pretokenizer, *post, *decoder, *model, *truncation, *padding;
};

/* Letters, the mark of Llama-2, and a few words: "hello" = hel + lo, "low" = lo + w. */
#define PLAIN_VOCABULARY                                                                                               \
    "{\"<unk>\":0,\"h\":1,\"e\":2,\"l\":3,\"o\":4,\"w\":5,\"\xE2\x96\x81\":6,\"he\":7,\"hel\":8,\"lo\":9,\"hello\":"   \
    "10,\"low\":11,\" \":12,\"1\":13,\"!\":14}"
#define PLAIN_MERGES "[\"h e\",\"he l\",\"l o\",\"hel lo\",\"lo w\"]"
#define PLAIN_MODEL "{\"type\":\"BPE\",\"vocab\":" PLAIN_VOCABULARY ",\"merges\":" PLAIN_MERGES "}"

#define SPLIT(pattern, behavior)                                                                                       \
    "{\"type\":\"Split\",\"pattern\":" pattern ",\"behavior\":\"" behavior "\",\"invert\":false}"
#define ADDED(id, content, more) "{\"id\":" #id ",\"content\":\"" content "\"" more "}"

static inline const char *or_null(const char *value)
{
    return value ? value : "null";
}

static inline alloy_status open_text(alloy_tokenizer **tokenizer, const char *json, size_t size)
{
    char *folder = test_folder();
    alloy_status status = alloy_tokenizer_open(tokenizer, write_file(folder, "tokenizer.json", json, size));
    remove_folder(folder);
    return status;
}

static inline alloy_status open_parts(alloy_tokenizer **tokenizer, struct parts parts)
{
    static char json[1 << 20];
    int size = snprintf(json, sizeof json,
                        "{\"version\":\"1.0\",\"truncation\":%s,\"padding\":%s,\"added_tokens\":%s,\"normalizer\":%s,"
                        "\"pre_tokenizer\":%s,"
                        "\"post_processor\":%s,\"decoder\":%s,\"model\":%s}",
                        or_null(parts.truncation), or_null(parts.padding), parts.added ? parts.added : "[]",
                        or_null(parts.normalizer), or_null(parts.pretokenizer), or_null(parts.post),
                        or_null(parts.decoder), parts.model ? parts.model : PLAIN_MODEL);
    assert_in_range(size, 1, sizeof json - 1);
    return open_text(tokenizer, json, (size_t)size);
}

static inline alloy_tokenizer *sound(struct parts parts)
{
    alloy_tokenizer *tokenizer;
    expect_ok(open_parts(&tokenizer, parts));
    return tokenizer;
}

/* The ids of a text as "1 2 3". */
static inline const char *ids_of(const alloy_tokenizer *tokenizer, const char *text, size_t size, unsigned flags)
{
    static char list[4096];
    alloy_ids ids = {0};
    size_t used = 0;
    list[0] = 0;
    expect_ok(alloy_tokenizer_encode(tokenizer, text, size, flags, &ids));
    for (int64_t i = 0; i < ids.count && used < sizeof list - 24; i++)
        used += (size_t)sprintf(list + used, "%s%lld", i ? " " : "", (long long)ids.ids[i]);
    alloy_ids_free(&ids);
    return list;
}

#define expect_ids(tokenizer, text, expected) expect_text(ids_of((tokenizer), (text), strlen(text), 0), (expected))

/* A tokenizer of these parts cuts the text so. */
#define expect_cut(given, text, expected)                                                                              \
    do {                                                                                                               \
        alloy_tokenizer *cutting = sound((struct parts)given);                                                         \
        expect_ids(cutting, text, expected);                                                                           \
        alloy_tokenizer_close(cutting);                                                                                \
    } while (0)
#define PARTS(...)                                                                                                     \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

#endif
