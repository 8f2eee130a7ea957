/* UTF-8 (utf8.h). */
#include "base/utf8.h"

#include <string.h>

#define HIGH_BITS 0x8080808080808080u

/* Length of the run of ASCII at `s`: 32 bytes a step, then one by one. */
static size_t ascii_run(const uint8_t *s, size_t size)
{
    size_t i = 0;
    for (; size - i >= 32; i += 32) {
        uint64_t words[4];
        memcpy(words, s + i, 32);
        if ((words[0] | words[1] | words[2] | words[3]) & HIGH_BITS)
            break;
    }
    while (i < size && s[i] < 0x80)
        i++;
    return i;
}

/* Length of the sequence that begins with `lead`, 0 where none does; the range of its second byte: Unicode table
 * 3-7. */
static inline size_t sequence(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    *high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    return lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
}

size_t alloy_utf8_valid(const void *bytes, size_t size)
{
    const uint8_t *s = bytes;
    size_t i = 0;
    while (i < size) {
        if (s[i] < 0x80) {
            i += ascii_run(s + i, size - i);
            continue;
        }
        uint8_t low, high;
        size_t n = sequence(s[i], &low, &high);
        if (n == 0 || n > size - i || s[i + 1] < low || s[i + 1] > high)
            return i;
        if (n > 2 && ((s[i + 2] & 0xC0) != 0x80 || (n > 3 && (s[i + 3] & 0xC0) != 0x80)))
            return i;
        i += n;
    }
    return size;
}

size_t alloy_utf8_next(const char *bytes, size_t size, uint32_t *code)
{
    const uint8_t *s = (const uint8_t *)bytes;
    *code = s[0];
    if (s[0] < 0x80)
        return 1;
    uint8_t low, high;
    size_t n = sequence(s[0], &low, &high);
    uint32_t value = n == 0 ? 0 : s[0] & (0x7Fu >> n);
    *code = ALLOY_UTF8_BAD;
    if (n == 0)
        return 1;
    for (size_t i = 1; i < n; i++) {
        if (i >= size || s[i] < low || s[i] > high)
            return i;
        value = value << 6 | (s[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *code = value;
    return n;
}

size_t alloy_utf8_put(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((0xF00u >> n & 0xF0u) | code);
    return n;
}
