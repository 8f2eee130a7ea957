/* The pull reader (json.h).
 *
 * Invariants: json->at never passes json->size; while json->status is not ALLOY_OK nothing moves; every string that was
 * handed out has sound escapes; objects and arrays that are open are those of in_object[1..depth]. Nesting is counted
 * here, never on the C stack. */
#include "files/json.h"

#include <stdio.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/utf8.h"
#include "files/json_keys.h"
#include "files/json_string.h"

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

/* Line and column (in characters) of an offset, both from 1. Only failures pay for it. */
static void position(const alloy_json *json, size_t offset, size_t *line, size_t *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < offset && i < json->size; i++) {
        if (json->text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)json->text[i] & 0xC0) != 0x80) {
            ++*column;
        }
    }
}

static void fail_list(alloy_json *json, size_t offset, alloy_status status, const char *format, va_list args)
{
    if (json->status)
        return;
    char what[512];
    size_t line, column;
    vsnprintf(what, sizeof what, format, args);
    position(json, offset, &line, &column);
    json->status = alloy_fail(status, "%s:%zu:%zu: %s", alloy_printable_path(json->name), line, column, what);
}

__attribute__((format(printf, 4, 5))) static void fail_at(alloy_json *json, size_t offset, alloy_status status,
                                                          const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_list(json, offset, status, format, args);
    va_end(args);
}

alloy_status alloy_json_fail(alloy_json *json, alloy_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_list(json, json->value_at, status, format, args);
    va_end(args);
    return json->status;
}

static bool stands(const alloy_json *json, const char *word)
{
    size_t size = strlen(word);
    return json->size - json->at >= size && memcmp(json->text + json->at, word, size) == 0;
}

/* What stands at the reader, in words. */
static const char *found(const alloy_json *json, char buffer[32])
{
    if (json->at >= json->size)
        return "the end of the text";
    char c = json->text[json->at];
    if (c == '{' || c == '[' || c == '"')
        return c == '{' ? "an object" : c == '[' ? "an array" : "a string";
    if (c == '-' || (c >= '0' && c <= '9'))
        return "a number";
    if (stands(json, "true") || stands(json, "false") || stands(json, "null"))
        return c == 't' ? "true" : c == 'f' ? "false" : "null";
    snprintf(buffer, 32, "\"%s\"", alloy_printable(json->text + json->at, 1));
    return buffer;
}

/* Fails at the next byte: what was expected there, and what was found. */
static void expected(alloy_json *json, const char *what)
{
    char buffer[32];
    fail_at(json, json->at, ALLOY_FORMAT, "expected %s, found %s", what, found(json, buffer));
}

/* Fails at a value: as fail_at, and names the key that it belongs to, its own or that of the arrays around it. */
__attribute__((format(printf, 3, 4))) static void fail_value(alloy_json *json, alloy_status status, const char *format,
                                                             ...)
{
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    int depth = json->depth;
    while (depth > 0 && !json->in_object[depth])
        depth--;
    alloy_json_string_view key;
    if (depth > 0 && alloy_json_keys_last(json->keys, depth, &key))
        fail_at(json, json->value_at, status, "\"%s\": %s", alloy_printable(key.bytes, key.size), what);
    else
        fail_at(json, json->value_at, status, "%s", what);
}

static void expected_value(alloy_json *json, const char *what)
{
    char buffer[32];
    if (!json->status)
        fail_value(json, ALLOY_FORMAT, "expected %s, found %s", what, found(json, buffer));
}

/* ---- Opening and closing ----------------------------------------------------------------------------------------- */

void alloy_json_open(alloy_json *json, const char *name, const void *text, size_t size)
{
    *json = (alloy_json){.name = name, .text = text, .size = size, .most_depth = ALLOY_JSON_DEPTH};
    if (size > UINT32_MAX) {
        json->status = alloy_fail(ALLOY_LIMIT, "%s: %zu bytes of JSON, at most %u are read", alloy_printable_path(name),
                                  size, (unsigned)UINT32_MAX);
        return;
    }
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        fail_at(json, 0, ALLOY_FORMAT, "begins with a byte order mark (BOM), which JSON forbids");
        return;
    }
    size_t valid = alloy_utf8_valid(text, size);
    if (valid < size) {
        fail_at(json, valid, ALLOY_FORMAT, "not UTF-8: byte 0x%02X at offset %zu", (unsigned char)json->text[valid],
                valid);
        return;
    }
    json->keys = alloy_json_keys_new(json->text);
    if (!json->keys)
        json->status = ALLOY_NOMEM;
}

static inline bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Moves to the next byte that is not white space; indentation goes 8 spaces a step. */
static inline void skip_space(alloy_json *json)
{
    const char *text = json->text;
    size_t at = json->at, size = json->size;
    while (at < size && is_space(text[at])) {
        at++;
        while (size - at >= 8 && memcmp(text + at, "        ", 8) == 0)
            at += 8;
    }
    json->at = at;
}

alloy_status alloy_json_close(alloy_json *json)
{
    if (!json->status && json->depth == 0) {
        skip_space(json);
        if (json->at < json->size)
            expected(json, "the end of the text");
    }
    alloy_json_keys_free(json->keys);
    json->keys = NULL;
    return json->status;
}

/* The next byte that is not white space, or 0 at the end or after a failure. */
static inline char next_byte(alloy_json *json)
{
    if (json->status)
        return 0;
    skip_space(json);
    json->value_at = json->at;
    return json->at < json->size ? json->text[json->at] : 0;
}

static bool begins_number(const alloy_json *json, char c)
{
    return c == '-' || (c >= '0' && c <= '9') || (json->not_finite && (c == 'N' || c == 'I'));
}

alloy_json_type alloy_json_peek(alloy_json *json)
{
    char c = next_byte(json);
    switch (c) {
    case '{':
        return ALLOY_JSON_OBJECT;
    case '[':
        return ALLOY_JSON_ARRAY;
    case '"':
        return ALLOY_JSON_STRING;
    case 't':
    case 'f':
        return ALLOY_JSON_BOOL;
    case 'n':
        return ALLOY_JSON_NULL;
    default:
        if (begins_number(json, c))
            return ALLOY_JSON_NUMBER;
        expected_value(json, "a value");
        return ALLOY_JSON_ERROR;
    }
}

/* ---- Strings ----------------------------------------------------------------------------------------------------- */

/* Length of the escape at `at`, which is after a backslash; 0 and the reader failed where it is not sound. */
static size_t check_escape(alloy_json *json, size_t at)
{
    const char *from = json->text + at, *end = json->text + json->size;
    if (from < end && *from != 'u' && *from != 0 && strchr("\"\\/bfnrt", *from))
        return 1;
    int32_t code = from < end && *from == 'u' ? alloy_json_hexadecimal(from + 1, end) : -1;
    if (code < 0) {
        fail_at(json, at - 1, ALLOY_FORMAT,
                "unknown escape in a string; one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX was expected");
        return 0;
    }
    if (!alloy_is_high_surrogate(code) && !alloy_is_low_surrogate(code))
        return 5;
    bool paired = alloy_is_high_surrogate(code) && end - from >= 11 && from[5] == '\\' && from[6] == 'u' &&
                  alloy_is_low_surrogate(alloy_json_hexadecimal(from + 7, end));
    if (paired)
        return 11;
    fail_at(json, at - 1, ALLOY_FORMAT, "lone surrogate \\u%04X in a string", (unsigned)code);
    return 0;
}

/* Does the byte end a plain run of a string: a quote, a backslash, a control character? */
static inline bool ends_run(char c)
{
    return c == '"' || c == '\\' || (unsigned char)c < 0x20;
}

/* Takes the string whose quote stands at the reader. */
static alloy_json_string_view take_string(alloy_json *json)
{
    size_t start = json->at + 1, at = start;
    bool escaped = false;
    for (;;) {
        while (at < json->size && !ends_run(json->text[at]))
            at++;
        if (at >= json->size) {
            fail_at(json, start - 1, ALLOY_FORMAT, "the string that begins here has no end");
            break;
        }
        if (json->text[at] == '"') {
            json->at = at + 1;
            return (alloy_json_string_view){json->text + start, at - start, escaped};
        }
        if (json->text[at] != '\\') {
            fail_at(json, at, ALLOY_FORMAT, "control character 0x%02X in a string; it must be escaped",
                    (unsigned char)json->text[at]);
            break;
        }
        size_t length = check_escape(json, at + 1);
        if (length == 0)
            break;
        escaped = true;
        at += 1 + length;
    }
    return (alloy_json_string_view){"", 0, false};
}

alloy_json_string_view alloy_json_string(alloy_json *json)
{
    if (next_byte(json) == '"')
        return take_string(json);
    expected_value(json, "a string");
    return (alloy_json_string_view){"", 0, false};
}

/* ---- Objects and arrays ------------------------------------------------------------------------------------------ */

static void begin(alloy_json *json, bool object)
{
    char c = next_byte(json);
    if (json->status)
        return;
    if (c != (object ? '{' : '[')) {
        expected_value(json, object ? "an object" : "an array");
        return;
    }
    if (json->depth >= json->most_depth) {
        fail_at(json, json->at, ALLOY_LIMIT, "more than %d levels deep", json->most_depth);
        return;
    }
    json->at++;
    json->depth++;
    json->in_object[json->depth] = object;
    json->has_items[json->depth] = false;
    if (object)
        alloy_json_keys_begin(json->keys, json->depth);
}

void alloy_json_object(alloy_json *json)
{
    begin(json, true);
}

void alloy_json_array(alloy_json *json)
{
    begin(json, false);
}

/* After an item: takes the comma and returns true, or takes `end`, leaves this level and returns false. */
static bool next_in(alloy_json *json, char end)
{
    if (json->status)
        return false;
    skip_space(json);
    char c = json->at < json->size ? json->text[json->at] : 0;
    if (c == end) {
        json->at++;
        json->depth--;
        return false;
    }
    if (!json->has_items[json->depth]) {
        json->has_items[json->depth] = true;
        return true;
    }
    if (c == ',') {
        json->at++;
        return true;
    }
    expected(json, end == '}' ? "',' or '}'" : "',' or ']'");
    return false;
}

bool alloy_json_next_key(alloy_json *json, alloy_json_string_view *key)
{
    *key = (alloy_json_string_view){"", 0, false};
    if (json->status)
        return false;
    int depth = json->depth;
    if (!next_in(json, '}')) {
        if (!json->status)
            alloy_json_keys_end(json->keys, depth);
        return false;
    }
    if (next_byte(json) != '"') {
        expected(json, "a key");
        return false;
    }
    size_t start = json->at;
    alloy_json_string_view taken = take_string(json);
    if (json->status)
        return false;
    alloy_status status = alloy_json_keys_add(json->keys, &taken, json->depth);
    if (status == ALLOY_FORMAT)
        fail_at(json, start, ALLOY_FORMAT, "duplicate key \"%s\"", alloy_printable(taken.bytes, taken.size));
    else if (status)
        json->status = status;
    skip_space(json);
    if (!json->status && (json->at >= json->size || json->text[json->at] != ':'))
        expected(json, "':'");
    if (json->status)
        return false;
    json->at++;
    *key = taken;
    return true;
}

bool alloy_json_next_item(alloy_json *json)
{
    return next_in(json, ']');
}

/* ---- Numbers and words ------------------------------------------------------------------------------------------- */

/* The bytes of a number. */
struct number {
    const char *bytes;
    size_t size;  /* 0: failed */
    bool integer; /* neither fraction nor exponent */
};

static inline size_t digits(const alloy_json *json, size_t at)
{
    while (at < json->size && json->text[at] >= '0' && json->text[at] <= '9')
        at++;
    return at;
}

static struct number bad_number(alloy_json *json, size_t at)
{
    json->at = at;
    expected(json, "a digit");
    return (struct number){"", 0, false};
}

static const struct {
    const char *word;
    double value;
} not_finite[] = {{"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};

enum { NOT_FINITE = sizeof not_finite / sizeof *not_finite };

/* Takes one of the words, where they are allowed. */
static bool take_not_finite(alloy_json *json, struct number *number)
{
    for (size_t i = 0; i < NOT_FINITE && json->not_finite; i++) {
        size_t size = strlen(not_finite[i].word);
        if (json->size - json->at < size || memcmp(json->text + json->at, not_finite[i].word, size) != 0)
            continue;
        *number = (struct number){json->text + json->at, size, false};
        json->at += size;
        return true;
    }
    return false;
}

/* Takes a number by the grammar of RFC 8259. */
static struct number take_number(alloy_json *json)
{
    const char *text = json->text;
    size_t start = json->at, at = start + (text[start] == '-');
    bool integer = true;
    size_t end = digits(json, at);
    struct number word;
    if (end == at && take_not_finite(json, &word))
        return word;
    if (end == at)
        return bad_number(json, at);
    if (text[at] == '0' && end - at > 1) {
        fail_at(json, start, ALLOY_FORMAT, "a number with a leading zero");
        return (struct number){"", 0, false};
    }
    at = end;
    if (at < json->size && text[at] == '.') {
        integer = false;
        end = digits(json, at + 1);
        if (end == at + 1)
            return bad_number(json, end);
        at = end;
    }
    if (at < json->size && (text[at] == 'e' || text[at] == 'E')) {
        integer = false;
        at++;
        at += at < json->size && (text[at] == '+' || text[at] == '-');
        end = digits(json, at);
        if (end == at)
            return bad_number(json, end);
        at = end;
    }
    json->at = at;
    return (struct number){text + start, at - start, integer};
}

/* The number at the reader, which must be one. */
static struct number next_number(alloy_json *json)
{
    char c = next_byte(json);
    if (begins_number(json, c))
        return take_number(json);
    expected_value(json, "a number");
    return (struct number){"", 0, false};
}

static double value_of(alloy_json *json, const struct number *number)
{
    double value = 0;
    for (size_t i = 0; i < NOT_FINITE && json->not_finite; i++)
        if (number->size == strlen(not_finite[i].word) && memcmp(number->bytes, not_finite[i].word, number->size) == 0)
            return not_finite[i].value;
    if (number->size > 0 && !alloy_parse_double(number->bytes, number->size, &value))
        fail_value(json, number->size < 500 ? ALLOY_FORMAT : ALLOY_LIMIT, "the number %s does not fit a double",
                   alloy_printable(number->bytes, number->size));
    return value;
}

double alloy_json_double(alloy_json *json)
{
    struct number number = next_number(json);
    double value = value_of(json, &number);
    return json->status ? 0 : value;
}

/* The magnitude of an integer's digits; false when it passes 64 bits. */
static bool magnitude(const char *bytes, size_t size, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(bytes[i] - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

int64_t alloy_json_int64(alloy_json *json)
{
    struct number number = next_number(json);
    if (number.size == 0)
        return 0;
    bool negative = number.bytes[0] == '-';
    uint64_t value = 0, most = (uint64_t)INT64_MAX + negative;
    if (!number.integer)
        fail_value(json, ALLOY_FORMAT, "expected an integer, found %s", alloy_printable(number.bytes, number.size));
    else if (!magnitude(number.bytes + negative, number.size - negative, &value) || value > most)
        fail_value(json, ALLOY_RANGE, "%s does not fit 64 bits", alloy_printable(number.bytes, number.size));
    if (json->status)
        return 0;
    return negative ? (int64_t)(0 - value) : (int64_t)value;
}

uint64_t alloy_json_uint64(alloy_json *json)
{
    struct number number = next_number(json);
    uint64_t value = 0;
    if (number.size == 0)
        return 0;
    if (!number.integer || number.bytes[0] == '-')
        fail_value(json, ALLOY_FORMAT, "expected an integer without a sign, found %s",
                   alloy_printable(number.bytes, number.size));
    else if (!magnitude(number.bytes, number.size, &value))
        fail_value(json, ALLOY_RANGE, "%s does not fit 64 bits", alloy_printable(number.bytes, number.size));
    return json->status ? 0 : value;
}

/* Takes `word` where it stands at the reader. */
static bool take_word(alloy_json *json, const char *word)
{
    if (!stands(json, word))
        return false;
    json->at += strlen(word);
    return true;
}

bool alloy_json_bool(alloy_json *json)
{
    char c = next_byte(json);
    if (c == 't' && take_word(json, "true"))
        return true;
    if (!(c == 'f' && take_word(json, "false")))
        expected_value(json, "true or false");
    return false;
}

bool alloy_json_null(alloy_json *json)
{
    return next_byte(json) == 'n' && take_word(json, "null");
}

/* ---- Skipping ---------------------------------------------------------------------------------------------------- */

/* Numbers that are skipped must fit a double too; only long ones and those with an exponent can fail to. */
static void skip_number(alloy_json *json)
{
    struct number number = take_number(json);
    bool may_overflow =
        number.size > 300 ||
        (!number.integer && (memchr(number.bytes, 'e', number.size) || memchr(number.bytes, 'E', number.size)));
    if (may_overflow)
        value_of(json, &number);
}

/* Takes a value that holds no others, or begins one that does. */
static void skip_one(alloy_json *json)
{
    switch (alloy_json_peek(json)) {
    case ALLOY_JSON_OBJECT:
        alloy_json_object(json);
        break;
    case ALLOY_JSON_ARRAY:
        alloy_json_array(json);
        break;
    case ALLOY_JSON_STRING:
        take_string(json);
        break;
    case ALLOY_JSON_NUMBER:
        skip_number(json);
        break;
    case ALLOY_JSON_BOOL:
        alloy_json_bool(json);
        break;
    case ALLOY_JSON_NULL:
        if (!alloy_json_null(json))
            expected_value(json, "null");
        break;
    case ALLOY_JSON_ERROR:
        break;
    }
}

void alloy_json_skip(alloy_json *json)
{
    int depth = json->depth;
    alloy_json_string_view key;
    size_t start = json->at;
    do {
        skip_one(json);
        while (!json->status && json->depth > depth) {
            if (json->in_object[json->depth] ? alloy_json_next_key(json, &key) : alloy_json_next_item(json))
                break;
        }
    } while (!json->status && json->depth > depth);
    if (!json->status)
        json->value_at = start;
}

alloy_json_string_view alloy_json_raw(alloy_json *json)
{
    next_byte(json);
    size_t start = json->at;
    alloy_json_skip(json);
    if (json->status)
        return (alloy_json_string_view){"", 0, false};
    return (alloy_json_string_view){json->text + start, json->at - start, false};
}
