/* Fuzzing in small: changed copies of known files, through the promises of fuzz/parsers.h. Runs the same everywhere;
 * under the sanitizers it finds what they can see. */
#include "support.h"

#include "fuzz/changes.h"
#include "fuzz/parsers.h"

enum { LARGEST = 65536, ROUNDS = ALLOY_TEST_SLOW ? 300 : 1500 };

static const char *const pieces[] = {"\"",
                                     "\\",
                                     "\\ud800",
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
                                     "NaN",
                                     "\xFF",
                                     "\xED\xA0\x80",
                                     "18446744073709551615",
                                     "9223372036854775808",
                                     "-1",
                                     "Infinity",
                                     "../x",
                                     "4294967296",
                                     "1e-320",
                                     "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"};

/* Itself, and changed copies of it. */
static void try_seed(const struct fuzz_parser *parser, const char *path, uint64_t stream, int rounds)
{
    static uint8_t bytes[LARGEST];
    alloy_file file;
    expect_ok(alloy_file_open(&file, path, LARGEST, false));
    try_bytes(parser->run, file.data, file.size);
    struct changes changes = {20261201, stream, 0, pieces, sizeof pieces / sizeof *pieces, LARGEST};
    for (int round = 0; round < rounds; round++) {
        memcpy(bytes, file.data, file.size);
        try_bytes(parser->run, bytes, change_some(&changes, bytes, file.size));
    }
    alloy_file_close(&file);
}

static void changed_files_break_no_promise(void **state)
{
    (void)state;
    assert_int_equal(chdir(ALLOY_SOURCE_DIR), 0);
    for (int i = 0; i < FUZZ_PARSERS; i++) {
        const struct fuzz_parser *parser = &fuzz_parsers[i];
        glob_t seeds;
        if (glob(parser->seeds, GLOB_BRACE, NULL, &seeds) != 0)
            fail_msg("%s: no file is called %s", parser->name, parser->seeds);
        for (size_t j = 0; j < seeds.gl_pathc; j++)
            try_seed(parser, seeds.gl_pathv[j], (uint64_t)(i * 1000) + j, 1 + ROUNDS / (int)seeds.gl_pathc);
        print_message("%-18s %d changes of %zu files\n", parser->name, ROUNDS, seeds.gl_pathc);
        globfree(&seeds);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changed_files_break_no_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
