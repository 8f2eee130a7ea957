/* UTF-8 (RFC 3629): shortest forms only, no surrogates, nothing above U+10FFFF. */
#ifndef ALLOY_BASE_UTF8_H
#define ALLOY_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

enum { ALLOY_UTF8_BAD = 0x110000, ALLOY_UTF8_REPLACEMENT = 0xFFFD };

/* Bytes of the longest valid prefix: `size` when all of it is valid. Gigabytes a second on ASCII. */
size_t alloy_utf8_valid(const void *bytes, size_t size);

/* The character at `bytes` (size > 0): returns its length in bytes and its code point in *code. Where none stands: the
 * length of what one U+FFFD replaces (the maximal subpart of an ill-formed sequence, Unicode chapter 3.9), at least 1,
 * and ALLOY_UTF8_BAD. */
size_t alloy_utf8_next(const char *bytes, size_t size, uint32_t *code);

/* Writes a code point (below 0x110000, no surrogate) and returns its length, 1 to 4. */
size_t alloy_utf8_put(uint32_t code, char out[4]);

#endif
