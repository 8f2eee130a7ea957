/* Bad tokenizer.json files (T1 to T16), bad calls (P5, P6), and texts that must not take longer than others (T17). */
#include "tokenizer/fixture.h"

#define refuse(status, given, ...)                                                                                     \
    do {                                                                                                               \
        alloy_tokenizer *refused;                                                                                      \
        struct parts bad = given;                                                                                      \
        struct refusal refusal = begin_refusal(0);                                                                     \
        alloy_status refused_with = open_parts(&refused, bad);                                                         \
        end_refusal(&refusal, __func__);                                                                               \
        expect_failure(refused_with, (status), __VA_ARGS__);                                                           \
        assert_null(refused);                                                                                          \
    } while (0)

#define VOCABULARY(vocabulary) "{\"type\":\"BPE\",\"vocab\":" vocabulary ",\"merges\":[]}"
#define MERGES(merges) "{\"type\":\"BPE\",\"vocab\":" PLAIN_VOCABULARY ",\"merges\":" merges "}"

static void t1_t2_t3_ids_are_checked(void **state)
{
    (void)state;
    /* T1: outside 0 .. 2^32 - 2 */
    refuse(ALLOY_FORMAT, PARTS(.model = VOCABULARY("{\"a\":-1}")), "tokenizer.json", "\"a\"", "-1");
    refuse(ALLOY_FORMAT, PARTS(.model = VOCABULARY("{\"a\":4294967296}")), "\"a\"", "4294967296");
    refuse(ALLOY_FORMAT, PARTS(.model = VOCABULARY("{\"a\":4294967295}")), "\"a\"", "4294967295");
    refuse(ALLOY_FORMAT, PARTS(.model = VOCABULARY("{\"a\":0.5}")), "tokenizer.json");
    refuse(ALLOY_FORMAT, PARTS(.added = "[" ADDED(-1, "<x>", "") "]"), "<x>", "-1");
    refuse(ALLOY_FORMAT, PARTS(.added = "[" ADDED(4294967296, "<x>", "") "]"), "<x>", "4294967296");
    /* T2: two tokens of one id */
    refuse(ALLOY_FORMAT, PARTS(.model = VOCABULARY("{\"a\":7,\"b\":7}")), "\"a\"", "\"b\"", "same id 7");
    refuse(ALLOY_FORMAT, PARTS(.model = VOCABULARY("{\"a\":0,\"a\":1}")), "a");
    refuse(ALLOY_FORMAT, PARTS(.added = "[" ADDED(15, "<x>", "") "," ADDED(15, "<y>", "") "]"), "same id 15");
    refuse(ALLOY_FORMAT, PARTS(.added = "[" ADDED(3, "<x>", "") "]"), "<x>", "3", "\"l\"");
    /* T3: a gap; nothing is allocated by id */
    refuse(ALLOY_FORMAT, PARTS(.model = VOCABULARY("{\"a\":0,\"b\":1000000000}")), "\"b\"", "1000000000", "far beyond");
    refuse(ALLOY_FORMAT, PARTS(.added = "[" ADDED(1000000000, "<x>", "") "]"), "<x>", "far beyond");
    /* T4, a vocabulary larger than the embedding, needs a model: tests/cli/test_bad_input.c */
}

static void t5_an_added_token_has_text(void **state)
{
    (void)state;
    refuse(ALLOY_FORMAT, PARTS(.added = "[" ADDED(15, "", "") "]"), "added token", "empty");
    refuse(ALLOY_FORMAT, PARTS(.added = "[{\"id\":15}]"), "added token", "content");
    refuse(ALLOY_FORMAT,
           PARTS(.added = "[" ADDED(15, " ", ",\"normalized\":true") "]",
                 .normalizer = "{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}"),
           "added token", "normalized");
}

static void t6_t8_merges_join_known_tokens_to_known_ones(void **state)
{
    (void)state;
    refuse(ALLOY_FORMAT, PARTS(.model = MERGES("[\"h x\"]")), "merge 0", "\"x\"", "tokens of the vocabulary");
    refuse(ALLOY_FORMAT, PARTS(.model = MERGES("[[\"h\",\"w\"]]")), "merge 0", "the result is no token");
    refuse(ALLOY_FORMAT, PARTS(.model = MERGES("[\"hello hello\"]")), "longer than any token");
    refuse(ALLOY_FORMAT, PARTS(.model = MERGES("[\"h e l\"]")), "merge 0", "two parts");
    refuse(ALLOY_FORMAT, PARTS(.model = MERGES("[\"he\"]")), "merge 0", "two parts");
    refuse(ALLOY_FORMAT, PARTS(.model = MERGES("[[\"h\",\"e\",\"l\"]]")), "merge 0", "3 parts");
    refuse(ALLOY_FORMAT, PARTS(.model = MERGES("[\"h \"]")), "merge 0");
    refuse(ALLOY_FORMAT, PARTS(.model = MERGES("[1]")), "string");
    /* T8: a merge that gives back one of its parts would go round for ever */
    refuse(ALLOY_FORMAT,
           PARTS(.model = "{\"type\":\"BPE\",\"continuing_subword_prefix\":\"##\",\"vocab\":{\"a\":0,\"##\":1},"
                          "\"merges\":[\"a ##\"]}"),
           "adds nothing");
}

static void t7_ten_million_merges_are_too_many(void **state)
{
    (void)state;
    const char head[] = "{\"model\":{\"type\":\"BPE\",\"vocab\":" PLAIN_VOCABULARY ",\"merges\":[\"h e\"",
               tail[] = "]}}";
    size_t count = ALLOY_TEST_SANITIZED ? 100000 : 10000000, size = sizeof head - 1;
    char *json = malloc(sizeof head + sizeof tail + 6 * count);
    assert_non_null(json);
    memcpy(json, head, size);
    for (size_t i = 1; i < count; i++, size += 6)
        memcpy(json + size, ",\"h e\"", 6);
    memcpy(json + size, tail, sizeof tail - 1);
    alloy_tokenizer *tokenizer;
    struct refusal refusal = begin_refusal(size);
    alloy_status status = open_text(&tokenizer, json, size + sizeof tail - 1);
    end_refusal(&refusal, "ten million merges");
    expect_failure(status, ALLOY_FORMAT, "more merges");
    free(json);
}

static void t9_byte_tokens_are_bytes(void **state)
{
    (void)state;
    refuse(ALLOY_FORMAT,
           PARTS(.model = "{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"<0x-1>\":0},\"merges\":[]}"), "<0x-1>",
           "byte");
    refuse(ALLOY_FORMAT,
           PARTS(.model = "{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"<0xZZ>\":0},\"merges\":[]}"), "<0xZZ>",
           "byte");
}

static void t11_t13_regular_expressions_are_compiled_with_care(void **state)
{
    (void)state;
    refuse(ALLOY_FORMAT, PARTS(.pretokenizer = SPLIT("{\"Regex\":\"(a\"}", "Isolated")), "pre_tokenizer", "(a");
    refuse(ALLOY_FORMAT, PARTS(.pretokenizer = SPLIT("{\"Regex\":\"[a\"}", "Isolated")), "pre_tokenizer");
    refuse(ALLOY_FORMAT, PARTS(.pretokenizer = SPLIT("{\"Regex\":\"\"}", "Isolated")), "pattern");
    refuse(ALLOY_FORMAT, PARTS(.pretokenizer = SPLIT("{\"Regex\":\"\\\\p{Nonsense}\"}", "Isolated")), "Nonsense");
    /* T13: what tells PCRE2 to work otherwise */
    refuse(ALLOY_FORMAT, PARTS(.pretokenizer = SPLIT("{\"Regex\":\"(*NO_JIT)a\"}", "Isolated")), "pre_tokenizer");
    refuse(ALLOY_FORMAT, PARTS(.pretokenizer = SPLIT("{\"Regex\":\"\\\\C\"}", "Isolated")), "pre_tokenizer", "escape");
}

/* What Oniguruma (the tokenizers library) repeats and what not: (?:...) is what stands in it, and none of its
 * alternatives may be an anchor or a look around alone. */
static void t11_what_has_no_width_is_not_repeated(void **state)
{
    (void)state;
    static const char *const unsound[] = {"(?<=b){2}", "(?:(?<=b)){2}", "(?:a|(?<=b)){2}",   "(?:a|$)*",
                                          "(?:$)*",    "(?:a|(?=b))*",  "(?:a|(?:b|$))*",    "(?:a|(?<=b)|c)?",
                                          "(?:^|b)+",  "(?:a|(?:$))+",  "(?:(?=a)|b){2,3}?", "(?:a|\\\\b)*"};
    static const char *const sound_ones[] = {"(?:a|b(?<=b)){2}", "(?:a|){2}",   "(?:(?:a|$)c)*",  "(a|(?<=b)){2}",
                                             "((?<=b)){2}",      "(?:)*",       "(?:^a)*",        "(?i:a|(?<=b))*",
                                             "(?>a|$)*",         "(?:^\\\\b)*", "(?:a|(?>b|$))*", "(?:a|(?!b)c)+"};
    char part[256];
    for (size_t i = 0; i < sizeof unsound / sizeof *unsound; i++) {
        snprintf(part, sizeof part, SPLIT("{\"Regex\":\"%s\"}", "Isolated"), unsound[i]);
        refuse(ALLOY_FORMAT, PARTS(.pretokenizer = part), "without width");
    }
    for (size_t i = 0; i < sizeof sound_ones / sizeof *sound_ones; i++) {
        snprintf(part, sizeof part, SPLIT("{\"Regex\":\"%s\"}", "Isolated"), sound_ones[i]);
        alloy_tokenizer_close(sound((struct parts){.pretokenizer = part}));
    }
}

static void t12_large_regular_expressions_are_refused(void **state)
{
    (void)state;
    char pattern[8192] = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"", *at = pattern + strlen(pattern);
    memset(at, '(', 1000);
    at[1000] = 'a';
    memset(at + 1001, ')', 1000);
    strcpy(at + 2001, "\"},\"behavior\":\"Isolated\",\"invert\":false}");
    refuse(ALLOY_FORMAT, PARTS(.pretokenizer = pattern), "nested too deep");
    refuse(ALLOY_FORMAT, PARTS(.pretokenizer = SPLIT("{\"Regex\":\"((a{65535}){65535}){65535}\"}", "Isolated")),
           "more than 1000 repeats");
}

static void t10_a_regular_expression_that_explodes_is_stopped(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer = sound((struct parts){.pretokenizer = SPLIT("{\"Regex\":\"(h+)+$\"}", "Isolated")});
    char text[200];
    memset(text, 'h', sizeof text);
    text[sizeof text - 1] = 'w';
    alloy_ids ids = {0};
    struct refusal refusal = begin_refusal(sizeof text);
    alloy_status status = alloy_tokenizer_encode(tokenizer, text, sizeof text, 0, &ids);
    end_refusal(&refusal, "(h+)+$");
    expect_failure(status, ALLOY_LIMIT, "regular expression", "steps");
    assert_int_equal(ids.count, 0);
    alloy_ids_free(&ids);
    alloy_tokenizer_close(tokenizer);
}

#define TEMPLATE(single, special)                                                                                      \
    "{\"type\":\"TemplateProcessing\",\"single\":" single ",\"pair\":[],\"special_tokens\":" special "}"
#define A "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"
#define TOKEN(name) "{\"SpecialToken\":{\"id\":\"" name "\",\"type_id\":0}}"

static void t14_templates_name_tokens_that_exist(void **state)
{
    (void)state;
    refuse(ALLOY_FORMAT, PARTS(.post = TEMPLATE("[" TOKEN("<s>") "," A "]", "{}")), "post_processor", "<s>");
    refuse(ALLOY_FORMAT,
           PARTS(.post = TEMPLATE("[" TOKEN("<s>") "," A "]",
                                  "{\"<s>\":{\"id\":\"<s>\",\"ids\":[99],\"tokens\":[\"<s>\"]}}")),
           "post_processor", "99");
    refuse(ALLOY_FORMAT, PARTS(.post = TEMPLATE("[{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}]", "{}")),
           "post_processor", "sequence A");
    refuse(ALLOY_FORMAT, PARTS(.post = TEMPLATE("[" A "," A "]", "{}")), "post_processor", "once");
    refuse(ALLOY_FORMAT, PARTS(.post = TEMPLATE("[]", "{}")), "post_processor", "once");
}

static void t15_sizes_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    refuse(ALLOY_FORMAT, PARTS(.decoder = "{\"type\":\"Strip\",\"content\":\" \",\"start\":100000,\"stop\":0}"),
           "decoder", "Strip", "100000");
    refuse(ALLOY_FORMAT, PARTS(.decoder = "{\"type\":\"Strip\",\"content\":\"ab\",\"start\":1,\"stop\":0}"), "decoder",
           "one character");
    refuse(ALLOY_FORMAT, PARTS(.truncation = "{\"max_length\":4,\"stride\":4,\"strategy\":\"LongestFirst\"}"),
           "truncation", "stride");
    refuse(ALLOY_FORMAT, PARTS(.padding = "{\"strategy\":{\"Fixed\":0}}"), "padding", "0");
    refuse(ALLOY_FORMAT, PARTS(.pretokenizer = "{\"type\":\"FixedLength\",\"length\":0}"), "FixedLength", "0");
    refuse(ALLOY_FORMAT, PARTS(.normalizer = "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"?!\"}"),
           "normalizer", "base64");
}

static void t16_what_is_not_known_is_named(void **state)
{
    (void)state;
    refuse(ALLOY_FORMAT, PARTS(.normalizer = "{\"type\":\"Magic\"}"), "normalizer", "Magic", "NFC");
    refuse(ALLOY_FORMAT,
           PARTS(.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Magic\"}]}"),
           "Magic");
    refuse(ALLOY_FORMAT, PARTS(.pretokenizer = "{\"type\":\"Magic\"}"), "pre_tokenizer", "Magic", "ByteLevel");
    refuse(ALLOY_FORMAT, PARTS(.post = "{\"type\":\"Magic\"}"), "post_processor", "Magic", "TemplateProcessing");
    refuse(ALLOY_FORMAT, PARTS(.decoder = "{\"type\":\"Magic\"}"), "decoder", "Magic", "Fuse");
    refuse(ALLOY_FORMAT, PARTS(.model = "{\"type\":\"Unigram\",\"vocab\":[],\"merges\":[]}"), "Unigram", "BPE");
    refuse(ALLOY_FORMAT, PARTS(.model = "{\"type\":\"BPE\",\"dropout\":0.1,\"vocab\":{},\"merges\":[]}"), "dropout");
    refuse(ALLOY_FORMAT, PARTS(.model = "{\"type\":\"BPE\",\"unk_token\":\"<?>\",\"vocab\":{\"a\":0},\"merges\":[]}"),
           "unk_token", "<?>");
    refuse(ALLOY_FORMAT, PARTS(.model = "{\"type\":\"BPE\",\"vocab\":{\"a\":0}}"), "merges");
    refuse(ALLOY_FORMAT, PARTS(.normalizer = "{\"type\":5}"), "string");
    refuse(ALLOY_FORMAT, PARTS(.normalizer = "{}"), "type");
    refuse(ALLOY_FORMAT, PARTS(.pretokenizer = SPLIT("{\"String\":\"a\"}", "Sometimes")), "behavior", "Sometimes");
}

static void a_file_that_is_no_tokenizer_is_refused(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer;
    expect_failure(open_text(&tokenizer, "", 0), ALLOY_FORMAT, "tokenizer.json");
    expect_failure(open_text(&tokenizer, "{}", 2), ALLOY_FORMAT, "model");
    expect_failure(open_text(&tokenizer, "{\"version\":\"2.0\"}", 17), ALLOY_FORMAT, "2.0");
    expect_failure(alloy_tokenizer_open(&tokenizer, "/nonexistent"), ALLOY_IO, "/nonexistent");
    expect_failure(alloy_tokenizer_open(&tokenizer, NULL), ALLOY_ARG, "NULL");
}

static void every_truncation_of_a_file_is_refused(void **state)
{
    (void)state;
    const char whole[] =
        "{\"added_tokens\":[" ADDED(15, "<x>", "") "],\"decoder\":{\"type\":\"Fuse\"},\"model\":" PLAIN_MODEL "}";
    alloy_tokenizer *tokenizer;
    for (size_t size = 0; size < sizeof whole - 1; size++) {
        assert_int_equal(open_text(&tokenizer, whole, size), ALLOY_FORMAT);
        assert_null(tokenizer);
    }
    expect_ok(open_text(&tokenizer, whole, sizeof whole - 1));
    alloy_tokenizer_close(tokenizer);
}

static void p5_p6_bad_calls_are_refused(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer = sound((struct parts){0});
    alloy_ids ids = {0};
    char *text;
    expect_failure(alloy_tokenizer_encode(tokenizer, NULL, 1, 0, &ids), ALLOY_ARG, "NULL");
    expect_failure(alloy_tokenizer_encode(tokenizer, "a", 1, 64, &ids), ALLOY_ARG, "flags");
    expect_failure(alloy_tokenizer_encode(tokenizer, "a", ((size_t)1 << 31) + 1, 0, &ids), ALLOY_LIMIT, "2147483649");
    expect_failure(alloy_tokenizer_decode(tokenizer, (int64_t[]){-1}, 1, false, &text, NULL), ALLOY_RANGE, "-1");
    expect_failure(alloy_tokenizer_decode(tokenizer, (int64_t[]){4294967296}, 1, false, &text, NULL), ALLOY_RANGE,
                   "4294967296");
    alloy_tokenizer_close(tokenizer);
}

/* ---- T17 --------------------------------------------------------------------------------------------------------- */

#define QWEN                                                                                                           \
    "{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| "                     \
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}"

/* Seconds for `size` bytes of `unit` over and over. */
static double seconds_for(const alloy_tokenizer *tokenizer, const char *unit, size_t size)
{
    size_t length = strlen(unit);
    char *text = malloc(size + length);
    assert_non_null(text);
    size_t used = 0;
    for (; used < size; used += length)
        memcpy(text + used, unit, length);
    struct timespec start, end;
    alloy_ids ids = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    expect_ok(alloy_tokenizer_encode(tokenizer, text, used, 0, &ids));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    assert_true(ids.count > 0);
    alloy_ids_free(&ids);
    free(text);
    return (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
}

static void t17_time_is_linear_in_any_text(void **state)
{
    (void)state;
    static const char *const units[] = {
        "h", " ", "\xCC\x81", "\xF0\x9F\x91\xA9\xE2\x80\x8D", "he", "l\xCC\xA7\xCC\x81", "\n", "1", "'"};
    const char *const pretokenizers[] = {SPLIT(QWEN, "Isolated"), NULL};
    size_t size = ALLOY_TEST_SANITIZED ? 1 << 14 : 4 << 20;
    for (int p = 0; p < 2; p++) {
        alloy_tokenizer *tokenizer =
            sound((struct parts){.normalizer = "{\"type\":\"NFC\"}",
                                 .pretokenizer = pretokenizers[p],
                                 .model = "{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"vocab\":" PLAIN_VOCABULARY
                                          ",\"merges\":" PLAIN_MERGES "}"});
        for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
            double quarter = seconds_for(tokenizer, units[i], size / 4), whole = seconds_for(tokenizer, units[i], size);
            if (!ALLOY_TEST_SANITIZED && whole > 10 * quarter + 0.1)
                fail_msg("unit %zu: %zu bytes took %.3f s, a quarter of them %.3f s", i, size, whole, quarter);
        }
        alloy_tokenizer_close(tokenizer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t1_t2_t3_ids_are_checked),
        cmocka_unit_test(t5_an_added_token_has_text),
        cmocka_unit_test(t6_t8_merges_join_known_tokens_to_known_ones),
        cmocka_unit_test(t7_ten_million_merges_are_too_many),
        cmocka_unit_test(t9_byte_tokens_are_bytes),
        cmocka_unit_test(t11_t13_regular_expressions_are_compiled_with_care),
        cmocka_unit_test(t11_what_has_no_width_is_not_repeated),
        cmocka_unit_test(t12_large_regular_expressions_are_refused),
        cmocka_unit_test(t10_a_regular_expression_that_explodes_is_stopped),
        cmocka_unit_test(t14_templates_name_tokens_that_exist),
        cmocka_unit_test(t15_sizes_that_make_no_sense_are_refused),
        cmocka_unit_test(t16_what_is_not_known_is_named),
        cmocka_unit_test(a_file_that_is_no_tokenizer_is_refused),
        cmocka_unit_test(every_truncation_of_a_file_is_refused),
        cmocka_unit_test(p5_p6_bad_calls_are_refused),
        cmocka_unit_test(t17_time_is_linear_in_any_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
