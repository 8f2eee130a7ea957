/* What each component does, with vocabularies small enough to follow by hand, and whole texts through the tokenizer in
 * examples/models/moby. tests/reference/tokenizer_equality.py compares with the tokenizers library on megabytes. */
#include "base/memory.h"
#include "tokenizer/fixture.h"

#define MARK "\xE2\x96\x81"

/* ---- Encoding ---------------------------------------------------------------------------------------------------- */

static void merges_join_the_lowest_rank_first(void **state)
{
    (void)state;
    expect_cut(PARTS(0), "hello low", "10 12 11");
    expect_cut(PARTS(0), "hel", "8");
    expect_cut(PARTS(0), "", "");
}

static void characters_without_a_token_are_unknown_or_dropped(void **state)
{
    (void)state;
    expect_cut(PARTS(0), "hzello", "10");
    expect_cut(PARTS(.model = "{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"vocab\":" PLAIN_VOCABULARY
                              ",\"merges\":" PLAIN_MERGES "}"),
               "hzzello", "1 0 0 2 3 9");
    expect_cut(PARTS(.model = "{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"vocab\":" PLAIN_VOCABULARY
                              ",\"merges\":" PLAIN_MERGES "}"),
               "hzzello", "1 0 2 3 9");
}

static void merges_may_be_pairs_and_stand_before_the_vocabulary(void **state)
{
    (void)state;
    expect_cut(PARTS(.model = "{\"merges\":[[\"h\",\"e\"]],\"vocab\":{\"h\":0,\"e\":1,\"he\":2},\"type\":\"BPE\"}"),
               "hehh", "2 0 0");
}

static void splits_do_with_matches_what_their_behavior_says(void **state)
{
    (void)state;
    expect_cut(PARTS(.pretokenizer = SPLIT("{\"String\":\"l\"}", "Isolated")), "hello", "7 3 3 4");
    expect_cut(PARTS(.pretokenizer = SPLIT("{\"String\":\"l\"}", "Removed")), "hello", "7 4");
    expect_cut(PARTS(.pretokenizer = SPLIT("{\"String\":\"l\"}", "MergedWithPrevious")), "hello", "8 3 4");
    expect_cut(PARTS(.pretokenizer = SPLIT("{\"String\":\"l\"}", "MergedWithNext")), "hello", "7 3 9");
    expect_cut(PARTS(.pretokenizer = SPLIT("{\"String\":\"l\"}", "Contiguous")), "hello", "7 3 3 4");
    expect_cut(PARTS(.pretokenizer = SPLIT("{\"Regex\":\"l+\"}", "Isolated")), "hello", "7 3 3 4");
    expect_cut(PARTS(.pretokenizer = "{\"type\":\"FixedLength\",\"length\":3}"), "hello", "8 9");
    expect_cut(PARTS(.pretokenizer = "{\"type\":\"WhitespaceSplit\"}"), "hello low", "10 11");
}

static void metaspace_marks_spaces(void **state)
{
    (void)state;
    expect_cut(PARTS(.pretokenizer = "{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\"}"), "hello low",
               "6 10 6 11");
    expect_cut(
        PARTS(.pretokenizer = "{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\",\"prepend_scheme\":\"never\"}"),
        "hello low", "10 6 11");
    expect_cut(
        PARTS(.pretokenizer = "{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\",\"prepend_scheme\":\"first\"}",
              .added = "[" ADDED(15, "<x>", ",\"normalized\":false") "]"),
        "low<x>low", "6 11 15 11");
}

static void normalizers_change_text_before_it_is_cut(void **state)
{
    (void)state;
    expect_cut(PARTS(.normalizer = "{\"type\":\"Lowercase\"}"), "HELLO", "10");
    expect_cut(PARTS(.normalizer = "{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}"), " \thello\n",
               "10");
    expect_cut(PARTS(.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},\"content\":\"l\"}"), "hexxo",
               "10");
    expect_cut(PARTS(.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"[x-z]+\"},\"content\":\"l\"}"),
               "hexyzlo", "10");
    expect_cut(PARTS(.normalizer = "{\"type\":\"Prepend\",\"prepend\":\"h\"}"), "ello", "10");
    expect_cut(PARTS(.normalizer = "{\"type\":\"NFKC\"}"), "\xEF\xBD\x88\xEF\xBD\x85", "7"); /* fullwidth h, e */
    expect_cut(
        PARTS(.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFD\"},{\"type\":\"Lowercase\"}]}"),
        "HE", "7");
}

static void added_tokens_are_found_before_all_else(void **state)
{
    (void)state;
    expect_cut(PARTS(.added = "[" ADDED(15, "<x>", ",\"special\":true,\"normalized\":false") "]"), "he<x>low",
               "7 15 11");
    expect_cut(PARTS(.added = "[" ADDED(15, "<x>", ",\"normalized\":false") "," ADDED(16, "<x>>",
                                                                                      ",\"normalized\":false") "]"),
               "<x>><x>", "16 15");
    expect_cut(PARTS(.added = "[" ADDED(15, "<x>", ",\"lstrip\":true,\"rstrip\":true") "]"), "he  <x> \nlow",
               "7 15 11");
    expect_cut(PARTS(.added = "[" ADDED(2, "e", ",\"single_word\":true") "]"), "he e", "7 12 2");
    expect_cut(
        PARTS(.normalizer = "{\"type\":\"Lowercase\"}", .added = "[" ADDED(15, "<X>", ",\"normalized\":true") "]"),
        "HE<x>", "7 15");
}

static void special_tokens_can_be_kept_as_text(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer =
        sound((struct parts){.added = "[" ADDED(11, "low", ",\"special\":true,\"normalized\":false") "]",
                             .pretokenizer = SPLIT("{\"String\":\"w\"}", "Isolated")});
    expect_text(ids_of(tokenizer, "hello low", 9, 0), "10 12 11");
    expect_text(ids_of(tokenizer, "hello low", 9, ALLOY_ENCODE_SPECIAL_AS_TEXT), "10 12 9 5");
    assert_true(alloy_tokenizer_is_special(tokenizer, 11));
    assert_false(alloy_tokenizer_is_special(tokenizer, 10));
    alloy_tokenizer_close(tokenizer);
}

static void the_template_stands_around_a_text(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer = sound((struct parts){
        .post = "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":\"TemplateProcessing\","
                "\"single\":["
                "{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},"
                "{\"SpecialToken\":{\"id\":\"<e>\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{"
                "\"<s>\":{\"id\":\"<s>\",\"ids\":[13],\"tokens\":[\"1\"]},\"<e>\":{\"id\":\"<e>\",\"ids\":[14,13],"
                "\"tokens\":[\"!\",\"1\"]}}}]}"});
    expect_text(ids_of(tokenizer, "low", 3, ALLOY_ENCODE_ADD_SPECIAL), "13 11 14 13");
    expect_text(ids_of(tokenizer, "low", 3, 0), "11");
    expect_text(ids_of(tokenizer, "", 0, ALLOY_ENCODE_ADD_SPECIAL), "13 14 13");
    alloy_tokenizer_close(tokenizer);
}

/* ---- Decoding ---------------------------------------------------------------------------------------------------- */

/* Decodes at once and as a stream: both give `expected`. */
static void check_decoding(const alloy_tokenizer *tokenizer, const int64_t *ids, int64_t count, const char *expected)
{
    char *text;
    size_t size;
    expect_ok(alloy_tokenizer_decode(tokenizer, ids, count, false, &text, &size));
    expect_bytes(text, size, expected);
    alloy_free(text);
    char streamed[1024];
    size_t used = 0;
    const char *piece;
    alloy_decoder *decoder;
    expect_ok(alloy_decoder_open(&decoder, tokenizer, false));
    for (int64_t i = 0; i <= count; i++) {
        expect_ok(i < count ? alloy_decoder_push(decoder, ids[i], &piece, &size)
                            : alloy_decoder_finish(decoder, &piece, &size));
        assert_in_range(used + size, 0, sizeof streamed);
        memcpy(streamed + used, piece, size);
        used += size;
    }
    expect_bytes(streamed, used, expected);
    alloy_decoder_close(decoder);
}

#define expect_decoded(json, expected, ...)                                                                            \
    do {                                                                                                               \
        alloy_tokenizer *decoding = sound((struct parts){.decoder = (json)});                                          \
        const int64_t list[] = {__VA_ARGS__};                                                                          \
        check_decoding(decoding, list, (int64_t)(sizeof list / sizeof *list), (expected));                             \
        alloy_tokenizer_close(decoding);                                                                               \
    } while (0)

static void decoders_do_to_tokens_what_they_say(void **state)
{
    (void)state;
    expect_decoded(NULL, "hello low", 10, 11);
    expect_decoded("{\"type\":\"Fuse\"}", "hellolow", 10, 11, 99);
    expect_decoded("{\"type\":\"Strip\",\"content\":\"h\",\"start\":1,\"stop\":0}", "ellolow", 10, 11);
    expect_decoded("{\"type\":\"Strip\",\"content\":\"o\",\"start\":0,\"stop\":1}", "hell", 10, 4);
    expect_decoded("{\"type\":\"Replace\",\"pattern\":{\"String\":\"l\"},\"content\":\"LL\"}", "heLLLLoLLow", 10, 11);
    expect_decoded("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"l+\"},\"content\":\"L\"}", "heLoLow", 10, 11);
    expect_decoded("{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\"}", "hello low", 6, 10, 6, 11);
    expect_decoded("{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\",\"prepend_scheme\":\"never\"}", " hello low",
                   6, 10, 6, 11);
    expect_decoded(
        "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"" MARK
        "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" "
        "\",\"start\":1,\"stop\":0}]}",
        "hello low", 6, 10, 6, 11);
    expect_decoded("{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Fuse\"},{\"type\":\"Replace\",\"pattern\":{"
                   "\"String\":\"lol\"},\"content\":\"-\"},"
                   "{\"type\":\"Strip\",\"content\":\"w\",\"start\":0,\"stop\":2}]}",
                   "hel-o", 10, 11, 5);
}

static void bytes_become_characters_or_replacement_characters(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer =
        sound((struct parts){.decoder = "{\"type\":\"ByteFallback\"}",
                             .model = "{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"<0xF0>\":0,\"<0x9F>\":1,"
                                      "\"<0x98>\":2,\"<0x80>\":3,\"a\":4},\"merges\":[]}"});
    expect_ids(tokenizer, "a\xF0\x9F\x98\x80", "4 0 1 2 3");
    check_decoding(tokenizer, (int64_t[]){0, 1, 2, 3, 4}, 5, "\xF0\x9F\x98\x80\x61");
    check_decoding(tokenizer, (int64_t[]){0, 1, 4}, 3, "\xEF\xBF\xBD\xEF\xBF\xBD\x61");
    alloy_tokenizer_close(tokenizer);
}

/* ---- A whole tokenizer ------------------------------------------------------------------------------------------- */

static alloy_tokenizer *open_moby(void)
{
    alloy_tokenizer *tokenizer;
    expect_ok(alloy_tokenizer_open(&tokenizer, ALLOY_SOURCE_DIR "/examples/models/moby"));
    return tokenizer;
}

static void texts_come_back_as_they_were(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "Call me Ishmael.", "  two  spaces \r\n\t",
        "na\xC3\xAFve \xE6\xBC\xA2\xE5\xAD\x97 \xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7",
        "x = [i**2 for i in range(10)]\n", ""};
    alloy_tokenizer *tokenizer = open_moby();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        alloy_ids ids = {0};
        expect_ok(alloy_tokenizer_encode(tokenizer, texts[i], strlen(texts[i]), 0, &ids));
        check_decoding(tokenizer, ids.ids, ids.count, texts[i]);
        alloy_ids_free(&ids);
    }
    alloy_tokenizer_close(tokenizer);
}

static void p2_p3_p4_text_that_is_not_utf8_reads_as_replacement_characters(void **state)
{
    (void)state;
    static const struct {
        const char *text, *as;
    } cases[] = {{"a\xFF", "a\xEF\xBF\xBD"},
                 {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},
                 {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
                 {"\xE6\xBC!", "\xEF\xBF\xBD!"}};
    alloy_tokenizer *tokenizer = open_moby();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[4096];
        strcpy(expected, ids_of(tokenizer, cases[i].as, strlen(cases[i].as), 0));
        expect_ids(tokenizer, cases[i].text, expected);
    }
    alloy_ids ids = {0};
    char *text;
    size_t size;
    expect_ok(alloy_tokenizer_encode(tokenizer, "a\0b", 3, 0, &ids));
    expect_ok(alloy_tokenizer_decode(tokenizer, ids.ids, ids.count, false, &text, &size));
    assert_int_equal(size, 3);
    assert_memory_equal(text, "a\0b", 4);
    alloy_free(text);
    alloy_ids_free(&ids);
    alloy_tokenizer_close(tokenizer);
}

static void p10_a_stream_gives_whole_characters(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer = open_moby();
    alloy_decoder *decoder;
    alloy_ids ids = {0};
    const char *text;
    size_t size, shown = 0;
    expect_ok(alloy_tokenizer_encode(tokenizer, "\xF0\x9F\x90\xB3", 4, 0, &ids)); /* a whale, in bytes */
    assert_true(ids.count > 1);
    expect_ok(alloy_decoder_open(&decoder, tokenizer, false));
    for (int64_t i = 0; i < ids.count; i++) {
        expect_ok(alloy_decoder_push(decoder, ids.ids[i], &text, &size));
        assert_true(size == 0 || size == 4);
        shown += size;
    }
    assert_int_equal(shown, 4);
    expect_ok(alloy_decoder_finish(decoder, &text, &size));
    assert_int_equal(size, 0);
    expect_ok(alloy_decoder_push(decoder, ids.ids[0], &text, &size));
    assert_int_equal(size, 0);
    expect_ok(alloy_decoder_finish(decoder, &text, &size));
    expect_bytes(text, size, "\xEF\xBF\xBD");
    alloy_decoder_close(decoder);
    alloy_ids_free(&ids);
    alloy_tokenizer_close(tokenizer);
}

static void tokens_are_found_by_text_and_by_id(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer = sound((struct parts){.added = "[" ADDED(15, "<x>", "") "]"});
    size_t size;
    assert_int_equal(alloy_tokenizer_vocab_size(tokenizer), 16);
    assert_int_equal(alloy_tokenizer_id(tokenizer, "hello", 5), 10);
    assert_int_equal(alloy_tokenizer_id(tokenizer, "<x>", 3), 15);
    assert_int_equal(alloy_tokenizer_id(tokenizer, "absent", 6), -1);
    const char *token = alloy_tokenizer_token(tokenizer, 10, &size);
    expect_bytes(token, size, "hello");
    assert_null(alloy_tokenizer_token(tokenizer, 16, &size));
    assert_null(alloy_tokenizer_token(tokenizer, -1, &size));
    alloy_tokenizer_close(tokenizer);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    char *folder = test_folder();
    const char *path = write_text(
        folder, "tokenizer.json",
        "{\"added_tokens\":[" ADDED(15, "<x>", "") "],\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":" SPLIT(
            "{\"Regex\":\"l+\"}", "Isolated") ",\"decoder\":{\"type\":\"Fuse\"},\"model\":" PLAIN_MODEL "}");
    alloy_status status = ALLOY_NOMEM;
    for (int64_t n = 0; status == ALLOY_NOMEM && n < 5000; n++) {
        alloy_tokenizer *tokenizer;
        alloy_ids ids = {0};
        alloy_memory_fail_after(n);
        status = alloy_tokenizer_open(&tokenizer, path);
        if (!status)
            status = alloy_tokenizer_encode(tokenizer, "hello <x>", 9, 0, &ids);
        alloy_memory_fail_after(-1);
        assert_int_equal(ids.count, status ? 0 : 6); /* he l l o, the space, <x> */
        alloy_ids_free(&ids);
        alloy_tokenizer_close(tokenizer);
    }
    expect_ok(status);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_join_the_lowest_rank_first),
        cmocka_unit_test(characters_without_a_token_are_unknown_or_dropped),
        cmocka_unit_test(merges_may_be_pairs_and_stand_before_the_vocabulary),
        cmocka_unit_test(splits_do_with_matches_what_their_behavior_says),
        cmocka_unit_test(metaspace_marks_spaces),
        cmocka_unit_test(normalizers_change_text_before_it_is_cut),
        cmocka_unit_test(added_tokens_are_found_before_all_else),
        cmocka_unit_test(special_tokens_can_be_kept_as_text),
        cmocka_unit_test(the_template_stands_around_a_text),
        cmocka_unit_test(decoders_do_to_tokens_what_they_say),
        cmocka_unit_test(bytes_become_characters_or_replacement_characters),
        cmocka_unit_test(texts_come_back_as_they_were),
        cmocka_unit_test(p2_p3_p4_text_that_is_not_utf8_reads_as_replacement_characters),
        cmocka_unit_test(p10_a_stream_gives_whole_characters),
        cmocka_unit_test(tokens_are_found_by_text_and_by_id),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
