/* Fields of JSON objects (fields.h). */
#include "fields.h"

#include <string.h>

void alloy_cli_field_text(alloy_json_writer *writer, const char *key, const char *text)
{
    alloy_json_write_key(writer, key);
    if (text)
        alloy_json_write_string(writer, text, strlen(text));
    else
        alloy_json_write_null(writer);
}

void alloy_cli_field_int64(alloy_json_writer *writer, const char *key, int64_t value)
{
    alloy_json_write_key(writer, key);
    alloy_json_write_int64(writer, value);
}

void alloy_cli_field_uint64(alloy_json_writer *writer, const char *key, uint64_t value)
{
    alloy_json_write_key(writer, key);
    alloy_json_write_uint64(writer, value);
}

void alloy_cli_field_double(alloy_json_writer *writer, const char *key, double value)
{
    alloy_json_write_key(writer, key);
    alloy_json_write_double(writer, value);
}

void alloy_cli_field_bool(alloy_json_writer *writer, const char *key, bool value)
{
    alloy_json_write_key(writer, key);
    alloy_json_write_bool(writer, value);
}

void alloy_cli_field_object(alloy_json_writer *writer, const char *key)
{
    alloy_json_write_key(writer, key);
    alloy_json_write_object(writer);
}

void alloy_cli_field_array(alloy_json_writer *writer, const char *key)
{
    alloy_json_write_key(writer, key);
    alloy_json_write_array(writer);
}
