/* Fuzzing in small: tokenizers that hold every component, changed in ways that come from a fixed seed, through the
 * promises of fuzz/tokenizer_target.h. Runs the same everywhere; under the sanitizers it finds what they can see. */
#include "tokenizer/fixture.h"

#include "fuzz/changes.h"
#include "fuzz/tokenizer_target.h"

enum { LARGEST = 8192, ROUNDS = 6000 };

#define MARK "\xE2\x96\x81"
#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true}"

static const char *const documents[] = {
    "{\"added_tokens\":[{\"id\":15,\"content\":\"<x>\",\"lstrip\":true,\"rstrip\":true,\"special\":true,\"normalized\":"
    "false},"
    "{\"id\":16,\"content\":\"He\",\"single_word\":true,\"normalized\":true}],\"normalizer\":{\"type\":\"Sequence\","
    "\"normalizers\":["
    "{\"type\":\"NFKC\"},{\"type\":\"Lowercase\"},{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}]},"
    "\"pre_tokenizer\":"
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true}," BYTE_LEVEL
    "]},\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<x>\",\"type_id\":"
    "0}},"
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{\"<x>\":{\"id\":\"<x>\",\"ids\":[15]}}},"
    "\"decoder\":" BYTE_LEVEL ",\"model\":" PLAIN_MODEL "}",
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"" MARK
    "\"},{\"type\":\"Replace\","
    "\"pattern\":{\"String\":\" \"},\"content\":\"" MARK
    "\"}]},\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\","
    "\"pattern\":{\"String\":\"" MARK
    "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\","
    "\"content\":\" \",\"start\":1,\"stop\":0}]},\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,"
    "\"byte_fallback\":true,\"vocab\":" PLAIN_VOCABULARY ",\"merges\":" PLAIN_MERGES "}}",
    "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
    "\"(?i:'s|'t)|[^\\\\r\\\\n\\\\p{L}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}&&[^x]]+|\\\\s+(?!\\\\S)|\\\\s+\"},"
    "\"behavior\":\"MergedWithNext\",\"invert\":true},{\"type\":\"Punctuation\",\"behavior\":\"Contiguous\"},{\"type\":"
    "\"Metaspace\","
    "\"replacement\":\"" MARK
    "\",\"prepend_scheme\":\"first\",\"split\":true},{\"type\":\"FixedLength\",\"length\":3}]},\"decoder\":"
    "{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\",\"prepend_scheme\":\"always\"},\"model\":" PLAIN_MODEL "}",
};

static const char *const pieces[] = {"\"",        "\\",  "\\\\",  "{",     "}",    "[",    "]",    ",",       ":",
                                     "-1",        "(",   ")",     "(?=",   "+",    "*",    "{2,}", "|",       "^",
                                     "\\\\p{Lu}", "$",   "Fuse",  "null",  "true", "\xFF", "\xC3", "\\u0000", "h",
                                     "<0xE2>",    "NFD", "Strip", "Split", "1e9",  " "};

static void the_documents_are_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        alloy_tokenizer *tokenizer;
        expect_ok(open_text(&tokenizer, documents[i], strlen(documents[i])));
        alloy_tokenizer_close(tokenizer);
    }
}

static void changed_tokenizers_keep_every_promise(void **state)
{
    (void)state;
    static uint8_t bytes[LARGEST];
    struct changes changes = {20240917, 1, 0, pieces, sizeof pieces / sizeof *pieces, LARGEST};
    for (int round = 0; round < ROUNDS; round++) {
        const char *document = documents[draw(&changes, sizeof documents / sizeof *documents)];
        size_t size = strlen(document);
        memcpy(bytes, document, size);
        size = change_some(&changes, bytes, size);
        fuzz_tokenizer(bytes, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documents_are_sound),
        cmocka_unit_test(changed_tokenizers_keep_every_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
