/* Text: growing buffers, numbers in any locale, UTF-8, printable names, tables of names, the nearest name. */
#include "support.h"

#include <locale.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/name_table.h"
#include "base/names.h"
#include "base/status.h"
#include "base/text.h"
#include "base/utf8.h"

/* ---- Growing text ------------------------------------------------------------------------------------------------ */

static void text_grows_and_keeps_nuls(void **state)
{
    (void)state;
    alloy_text text = {0};
    expect_text(alloy_text_get(&text), "");
    for (int i = 0; i < 1000; i++)
        alloy_text_append(&text, "a\0b", 3);
    alloy_text_format(&text, "%d-%s", 42, "x");
    alloy_text_char(&text, '!');
    assert_int_equal(text.size, 3005);
    assert_memory_equal(text.bytes + 2997, "a\0b42-x!", 9);
    alloy_text_clear(&text);
    expect_text(alloy_text_get(&text), "");
    alloy_text_free(&text);
}

static void a_failed_append_is_told_at_the_end_and_leaves_the_text(void **state)
{
    (void)state;
    alloy_text text = {0};
    alloy_text_string(&text, "kept");
    alloy_memory_fail_after(0);
    for (int i = 0; i < 100; i++)
        alloy_text_string(&text, "0123456789");
    alloy_memory_fail_after(-1);
    assert_true(text.size < text.capacity && strncmp(text.bytes, "kept0123", 8) == 0);
    expect_failure(alloy_text_status(&text), ALLOY_NOMEM, "out of memory");
    alloy_text_clear(&text);
    expect_ok(alloy_text_status(&text));
    assert_false(alloy_text_reserve(&text, SIZE_MAX));
    alloy_text_free(&text);
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

static void expect_double_text(double value, const char *expected)
{
    alloy_text text = {0};
    double back;
    alloy_text_double(&text, value);
    expect_text(text.bytes, expected);
    assert_true(alloy_parse_double(text.bytes, text.size, &back) && memcmp(&back, &value, sizeof back) == 0);
    alloy_text_free(&text);
}

static void check_doubles(void)
{
    expect_double_text(0.1, "0.1");
    expect_double_text(-0.0, "-0");
    expect_double_text(1e-6, "1e-06");
    expect_double_text(12345.678, "12345.678");
    expect_double_text(0.30000000000000004, "0.30000000000000004");
    expect_double_text(1.7976931348623157e308, "1.7976931348623157e+308");
    expect_double_text(5e-324, "5e-324");
}

static void numbers_have_a_point_in_every_locale(void **state)
{
    (void)state;
    check_doubles();
    char *folder = test_folder();
    if (!use_comma_locale(folder)) {
        print_message("not run: no locale with a decimal comma here (package locales)\n");
        remove_folder(folder);
        return;
    }
    char text[8];
    snprintf(text, sizeof text, "%.1f", 1.5);
    expect_text(text, "1,5"); /* the locale is at work */
    check_doubles();
    alloy_text figure = {0};
    alloy_text_format(&figure, "%.2f GB", 3.77);
    expect_text(alloy_text_get(&figure), "3.77 GB");
    alloy_text_free(&figure);
    alloy_fail(ALLOY_RANGE, "temperature is %g", -0.5);
    expect_text(alloy_error(), "temperature is -0.5");
    double value;
    assert_false(alloy_parse_double("1,5", 3, &value));
    snprintf(text, sizeof text, "%.1f", 1.5);
    expect_text(text, "1,5"); /* and still is */
    setlocale(LC_ALL, "C");
    remove_folder(folder);
}

static void numbers_are_the_whole_of_a_text(void **state)
{
    (void)state;
    static const char *const bad[] = {"",  " 1", "1 ", "0x10", "-0x1", "inf",  "nan", "-inf", "1e999",
                                      ".", "-",  "+",  "e5",   "1e",   "1.5x", "--1", "1_0"};
    double value = 7;
    int64_t number = 7;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(alloy_parse_double(bad[i], strlen(bad[i]), &value));
        assert_false(alloy_parse_int64(bad[i], strlen(bad[i]), &number));
    }
    assert_true(value == 7 && number == 7);
    assert_true(alloy_parse_double("-2.5e-1", 7, &value) && value == -0.25);
    assert_true(alloy_parse_double("1.5 and more", 3, &value) && value == 1.5); /* `size` bytes count */
    assert_true(alloy_parse_int64("-9223372036854775808", 20, &number) && number == INT64_MIN);
    assert_false(alloy_parse_int64("9223372036854775808", 19, &number));
    assert_false(alloy_parse_int64("1.0", 3, &number));
    assert_false(alloy_parse_double("1\0"
                                    "2",
                                    3, &value));
}

/* ---- UTF-8 ------------------------------------------------------------------------------------------------------- */

static void every_code_point_goes_to_utf8_and_back(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x110000; code++) {
        if (code >= 0xD800 && code < 0xE000)
            continue;
        char bytes[8] = "\xFF\xFF\xFF\xFF\xFF\xFF\xFF";
        uint32_t back;
        size_t size = alloy_utf8_put(code, bytes);
        if (size != alloy_utf8_next(bytes, size, &back) || back != code || alloy_utf8_valid(bytes, size) != size)
            fail_msg("U+%04X came back as U+%04X", code, back);
        if (size > 1 && (alloy_utf8_valid(bytes, size - 1) != 0 ||
                         alloy_utf8_next(bytes, size - 1, &back) != size - 1 || back != ALLOY_UTF8_BAD))
            fail_msg("U+%04X cut short was taken", code);
    }
}

/* Unicode, table 3-8 and its neighbours: what one U+FFFD stands for. */
static void ill_formed_bytes_are_replaced_by_maximal_subparts(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t lengths[8];
    } cases[] = {
        {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82", {1, 1, 1, 1, 1, 1, 1, 1}},
        {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF", {1, 1, 1, 1, 1, 1, 1, 1}},
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF", {1, 1, 1, 1, 1, 1, 1, 1}},
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF", {2, 1, 3, 2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t at = 0;
        for (int j = 0; at < 8; j++) {
            uint32_t code;
            size_t length = alloy_utf8_next(cases[i].bytes + at, 8 - at, &code);
            assert_int_equal(length, cases[i].lengths[j]);
            assert_int_equal(code, cases[i].bytes[at] == 'A' ? 'A' : ALLOY_UTF8_BAD);
            at += length;
        }
    }
}

static void the_valid_prefix_is_found_at_any_place(void **state)
{
    (void)state;
    char bytes[200];
    for (size_t place = 0; place < sizeof bytes; place++) {
        memset(bytes, 'a', sizeof bytes);
        assert_int_equal(alloy_utf8_valid(bytes, place), place);
        bytes[place] = '\x80';
        assert_int_equal(alloy_utf8_valid(bytes, sizeof bytes), place);
    }
    assert_int_equal(alloy_utf8_valid("", 0), 0);
}

/* ---- Error texts ------------------------------------------------------------------------------------------------- */

static void names_from_files_cannot_spoil_a_terminal(void **state)
{
    (void)state;
    expect_text(alloy_printable("a\x1B[31m\n\"\\\x7F\xC2\x9B\xFF\xC3\xA9\0z", 17),
                "a\\x1B[31m\\x0A\\x22\\x5C\\x7F\\xC2\\x9B\\xFF\xC3\xA9\\x00z");
    char name[1000];
    memset(name, 'n', sizeof name);
    const char *shown = alloy_printable(name, sizeof name);
    assert_true(strlen(shown) < 88);
    expect_text(shown + strlen(shown) - 4, "n...");
    memset(name, 1, sizeof name);
    assert_true(strlen(alloy_printable(name, sizeof name)) < 88);
}

static void a_long_path_shows_its_end(void **state)
{
    (void)state;
    expect_text(alloy_printable_path("/a/b\n"), "/a/b\\x0A");
    char path[2000];
    memset(path, '\xC3', sizeof path); /* two-byte characters: the cut falls between them */
    for (size_t i = 1; i < sizeof path; i += 2)
        path[i] = '\xA9';
    strcpy(path + 1980, "/config.json");
    const char *shown = alloy_printable_path(path);
    expect_bytes(shown, 5, "...\xC3\xA9");
    expect_text(shown + strlen(shown) - 12, "/config.json");
}

static void a_failure_may_quote_the_one_before(void **state)
{
    (void)state;
    assert_int_equal(alloy_fail(ALLOY_FORMAT, "first"), ALLOY_FORMAT);
    assert_int_equal(alloy_fail(ALLOY_IO, "second: %s", alloy_error()), ALLOY_IO);
    expect_text(alloy_error(), "second: first");
    assert_int_equal(alloy_fail_in(ALLOY_IO, "where"), ALLOY_IO);
    expect_text(alloy_error(), "where: second: first");
    assert_int_equal(alloy_last_status(), ALLOY_IO);
    for (int status = 0; status < ALLOY_STATUS_COUNT; status++)
        assert_true(strlen(alloy_status_name((alloy_status)status)) > 1);
    expect_text(alloy_status_name((alloy_status)99), "?");
}

static void warnings_go_where_the_program_says(void **state)
{
    (void)state;
    alloy_warn("dropped %d", 1);
    struct warnings warnings;
    collect_warnings(&warnings);
    alloy_warn("kept %d", 2);
    alloy_set_log(NULL, NULL);
    alloy_warn("dropped %d", 3);
    assert_int_equal(warnings.count, 1);
    expect_text(warnings.text, "kept 2\n");
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static void names_are_numbered_in_the_order_they_come(void **state)
{
    (void)state;
    alloy_name_table table = {0};
    int64_t number;
    assert_int_equal(alloy_name_table_find(&table, "a", 1), -1);
    for (int i = 0; i < 10000; i++) {
        char name[16];
        int size = sprintf(name, "name%d", i);
        expect_ok(alloy_name_table_add(&table, name, (size_t)size, &number));
        assert_int_equal(number, i);
    }
    expect_ok(alloy_name_table_add(&table, "", 0, &number));
    expect_ok(alloy_name_table_add(&table, "a\0b", 3, &number));
    expect_ok(alloy_name_table_add(&table, "a", 1, &number));
    assert_int_equal(alloy_name_table_add(&table, "name77", 6, &number), ALLOY_FORMAT);
    assert_int_equal(number, 77);
    assert_int_equal(alloy_name_table_find(&table, "name9999", 8), 9999);
    assert_int_equal(alloy_name_table_find(&table, "name9999", 7), 999);
    assert_int_equal(alloy_name_table_find(&table, "", 0), 10000);
    assert_int_equal(alloy_name_table_find(&table, "a\0b", 3), 10001);
    assert_int_equal(alloy_name_table_find(&table, "a\0c", 3), -1);
    size_t size;
    expect_text(alloy_name_table_get(&table, 123, &size), "name123");
    assert_int_equal(size, 7);
    alloy_name_table_free(&table);
}

static void the_nearest_name_is_one_that_can_be_meant(void **state)
{
    (void)state;
    static const char *const known[] = {"qwen3_attention", "qwen3_mlp", "qwen3_moe", "llama_attention"};
    expect_text(alloy_nearest_name("qwen3_attenton", known, 4), "qwen3_attention");
    expect_text(alloy_nearest_name("qwne3_mlp", known, 4), "qwen3_mlp");
    expect_text(alloy_nearest_name("qwen3_moe", known, 4), "qwen3_moe");
    assert_null(alloy_nearest_name("mamba", known, 4));
    assert_null(alloy_nearest_name("", known, 4));
    char longest[200];
    memset(longest, 'a', sizeof longest);
    longest[199] = 0;
    assert_null(alloy_nearest_name(longest, known, 4));
}

/* A line is given once, until another function is set; of many the oldest are forgotten, so memory stays bounded. */
static void a_warning_is_given_once(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    struct warnings warnings;
    collect_warnings(&warnings);
    for (int i = 0; i < 3; i++) {
        alloy_warn("config.json: ignored: %s", "auto_map");
        alloy_warn("config.json: ignored: %s", "x");
    }
    assert_int_equal(warnings.count, 2);
    expect_text(warnings.text, "config.json: ignored: auto_map\nconfig.json: ignored: x\n");
    for (int i = 0; i < MANY; i++)
        alloy_warn("%d", i);
    assert_int_equal(warnings.count, 2 + MANY);
    alloy_warn("%d", MANY - 1);
    assert_int_equal(warnings.count, 2 + MANY);
    collect_warnings(&warnings);
    alloy_warn("config.json: ignored: %s", "auto_map");
    assert_int_equal(warnings.count, 1);
    alloy_set_log(NULL, NULL);
    alloy_warn("nobody listens");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_grows_and_keeps_nuls),
        cmocka_unit_test(a_failed_append_is_told_at_the_end_and_leaves_the_text),
        cmocka_unit_test(numbers_have_a_point_in_every_locale),
        cmocka_unit_test(numbers_are_the_whole_of_a_text),
        cmocka_unit_test(every_code_point_goes_to_utf8_and_back),
        cmocka_unit_test(ill_formed_bytes_are_replaced_by_maximal_subparts),
        cmocka_unit_test(the_valid_prefix_is_found_at_any_place),
        cmocka_unit_test(names_from_files_cannot_spoil_a_terminal),
        cmocka_unit_test(a_long_path_shows_its_end),
        cmocka_unit_test(a_failure_may_quote_the_one_before),
        cmocka_unit_test(warnings_go_where_the_program_says),
        cmocka_unit_test(names_are_numbered_in_the_order_they_come),
        cmocka_unit_test(the_nearest_name_is_one_that_can_be_meant),
        cmocka_unit_test(a_warning_is_given_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
