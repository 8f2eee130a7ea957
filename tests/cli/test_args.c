/* Command lines: what is read, and what is refused with which words (bad_input A1). */
#include "support.h"

#include "cli/command.h"

typedef struct options {
    alloy_cli_common common;
    const char *model, *extra, *text, *kind;
    alloy_cli_integer count;
    alloy_cli_number share;
    alloy_cli_texts stop;
    bool loud;
} options;

#define AT(field) offsetof(options, field)

static const alloy_cli_place places[] = {
    {.name = "MODEL", .offset = AT(model), .help = "the model"},
    {.name = "EXTRA", .offset = AT(extra), .optional = true, .help = "more"},
    {0},
};

static const alloy_cli_option flags[] = {
    {.name = "text", .letter = 'p', .kind = ALLOY_CLI_TEXT, .offset = AT(text), .value = "TEXT", .help = "a text"},
    {.name = "count",
     .letter = 'n',
     .kind = ALLOY_CLI_INTEGER,
     .offset = AT(count),
     .value = "N",
     .most = 100,
     .help = "a number"},
    {.name = "share", .kind = ALLOY_CLI_NUMBER, .offset = AT(share), .value = "X", .most = 1, .help = "a share"},
    {.name = "stop", .kind = ALLOY_CLI_TEXTS, .offset = AT(stop), .value = "TEXT", .help = "texts"},
    {.name = "kind",
     .kind = ALLOY_CLI_CHOICE,
     .offset = AT(kind),
     .value = "KIND",
     .choices = "small large",
     .help = "a kind"},
    {.name = "loud", .letter = 'l', .kind = ALLOY_CLI_SWITCH, .offset = AT(loud), .help = "a switch"},
    {0},
};

static const options defaults = {.count = {.value = 7}, .kind = "small"};

static const alloy_cli_command command = {
    .name = "try",
    .places = places,
    .flags = flags,
    .opens = ALLOY_CLI_MODEL,
    .defaults = &defaults,
    .options_size = sizeof(options),
};

static options read_options;

#define read(...) read_line((char *[]){__VA_ARGS__, NULL})

static alloy_status read_line(char **words)
{
    int count = 0;
    while (words[count])
        count++;
    return alloy_cli_read(&command, &read_options, count, words);
}

static void flags_are_read_in_every_form(void **state)
{
    (void)state;
    expect_ok(read("folder", "--text", "hello", "--count=12", "--share", "0.25", "-lq", "--kind", "large"));
    expect_text(read_options.model, "folder");
    expect_text(read_options.text, "hello");
    expect_text(read_options.kind, "large");
    assert_int_equal(read_options.count.value, 12);
    assert_true(read_options.count.given);
    assert_true(read_options.share.value == 0.25);
    assert_true(read_options.loud && read_options.common.quiet && !read_options.common.json);
    expect_ok(read("-n5", "-p", "a", "folder", "more"));
    assert_int_equal(read_options.count.value, 5);
    expect_text(read_options.extra, "more");
}

static void defaults_hold_where_nothing_is_given(void **state)
{
    (void)state;
    expect_ok(read("folder"));
    assert_int_equal(read_options.count.value, 7);
    assert_false(read_options.count.given);
    expect_text(read_options.kind, "small");
    assert_null(read_options.text);
    assert_null(read_options.extra);
}

static void a_flag_for_lists_may_be_repeated(void **state)
{
    (void)state;
    expect_ok(read("folder", "--stop", "a", "--stop=b", "--stop", "-"));
    assert_int_equal(read_options.stop.count, 3);
    expect_text(read_options.stop.items[1], "b");
    expect_text(read_options.stop.items[2], "-");
}

static void empty_texts_and_texts_with_dashes_can_be_meant(void **state)
{
    (void)state;
    expect_ok(read("folder", "-p", "", "-n", "1"));
    expect_text(read_options.text, "");
    expect_ok(read("folder", "-p", "-once upon a time"));
    expect_text(read_options.text, "-once upon a time");
    expect_ok(read("folder", "--text=--loud"));
    expect_text(read_options.text, "--loud");
    expect_ok(read("--", "-folder"));
    expect_text(read_options.model, "-folder");
}

static void help_ends_the_reading(void **state)
{
    (void)state;
    expect_ok(read("--help", "--no-such-flag"));
    assert_true(read_options.common.help);
    expect_ok(read("-h"));
}

static void sizes_have_units_of_1024(void **state)
{
    (void)state;
    static const struct {
        char *text;
        int64_t bytes;
    } sizes[] = {{"1500", 1500},
                 {"800K", 819200},
                 {"64M", INT64_C(64) << 20},
                 {"4G", INT64_C(4) << 30},
                 {"2T", INT64_C(2) << 40}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        expect_ok(read("folder", "--weight-memory", sizes[i].text));
        assert_int_equal(read_options.common.weight_memory.value, sizes[i].bytes);
    }
    char *const bad[] = {"0", "-1", "K", "", "1.5G", "4g", "4GB", "4 G", "9000000T", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_failure(read("folder", "--weight-memory", bad[i]), ALLOY_ARG, "--weight-memory", "number of bytes");
}

static void a1_numbers_must_be_whole_words_within_range(void **state)
{
    (void)state;
    const char *const bad[] = {"-1", "101", "1e9", "4x", "", " 4", "4 ", "0x10", "1.5", "99999999999999999999", "nan"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_failure(read("folder", "--count", (char *)bad[i]), ALLOY_ARG, "--count", "whole number", "0 to 100");
    const char *const bad_shares[] = {"-0.1", "1.1", "nan", "inf", "0,5", "", "1e400", "0x1p-1"};
    for (size_t i = 0; i < sizeof bad_shares / sizeof *bad_shares; i++)
        expect_failure(read("folder", "--share", (char *)bad_shares[i]), ALLOY_ARG, "--share", "0 to 1");
    const char *const bad_threads[] = {"0", "-1", "1e9", "4x", "1000000000"};
    for (size_t i = 0; i < sizeof bad_threads / sizeof *bad_threads; i++)
        expect_failure(read("folder", "--threads", (char *)bad_threads[i]), ALLOY_ARG, "--threads", "1 to 1024");
}

/* de_DE writes 0,5. What counts is the C locale's form, whatever the process has set. */
static void a6_numbers_do_not_depend_on_the_locale(void **state)
{
    (void)state;
    char *folder = test_folder();
    bool comma = use_comma_locale(folder);
    remove_folder(folder);
    if (!comma)
        skip(); /* a machine without locales and localedef */
    expect_ok(read("folder", "--share", "0.5"));
    assert_true(read_options.share.value == 0.5);
    expect_failure(read("folder", "--share", "0,5"), ALLOY_ARG, "0 to 1");
    setlocale(LC_ALL, "C");
}

static void a2_unknown_flags_name_the_nearest(void **state)
{
    (void)state;
    expect_failure(read("folder", "--cuont", "3"), ALLOY_ARG, "--cuont", "did you mean --count", "alloy try --help");
    expect_failure(read("folder", "--thread", "3"), ALLOY_ARG, "did you mean --threads");
    expect_failure(read("folder", "--xyzzy-plugh"), ALLOY_ARG, "unknown flag --xyzzy-plugh");
    expect_failure(read("folder", "-z"), ALLOY_ARG, "unknown flag -z");
    expect_failure(read("folder", "-lz"), ALLOY_ARG, "unknown flag -lz");
}

static void a2_what_cannot_be_meant_is_refused(void **state)
{
    (void)state;
    expect_failure(read("folder", "--count", "1", "-n", "2"), ALLOY_ARG, "--count is given twice");
    expect_failure(read("folder", "-ll"), ALLOY_ARG, "--loud is given twice");
    expect_failure(read("folder", "--count"), ALLOY_ARG, "--count needs a value");
    expect_failure(read("folder", "-p", "--json"), ALLOY_ARG, "--text needs a value", "--json", "--text=--json");
    expect_failure(read("folder", "--loud=yes"), ALLOY_ARG, "--loud takes no value");
    expect_failure(read("folder", "--kind", "huge"), ALLOY_ARG, "--kind", "huge", "small large");
    expect_failure(read("folder", "--kind", ""), ALLOY_ARG, "--kind");
    expect_failure(read("a", "b", "c"), ALLOY_ARG, "\"c\"", "too many");
    expect_failure(read("", "b"), ALLOY_ARG, "MODEL is empty");
    expect_failure(read_line((char *[]){NULL}), ALLOY_ARG, "MODEL is missing");
}

/* Arguments of any size and content end in a line of sane length. */
static void a3_long_and_binary_arguments_are_told_briefly(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    char *huge = malloc(SIZE + 1);
    assert_non_null(huge);
    memset(huge, 'x', SIZE);
    huge[SIZE] = 0;
    huge[0] = huge[1] = '-';
    expect_failure(read("folder", huge), ALLOY_ARG, "unknown flag");
    assert_true(strlen(alloy_error()) < 300);
    expect_failure(read("folder", "--count", huge + 2), ALLOY_ARG, "--count");
    assert_true(strlen(alloy_error()) < 300);
    expect_failure(read("folder", "--\xff\x1b[31m"), ALLOY_ARG, "\\xFF\\x1B");
    expect_ok(read("folder", "-p", huge + 2));
    assert_int_equal(strlen(read_options.text), SIZE - 2);
    free(huge);
}

static void more_texts_than_fit_are_refused(void **state)
{
    (void)state;
    char *words[2 * ALLOY_CLI_MOST_TEXTS + 4] = {"folder"};
    for (int i = 0; i <= ALLOY_CLI_MOST_TEXTS; i++) {
        words[1 + 2 * i] = "--stop";
        words[2 + 2 * i] = "x";
    }
    expect_failure(read_line(words), ALLOY_ARG, "--stop", "64 times");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_are_read_in_every_form),
        cmocka_unit_test(defaults_hold_where_nothing_is_given),
        cmocka_unit_test(a_flag_for_lists_may_be_repeated),
        cmocka_unit_test(empty_texts_and_texts_with_dashes_can_be_meant),
        cmocka_unit_test(help_ends_the_reading),
        cmocka_unit_test(sizes_have_units_of_1024),
        cmocka_unit_test(a1_numbers_must_be_whole_words_within_range),
        cmocka_unit_test(a6_numbers_do_not_depend_on_the_locale),
        cmocka_unit_test(a2_unknown_flags_name_the_nearest),
        cmocka_unit_test(a2_what_cannot_be_meant_is_refused),
        cmocka_unit_test(a3_long_and_binary_arguments_are_told_briefly),
        cmocka_unit_test(more_texts_than_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
