/* Templates of markup (markup.h). */
#include "roofline/markup.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/printable.h"
#include "base/utf8.h"

enum { MOST_CUT = 64 }; /* characters */

/* What XML 1.0 lets stand nowhere (section 2.2), DEL and the C1 controls, which it discourages, and what in a name
 * could turn the text around it. */
static bool is_forbidden(uint32_t code)
{
    bool space = code == '\t' || code == '\n' || code == '\r';
    return (alloy_code_is_control(code) && !space) || (code & 0xFFFE) == 0xFFFE || alloy_code_turns_text(code);
}

static const char *entity_of(uint32_t code)
{
    switch (code) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

static void append_escaped(alloy_text *out, const char *string)
{
    size_t size = strlen(string);
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t code;
        char replacement[4];
        length = alloy_utf8_next(string + at, size - at, &code);
        const char *entity = entity_of(code);
        if (entity)
            alloy_text_string(out, entity);
        else if (is_forbidden(code))
            alloy_text_append(out, replacement, alloy_utf8_put(ALLOY_UTF8_REPLACEMENT, replacement));
        else
            alloy_text_append(out, string + at, length);
    }
}

/* Hundredths are far finer than a pixel, and no drawing is as large as MOST. */
static void append_coordinate(alloy_text *out, double value)
{
    static const double MOST = 1e9;
    long long hundredths = isfinite(value) ? llround(fmin(fmax(value, -MOST), MOST) * 100) : 0;
    if (hundredths < 0) {
        alloy_text_char(out, '-');
        hundredths = -hundredths;
    }
    alloy_text_format(out, "%lld", hundredths / 100);
    if (hundredths % 10 != 0)
        alloy_text_format(out, ".%02lld", hundredths % 100);
    else if (hundredths % 100 != 0)
        alloy_text_format(out, ".%lld", hundredths % 100 / 10);
}

void alloy_markup(alloy_text *out, const char *template, ...)
{
    va_list values;
    va_start(values, template);
    for (const char *at = template, *sign; *at; at = sign) {
        sign = strchrnul(at, '%');
        alloy_text_append(out, at, (size_t)(sign - at));
        if (strncmp(sign, "%s", 2) == 0)
            append_escaped(out, va_arg(values, const char *));
        else if (strncmp(sign, "%f", 2) == 0)
            append_coordinate(out, va_arg(values, double));
        else if (strncmp(sign, "%lld", 4) == 0)
            alloy_text_format(out, "%lld", va_arg(values, long long));
        else if (strncmp(sign, "%%", 2) == 0)
            alloy_text_char(out, '%');
        sign += *sign == 0 ? 0 : sign[1] == 'l' ? 4 : 2;
    }
    va_end(values);
}

const char *alloy_markup_cut(const char *string, int most)
{
    static _Thread_local char cut[4 * MOST_CUT + sizeof "…"];
    size_t size = strlen(string), at = 0;
    uint32_t code;
    most = most < MOST_CUT ? most : MOST_CUT;
    for (int i = 0; i < most && at < size; i++)
        at += alloy_utf8_next(string + at, size - at, &code);
    if (at == size)
        return string;
    memcpy(cut, string, at);
    strcpy(cut + at, "…");
    return cut;
}
