/* JSON (RFC 8259), read strictly and by pulling: nothing is allocated for the document, values are taken in the order
 * they come.
 *
 *     alloy_json json;
 *     alloy_json_open(&json, "config.json", bytes, size);
 *     alloy_json_string_view key;
 *     alloy_json_object(&json);
 *     while (alloy_json_next_key(&json, &key))
 *         if (alloy_json_key_is(&key, "hidden_size")) hidden = alloy_json_int64(&json);
 *         else alloy_json_skip(&json);
 *     status = alloy_json_close(&json);
 *
 * Rules: the text must be valid UTF-8; no BOM, comments, trailing commas, leading zeros, lone surrogate escapes; NaN,
 * Infinity and -Infinity, as Python writes them, only where the reader allows them; numbers that overflow a double are
 * errors; at most 128 levels deep (an explicit counter: the C stack stays flat); nothing but white space after the
 * document. Duplicate keys are errors in objects of any size (open addressing with a random seed; never quadratic).
 *
 * The first failure is kept: it sets the thread's text ("config.json:12:8: ..." line:column, from 1) and every later
 * call returns at once with zero values and ends every loop, so that a reader is checked once, at alloy_json_close. */
#ifndef ALLOY_FILES_JSON_H
#define ALLOY_FILES_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloy/alloy.h"
#include "base/text.h"

enum { ALLOY_JSON_DEPTH = 128 };

typedef enum alloy_json_type {
    ALLOY_JSON_ERROR,
    ALLOY_JSON_NULL,
    ALLOY_JSON_BOOL,
    ALLOY_JSON_NUMBER,
    ALLOY_JSON_STRING,
    ALLOY_JSON_ARRAY,
    ALLOY_JSON_OBJECT,
} alloy_json_type;

/* A string as it stands between its quotes. Without an escape it is the value itself, which is the common case and
 * costs nothing. */
typedef struct alloy_json_string_view {
    const char *bytes; /* inside the document, not NUL-terminated */
    size_t size;       /* bytes */
    bool escaped;      /* holds backslashes: alloy_json_unescape gives the value */
} alloy_json_string_view;

typedef struct alloy_json_keys alloy_json_keys; /* keys seen so far in the open objects; owned by the reader */

typedef struct alloy_json {
    const char *name; /* of the document, for messages */
    const char *text; /* `size` bytes */
    size_t size;      /* bytes */
    size_t at;        /* offset of the next byte */
    size_t value_at;  /* offset of the value read last, for alloy_json_fail */
    int depth;        /* open arrays and objects */
    int most_depth;   /* ALLOY_JSON_DEPTH; a reader may lower it once it is open */
    bool not_finite;  /* NaN, Infinity and -Infinity are numbers; false: may be set once it is open */
    alloy_status status;
    bool in_object[ALLOY_JSON_DEPTH + 1]; /* by depth: object or array */
    bool has_items[ALLOY_JSON_DEPTH + 1]; /* by depth: an item was read */
    alloy_json_keys *keys;
} alloy_json;

/* `text` must outlive the reader; `name` too. Checks UTF-8 at once. */
void alloy_json_open(alloy_json *json, const char *name, const void *text, size_t size);

/* Frees what the reader holds; the first failure, or a FORMAT when something but white space follows the document (not
 * looked at when the reader was given up inside an object or array). */
alloy_status alloy_json_close(alloy_json *json);

/* The type of the next value, which is not taken. */
alloy_json_type alloy_json_peek(alloy_json *json);

/* Begin an object (array), then ask for the next key (item) until there is none; the value of each must be taken or
 * skipped. */
void alloy_json_object(alloy_json *json);
bool alloy_json_next_key(alloy_json *json, alloy_json_string_view *key);
void alloy_json_array(alloy_json *json);
bool alloy_json_next_item(alloy_json *json);

/* Take the next value; a value of another type is a FORMAT error that says what was found. */
alloy_json_string_view alloy_json_string(alloy_json *json);
bool alloy_json_bool(alloy_json *json);
bool alloy_json_null(alloy_json *json); /* takes a null if the next value is one; false, nothing taken, otherwise */
/* an integer without fraction or exponent that fits; else FORMAT (RANGE where it does not fit) */
int64_t alloy_json_int64(alloy_json *json);
uint64_t alloy_json_uint64(alloy_json *json); /* digits only: no sign, so -0 is an error */
double alloy_json_double(alloy_json *json);
void alloy_json_skip(alloy_json *json);
/* skips any value and gives its bytes, to be kept and read or written again */
alloy_json_string_view alloy_json_raw(alloy_json *json);

/* Appends the value of a string to `out`. ALLOY_OK or ALLOY_NOMEM. (The view came from a reader, so its escapes are
 * sound.) */
alloy_status alloy_json_unescape(const alloy_json_string_view *view, alloy_text *out);

/* Does the string equal `name`? */
bool alloy_json_key_is(const alloy_json_string_view *key, const char *name);

/* Fails the reader on purpose, at the value read last: "name:line:column: " and the text. Returns `status`. */
alloy_status alloy_json_fail(alloy_json *json, alloy_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- Writing. Commas, colons and escapes are put where they belong; `indent` spaces a level, 0 for one line.  */

typedef struct alloy_json_writer {
    alloy_text *out;
    int indent; /* spaces a level; 0: no line breaks */
    int depth;
    bool has_items[ALLOY_JSON_DEPTH + 1];
    bool after_key;
} alloy_json_writer;

void alloy_json_writer_open(alloy_json_writer *writer, alloy_text *out, int indent);
void alloy_json_write_object(alloy_json_writer *writer);
void alloy_json_write_object_end(alloy_json_writer *writer);
void alloy_json_write_array(alloy_json_writer *writer);
void alloy_json_write_array_end(alloy_json_writer *writer);
void alloy_json_write_key(alloy_json_writer *writer, const char *key);
void alloy_json_write_key_sized(alloy_json_writer *writer, const char *bytes, size_t size);
/* bytes that are not UTF-8 become U+FFFD */
void alloy_json_write_string(alloy_json_writer *writer, const char *bytes, size_t size);
void alloy_json_write_int64(alloy_json_writer *writer, int64_t value);
void alloy_json_write_uint64(alloy_json_writer *writer, uint64_t value);
/* shortest that reads back the same, 1.0 and not 1; not finite: null */
void alloy_json_write_double(alloy_json_writer *writer, double value);
void alloy_json_write_bool(alloy_json_writer *writer, bool value);
void alloy_json_write_null(alloy_json_writer *writer);
void alloy_json_write_raw(alloy_json_writer *writer, const char *bytes, size_t size); /* a value that is JSON already */

#endif
