/* Growing text and numbers as text (text.h). */
#include "base/text.h"

#include <errno.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/status.h"

/* ---- Locale ------------------------------------------------------------------------------------------------------ */

static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* The C locale; the program's own where there is no memory for it. */
static locale_t get_c_locale(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_c_locale);
    return c_locale ? c_locale : LC_GLOBAL_LOCALE;
}

static double strtod_c(const char *string, char **end)
{
    locale_t before = uselocale(get_c_locale());
    double value = strtod(string, end);
    uselocale(before);
    return value;
}

int alloy_vsnprintf(char *out, size_t size, const char *format, va_list args)
{
    locale_t before = uselocale(get_c_locale());
    int length = vsnprintf(out, size, format, args);
    uselocale(before);
    return length;
}

int alloy_snprintf(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = alloy_vsnprintf(out, size, format, args);
    va_end(args);
    return length;
}

/* ---- Growing text ------------------------------------------------------------------------------------------------ */

bool alloy_text_reserve(alloy_text *text, size_t size)
{
    size_t needed;
    if (!alloy_size_add(text->size, size, &needed) || !alloy_size_add(needed, 1, &needed)) {
        text->failed = true;
        return false;
    }
    if (needed <= text->capacity)
        return true;
    size_t capacity = text->capacity < 64 ? 64 : text->capacity;
    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    char *grown = alloy_memory_resize(text->bytes, capacity, 1);
    if (!grown) {
        text->failed = true;
        return false;
    }
    text->bytes = grown;
    text->capacity = capacity;
    text->bytes[text->size] = 0;
    return true;
}

void alloy_text_append(alloy_text *text, const void *bytes, size_t size)
{
    if (size == 0 || !alloy_text_reserve(text, size))
        return;
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = 0;
}

void alloy_text_string(alloy_text *text, const char *string)
{
    alloy_text_append(text, string, strlen(string));
}

void alloy_text_char(alloy_text *text, char c)
{
    alloy_text_append(text, &c, 1);
}

void alloy_text_format_list(alloy_text *text, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int size = alloy_vsnprintf(NULL, 0, format, args);
    if (size >= 0 && alloy_text_reserve(text, (size_t)size)) {
        alloy_vsnprintf(text->bytes + text->size, (size_t)size + 1, format, again);
        text->size += (size_t)size;
    }
    va_end(again);
}

void alloy_text_format(alloy_text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    alloy_text_format_list(text, format, args);
    va_end(args);
}

void alloy_text_clear(alloy_text *text)
{
    text->size = 0;
    text->failed = false;
    if (text->bytes)
        text->bytes[0] = 0;
}

void alloy_text_free(alloy_text *text)
{
    alloy_memory_free(text->bytes);
    *text = (alloy_text){0};
}

alloy_status alloy_text_status(const alloy_text *text)
{
    return text->failed ? alloy_fail(ALLOY_NOMEM, "out of memory: a text of more than %zu bytes", text->size)
                        : ALLOY_OK;
}

const char *alloy_text_get(const alloy_text *text)
{
    return text->bytes ? text->bytes : "";
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------- */

void alloy_text_count(alloy_text *text, alloy_wide value, char separator)
{
    char digits[ALLOY_COUNT_TEXT];
    alloy_text_string(text, alloy_count_text(alloy_count_from(value), separator, digits));
}

/* The fewest digits from which `value` reads back. Of a decimal of at most 15 digits, 15 give it back, with zeros
 * after it; below the smallest normal number doubles have fewer. */
static int shortest_precision(double value)
{
    enum { MOST_DIGITS = 17 };
    char digits[40];
    int least = fabs(value) >= DBL_MIN ? DBL_DIG : 1;
    for (int precision = least; precision < MOST_DIGITS; precision++) {
        alloy_snprintf(digits, sizeof digits, "%.*e", precision - 1, value);
        if (strtod_c(digits, NULL) != value)
            continue;
        const char *last = strchr(digits, 'e');
        while (precision > 1 && *--last == '0')
            precision--;
        return precision;
    }
    return MOST_DIGITS;
}

void alloy_text_double(alloy_text *text, double value)
{
    char digits[40];
    if (!isfinite(value)) {
        alloy_text_string(text, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
        return;
    }
    alloy_snprintf(digits, sizeof digits, "%.*g", shortest_precision(value), value);
    alloy_text_string(text, digits);
}

int alloy_print_number(char *out, size_t size, double value, char style, int digits)
{
    static const double MOST_FIXED = 1e15; /* from here on 'f' would write digits that a double does not have */
    if (!isfinite(value))
        return alloy_snprintf(out, size, "-");
    value += 0.0; /* of -0 it makes 0 */
    if (style == 'g')
        return alloy_snprintf(out, size, "%.*g", digits, value);
    if (style == 'f' && fabs(value) < MOST_FIXED)
        return alloy_snprintf(out, size, "%.*f", digits, value);
    return alloy_snprintf(out, size, "%.*e", digits, value);
}

void alloy_text_number(alloy_text *text, double value, char style, int digits)
{
    char number[64];
    alloy_print_number(number, sizeof number, value, style, digits);
    alloy_text_string(text, number);
}

/* strtod and strtoll accept more than numbers should be: leading space, hexadecimal, "inf". */
static bool starts_like_a_number(const char *string, size_t size)
{
    if (size == 0)
        return false;
    size_t i = string[0] == '-' || string[0] == '+';
    if (i < size && string[i] == '.')
        i++;
    return i < size && string[i] >= '0' && string[i] <= '9' &&
           !(i + 1 < size && (string[i + 1] == 'x' || string[i + 1] == 'X'));
}

bool alloy_parse_double(const char *string, size_t size, double *out)
{
    char copy[512], *end;
    if (size >= sizeof copy || !starts_like_a_number(string, size))
        return false;
    memcpy(copy, string, size);
    copy[size] = 0;
    double value = strtod_c(copy, &end);
    if (end != copy + size || value - value != 0)
        return false;
    *out = value;
    return true;
}

bool alloy_parse_int64(const char *string, size_t size, int64_t *out)
{
    char copy[32], *end;
    if (size >= sizeof copy || !starts_like_a_number(string, size))
        return false;
    memcpy(copy, string, size);
    copy[size] = 0;
    errno = 0;
    long long value = strtoll(copy, &end, 10);
    if (end != copy + size || errno == ERANGE)
        return false;
    *out = value;
    return true;
}
