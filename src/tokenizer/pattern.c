/* Patterns (pattern.h). */
#include "tokenizer/pattern.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"

alloy_status alloy_pattern_open_string(alloy_pattern *pattern, const char *string, size_t size)
{
    *pattern = (alloy_pattern){.kind = ALLOY_PATTERN_STRING, .size = size};
    pattern->string = alloy_memory_copy(string, size);
    return pattern->string ? ALLOY_OK : ALLOY_NOMEM;
}

alloy_status alloy_pattern_open_regex(alloy_pattern *pattern, const char *source, size_t size, alloy_budget *budget)
{
    *pattern = (alloy_pattern){.kind = ALLOY_PATTERN_REGEX};
    return alloy_regex_open(&pattern->regex, source, size, budget);
}

alloy_status alloy_pattern_open_set(alloy_pattern *pattern, const alloy_code_set *set)
{
    *pattern = (alloy_pattern){.kind = ALLOY_PATTERN_SET};
    return alloy_class_map_open(&pattern->set, set, 1, &pattern->in_set);
}

bool alloy_pattern_may_be_empty(const alloy_pattern *pattern)
{
    return pattern->kind == ALLOY_PATTERN_REGEX && alloy_regex_may_be_empty(pattern->regex);
}

void alloy_pattern_close(alloy_pattern *pattern)
{
    alloy_memory_free(pattern->string);
    alloy_regex_close(pattern->regex);
    alloy_class_map_close(&pattern->set);
    *pattern = (alloy_pattern){0};
}

void alloy_pattern_scan_close(alloy_pattern_scan *scan)
{
    alloy_regex_scan_close(scan->regex);
    *scan = (alloy_pattern_scan){0};
}

alloy_status alloy_pattern_scan_begin(alloy_pattern_scan *scan, const alloy_pattern *pattern, const char *text,
                                      size_t size, alloy_budget *budget)
{
    scan->pattern = pattern;
    scan->text = text;
    scan->size = size;
    scan->at = 0;
    if (pattern->kind != ALLOY_PATTERN_REGEX || size == 0)
        return ALLOY_OK;
    alloy_status status = scan->regex ? ALLOY_OK : alloy_regex_scan_open(&scan->regex);
    return status ? status : alloy_regex_scan_begin(scan->regex, pattern->regex, text, size, budget);
}

static bool next_string(alloy_pattern_scan *scan, size_t *start, size_t *end)
{
    const alloy_pattern *pattern = scan->pattern;
    const char *from = scan->text + scan->at;
    const char *hit =
        scan->size > scan->at ? memmem(from, scan->size - scan->at, pattern->string, pattern->size) : NULL;
    if (!hit)
        return false;
    *start = (size_t)(hit - scan->text);
    *end = scan->at = *start + pattern->size;
    return true;
}

static bool next_of_set(alloy_pattern_scan *scan, size_t *start, size_t *end)
{
    const alloy_pattern *pattern = scan->pattern;
    const uint8_t *text = (const uint8_t *)scan->text;
    size_t length;
    for (; scan->at < scan->size; scan->at += length) {
        uint32_t code = alloy_code_at(text + scan->at, &length);
        if (!pattern->in_set[alloy_class_of(&pattern->set, code)])
            continue;
        *start = scan->at;
        *end = scan->at += length;
        return true;
    }
    return false;
}

alloy_status alloy_pattern_scan_next(alloy_pattern_scan *scan, bool *found, size_t *start, size_t *end)
{
    *found = false;
    if (scan->size == 0)
        return ALLOY_OK;
    if (scan->pattern->kind == ALLOY_PATTERN_REGEX)
        return alloy_regex_scan_next(scan->regex, found, start, end);
    *found =
        scan->pattern->kind == ALLOY_PATTERN_STRING ? next_string(scan, start, end) : next_of_set(scan, start, end);
    return ALLOY_OK;
}
