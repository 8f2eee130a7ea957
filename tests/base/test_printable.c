/* Text from strangers: what of it reaches a terminal or a log. */
#include "support.h"

#include "base/log.h"
#include "base/printable.h"
#include "base/status.h"
#include "base/table.h"
#include "base/utf8.h"

static const struct {
    const char *bytes, *form;
    bool acts; /* on a terminal; else it misleads who reads */
} rows[] = {
    {"\x1B[2J", "\\x1B[2J", true},
    {"a\x07", "a\\x07", true},
    {"\r", "\\x0D", true},
    {"\x7F", "\\x7F", true},
    {"\xC2\x9B"
     "31m",
     "\\xC2\\x9B31m", true}, /* CSI of C1 */
    {"\xC2\x80", "\\xC2\\x80", true},
    {"\xC2\x9F", "\\xC2\\x9F", true},
    {"\x9B", "\\x9B", true},
    {"\xFF\xFE", "\\xFF\\xFE", true},
    {"\xC3", "\\xC3", true},
    {"\xED\xA0\x80", "\\xED\\xA0\\x80", true},  /* a surrogate */
    {"\xE2\x80\xAE", "\\xE2\\x80\\xAE", false}, /* RIGHT-TO-LEFT OVERRIDE */
    {"\xE2\x80\xAA", "\\xE2\\x80\\xAA", false},
    {"\xE2\x81\xA6", "\\xE2\\x81\\xA6", false},
    {"\xE2\x81\xA9", "\\xE2\\x81\\xA9", false},
    {"\xE2\x80\x8F", "\\xE2\\x80\\x8F", false},
    {"\xE2\x80\xA8", "\\xE2\\x80\\xA8", true}, /* LINE SEPARATOR */
    {"\xE2\x80\xA9", "\\xE2\\x80\\xA9", true},
};

enum { ROWS = sizeof rows / sizeof *rows };

static void what_acts_or_misleads_is_written_out(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        alloy_text text = {0};
        alloy_text_printable(&text, rows[i].bytes, strlen(rows[i].bytes), ALLOY_KEEP_NOTHING);
        expect_text(alloy_text_get(&text), rows[i].form);
        assert_false(alloy_is_printable(rows[i].bytes, strlen(rows[i].bytes)));
        assert_true(alloy_is_printable(text.bytes, text.size));
        alloy_text_clear(&text);
        alloy_text_printable(&text, rows[i].bytes, strlen(rows[i].bytes), ALLOY_KEEP_DIRECTIONS);
        expect_text(alloy_text_get(&text), rows[i].acts ? rows[i].form : rows[i].bytes);
        alloy_text_free(&text);
    }
    alloy_text text = {0};
    alloy_text_printable(&text, "a\0b", 3, ALLOY_KEEP_NOTHING);
    expect_text(text.bytes, "a\\x00b");
    alloy_text_free(&text);
}

static void letters_of_all_languages_stay(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "plain \"quoted\" \\ text",
        "\xC3\xA9\xC2\xA0\xE4\xB8\xAD\xE6\x96\x87",     /* é, NBSP, 中文 */
        "\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D",             /* שלום */
        "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x92\xBB", /* an emoji of two, with its joiner */
        "\xEF\xBB\xBF\xF4\x8F\xBF\xBF",                 /* a BOM, U+10FFFF */
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        alloy_text text = {0};
        alloy_text_printable(&text, texts[i], strlen(texts[i]), ALLOY_KEEP_NOTHING);
        expect_text(text.bytes, texts[i]);
        assert_true(alloy_is_printable(texts[i], strlen(texts[i])));
        alloy_text_free(&text);
    }
}

static void lines_are_kept_where_they_are_meant(void **state)
{
    (void)state;
    alloy_text text = {0};
    alloy_text_printable(&text, "a\n\tb\r\n", 6, ALLOY_KEEP_LINES);
    expect_text(text.bytes, "a\n\tb\\x0D\n");
    alloy_text_clear(&text);
    alloy_text_printable(&text, "a\n\t\"\\", 5, ALLOY_ESCAPE_QUOTES);
    expect_text(text.bytes, "a\\x0A\\x09\\x22\\x5C");
    alloy_text_free(&text);
}

/* Never more than there is room for, and nothing cut in its middle. */
static void a_form_is_cut_between_characters(void **state)
{
    (void)state;
    static const char bytes[] = "ab\x1B\xC3\xA9"
                                "cd";
    static const char whole[] = "ab\\x1B\xC3\xA9"
                                "cd";
    for (size_t capacity = 4; capacity < 20; capacity++) {
        char out[24];
        memset(out, '#', sizeof out);
        alloy_printable_form(out, capacity, bytes, sizeof bytes - 1, ALLOY_KEEP_NOTHING);
        size_t size = strlen(out);
        assert_in_range(size, 0, capacity - 1);
        assert_int_equal(out[capacity], '#');
        if (capacity >= sizeof whole) {
            expect_text(out, whole);
        } else {
            expect_text(out + size - 3, "...");
            assert_memory_equal(out, whole, size - 3);
            assert_true(alloy_utf8_valid(out, size) == size && !(size > 5 && size < 9));
        }
    }
}

static void texts_of_errors_and_warnings_are_printable_lines(void **state)
{
    (void)state;
    struct warnings warnings = {0};
    alloy_set_log(keep_warning, &warnings);
    for (int i = 0; i < ROWS; i++) {
        expect_failure(alloy_fail(ALLOY_IO, "%s: \n is bad", rows[i].bytes), ALLOY_IO, rows[i].form, " \\x0A is bad");
        assert_true(alloy_is_printable(alloy_error(), strlen(alloy_error())));
        expect_failure(alloy_fail_in(ALLOY_IO, rows[i].bytes), ALLOY_IO, rows[i].form);
        assert_true(alloy_is_printable(alloy_error(), strlen(alloy_error())));
        warnings = (struct warnings){0};
        alloy_warn("%s ignored", rows[i].bytes);
        assert_non_null(strstr(warnings.text, rows[i].form));
        assert_true(alloy_is_printable(warnings.text, strlen(warnings.text) - 1));
    }
    alloy_set_log(NULL, NULL);
    static char large[100000];
    memset(large, '\x1B', sizeof large - 1);
    alloy_fail(ALLOY_IO, "%s", large);
    assert_true(strlen(alloy_error()) < 2048 && strstr(alloy_error(), "\\x1B..."));
}

static void cells_are_as_wide_as_what_is_shown(void **state)
{
    (void)state;
    alloy_table table;
    alloy_text out = {0};
    alloy_table_open(&table, "name|>n");
    alloy_table_cell(&table, "%s", "a\x1B[2J\nb");
    alloy_table_cell(&table, "%d", 1);
    alloy_table_cell(&table, "%s", "caf\xC3\xA9");
    alloy_table_cell(&table, "%d", 10);
    alloy_table_append(&table, &out);
    expect_text(alloy_text_get(&out), "name            n\n"
                                      "a\\x1B[2J\\x0Ab   1\n"
                                      "caf\xC3\xA9           10\n");
    alloy_text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_acts_or_misleads_is_written_out),
        cmocka_unit_test(letters_of_all_languages_stay),
        cmocka_unit_test(lines_are_kept_where_they_are_meant),
        cmocka_unit_test(a_form_is_cut_between_characters),
        cmocka_unit_test(texts_of_errors_and_warnings_are_printable_lines),
        cmocka_unit_test(cells_are_as_wide_as_what_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
