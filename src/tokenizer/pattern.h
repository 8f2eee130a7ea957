/* What a component looks for in text: a string, a regular expression, or any character of a set. */
#ifndef ALLOY_TOKENIZER_PATTERN_H
#define ALLOY_TOKENIZER_PATTERN_H

#include "tokenizer/budget.h"
#include "tokenizer/class_map.h"
#include "tokenizer/regex.h"

typedef enum alloy_pattern_kind { ALLOY_PATTERN_STRING, ALLOY_PATTERN_REGEX, ALLOY_PATTERN_SET } alloy_pattern_kind;

typedef struct alloy_pattern {
    alloy_pattern_kind kind;
    char *string; /* [size], STRING; not empty */
    size_t size;
    alloy_regex *regex;  /* REGEX */
    alloy_class_map set; /* SET: class_of_set[class] */
    bool in_set[256];
} alloy_pattern;

alloy_status alloy_pattern_open_string(alloy_pattern *pattern, const char *string, size_t size);
alloy_status alloy_pattern_open_regex(alloy_pattern *pattern, const char *source, size_t size, alloy_budget *budget);
alloy_status alloy_pattern_open_set(alloy_pattern *pattern, const alloy_code_set *set);
void alloy_pattern_close(alloy_pattern *pattern); /* {0} is fine */

/* May a match be empty? (Certain only when false.) */
bool alloy_pattern_may_be_empty(const alloy_pattern *pattern);

/* A walk over the matches of a pattern in one text; an empty text has none. {0} is a new one; it keeps its memory from
 * walk to walk. */
typedef struct alloy_pattern_scan {
    const alloy_pattern *pattern;
    const char *text;
    size_t size, at; /* bytes */
    alloy_regex_scan *regex;
} alloy_pattern_scan;

void alloy_pattern_scan_close(alloy_pattern_scan *scan);
alloy_status alloy_pattern_scan_begin(alloy_pattern_scan *scan, const alloy_pattern *pattern, const char *text,
                                      size_t size, alloy_budget *budget);
alloy_status alloy_pattern_scan_next(alloy_pattern_scan *scan, bool *found, size_t *start, size_t *end);

#endif
