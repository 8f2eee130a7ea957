/* Fields of JSON objects (json_fields.h). */
#include "files/json_fields.h"

#include <string.h>

void alloy_json_field_text(alloy_json_writer *writer, const char *key, const char *text)
{
    alloy_json_write_key(writer, key);
    if (text)
        alloy_json_write_string(writer, text, strlen(text));
    else
        alloy_json_write_null(writer);
}

void alloy_json_field_int64(alloy_json_writer *writer, const char *key, int64_t value)
{
    alloy_json_write_key(writer, key);
    alloy_json_write_int64(writer, value);
}

void alloy_json_field_uint64(alloy_json_writer *writer, const char *key, uint64_t value)
{
    alloy_json_write_key(writer, key);
    alloy_json_write_uint64(writer, value);
}

void alloy_json_field_double(alloy_json_writer *writer, const char *key, double value)
{
    alloy_json_write_key(writer, key);
    alloy_json_write_double(writer, value);
}

void alloy_json_field_bool(alloy_json_writer *writer, const char *key, bool value)
{
    alloy_json_write_key(writer, key);
    alloy_json_write_bool(writer, value);
}

void alloy_json_field_object(alloy_json_writer *writer, const char *key)
{
    alloy_json_write_key(writer, key);
    alloy_json_write_object(writer);
}

void alloy_json_field_array(alloy_json_writer *writer, const char *key)
{
    alloy_json_write_key(writer, key);
    alloy_json_write_array(writer);
}

enum { DIGITS = 17 };                                            /* tell any two doubles apart */
static const int64_t MOST_ROUNDED = INT64_C(100000000000000000); /* the least number that has more */

/* d.dddde+NN of `DIGITS` digits, from the digits of the value itself. */
static void append_rounded(alloy_text *out, alloy_wide value)
{
    alloy_unsigned_wide magnitude = value < 0 ? -(alloy_unsigned_wide)value : (alloy_unsigned_wide)value, unit = 1;
    int exponent = DIGITS - 1;
    for (; magnitude / unit >= MOST_ROUNDED; exponent++)
        unit *= 10;
    alloy_wide rounded = (alloy_wide)(magnitude / unit + (magnitude % unit >= (unit + 1) / 2));
    if (rounded == MOST_ROUNDED) { /* 9.99... went up */
        rounded /= 10;
        exponent++;
    }
    alloy_text text = {0};
    alloy_text_count(&text, rounded, 0);
    const char *d = alloy_text_get(&text);
    if (!text.failed)
        alloy_text_format(out, "%s%c.%se+%d", value < 0 ? "-" : "", *d, d + 1, exponent);
    out->failed |= text.failed;
    alloy_text_free(&text);
}

void alloy_json_field_count(alloy_json_writer *writer, const char *key, alloy_count count)
{
    alloy_wide value = alloy_wide_of(count);
    static const int64_t most = INT64_C(1) << 53;
    if (value >= -most && value <= most) {
        alloy_json_field_int64(writer, key, (int64_t)value);
        return;
    }
    alloy_text digits = {0}, number = {0}, beside = {0};
    alloy_text_count(&digits, value, 0);
    alloy_text_format(&beside, "%s_digits", key);
    if (value >= MOST_ROUNDED || value <= -MOST_ROUNDED)
        append_rounded(&number, value);
    else
        alloy_text_count(&number, value, 0);
    alloy_json_write_key(writer, key);
    alloy_json_write_raw(writer, alloy_text_get(&number), number.size);
    alloy_json_field_text(writer, alloy_text_get(&beside), alloy_text_get(&digits));
    writer->out->failed |= digits.failed || number.failed || beside.failed;
    alloy_text_free(&digits);
    alloy_text_free(&number);
    alloy_text_free(&beside);
}
