/* The keys of the open objects of one JSON document, to find duplicates (json_keys.c has the structure). */
#ifndef ALLOY_FILES_JSON_KEYS_H
#define ALLOY_FILES_JSON_KEYS_H

#include "files/json.h"

/* NULL with the thread's text set when memory is short. */
alloy_json_keys *alloy_json_keys_new(const char *text);
void alloy_json_keys_free(alloy_json_keys *keys);

/* Adds a key of the open object at `depth`. ALLOY_OK, ALLOY_FORMAT (text not set) when that object has it already, or
 * ALLOY_NOMEM. */
alloy_status alloy_json_keys_add(alloy_json_keys *keys, const alloy_json_string_view *key, int depth);

/* The key read last in the open object at `depth`; false where it has none yet. For messages. */
bool alloy_json_keys_last(const alloy_json_keys *keys, int depth, alloy_json_string_view *key);

/* An object at `depth` begins; it ends, and its keys are forgotten. */
void alloy_json_keys_begin(alloy_json_keys *keys, int depth);
void alloy_json_keys_end(alloy_json_keys *keys, int depth);

#endif
