/* One field of a JSON object that is being written: a key and its value. */
#ifndef ALLOY_CLI_FIELDS_H
#define ALLOY_CLI_FIELDS_H

#include "files/json.h"

void alloy_cli_field_text(alloy_json_writer *writer, const char *key, const char *text); /* NULL: null */
void alloy_cli_field_int64(alloy_json_writer *writer, const char *key, int64_t value);
void alloy_cli_field_uint64(alloy_json_writer *writer, const char *key, uint64_t value);
void alloy_cli_field_double(alloy_json_writer *writer, const char *key, double value);
void alloy_cli_field_bool(alloy_json_writer *writer, const char *key, bool value);
void alloy_cli_field_object(alloy_json_writer *writer, const char *key); /* begins one */
void alloy_cli_field_array(alloy_json_writer *writer, const char *key);

#endif
