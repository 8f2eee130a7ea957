/* What one would not expect of the tokenizers library (0.23.3) and Alloy does all the same. The expected ids and texts
 * are the library's answers; tests/reference/tokenizer_fuzz.py found each of these cases. */
#include "tokenizer/fixture.h"

#define MARK "\xE2\x96\x81"
#define BAD "\xEF\xBF\xBD"
#define LOWERCASE "{\"type\":\"Lowercase\"}"
#define STRIP "{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}"
#define REPLACE(pattern, content)                                                                                      \
    "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"" pattern "\"},\"content\":\"" content "\"}"
#define FIRST "{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\",\"prepend_scheme\":\"first\"}"

static void expect_decoded(const alloy_tokenizer *tokenizer, const int64_t *ids, int64_t count, bool skip_special,
                           const char *expected)
{
    char *text;
    size_t size;
    expect_ok(alloy_tokenizer_decode(tokenizer, ids, count, skip_special, &text, &size));
    expect_bytes(text, size, expected);
    alloy_free(text);
}

static void white_space_belongs_to_one_token(void **state)
{
    (void)state;
    alloy_tokenizer *both = sound((struct parts){.added = "[" ADDED(15, "  ", ",\"lstrip\":true,\"rstrip\":true") "]"});
    expect_ids(both, "      ", "15");
    expect_ids(both, "l      l", "3 15 3");
    expect_ids(both, "    h", "15 1");
    expect_ids(both, "   ", "15");
    expect_ids(both, "  \n  l", "15 3");
    alloy_tokenizer_close(both);
}

static void a_token_is_met_again_in_the_space_that_the_one_before_took(void **state)
{
    (void)state;
    alloy_tokenizer *right = sound((struct parts){.added = "[" ADDED(15, "  ", ",\"rstrip\":true") "]"});
    expect_ids(right, "      ", "15 15 15");
    expect_ids(right, "l     l", "3 15 15 3");
    alloy_tokenizer_close(right);
}

/* The library panics: the second token would end before it begins. */
static void a_token_without_a_place_is_passed_over(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer = sound(
        (struct parts){.added = "[" ADDED(15, "  ", ",\"rstrip\":true") "," ADDED(16, "\\n", ",\"lstrip\":true") "]"});
    expect_ids(tokenizer, "  \n\tl", "15 3");
    alloy_tokenizer_close(tokenizer);
}

/* In the library chance decides (the order of a hash table). */
static void of_two_with_one_normalized_text_the_first_is_found(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer = sound((struct parts){
        .normalizer = LOWERCASE, .added = "[" ADDED(15, "<X>", "") "," ADDED(16, "<x>", ",\"special\":true") "]"});
    expect_ids(tokenizer, "h<X><x>", "1 15 15");
    alloy_tokenizer_close(tokenizer);
}

static void tokens_are_skipped_by_the_text_they_decode_to(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer = sound((struct parts){
        .normalizer = LOWERCASE,
        .decoder = "{\"type\":\"Fuse\"}",
        .added = "[" ADDED(15, "<X>", ",\"special\":true") "," ADDED(16, "<y>", ",\"special\":true") "," ADDED(
            17, "<Z>",
            "") "," ADDED(18, "<Y>",
                          ",\"special\":true,\"normalized\":false") "," ADDED(19, "LO",
                                                                              "") "," ADDED(9, "lo",
                                                                                            ",\"special\":true,"
                                                                                            "\"normalized\":"
                                                                                            "false") "]"});
    expect_decoded(tokenizer, (int64_t[]){10, 15, 16, 17, 18}, 5, true, "hello<x><z>");
    expect_decoded(tokenizer, (int64_t[]){10, 15, 16, 17, 18}, 5, false, "hello<x><y><z><Y>");
    expect_decoded(tokenizer, (int64_t[]){10, 19, 9}, 3, true, "hello");
    expect_decoded(tokenizer, (int64_t[]){10, 19, 9}, 3, false, "hellololo");
    assert_true(alloy_tokenizer_is_special(tokenizer, 15));
    alloy_tokenizer_close(tokenizer);
}

/* A piece is the first one if it comes from the text's first character. */
static void metaspace_first_asks_where_a_piece_comes_from(void **state)
{
    (void)state;
    expect_cut(PARTS(.pretokenizer = FIRST, .normalizer = STRIP), " low", "11");
    expect_cut(PARTS(.pretokenizer = FIRST, .normalizer = STRIP), "low", "6 11");
    expect_cut(PARTS(.pretokenizer = "{\"type\":\"Sequence\",\"pretokenizers\":[" SPLIT("{\"String\":\"l\"}",
                                                                                        "Isolated") "," FIRST "]}",
                     .normalizer = "{\"type\":\"Prepend\",\"prepend\":\"h\"}"),
               "low", "6 1 6 3 4 5");
    expect_cut(PARTS(.pretokenizer = "{\"type\":\"Sequence\",\"pretokenizers\":[" SPLIT("{\"String\":\"h\"}",
                                                                                        "Isolated") "," FIRST "]}",
                     .normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"h\"},"
                                   "{\"type\":\"NFC\"}," REPLACE("\xC3\xA9", "e") "]}"),
               "e\xCC\x81l", "6 1 6 2 3");
    expect_cut(PARTS(.pretokenizer = FIRST, .normalizer = REPLACE("xx", "h")), "xxow", "1 4 5");
    expect_cut(PARTS(.pretokenizer = FIRST, .normalizer = REPLACE("x", "h")), "xow", "6 1 4 5");
}

static void nothing_matches_in_an_empty_text(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer = sound((struct parts){
        .normalizer = "{\"type\":\"Sequence\",\"normalizers\":[" STRIP "," REPLACE("$", "!") "]}",
        .decoder = "{\"type\":\"Sequence\",\"decoders\":[" REPLACE("h|$", "") "," REPLACE("$", "!") "]}"});
    expect_ids(tokenizer, " ", "");
    expect_ids(tokenizer, " h", "1 14");
    expect_decoded(tokenizer, (int64_t[]){1}, 1, true, "");
    expect_decoded(tokenizer, (int64_t[]){3}, 1, true, "l!");
    alloy_tokenizer_close(tokenizer);
}

#define TWO_AND_QUARTER "\xC2\xB2\xC2\xBC"

/* Superscript digits and fractions of Latin-1 are words to \w alone, and not inside of a class. */
static void a_class_has_another_idea_of_words(void **state)
{
    (void)state;
    expect_cut(PARTS(.normalizer = REPLACE("\\\\w", "h")), TWO_AND_QUARTER, "1 1");
    expect_cut(PARTS(.normalizer = REPLACE("[\\\\w]", "h")), TWO_AND_QUARTER "e!", "1 14");
    expect_cut(PARTS(.normalizer = REPLACE("[\\\\W]", "h")), TWO_AND_QUARTER "e", "1 7");
    expect_cut(PARTS(.normalizer = REPLACE("\\\\W", "h")), "\xC2\xB2!", "1");
}

static void bytes_that_are_no_character_are_a_token_each(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer = sound((struct parts){
        .decoder = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"}," REPLACE("^", "-") "]}",
        .model = "{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"<0xF0>\":0,\"<0x9F>\":1,"
                 "\"<0x98>\":2,\"<0x80>\":3,\"a\":4},\"merges\":[]}"});
    expect_decoded(tokenizer, (int64_t[]){0, 1, 4, 0, 1, 2, 3}, 7, true, "-" BAD "-" BAD "-a-\xF0\x9F\x98\x80");
    alloy_tokenizer_close(tokenizer);
}

/* Where ids have gaps, added tokens fill them: the next id is the number of tokens, not one more than the largest. */
static void added_tokens_count_from_the_number_of_tokens(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer =
        sound((struct parts){.model = "{\"type\":\"BPE\",\"vocab\":{\"h\":0,\"<x>\":1,\"e\":4},\"merges\":[]}",
                             .added = "[" ADDED(4, "e", "") "," ADDED(3, "<y>", "") "]"});
    assert_int_equal(alloy_tokenizer_id(tokenizer, "<y>", 3), 3);
    expect_ids(tokenizer, "h<y>e", "0 3 4");
    alloy_tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(white_space_belongs_to_one_token),
        cmocka_unit_test(a_token_is_met_again_in_the_space_that_the_one_before_took),
        cmocka_unit_test(a_token_without_a_place_is_passed_over),
        cmocka_unit_test(of_two_with_one_normalized_text_the_first_is_found),
        cmocka_unit_test(tokens_are_skipped_by_the_text_they_decode_to),
        cmocka_unit_test(metaspace_first_asks_where_a_piece_comes_from),
        cmocka_unit_test(nothing_matches_in_an_empty_text),
        cmocka_unit_test(a_class_has_another_idea_of_words),
        cmocka_unit_test(bytes_that_are_no_character_are_a_token_each),
        cmocka_unit_test(added_tokens_count_from_the_number_of_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
