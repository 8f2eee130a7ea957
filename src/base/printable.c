/* Printable forms (printable.h). */
#include "base/printable.h"

#include <string.h>

#include "base/utf8.h"

bool alloy_code_is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == ALLOY_UTF8_BAD;
}

bool alloy_code_turns_text(uint32_t code)
{
    return code == 0x061C || code == 0x200E || code == 0x200F || (code >= 0x202A && code <= 0x202E) ||
           (code >= 0x2066 && code <= 0x2069);
}

static bool must_go(uint32_t code, unsigned kept)
{
    if ((code == '\n' || code == '\t') && (kept & ALLOY_KEEP_LINES))
        return false;
    if ((code == '"' || code == '\\') && (kept & ALLOY_ESCAPE_QUOTES))
        return true;
    bool line = code == 0x2028 || code == 0x2029; /* the separators of lines and paragraphs */
    return alloy_code_is_control(code) || line || (alloy_code_turns_text(code) && !(kept & ALLOY_KEEP_DIRECTIONS));
}

bool alloy_is_printable(const char *bytes, size_t size)
{
    uint32_t code;
    for (size_t at = 0; at < size;) {
        at += alloy_utf8_next(bytes + at, size - at, &code);
        if (must_go(code, ALLOY_KEEP_NOTHING))
            return false;
    }
    return true;
}

size_t alloy_printable_next(const char *bytes, size_t size, unsigned kept, char out[16], size_t *length)
{
    uint32_t code;
    size_t taken = alloy_utf8_next(bytes, size, &code);
    if (!must_go(code, kept)) {
        memcpy(out, bytes, taken);
        *length = taken;
        return taken;
    }
    *length = 0;
    for (size_t i = 0; i < taken; i++, *length += 4) {
        static const char digits[] = "0123456789ABCDEF";
        unsigned char byte = (unsigned char)bytes[i];
        memcpy(out + *length, (const char[]){'\\', 'x', digits[byte >> 4], digits[byte & 15]}, 4);
    }
    return taken;
}

void alloy_text_printable(alloy_text *text, const char *bytes, size_t size, unsigned kept)
{
    char form[16];
    size_t length;
    for (size_t at = 0; at < size && !text->failed;) {
        at += alloy_printable_next(bytes + at, size - at, kept, form, &length);
        alloy_text_append(text, form, length);
    }
}

void alloy_printable_form(char *out, size_t capacity, const char *bytes, size_t size, unsigned kept)
{
    static const char dots[] = "...";
    size_t used = 0, at = 0, room = 0; /* room: what is used where the dots would still fit */
    while (at < size) {
        char form[16];
        size_t length;
        at += alloy_printable_next(bytes + at, size - at, kept, form, &length);
        if (used + length >= capacity) {
            memcpy(out + room, dots, sizeof dots);
            return;
        }
        memcpy(out + used, form, length);
        used += length;
        room = used + sizeof dots <= capacity ? used : room;
    }
    out[used] = 0;
}
