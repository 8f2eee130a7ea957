/* One field of a JSON object that is being written: a key and its value. */
#ifndef ALLOY_FILES_JSON_FIELDS_H
#define ALLOY_FILES_JSON_FIELDS_H

#include "files/json.h"

void alloy_json_field_text(alloy_json_writer *writer, const char *key, const char *text); /* NULL: null */
void alloy_json_field_int64(alloy_json_writer *writer, const char *key, int64_t value);
void alloy_json_field_uint64(alloy_json_writer *writer, const char *key, uint64_t value);
void alloy_json_field_double(alloy_json_writer *writer, const char *key, double value);
/* Not negative. Up to 2^53 an integer; above that a number of 17 digits, and all of them as text in KEY_digits. */
void alloy_json_field_count(alloy_json_writer *writer, const char *key, alloy_count count);
void alloy_json_field_bool(alloy_json_writer *writer, const char *key, bool value);
void alloy_json_field_object(alloy_json_writer *writer, const char *key); /* begins one */
void alloy_json_field_array(alloy_json_writer *writer, const char *key);

#endif
