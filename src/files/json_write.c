/* The writer (json.h). What cannot be allocated marks the text (base/text.h), so a run of writes is checked once, at
 * its end. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/printable.h"
#include "base/utf8.h"
#include "files/json.h"

void alloy_json_writer_open(alloy_json_writer *writer, alloy_text *out, int indent)
{
    *writer = (alloy_json_writer){.out = out, .indent = indent};
}

static void new_line(alloy_json_writer *writer)
{
    if (writer->indent == 0)
        return;
    alloy_text_char(writer->out, '\n');
    for (int i = 0; i < writer->indent * writer->depth; i++)
        alloy_text_char(writer->out, ' ');
}

/* What stands between an item and the one before it. */
static void separate(alloy_json_writer *writer)
{
    if (writer->has_items[writer->depth])
        alloy_text_char(writer->out, ',');
    writer->has_items[writer->depth] = true;
    if (writer->depth > 0)
        new_line(writer);
}

static void begin_value(alloy_json_writer *writer)
{
    if (!writer->after_key)
        separate(writer);
    writer->after_key = false;
}

static void begin(alloy_json_writer *writer, char bracket)
{
    begin_value(writer);
    assert(writer->depth < ALLOY_JSON_DEPTH);
    alloy_text_char(writer->out, bracket);
    writer->depth++;
    writer->has_items[writer->depth] = false;
}

static void end(alloy_json_writer *writer, char bracket)
{
    assert(writer->depth > 0 && !writer->after_key);
    bool has_items = writer->has_items[writer->depth];
    writer->depth--;
    if (has_items)
        new_line(writer);
    alloy_text_char(writer->out, bracket);
}

void alloy_json_write_object(alloy_json_writer *writer)
{
    begin(writer, '{');
}

void alloy_json_write_object_end(alloy_json_writer *writer)
{
    end(writer, '}');
}

void alloy_json_write_array(alloy_json_writer *writer)
{
    begin(writer, '[');
}

void alloy_json_write_array_end(alloy_json_writer *writer)
{
    end(writer, ']');
}

/* One character that may not stand in a string as it is. */
static void write_escape(alloy_text *out, uint32_t code)
{
    static const char values[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *value = code && code < 0x80 ? strchr(values, (int)code) : NULL;
    if (value)
        alloy_text_format(out, "\\%c", names[value - values]);
    else
        alloy_text_format(out, "\\u%04x", (unsigned)code);
}

/* JSON wants quotes and C0 escaped. The other characters are those that a terminal or a reader is misled by. */
static bool must_escape(uint32_t code)
{
    return code == '"' || code == '\\' || code == 0x2028 || code == 0x2029 || alloy_code_is_control(code) ||
           alloy_code_turns_text(code);
}

static void write_quoted(alloy_text *out, const char *bytes, size_t size)
{
    alloy_text_char(out, '"');
    size_t start = 0, at = 0;
    while (at < size) {
        unsigned char c = (unsigned char)bytes[at];
        uint32_t code = c;
        size_t length = c < 0x80 ? 1 : alloy_utf8_next(bytes + at, size - at, &code);
        if (!must_escape(code)) {
            at += length;
            continue;
        }
        alloy_text_append(out, bytes + start, at - start);
        if (code == ALLOY_UTF8_BAD)
            alloy_text_string(out, "\xEF\xBF\xBD");
        else
            write_escape(out, code);
        at += length;
        start = at;
    }
    alloy_text_append(out, bytes + start, size - start);
    alloy_text_char(out, '"');
}

void alloy_json_write_key_sized(alloy_json_writer *writer, const char *bytes, size_t size)
{
    assert(!writer->after_key);
    separate(writer);
    write_quoted(writer->out, bytes, size);
    alloy_text_string(writer->out, writer->indent ? ": " : ":");
    writer->after_key = true;
}

void alloy_json_write_key(alloy_json_writer *writer, const char *key)
{
    alloy_json_write_key_sized(writer, key, strlen(key));
}

void alloy_json_write_string(alloy_json_writer *writer, const char *bytes, size_t size)
{
    begin_value(writer);
    write_quoted(writer->out, bytes, size);
}

void alloy_json_write_int64(alloy_json_writer *writer, int64_t value)
{
    begin_value(writer);
    alloy_text_format(writer->out, "%lld", (long long)value);
}

void alloy_json_write_uint64(alloy_json_writer *writer, uint64_t value)
{
    begin_value(writer);
    alloy_text_format(writer->out, "%llu", (unsigned long long)value);
}

void alloy_json_write_double(alloy_json_writer *writer, double value)
{
    if (!isfinite(value)) {
        alloy_json_write_null(writer);
        return;
    }
    begin_value(writer);
    alloy_text *out = writer->out;
    size_t start = out->size;
    alloy_text_double(out, value);
    if (!out->failed && !memchr(out->bytes + start, '.', out->size - start) &&
        !memchr(out->bytes + start, 'e', out->size - start))
        alloy_text_string(out, ".0"); /* readers of other languages tell integers and floats apart by it */
}

void alloy_json_write_bool(alloy_json_writer *writer, bool value)
{
    begin_value(writer);
    alloy_text_string(writer->out, value ? "true" : "false");
}

void alloy_json_write_null(alloy_json_writer *writer)
{
    begin_value(writer);
    alloy_text_string(writer->out, "null");
}

void alloy_json_write_raw(alloy_json_writer *writer, const char *bytes, size_t size)
{
    begin_value(writer);
    alloy_text_append(writer->out, bytes, size);
}
