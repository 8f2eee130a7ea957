/* A map from every code point to one of at most 256 classes, as a table of pages: constant time, and text becomes one
 * byte a character.
 *
 * Regular expressions run over such bytes (regex.h), and single characters are tested with them (digits, white space,
 * ...). */
#ifndef ALLOY_TOKENIZER_CLASS_MAP_H
#define ALLOY_TOKENIZER_CLASS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloy/alloy.h"
#include "tokenizer/code_set.h"

typedef struct alloy_class_map {
    uint16_t pages[ALLOY_UNICODE_END >> 8]; /* which block holds the 256 classes of this page */
    uint8_t *blocks;                        /* [block_count][256] */
    size_t block_count;
    int class_count; /* 1 to 256 */
} alloy_class_map;   /* {0} is closed */

/* Characters that are in the same of the sets share a class, others do not. `of_set[s][c]` tells whether class c is in
 * set s; it has `count` rows. ALLOY_LIMIT when more than 256 classes are needed. */
alloy_status alloy_class_map_open(alloy_class_map *map, const alloy_code_set *sets, size_t count, bool (*of_set)[256]);
void alloy_class_map_close(alloy_class_map *map);

static inline uint8_t alloy_class_of(const alloy_class_map *map, uint32_t code)
{
    return map->blocks[(size_t)map->pages[code >> 8] << 8 | (code & 0xFF)];
}

/* The character at `s` of valid UTF-8; *length is its length. */
static inline uint32_t alloy_code_at(const uint8_t *s, size_t *length)
{
    if (s[0] < 0x80) {
        *length = 1;
        return s[0];
    }
    if (s[0] < 0xE0) {
        *length = 2;
        return (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
    }
    if (s[0] < 0xF0) {
        *length = 3;
        return (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    }
    *length = 4;
    return (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
}

/* Length of the character that begins with this byte, in valid UTF-8. */
static inline size_t alloy_code_length(uint8_t lead)
{
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* Writes the classes of the characters of valid UTF-8 to `classes` (room for `size`) and returns how many characters
 * there are. */
size_t alloy_class_map_text(const alloy_class_map *map, const char *text, size_t size, uint8_t *classes);

#endif
