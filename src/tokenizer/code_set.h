/* Sets of code points as sorted edges (unicode.h, alloy_unicode_list), with the operations that character classes are
 * made of.
 *
 * A set that could not grow has failed: it says so in `failed` and operations on it do nothing more, so that a run of
 * them is checked once. {0} is the empty set. */
#ifndef ALLOY_TOKENIZER_CODE_SET_H
#define ALLOY_TOKENIZER_CODE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tokenizer/unicode.h"

typedef struct alloy_code_set {
    uint32_t *edges; /* [count] strictly rising, at most ALLOY_UNICODE_END */
    size_t count;    /* even */
    bool failed;     /* memory was short */
} alloy_code_set;

void alloy_code_set_free(alloy_code_set *set);

void alloy_code_set_add_range(alloy_code_set *set, uint32_t first, uint32_t last); /* both in */
void alloy_code_set_add_list(alloy_code_set *set, alloy_unicode_list list);
void alloy_code_set_add(alloy_code_set *set, const alloy_code_set *other);
void alloy_code_set_keep(alloy_code_set *set, const alloy_code_set *other); /* intersection */
void alloy_code_set_complement(alloy_code_set *set);

/* Adds the characters whose category is in `categories`, a bit (1 << category) each. */
void alloy_code_set_add_categories(alloy_code_set *set, uint32_t categories);

/* Adds a property by a name as regular expressions write it: "L", "Lu", "Letter"..., "Han", "White_Space"; case,
 * spaces, hyphens and underscores do not count. False for a name that is not known. */
bool alloy_code_set_add_property(alloy_code_set *set, const char *name, size_t size);

/* Adds what words are made of: Alphabetic, marks, decimal digits and connectors. */
void alloy_code_set_add_word(alloy_code_set *set);

/* Adds the class of an escape, \s \d \w \h (and the regular expressions' idea of them). False for another letter. */
bool alloy_code_set_add_escape(alloy_code_set *set, char letter);

bool alloy_unicode_has(alloy_unicode_list list, uint32_t code);
bool alloy_code_set_has(const alloy_code_set *set, uint32_t code);
bool alloy_code_set_equal(const alloy_code_set *a, const alloy_code_set *b);

#endif
