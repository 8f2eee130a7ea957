/* docs/tokenizer.md line by line: the components that are read, those that are refused by name, and the files that the
 * tokenizers library opens and Alloy does not. */
#include "tokenizer/fixture.h"

#define SEQUENCE(list, items) "{\"type\":\"Sequence\",\"" list "\":[" items "]}"
#define MODEL(vocabulary, more) "{\"type\":\"BPE\",\"vocab\":" vocabulary ",\"merges\":" PLAIN_MERGES more "}"
#define TEMPLATE(single, special)                                                                                      \
    "{\"type\":\"TemplateProcessing\",\"single\":[" single "],\"pair\":[],\"special_tokens\":{" special "}}"
#define TEXT_A "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"
#define TOKEN_H "{\"SpecialToken\":{\"id\":\"h\",\"type_id\":0}}"

static void every_component_of_the_list_is_read(void **state)
{
    (void)state;
    static const struct parts read[] = {
        {.normalizer = SEQUENCE("normalizers", "{\"type\":\"NFC\"},{\"type\":\"NFD\"},{\"type\":\"NFKC\"}")},
        {.normalizer = SEQUENCE("normalizers", "{\"type\":\"NFKD\"},{\"type\":\"Lowercase\"}")},
        {.normalizer = "{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":false}"},
        {.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"_\"}"},
        {.normalizer = "{\"type\":\"Prepend\",\"prepend\":\"_\"}"},
        {.pretokenizer = SEQUENCE("pretokenizers", "{\"type\":\"WhitespaceSplit\"}")},
        {.pretokenizer = SPLIT("{\"Regex\":\"a+\"}", "Isolated")},
        {.pretokenizer = "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"first\",\"split\":true}"},
        {.pretokenizer = "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true}",
         .decoder = "{\"type\":\"ByteLevel\"}",
         .post = "{\"type\":\"ByteLevel\",\"trim_offsets\":false}"},
        {.pretokenizer = "{\"type\":\"Digits\",\"individual_digits\":true}"},
        {.pretokenizer = "{\"type\":\"Punctuation\",\"behavior\":\"Isolated\"}"},
        {.pretokenizer = "{\"type\":\"FixedLength\",\"length\":3}"},
        {.post =
             SEQUENCE("processors", TEMPLATE(TOKEN_H "," TEXT_A, "\"h\":{\"id\":\"h\",\"ids\":[1],\"tokens\":[]}"))},
        {.decoder = SEQUENCE("decoders", "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"
                                         "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}")},
        {.decoder = "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a+\"},\"content\":\"\"}"},
        {.decoder = "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"never\"}"},
        {.model = MODEL(PLAIN_VOCABULARY, ",\"dropout\":0.0,\"unk_token\":\"<unk>\",\"fuse_unk\":true,"
                                          "\"byte_fallback\":true,\"ignore_merges\":true")},
        {.added = "[" ADDED(15, "<x>", ",\"single_word\":true,\"lstrip\":true,\"rstrip\":true,\"special\":true") "]"},
    };
    for (size_t i = 0; i < sizeof read / sizeof *read; i++)
        alloy_tokenizer_close(sound(read[i]));
}

static void every_other_component_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *part;
        const char *types[6];
    } others[] = {
        {"model", {"WordPiece", "WordLevel", "Unigram"}},
        {"normalizer", {"BertNormalizer", "StripAccents", "Nmt", "ByteLevel"}},
        {"pre_tokenizer", {"Whitespace", "BertPreTokenizer", "UnicodeScripts", "CharDelimiterSplit"}},
        {"post_processor", {"BertProcessing", "RobertaProcessing"}},
        {"decoder", {"BPEDecoder", "WordPiece", "CTC"}},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        for (int k = 0; others[i].types[k]; k++) {
            char component[64];
            snprintf(component, sizeof component, "{\"type\":\"%s\"}", others[i].types[k]);
            const char *given[] = {component, NULL};
            struct parts parts = {.model = given[i != 0],
                                  .normalizer = given[i != 1],
                                  .pretokenizer = given[i != 2],
                                  .post = given[i != 3],
                                  .decoder = given[i != 4]};
            alloy_tokenizer *tokenizer;
            expect_failure(open_parts(&tokenizer, parts), ALLOY_FORMAT, others[i].part, others[i].types[k],
                           "supported");
        }
}

/* Each opens with tokenizers 0.23.3. */
static void files_that_the_library_opens_can_be_refused(void **state)
{
    (void)state;
    static const struct {
        struct parts parts;
        const char *said;
    } stricter[] = {
        {{.model = MODEL("{\"h\":0,\"h\":1}", "")}, "\"h\""},
        {{.model = MODEL("{\"h\":0,\"e\":0}", "")}, "the same id 0"},
        {{.model = MODEL("{\"h\":0,\"e\":1000000000}", "")}, "far beyond"},
        {{.model = MODEL("{\"h\":4294967295}", "")}, "4294967295"},
        {{.added = "[" ADDED(15, "<x>", "") "," ADDED(16, "<x>", "") "]"}, "listed twice"},
        {{.added = "[" ADDED(15, "<x>", "") "," ADDED(15, "<y>", "") "]"}, "the same id 15"},
        {{.added = "[" ADDED(3, "<x>", "") "]"}, "that of token \"l\""},
        {{.added = "[" ADDED(1000000000, "<x>", "") "]"}, "far beyond"},
        {{.added = "[" ADDED(15, "", "") "]"}, "empty"},
        {{.added = "[" ADDED(15, " ", ",\"normalized\":true") "]",
          .normalizer = "{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}"},
         "nothing is left"},
        {{.model = "{\"type\":\"BPE\",\"vocab\":{\"h\":0,\"e\":1,\"he\":2},\"merges\":[\"h e\",\"h e\",\"h e\",\"h "
                   "e\",\"h e\"]}"},
         "more merges"},
        {{.model = "{\"type\":\"BPE\",\"vocab\":{\"h\":0,\"##e\":1,\"h##e\":2},\"merges\":[\"h ##e\"],"
                   "\"continuing_subword_prefix\":\"##\"}"},
         "stands after the merges"},
        {{.model = MODEL(PLAIN_VOCABULARY, ",\"dropout\":0.1")}, "dropout"},
        {{.model = MODEL(PLAIN_VOCABULARY, ",\"unk_token\":\"<?>\"")}, "no token"},
        {{.model = "{\"type\":\"BPE\",\"vocab\":{\"<0xZZ>\":0},\"merges\":[],\"byte_fallback\":true}"}, "no byte"},
        {{.post = TEMPLATE(TOKEN_H "," TEXT_A, "")}, "not among its special_tokens"},
        {{.post = TEMPLATE(TOKEN_H "," TEXT_A, "\"h\":{\"id\":\"h\",\"ids\":[99],\"tokens\":[\"h\"]}")}, "id 99"},
        {{.post = TEMPLATE(TEXT_A "," TEXT_A, "")}, "once"},
        {{.decoder = "{\"type\":\"Strip\",\"content\":\" \",\"start\":100000,\"stop\":0}"}, "no token is that long"},
        {{.decoder = SEQUENCE("decoders", "{\"type\":\"Fuse\"},{\"type\":\"ByteFallback\"}")}, "after Fuse"},
        {{.truncation = "{\"direction\":\"Right\",\"max_length\":4,\"strategy\":\"LongestFirst\",\"stride\":4}"},
         "stride"},
        {{.pretokenizer = "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"first\","
                          "\"add_prefix_space\":false}"},
         "add_prefix_space"},
        {{.normalizer =
              SEQUENCE("normalizers", "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"^\"},\"content\":\"h\"},"
                                      "{\"type\":\"NFC\"}")},
         "may match nothing"},
        {{.normalizer = SEQUENCE("normalizers", "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(?=(?:a.*){2})\\\\A\"},"
                                                "\"content\":\"h\"},{\"type\":\"NFC\"}")},
         "may match nothing"},
        {{.normalizer = "{\"type\":\"Prepend\",\"prepend\":\"\"}"}, "Prepend"},
        {{.padding = "{\"strategy\":{\"Fixed\":0}}"}, "a fixed length of 0"},
        {{.pretokenizer = "{\"type\":\"FixedLength\",\"length\":0}"}, "at least 1"},
        {{.pretokenizer = SPLIT("{\"Regex\":\"(a)\\\\1\"}", "Isolated")}, "regular expression"},
        {{.pretokenizer = SPLIT("{\"Regex\":\"a{1001}\"}", "Isolated")}, "regular expression"},
        {{.pretokenizer = SPLIT("{\"Regex\":\"\"}", "Isolated")}, "not empty"},
        {{.pretokenizer = SPLIT("{\"Regex\":\"(?i:\xC3\x9F)\"}", "Isolated")}, "regular expression"},
    };
    for (size_t i = 0; i < sizeof stricter / sizeof *stricter; i++) {
        alloy_tokenizer *tokenizer;
        expect_failure(open_parts(&tokenizer, stricter[i].parts), ALLOY_FORMAT, stricter[i].said);
    }
}

static void an_added_token_with_an_id_of_nobody_gets_the_next(void **state)
{
    (void)state;
    alloy_tokenizer *tokenizer = sound((struct parts){.added = "[" ADDED(99, "<x>", "") "]"});
    assert_int_equal(alloy_tokenizer_id(tokenizer, "<x>", 3), 15);
    alloy_tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_component_of_the_list_is_read),
        cmocka_unit_test(every_other_component_is_refused_by_name),
        cmocka_unit_test(files_that_the_library_opens_can_be_refused),
        cmocka_unit_test(an_added_token_with_an_id_of_nobody_gets_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
