/* What a tokenizer.json may cost, T18 to T21: the budget of a call, each component that could exceed it, and that what
 * is honest stays far below it. Steps and bytes are counted, not timed. */
#include "tokenizer/fixture.h"

#include "base/memory.h"
#include "tokenizer/regex.h"

#define MIB ((size_t)1 << 20)

/* ---- The budget -------------------------------------------------------------------------------------------------- */

static void a_budget_is_linear_in_the_input(void **state)
{
    (void)state;
    alloy_budget none, some, more;
    alloy_budget_open(&none, 0);
    alloy_budget_open(&some, 1000);
    alloy_budget_open(&more, 2000);
    assert_int_equal(none.growth, MIB);
    assert_int_equal(some.growth, MIB + 64 * 1000);
    assert_int_equal(more.steps - some.steps, some.steps - none.steps);
    alloy_budget_extend(&some, 1000);
    assert_int_equal(some.steps, more.steps);
    assert_int_equal(some.growth, more.growth);
    for (int i = 0; i < 100; i++)
        alloy_budget_extend(&some, SIZE_MAX / 1024); /* never wraps */
    assert_true(some.steps > more.steps && some.growth > more.growth);
}

static void a_budget_ends_with_the_name_of_the_part(void **state)
{
    (void)state;
    alloy_budget budget = {.steps = 10, .growth = 5};
    expect_ok(alloy_budget_charge(&budget, 10, "the decoder"));
    expect_failure(alloy_budget_charge(&budget, 1, "the decoder"), ALLOY_LIMIT, "the decoder", "steps");
    expect_ok(alloy_budget_grow(&budget, 10, 12, "the decoder"));
    expect_ok(alloy_budget_grow(&budget, 12, 2, "the decoder"));
    expect_ok(alloy_budget_allows(&budget, 2, 5, "the decoder"));
    expect_failure(alloy_budget_grow(&budget, 2, 6, "the decoder"), ALLOY_LIMIT, "the decoder", "65 times");
    assert_int_equal(budget.growth, 3);
}

/* ---- Texts that are refused -------------------------------------------------------------------------------------- */

static char *repeated(const char *unit, size_t size)
{
    size_t length = strlen(unit);
    char *text = malloc(size + length);
    assert_non_null(text);
    for (size_t used = 0; used < size; used += length)
        memcpy(text + used, unit, length);
    return text;
}

/* LIMIT, naming `word`, within the time and the memory of a refusal. */
static void refuse_text(struct parts parts, const char *unit, size_t size, const char *word)
{
    alloy_tokenizer *tokenizer = sound(parts);
    char *text = repeated(unit, size);
    alloy_ids ids = {0};
    struct refusal refusal = begin_refusal(2 * size);
    alloy_status status = alloy_tokenizer_encode(tokenizer, text, size, 0, &ids);
    end_refusal(&refusal, word);
    expect_failure(status, ALLOY_LIMIT, word);
    assert_int_equal(ids.count, 0);
    alloy_ids_free(&ids);
    free(text);
    alloy_tokenizer_close(tokenizer);
}

/* {"type": "Sequence", key: [item, item, ...]} */
static const char *sequence_of(const char *key, const char *item, int count)
{
    static char json[1 << 16];
    int used = snprintf(json, sizeof json, "{\"type\":\"Sequence\",\"%s\":[", key);
    for (int i = 0; i < count; i++)
        used += snprintf(json + used, sizeof json - (size_t)used, "%s%s", i ? "," : "", item);
    snprintf(json + used, sizeof json - (size_t)used, "]}");
    assert_in_range(used, 1, sizeof json - 8);
    return json;
}

#define REPLACE(pattern, content) "{\"type\":\"Replace\",\"pattern\":" pattern ",\"content\":\"" content "\"}"
#define DOUBLE REPLACE("{\"String\":\"h\"}", "hh")

static void t18_chains_of_normalizers_do_not_grow_without_bound(void **state)
{
    (void)state;
    const char *key = "normalizers", *part = "the normalizer";
    refuse_text((struct parts){.normalizer = sequence_of(key, DOUBLE, 32)}, "h", 20, part);
    refuse_text((struct parts){.normalizer = sequence_of(key, REPLACE("{\"Regex\":\"h\"}", "hhhhhhhhhh"), 32)}, "h", 20,
                part);
    refuse_text((struct parts){.normalizer = sequence_of(
                                   key, "{\"type\":\"NFKD\"}," REPLACE("{\"String\":\" \"}", "\xEF\xB7\xBA"), 16)},
                " ", 20, part);
    /* text between added tokens is normalized anew, and each time grows by as much */
    char prepend[4096];
    snprintf(prepend, sizeof prepend, "{\"type\":\"Prepend\",\"prepend\":\"%01000d\"}", 0);
    refuse_text((struct parts){.normalizer = sequence_of(key, prepend, 8),
                               .added = "[" ADDED(15, "<x>", ",\"normalized\":false") "]"},
                "h<x>", 100000, part);
}

static void t18_chains_of_pre_tokenizers_do_not_grow_without_bound(void **state)
{
    (void)state;
    refuse_text((struct parts){.pretokenizer = sequence_of(
                                   "pretokenizers",
                                   "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":false}", 16)},
                " h", 2000, "the pre_tokenizer");
}

/* Decodes the token "h" `count` times, and gives the status and the size. */
static alloy_status decode_many(const char *decoder, int64_t count, size_t *size)
{
    alloy_tokenizer *tokenizer = sound((struct parts){.decoder = decoder});
    int64_t *ids = malloc((size_t)count * sizeof *ids);
    char *text;
    assert_non_null(ids);
    for (int64_t i = 0; i < count; i++)
        ids[i] = 1;
    struct refusal refusal = begin_refusal((size_t)count * 16);
    alloy_status status = alloy_tokenizer_decode(tokenizer, ids, count, false, &text, size);
    end_refusal(&refusal, "decoder");
    alloy_free(text);
    free(ids);
    alloy_tokenizer_close(tokenizer);
    return status;
}

static void t18_chains_of_decoders_do_not_grow_without_bound(void **state)
{
    (void)state;
    size_t size;
    expect_failure(decode_many(sequence_of("decoders", DOUBLE, 32), 20, &size), ALLOY_LIMIT, "the decoder");
    expect_failure(decode_many(sequence_of("decoders", "{\"type\":\"Fuse\"}," DOUBLE, 16), 20000, &size), ALLOY_LIMIT,
                   "the decoder");
}

static void t18_growth_up_to_the_bound_is_allowed(void **state)
{
    (void)state;
    size_t size;
    expect_ok(decode_many(sequence_of("decoders", DOUBLE, 15), 20, &size));
    assert_int_equal(size, 20 << 15);
    expect_ok(decode_many(sequence_of("decoders", "{\"type\":\"Fuse\"}," DOUBLE, 6), 100000, &size));
    assert_int_equal(size, 100000 << 6);
}

static void t19_a_template_adds_few_tokens(void **state)
{
    (void)state;
    enum { PIECES = 100000 };
    static char json[12 << 20];
    size_t used =
        (size_t)sprintf(json, "{\"model\":" PLAIN_MODEL ",\"post_processor\":{\"type\":\"TemplateProcessing\","
                              "\"single\":[{\"Sequence\":{\"id\":\"A\"}}");
    for (int i = 0; i < PIECES; i++)
        used += (size_t)sprintf(json + used, ",{\"SpecialToken\":{\"id\":\"%d\"}}", i);
    used += (size_t)sprintf(json + used, "],\"special_tokens\":{");
    for (int i = 0; i < PIECES; i++)
        used += (size_t)sprintf(json + used, "%s\"%d\":{\"ids\":[1]}", i ? "," : "", i);
    used += (size_t)sprintf(json + used, "}}}");
    alloy_tokenizer *tokenizer;
    struct refusal refusal = begin_refusal(2 * used);
    alloy_status status = open_text(&tokenizer, json, used);
    end_refusal(&refusal, "template");
    expect_failure(status, ALLOY_LIMIT, "post_processor", "more than 1024 tokens");
}

#define REGEX(pattern) ((struct parts){.pretokenizer = SPLIT("{\"Regex\":\"" pattern "\"}", "Isolated")})

#define TEN_LOOKS "(?=h)(?=h)(?=h)(?=h)(?=h)(?=h)(?=h)(?=h)(?=h)(?=h)"
#define LOOKS TEN_LOOKS TEN_LOOKS TEN_LOOKS TEN_LOOKS TEN_LOOKS

static void t20_patterns_that_look_at_the_whole_text_from_each_character(void **state)
{
    (void)state;
    const char *part = "a regular expression";
    refuse_text(REGEX("[^x]*x"), "h", MIB, part);
    refuse_text(REGEX("[^x]*+x"), "h", MIB, part);
    refuse_text(REGEX("h*?x"), "h", MIB, part);
    refuse_text(REGEX("(?:(?=[^x]*+)h)*w"), "h", MIB, part);
    refuse_text(REGEX("(?:(?![^x]*x)h)*w"), "h", MIB, part);
    refuse_text(REGEX("(?:h|h)*w"), "h", MIB, part);
    refuse_text(REGEX("(?>h*l?)*w"), "h", MIB, part);
    refuse_text(REGEX("h{1000}x"), "h", MIB, part);
    refuse_text(REGEX("(?:" LOOKS LOOKS LOOKS LOOKS LOOKS LOOKS "h)*x"), "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhw", MIB, part);
    refuse_text(REGEX("(?:(?=h{60})(?=h{60})(?=h{60})(?=h{60})(?=h{60})h)*x"), "h", MIB, part);
    refuse_text((struct parts){.normalizer = REPLACE("{\"Regex\":\"[^x]*x\"}", "")}, "h", MIB, part);
}

/* [{"content": 'h' * first + 'x'}, ... up to 'h' * last + 'x'] */
static char *added_runs(int first, int last, bool normalized)
{
    size_t most = (size_t)(last - first + 1) * (size_t)(last + 80), used = 1;
    char *json = malloc(most + 3);
    assert_non_null(json);
    json[0] = '[';
    for (int run = first; run <= last; run++) {
        used += (size_t)sprintf(json + used, "%s{\"id\":%d,\"normalized\":%s,\"content\":\"", run > first ? "," : "",
                                15 + run - first, normalized ? "true" : "false");
        memset(json + used, 'h', (size_t)run);
        used += (size_t)run;
        used += (size_t)sprintf(json + used, "x\"}");
    }
    strcpy(json + used, "]");
    return json;
}

static void t21_added_tokens_that_are_nearly_met_at_each_byte(void **state)
{
    (void)state;
    for (int normalized = 0; normalized < 2; normalized++) {
        /* one of 4 kB is a node, and is compared as one */
        char *added = added_runs(4095, 4095, normalized);
        alloy_tokenizer *tokenizer = sound((struct parts){.added = added});
        char *text = repeated("h", MIB);
        alloy_ids ids = {0};
        struct refusal refusal = begin_refusal(16 * MIB);
        alloy_status status = alloy_tokenizer_encode(tokenizer, text, MIB, 0, &ids);
        end_refusal(&refusal, "an added token of 4 kB");
        expect_ok(status);
        assert_int_equal(ids.count, MIB);
        alloy_ids_free(&ids);
        free(text);
        alloy_tokenizer_close(tokenizer);
        free(added);
        /* each of these is another node on the way, from each byte */
        added = added_runs(1, 700, normalized);
        refuse_text((struct parts){.added = added}, "h", MIB, "added_tokens");
        free(added);
    }
}

/* Every order of adding tokens gives the same tree: the longest is found, and what only begins like one is text. */
static void added_tokens_are_found_whatever_their_order(void **state)
{
    (void)state;
    static const char *const tokens[] = {"he", "hello", "hell", "help", "h", "lo", "o w"};
    enum { COUNT = sizeof tokens / sizeof *tokens };
    for (unsigned order = 0; order < 2 * COUNT; order++) {
        char added[1024] = "[";
        for (unsigned i = 0; i < COUNT; i++) {
            const char *text = tokens[(order < COUNT ? order + i : order + COUNT - i) % COUNT];
            sprintf(added + strlen(added), "%s{\"id\":%u,\"normalized\":false,\"content\":\"%s\"}", i ? "," : "",
                    15 + i, text);
        }
        strcat(added, "]");
        alloy_tokenizer *tokenizer =
            sound((struct parts){.added = added,
                                 .model = "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"d\":"
                                          "3,\"e\":4,\"f\":5,\"g\":6,\"i\":7,\"j\":8,\"k\":9,\"l\":10,"
                                          "\"m\":11,\"n\":12,\"p\":13,\"r\":14},\"merges\":[]}"});
        alloy_ids ids = {0};
        const char text[] = "hellohellehelphellhalo";
        expect_ok(alloy_tokenizer_encode(tokenizer, text, strlen(text), 0, &ids));
        const char *const cut[] = {"hello", "hell", "e", "help", "hell", "h", "a", "lo"};
        assert_int_equal(ids.count, sizeof cut / sizeof *cut);
        for (int64_t i = 0; i < ids.count; i++) {
            size_t size;
            const char *token = alloy_tokenizer_token(tokenizer, ids.ids[i], &size);
            expect_bytes(token, size, cut[i]);
        }
        alloy_ids_free(&ids);
        alloy_tokenizer_close(tokenizer);
    }
}

/* ---- Files that are refused -------------------------------------------------------------------------------------- */

static void t12_patterns_that_are_large_when_compiled_are_refused(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer;
    struct refusal refusal = begin_refusal(0);
    alloy_status status = open_parts(
        &tokenizer, (struct parts){.pretokenizer = sequence_of(
                                       "pretokenizers", SPLIT("{\"Regex\":\"(?:he|lo?|w+){700}\"}", "Isolated"), 32)});
    end_refusal(&refusal, "compiled");
    expect_failure(status, ALLOY_LIMIT, "pre_tokenizer", "too large when it is compiled");
}

static void sequences_are_nested_a_few_levels_deep(void **state)
{
    (void)state;
    char json[4096] = "";
    for (int i = 0; i < 9; i++)
        strcat(json, "{\"type\":\"Sequence\",\"normalizers\":[");
    strcat(json, "{\"type\":\"NFC\"}");
    for (int i = 0; i < 9; i++)
        strcat(json, "]}");
    alloy_tokenizer *tokenizer;
    expect_failure(open_parts(&tokenizer, (struct parts){.normalizer = json}), ALLOY_LIMIT, "normalizer", "nested");
}

static void what_is_joined_to_every_character_is_short(void **state)
{
    (void)state;
    char model[4096];
    const char *const names[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (int i = 0; i < 2; i++) {
        alloy_tokenizer *tokenizer;
        snprintf(model, sizeof model, "{\"type\":\"BPE\",\"%s\":\"%033d\",\"vocab\":{\"h\":0},\"merges\":[]}", names[i],
                 0);
        expect_failure(open_parts(&tokenizer, (struct parts){.model = model}), ALLOY_LIMIT, "33 bytes");
    }
}

/* ---- What honest patterns and texts take ------------------------------------------------------------------------- */

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define QWEN                                                                                                           \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"  \
    "\\s+(?!\\S)|\\s+"

/* Steps that a pattern is charged for on `size` bytes of a unit. */
static uint64_t steps_of(const char *pattern, const char *unit, size_t size)
{
    alloy_regex *regex;
    alloy_regex_scan *scan;
    alloy_budget budget;
    char *text = repeated(unit, size);
    size_t start, end;
    bool found = true;
    alloy_budget_open(&budget, size);
    expect_ok(alloy_regex_open(&regex, pattern, strlen(pattern), &budget));
    expect_ok(alloy_regex_scan_open(&scan));
    uint64_t before = budget.steps;
    expect_ok(alloy_regex_scan_begin(scan, regex, text, size, &budget));
    while (found)
        expect_ok(alloy_regex_scan_next(scan, &found, &start, &end));
    alloy_regex_scan_close(scan);
    alloy_regex_close(regex);
    free(text);
    return before - budget.steps;
}

static void t17_honest_patterns_take_a_few_steps_a_byte(void **state)
{
    (void)state;
    static const char *const patterns[] = {GPT2, QWEN}, *const units[] = {"h",
                                                                          " ",
                                                                          "\n",
                                                                          "1",
                                                                          "'",
                                                                          "hello low 1!\n",
                                                                          "        he\n",
                                                                          "\xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82",
                                                                          "h\xCC\x81"};
    size_t size = 36000; /* a multiple of every unit's size */
    for (int p = 0; p < 2; p++)
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            size_t whole = size / strlen(units[u]) * strlen(units[u]),
                   quarter = whole / 4 / strlen(units[u]) * strlen(units[u]);
            uint64_t steps = steps_of(patterns[p], units[u], whole), less = steps_of(patterns[p], units[u], quarter);
            if (steps > 100 * whole || steps > 5 * less)
                fail_msg("pattern %d, unit %zu: %llu steps for %zu bytes, %llu for %zu", p, u,
                         (unsigned long long)steps, whole, (unsigned long long)less, quarter);
        }
}

/* Bytes that opening takes, and that encoding takes. */
static void memory_follows_the_text(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer =
        sound((struct parts){.normalizer = "{\"type\":\"NFC\"}",
                             .pretokenizer = "{\"type\":\"ByteLevel\",\"add_prefix_space\":"
                                             "true,\"trim_offsets\":true,\"use_regex\":true}"});
    size_t peaks[2];
    for (int i = 0; i < 2; i++) {
        size_t size = MIB << i;
        char *text = repeated("he \xC3\xA9 ", size);
        alloy_ids ids = {0};
        alloy_memory_watch(true);
        expect_ok(alloy_tokenizer_encode(tokenizer, text, size / 6 * 6, 0, &ids));
        peaks[i] = alloy_memory_peak();
        alloy_memory_watch(false);
        alloy_ids_free(&ids);
        free(text);
    }
    if (peaks[0] > 32 * MIB || peaks[1] > 2 * peaks[0] + MIB)
        fail_msg("1 MiB of text took %zu bytes, 2 MiB took %zu", peaks[0], peaks[1]);
    alloy_tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_budget_is_linear_in_the_input),
        cmocka_unit_test(a_budget_ends_with_the_name_of_the_part),
        cmocka_unit_test(t18_chains_of_normalizers_do_not_grow_without_bound),
        cmocka_unit_test(t18_chains_of_pre_tokenizers_do_not_grow_without_bound),
        cmocka_unit_test(t18_chains_of_decoders_do_not_grow_without_bound),
        cmocka_unit_test(t18_growth_up_to_the_bound_is_allowed),
        cmocka_unit_test(t19_a_template_adds_few_tokens),
        cmocka_unit_test(t20_patterns_that_look_at_the_whole_text_from_each_character),
        cmocka_unit_test(t21_added_tokens_that_are_nearly_met_at_each_byte),
        cmocka_unit_test(added_tokens_are_found_whatever_their_order),
        cmocka_unit_test(t12_patterns_that_are_large_when_compiled_are_refused),
        cmocka_unit_test(sequences_are_nested_a_few_levels_deep),
        cmocka_unit_test(what_is_joined_to_every_character_is_short),
        cmocka_unit_test(t17_honest_patterns_take_a_few_steps_a_byte),
        cmocka_unit_test(memory_follows_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
