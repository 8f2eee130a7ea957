/* What a string means: its escapes decoded (json.h). The reader has checked them, so nothing here can fail but
 * memory. */
#include <string.h>

#include "base/utf8.h"
#include "files/json.h"
#include "files/json_string.h"

/* The character that a sound escape at `*at` (after its backslash) stands for, as UTF-8: its length; *at moves past
 * the escape. */
static size_t decode_escape(const char **at, char out[4])
{
    static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
    char c = *(*at)++;
    if (c != 'u') {
        const char *name = strchr(names, c);
        out[0] = name ? values[name - names] : c;
        return 1;
    }
    uint32_t code = (uint32_t)alloy_json_hexadecimal(*at, *at + 4);
    *at += 4;
    if (alloy_is_high_surrogate((int32_t)code)) {
        uint32_t low = (uint32_t)alloy_json_hexadecimal(*at + 2, *at + 6);
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        *at += 6;
    }
    return alloy_utf8_put(code, out);
}

alloy_status alloy_json_unescape(const alloy_json_string_view *view, alloy_text *out)
{
    const char *at = view->bytes, *end = at + view->size;
    if (!alloy_text_reserve(out, view->size)) /* an escape is never shorter than what it means */
        return alloy_text_status(out);
    while (at < end) {
        const char *backslash = view->escaped ? memchr(at, '\\', (size_t)(end - at)) : NULL;
        size_t run = (size_t)((backslash ? backslash : end) - at);
        alloy_text_append(out, at, run);
        at += run;
        if (!backslash)
            break;
        char character[4];
        at++;
        size_t length = decode_escape(&at, character);
        alloy_text_append(out, character, length);
    }
    return alloy_text_status(out);
}

bool alloy_json_key_is(const alloy_json_string_view *key, const char *name)
{
    size_t left = strlen(name);
    if (!key->escaped)
        return key->size == left && memcmp(key->bytes, name, left) == 0;
    for (const char *at = key->bytes, *end = at + key->size; at < end;) {
        char character[4] = {*at++};
        size_t length = character[0] == '\\' ? decode_escape(&at, character) : 1;
        if (length > left || memcmp(character, name, length) != 0)
            return false;
        name += length;
        left -= length;
    }
    return left == 0;
}
