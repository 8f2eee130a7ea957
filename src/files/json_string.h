/* Escapes of JSON strings: the reader checks them, json_string.c decodes what was checked. */
#ifndef ALLOY_FILES_JSON_STRING_H
#define ALLOY_FILES_JSON_STRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number of the four hexadecimal digits at `at`; -1 where they are not. */
static inline int32_t alloy_json_hexadecimal(const char *at, const char *end)
{
    if (end - at < 4)
        return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static inline bool alloy_is_high_surrogate(int32_t code)
{
    return code >= 0xD800 && code < 0xDC00;
}

static inline bool alloy_is_low_surrogate(int32_t code)
{
    return code >= 0xDC00 && code < 0xE000;
}

#endif
