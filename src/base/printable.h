/* Text that comes from files, flags and models, for terminals and logs.
 *
 * Such text may hold characters that act on a terminal (escape sequences), that end a line and begin one of their own,
 * or that turn the direction of what stands around them. A printable form has each byte of them as \xHH. Texts of
 * errors and warnings, cells of tables and whatever else is printed for people pass through here where they are made,
 * so that no caller has to. */
#ifndef ALLOY_BASE_PRINTABLE_H
#define ALLOY_BASE_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* What is left as it is, beside letters. */
typedef enum alloy_printable_kept {
    ALLOY_KEEP_NOTHING = 0,
    ALLOY_KEEP_LINES = 1,      /* newlines and tabs */
    ALLOY_KEEP_DIRECTIONS = 2, /* marks of direction, which texts from right to left need */
    ALLOY_ESCAPE_QUOTES = 4    /* " and \ too: between quotes the form then says which bytes there were */
} alloy_printable_kept;

/* C0 and C1 controls, DEL, and what is no UTF-8 (ALLOY_UTF8_BAD): what acts on a terminal. */
bool alloy_code_is_control(uint32_t code);

/* Marks, embeddings, overrides and isolates of direction. */
bool alloy_code_turns_text(uint32_t code);

/* Is it its own printable form, quotes aside? */
bool alloy_is_printable(const char *bytes, size_t size);

/* The printable form of the character at `bytes` (size > 0) in `out`, with its length in *length; returns how many
 * bytes it took. */
size_t alloy_printable_next(const char *bytes, size_t size, unsigned kept, char out[16], size_t *length);

/* Appends the printable form; writes as much of it as fits `capacity` bytes with a NUL, and "..." where that is not
 * all. */
void alloy_text_printable(alloy_text *text, const char *bytes, size_t size, unsigned kept);
void alloy_printable_form(char *out, size_t capacity, const char *bytes, size_t size, unsigned kept);

#endif
