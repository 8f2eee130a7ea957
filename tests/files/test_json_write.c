/* The JSON writer: what it writes, and that the reader takes it back. */
#include "support.h"

#include <math.h>

#include "base/memory.h"
#include "files/json.h"

static void write_everything(alloy_text *out, int indent)
{
    alloy_json_writer json;
    alloy_json_writer_open(&json, out, indent);
    alloy_json_write_object(&json);
    alloy_json_write_key(&json, "a");
    alloy_json_write_array(&json);
    alloy_json_write_int64(&json, INT64_MIN);
    alloy_json_write_uint64(&json, UINT64_MAX);
    alloy_json_write_double(&json, 0.1);
    alloy_json_write_bool(&json, true);
    alloy_json_write_null(&json);
    alloy_json_write_array_end(&json);
    alloy_json_write_key(&json, "o");
    alloy_json_write_object(&json);
    alloy_json_write_object_end(&json);
    alloy_json_write_key(&json, "r");
    alloy_json_write_raw(&json, "[1]", 3);
    alloy_json_write_object_end(&json);
}

static void one_line_or_indented(void **state)
{
    (void)state;
    alloy_text out = {0};
    write_everything(&out, 0);
    expect_text(out.bytes, "{\"a\":[-9223372036854775808,18446744073709551615,0.1,true,null],\"o\":{},\"r\":[1]}");
    alloy_text_clear(&out);
    write_everything(&out, 2);
    expect_text(
        out.bytes,
        "{\n  \"a\": [\n    -9223372036854775808,\n    18446744073709551615,\n    0.1,\n    true,\n    null\n  ],\n"
        "  \"o\": {},\n  \"r\": [1]\n}");
    alloy_text_free(&out);
}

static void strings_are_escaped_and_bad_bytes_replaced(void **state)
{
    (void)state;
    alloy_text out = {0};
    alloy_json_writer json;
    alloy_json_writer_open(&json, &out, 0);
    alloy_json_write_string(&json, "\"\\/\b\f\n\r\t\x01\x7F\0\xC3\xA9\xF0\x9F\x98\x80", 17);
    expect_text(out.bytes, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u007f\\u0000\xC3\xA9\xF0\x9F\x98\x80\"");
    alloy_text_clear(&out);
    alloy_json_writer_open(&json, &out, 0);
    alloy_json_write_string(&json,
                            "a\xFF"
                            "b\xF0\x9F\x98"
                            "c\xED\xA0\x80",
                            10);
    expect_text(out.bytes, "\"a\xEF\xBF\xBD"
                           "b\xEF\xBF\xBD"
                           "c\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    alloy_text_free(&out);
}

static void expect_double(double value, const char *expected)
{
    alloy_text out = {0};
    alloy_json_writer json;
    alloy_json_writer_open(&json, &out, 0);
    alloy_json_write_double(&json, value);
    expect_text(out.bytes, expected);
    alloy_text_free(&out);
}

static void doubles_are_shortest_and_stay_doubles(void **state)
{
    (void)state;
    expect_double(1, "1.0");
    expect_double(-0.0, "-0.0");
    expect_double(10000000, "1e+07");
    expect_double(0.1, "0.1");
    expect_double(1e-6, "1e-06");
    expect_double(5e-324, "5e-324");
    expect_double(1.7976931348623157e308, "1.7976931348623157e+308");
    expect_double(0.30000000000000004, "0.30000000000000004");
    expect_double(INFINITY, "null");
    expect_double(NAN, "null");
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)(i & 0x7F);
    alloy_text out = {0}, back = {0};
    alloy_json_writer writer;
    alloy_json_writer_open(&writer, &out, 3);
    alloy_json_write_array(&writer);
    alloy_json_write_string(&writer, bytes, sizeof bytes);
    alloy_json_write_array_end(&writer);
    alloy_json json;
    alloy_json_open(&json, "t.json", out.bytes, out.size);
    alloy_json_array(&json);
    assert_true(alloy_json_next_item(&json));
    alloy_json_string_view view = alloy_json_string(&json);
    expect_ok(alloy_json_unescape(&view, &back));
    assert_false(alloy_json_next_item(&json));
    expect_ok(alloy_json_close(&json));
    assert_int_equal(back.size, sizeof bytes);
    assert_memory_equal(back.bytes, bytes, sizeof bytes);
    alloy_text_free(&out);
    alloy_text_free(&back);
}

static void short_memory_is_told_at_the_end(void **state)
{
    (void)state;
    alloy_text out = {0};
    alloy_memory_fail_after(1);
    write_everything(&out, 8);
    alloy_memory_fail_after(-1);
    expect_failure(alloy_text_status(&out), ALLOY_NOMEM, "memory");
    alloy_text_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_or_indented),
        cmocka_unit_test(strings_are_escaped_and_bad_bytes_replaced),
        cmocka_unit_test(doubles_are_shortest_and_stay_doubles),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(short_memory_is_told_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
