/* Text that grows: a byte buffer with a NUL always after its bytes (the bytes themselves may hold NULs). An append
 * that fails leaves the buffer as it was and marks it, so that a run of appends is checked once, at its end, by
 * alloy_text_status. */
#ifndef ALLOY_BASE_TEXT_H
#define ALLOY_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/count.h"

typedef struct alloy_text {
    char *bytes;     /* `size` bytes and a NUL; NULL while empty */
    size_t size;     /* bytes */
    size_t capacity; /* bytes allocated */
    bool failed;     /* an append found no memory */
} alloy_text;        /* {0} is empty */

void alloy_text_append(alloy_text *text, const void *bytes, size_t size);
void alloy_text_string(alloy_text *text, const char *string);
void alloy_text_char(alloy_text *text, char c);
void alloy_text_format(alloy_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void alloy_text_format_list(alloy_text *text, const char *format, va_list args);

/* Room for `size` more bytes, which the caller writes at bytes + text->size; false when memory is short. */
bool alloy_text_reserve(alloy_text *text, size_t size);

/* Empties, and keeps the memory. */
void alloy_text_clear(alloy_text *text);
void alloy_text_free(alloy_text *text);

/* ALLOY_OK, or ALLOY_NOMEM when an append failed since the text was cleared. */
alloy_status alloy_text_status(const alloy_text *text);

/* The bytes, never NULL. */
const char *alloy_text_get(const alloy_text *text);

/* Numbers as text, whatever the locale (a decimal comma breaks files and flags), as the formats above have them too.
 *
 * alloy_text_double: the shortest form that reads back as the same value; NaN, Infinity and -Infinity, as Python's json
 * and JavaScript write them, where it is not finite.
 * alloy_text_number: for people, who have no use for a number that is not finite: it is "-". `style` is that of printf,
 * one of e, f and g, `digits` its precision. What has more than 15 digits before the point is written as 'e'.
 * alloy_print_number writes the same into a buffer, which 15 + digits bytes and a few more hold.
 * alloy_parse_* take the whole of `string` or return false. alloy_vsnprintf is vsnprintf. */
void alloy_text_double(alloy_text *text, double value);
void alloy_text_number(alloy_text *text, double value, char style, int digits);
int alloy_print_number(char *out, size_t size, double value, char style, int digits);
void alloy_text_count(alloy_text *text, alloy_wide value, char separator); /* "9,360,441"; separator 0: none */
bool alloy_parse_double(const char *string, size_t size, double *out);
bool alloy_parse_int64(const char *string, size_t size, int64_t *out);
int alloy_vsnprintf(char *out, size_t size, const char *format, va_list args);
int alloy_snprintf(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
