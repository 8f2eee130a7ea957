/* Reads a regular expression as the `tokenizers` library writes them (Oniguruma, Ruby's syntax) and takes it apart into
 * what stays text for PCRE2 and the sets of characters in it, so that both libraries cannot mean different things by
 * it. */
#ifndef ALLOY_TOKENIZER_REGEX_PARSE_H
#define ALLOY_TOKENIZER_REGEX_PARSE_H

#include "alloy/alloy.h"
#include "base/text.h"
#include "tokenizer/code_set.h"

enum { ALLOY_REGEX_SET_MARK = 1, ALLOY_REGEX_MOST_SETS = 1024 };

/* `text` is PCRE2 syntax in ASCII. Where a set of characters belongs, it holds the byte ALLOY_REGEX_SET_MARK and the
 * index of the set in two bytes, low byte first. */
typedef struct alloy_regex_parts {
    alloy_text text;
    alloy_code_set *sets; /* [set_count], all different */
    int64_t set_count, set_capacity;
    int longest_repeat; /* the largest n of an interval {n,m} */
    bool looks_far;     /* a lookaround is more than one character, or an interval needs more than a few */
} alloy_regex_parts;    /* {0} is empty */

/* Syntax that is not known to mean the same in both libraries is FORMAT, and the message names it. */
alloy_status alloy_regex_parse(alloy_regex_parts *parts, const char *pattern, size_t size);
void alloy_regex_parts_free(alloy_regex_parts *parts);

#endif
