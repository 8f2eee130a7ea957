/* Regular expressions over classes of characters.
 *
 * A pattern is taken apart into sets of characters (regex_parse.h); characters that no set tells apart are one class,
 * and PCRE2 never sees text: it runs over one byte a character, the class, with every set as a class of bytes. So what
 * a letter is comes from the pinned table alone, nothing means something else in PCRE2, no UTF-8 is decoded while
 * matching, and a set of 140,000 characters costs as much as one of two.
 *
 * Time. PCRE2 backtracks, and its own limit counts neither the characters that it looks at nor what a possessive part
 * passes over. So every match is first tried within a few steps and a few characters: nearly all matches of honest
 * patterns are found so, and no other can take long. Where that is too little, the pattern is run again with a callout
 * before each of its items, which charges the caller's budget for every character that was passed (budget.h).
 *
 * What the first try can take: machine code counts each repeat and each turn of a group. Between two of these it looks
 * at each item of the pattern once at most, and an item is a few characters (looks_far: patterns of which that is not
 * true have no first try); a repeat looks at the few characters at most. */
#ifndef ALLOY_TOKENIZER_REGEX_H
#define ALLOY_TOKENIZER_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloy/alloy.h"
#include "tokenizer/budget.h"

typedef struct alloy_regex alloy_regex;           /* constant once compiled: any number of threads */
typedef struct alloy_regex_scan alloy_regex_scan; /* a walk over one text: one thread */

/* `pattern` in the syntax of the `tokenizers` library (Oniguruma, Ruby). FORMAT where it cannot be compiled, LIMIT
 * where it is too large, for itself or for the budget of the file. */
alloy_status alloy_regex_open(alloy_regex **out, const char *pattern, size_t size, alloy_budget *budget);
void alloy_regex_close(alloy_regex *regex);

/* May a match be empty? (Certain only when false.) */
bool alloy_regex_may_be_empty(const alloy_regex *regex);

/* A scan serves one text after the other and keeps its memory. */
alloy_status alloy_regex_scan_open(alloy_regex_scan **out);
void alloy_regex_scan_close(alloy_regex_scan *scan);

/* Begins a walk over valid UTF-8, which must stay until its end, as must the budget. */
alloy_status alloy_regex_scan_begin(alloy_regex_scan *scan, const alloy_regex *regex, const char *text, size_t size,
                                    alloy_budget *budget);

/* The next match, leftmost, never overlapping the last: its bytes are [*start, *end). *found is false at the end. */
alloy_status alloy_regex_scan_next(alloy_regex_scan *scan, bool *found, size_t *start, size_t *end);

#endif
