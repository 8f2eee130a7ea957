/* The JSON reader: what it accepts, what it refuses and where it says so. */
#include "support.h"

#include "base/memory.h"
#include "files/json.h"

/* Reads a whole document by skipping it. */
static alloy_status read_text(const char *text, size_t size)
{
    alloy_json json;
    alloy_json_open(&json, "t.json", text, size);
    alloy_json_skip(&json);
    return alloy_json_close(&json);
}

static alloy_status read_string(const char *text)
{
    return read_text(text, strlen(text));
}

static void sound_documents_are_accepted(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "0",
        "-0",
        "\"\"",
        "true",
        "false",
        "null",
        " \t\r\n{ } \n",
        "[1, 2.5, -3e-7, 1E+2, 0.0]",
        "{\"a\": {\"a\": {\"a\": []}}}",
        "{\"a\": 1, \"b\": 1, \"A\": 1, \"\": 1}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u0000\\ud83d\\ude00\"",
        "\"\xF0\x9F\x98\x80\x7F\"",
        "[{\"a\": 1}, {\"a\": 2}]",
        "1e-400",
        "123456789012345678901234567890",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_ok(read_string(texts[i]));
}

static void unsound_documents_are_refused_at_their_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place, *word;
    } cases[] = {
        {"", "t.json:1:1:", "the end of the text"},
        {" ", "t.json:1:2:", "a value"},
        {"{", "t.json:1:2:", "a key"},
        {"[1,", "t.json:1:4:", "a value"},
        {"[1,]", "t.json:1:4:", "found \"]\""},
        {"{\"a\":1,}", "t.json:1:8:", "a key"},
        {"{\"a\" 1}", "t.json:1:6:", "':'"},
        {"{\"a\":1 \"b\":2}", "t.json:1:8:", "',' or '}'"},
        {"[1 2]", "t.json:1:4:", "',' or ']'"},
        {"{a:1}", "t.json:1:2:", "a key"},
        {"[1}", "t.json:1:3:", "',' or ']'"},
        {"{\n  \"key\": tru\n}", "t.json:2:10:", "\"key\": expected true or false"},
        {"[nulL]", "t.json:1:2:", "null"},
        {"[NaN]", "t.json:1:2:", "a value"},
        {"[Infinity]", "t.json:1:2:", "a value"},
        {"[-Infinity]", "t.json:1:3:", "a digit"},
        {"[+1]", "t.json:1:2:", "a value"},
        {"[.5]", "t.json:1:2:", "a value"},
        {"[1.]", "t.json:1:4:", "a digit"},
        {"[1e]", "t.json:1:4:", "a digit"},
        {"[1e+]", "t.json:1:5:", "a digit"},
        {"[-]", "t.json:1:3:", "a digit"},
        {"[01]", "t.json:1:2:", "leading zero"},
        {"[-01]", "t.json:1:2:", "leading zero"},
        {"[0x10]", "t.json:1:3:", "',' or ']'"},
        {"[1e400]", "t.json:1:2:", "does not fit a double"},
        {"{\"x\": -1e999}", "t.json:1:7:", "\"x\": the number -1e999"},
        {"// no\n1", "t.json:1:1:", "a value"},
        {"1 /* no */", "t.json:1:3:", "the end of the text"},
        {"{} {}", "t.json:1:4:", "the end of the text"},
        {"\"abc", "t.json:1:1:", "no end"},
        {"\"a\nb\"", "t.json:1:3:", "control character 0x0A"},
        {"\"\\q\"", "t.json:1:2:", "unknown escape"},
        {"\"\\u12g4\"", "t.json:1:2:", "unknown escape"},
        {"\"\\u123", "t.json:1:2:", "unknown escape"},
        {"\"\\", "t.json:1:2:", "unknown escape"},
        {"\"\\ud83d\"", "t.json:1:2:", "lone surrogate \\uD83D"},
        {"\"\\ude00\\ud83d\"", "t.json:1:2:", "lone surrogate \\uDE00"},
        {"\"\\ud83d\\u0041\"", "t.json:1:2:", "lone surrogate"},
        {"'a'", "t.json:1:1:", "a value"},
        {"[\"\xC3\xA9\xC3\xA9\", x]", "t.json:1:8:", "a value"}, /* columns count characters */
        {"\xEF\xBB\xBF{}", "t.json:1:1:", "BOM"},
        {"{\"a\": 1,\n \"a\": 2}", "t.json:2:2:", "duplicate key \"a\""},
        {"{\"a\": 1, \"\\u0061\": 2}", "t.json:1:10:", "duplicate key"},
        {"{\"\\ud83d\\ude00\": 1, \"\xF0\x9F\x98\x80\": 2}", "t.json:1:", "duplicate key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_failure(read_string(cases[i].text), ALLOY_FORMAT, cases[i].place, cases[i].word);
    expect_failure(read_text("{}\0", 3), ALLOY_FORMAT, "t.json:1:3:", "\\x00");
    expect_failure(read_text("\"a\0b\"", 5), ALLOY_FORMAT, "control character 0x00");
}

static void bytes_that_are_not_utf8_are_refused_before_anything_is_read(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x80",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xE0\x80\x80",
                                      "\xE0\x9F\xBF",
                                      "\xED\xA0\x80",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xFF",
                                      "\xC3",
                                      "\xE2\x82",
                                      "\xF0\x9F\x98",
                                      "\xC3(",
                                      "\xE2(\xA1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[64];
        snprintf(text, sizeof text, "[\"long enough for a run of ASCII: 0123456789\", \"%s\"]", bad[i]);
        expect_failure(read_string(text), ALLOY_FORMAT, "not UTF-8", "t.json:1:49:", "offset 48");
    }
}

static void values_are_taken_in_the_order_they_come(void **state)
{
    (void)state;
    const char *text = "{\"i\": -9223372036854775808, \"u\": 18446744073709551615, \"d\": -0.5e1, \"s\": "
                       "\"a\\n\\u00e9\", \"t\": true, \"f\": false,"
                       " \"n\": null, \"a\": [1, [2, 3], {\"x\": []}], \"raw\": { \"y\" : [ 1 ] } }";
    alloy_json json;
    alloy_json_string_view key, view;
    alloy_text value = {0};
    alloy_json_open(&json, "t.json", text, strlen(text));
    assert_int_equal(alloy_json_peek(&json), ALLOY_JSON_OBJECT);
    alloy_json_object(&json);
    assert_true(alloy_json_next_key(&json, &key) && alloy_json_key_is(&key, "i"));
    assert_int_equal(alloy_json_peek(&json), ALLOY_JSON_NUMBER);
    assert_true(alloy_json_int64(&json) == INT64_MIN);
    assert_true(alloy_json_next_key(&json, &key) && alloy_json_key_is(&key, "u"));
    assert_true(alloy_json_uint64(&json) == UINT64_MAX);
    assert_true(alloy_json_next_key(&json, &key));
    assert_true(alloy_json_double(&json) == -5.0);
    assert_true(alloy_json_next_key(&json, &key));
    view = alloy_json_string(&json);
    assert_true(view.escaped);
    expect_ok(alloy_json_unescape(&view, &value));
    expect_text(value.bytes, "a\n\xC3\xA9");
    assert_true(alloy_json_key_is(&view, "a\n\xC3\xA9"));
    assert_false(alloy_json_key_is(&view, "a\n\xC3"));
    assert_false(alloy_json_key_is(&view, "a\n\xC3\xA9 "));
    assert_true(alloy_json_next_key(&json, &key));
    assert_true(alloy_json_bool(&json));
    assert_true(alloy_json_next_key(&json, &key));
    assert_false(alloy_json_null(&json));
    assert_false(alloy_json_bool(&json));
    assert_true(alloy_json_next_key(&json, &key));
    assert_true(alloy_json_null(&json));
    assert_true(alloy_json_next_key(&json, &key) && alloy_json_key_is(&key, "a"));
    alloy_json_array(&json);
    assert_true(alloy_json_next_item(&json));
    assert_int_equal(alloy_json_int64(&json), 1);
    assert_true(alloy_json_next_item(&json));
    alloy_json_skip(&json);
    assert_true(alloy_json_next_item(&json));
    alloy_json_skip(&json);
    assert_false(alloy_json_next_item(&json));
    assert_true(alloy_json_next_key(&json, &key));
    view = alloy_json_raw(&json);
    expect_bytes(view.bytes, view.size, "{ \"y\" : [ 1 ] }");
    assert_false(alloy_json_next_key(&json, &key));
    expect_ok(alloy_json_close(&json));
    alloy_text_free(&value);
}

static alloy_status read_int64(const char *text)
{
    alloy_json json;
    alloy_json_open(&json, "t.json", text, strlen(text));
    alloy_json_int64(&json);
    return alloy_json_close(&json);
}

static alloy_status read_uint64(const char *text)
{
    alloy_json json;
    alloy_json_open(&json, "t.json", text, strlen(text));
    alloy_json_uint64(&json);
    return alloy_json_close(&json);
}

static void integers_are_whole_and_fit_64_bits(void **state)
{
    (void)state;
    expect_ok(read_int64("-0"));
    expect_ok(read_int64("9223372036854775807"));
    expect_failure(read_int64("9223372036854775808"), ALLOY_RANGE, "9223372036854775808", "64 bits");
    expect_failure(read_int64("-9223372036854775809"), ALLOY_RANGE, "64 bits");
    expect_failure(read_int64("1.0"), ALLOY_FORMAT, "an integer", "1.0");
    expect_failure(read_int64("1e3"), ALLOY_FORMAT, "an integer", "1e3");
    expect_failure(read_int64("\"4096\""), ALLOY_FORMAT, "a number", "a string");
    expect_ok(read_uint64("18446744073709551615"));
    expect_failure(read_uint64("18446744073709551616"), ALLOY_RANGE, "64 bits");
    expect_failure(read_uint64("-0"), ALLOY_FORMAT, "without a sign", "-0");
    expect_failure(read_uint64("-2"), ALLOY_FORMAT, "without a sign");
    expect_failure(read_uint64("2.0"), ALLOY_FORMAT, "2.0");
    expect_failure(read_uint64("2e0"), ALLOY_FORMAT, "2e0");
    expect_failure(read_uint64("02"), ALLOY_FORMAT, "leading zero");
}

static void a_value_of_another_type_is_named_with_its_key(void **state)
{
    (void)state;
    const char *text = "{\"outer\": {\"layer_types\": [\"a\", 7]}}";
    alloy_json json;
    alloy_json_string_view key;
    alloy_json_open(&json, "t.json", text, strlen(text));
    alloy_json_object(&json);
    while (alloy_json_next_key(&json, &key)) {
        alloy_json_object(&json);
        while (alloy_json_next_key(&json, &key)) {
            alloy_json_array(&json);
            while (alloy_json_next_item(&json))
                alloy_json_string(&json);
        }
    }
    expect_failure(alloy_json_close(&json), ALLOY_FORMAT, "t.json:1:33:", "\"layer_types\"", "a string", "a number");
}

static void the_first_failure_is_kept(void **state)
{
    (void)state;
    alloy_json json;
    alloy_json_string_view key;
    alloy_json_open(&json, "t.json", "{\"a\": 5, \"b\": 6}", 16);
    alloy_json_object(&json);
    assert_true(alloy_json_next_key(&json, &key));
    assert_int_equal(alloy_json_int64(&json), 5);
    expect_failure(alloy_json_fail(&json, ALLOY_RANGE, "a is %d", 5), ALLOY_RANGE, "t.json:1:7: a is 5");
    assert_int_equal(alloy_json_fail(&json, ALLOY_TRUST, "later"), ALLOY_RANGE);
    assert_false(alloy_json_next_key(&json, &key));
    assert_false(alloy_json_next_item(&json));
    assert_int_equal(alloy_json_peek(&json), ALLOY_JSON_ERROR);
    assert_int_equal(alloy_json_int64(&json), 0);
    assert_int_equal(alloy_json_string(&json).size, 0);
    expect_failure(alloy_json_close(&json), ALLOY_RANGE, "a is 5");
}

static char *nested(size_t depth, const char *open, const char *close, size_t *size)
{
    size_t each = strlen(open), end = strlen(close);
    char *text = malloc(depth * (each + end) + 1);
    assert_non_null(text);
    for (size_t i = 0; i < depth; i++)
        memcpy(text + i * each, open, each);
    for (size_t i = 0; i < depth; i++)
        memcpy(text + depth * each + i * end, close, end);
    *size = depth * (each + end);
    return text;
}

static void depth_ends_at_128_and_the_stack_stays_flat(void **state)
{
    (void)state;
    static const struct {
        size_t depth;
        alloy_status status;
    } cases[] = {{128, ALLOY_OK}, {129, ALLOY_LIMIT}, {100000, ALLOY_LIMIT}, {5000000, ALLOY_LIMIT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        char *text = nested(cases[i].depth, "[", "]", &size);
        expect_failure(read_text(text, size), cases[i].status, "t.json:1:129:", "128 levels");
        free(text);
    }
    size_t size;
    char *text = nested(129, "{\"a\":", "}", &size);
    expect_failure(read_text(text, size), ALLOY_LIMIT, "128 levels");
    free(text);
}

/* "{"key0": {"a":1}, "key1": {"a":1}, ..}" with the key `twice` written two times. */
static char *many_keys(int count, int twice, size_t *size)
{
    char *text = malloc((size_t)count * 32 + 64), *at = text;
    assert_non_null(text);
    at += sprintf(at, "{");
    for (int i = 0; i < count; i++)
        at += sprintf(at, "%s\"key%d\": {\"a\":1}", i ? ", " : "", i);
    if (twice >= 0)
        at += sprintf(at, ", \"key%d\": 0", twice);
    at += sprintf(at, "}");
    *size = (size_t)(at - text);
    return text;
}

static void duplicates_are_found_in_objects_of_any_size(void **state)
{
    (void)state;
    static const int counts[] = {1, 2, 47, 48, 49, 1000, 200000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (int place = 0; place < 3; place++) {
            size_t size;
            int twice = place == 0 ? 0 : place == 1 ? counts[i] / 2 : counts[i] - 1;
            char *text = many_keys(counts[i], twice, &size), word[64];
            snprintf(word, sizeof word, "duplicate key \"key%d\"", twice);
            expect_failure(read_text(text, size), ALLOY_FORMAT, word);
            free(text);
        }
        size_t size;
        char *text = many_keys(counts[i], -1, &size);
        expect_ok(read_text(text, size));
        free(text);
    }
}

/* Nothing but the number of keys may count: neither few in many objects, nor many in one, nor those of an attacker who
 * knows no seed. */
static void a_million_keys_take_linear_time(void **state)
{
    (void)state;
    size_t size;
    char *text = many_keys(500000, -1, &size);
    double before = processor_seconds();
    expect_ok(read_text(text, size));
    double seconds = processor_seconds() - before;
    free(text);
    if (!ALLOY_TEST_SLOW && seconds > 1.5)
        fail_msg("500,000 keys took %.2f s, expected at most 1.5", seconds);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    size_t size;
    char *text = many_keys(300, -1, &size);
    int failures = 0;
    for (int n = 0;; n++) {
        alloy_memory_fail_after(n);
        alloy_status status = read_text(text, size);
        alloy_memory_fail_after(-1);
        if (!status)
            break;
        assert_int_equal(status, ALLOY_NOMEM);
        failures++;
    }
    assert_true(failures > 5);
    free(text);
}

static void a_reader_may_be_given_up_half_way(void **state)
{
    (void)state;
    alloy_json json;
    alloy_json_string_view key;
    alloy_json_open(&json, "t.json", "{\"a\": [1, 2", 11);
    alloy_json_object(&json);
    assert_true(alloy_json_next_key(&json, &key));
    expect_ok(alloy_json_close(&json));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_documents_are_accepted),
        cmocka_unit_test(unsound_documents_are_refused_at_their_line_and_column),
        cmocka_unit_test(bytes_that_are_not_utf8_are_refused_before_anything_is_read),
        cmocka_unit_test(values_are_taken_in_the_order_they_come),
        cmocka_unit_test(integers_are_whole_and_fit_64_bits),
        cmocka_unit_test(a_value_of_another_type_is_named_with_its_key),
        cmocka_unit_test(the_first_failure_is_kept),
        cmocka_unit_test(depth_ends_at_128_and_the_stack_stays_flat),
        cmocka_unit_test(duplicates_are_found_in_objects_of_any_size),
        cmocka_unit_test(a_million_keys_take_linear_time),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_reader_may_be_given_up_half_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
