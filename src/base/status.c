/* The thread's error text (status.h). */
#include "base/status.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_SIZE = 2048, PRINTABLE_SIZE = 88, PRINTABLE_BUFFERS = 8 };

static _Thread_local char thread_text[TEXT_SIZE];
static _Thread_local alloy_status thread_status;

const char *alloy_error(void)
{
    return thread_text;
}

alloy_status alloy_last_status(void)
{
    return thread_status;
}

const char *alloy_status_name(alloy_status status)
{
    static const char *const names[] = {"OK",    "DIFFERENT", "ARG",   "FORMAT",  "LIMIT",      "RANGE",
                                        "IO",    "NOMEM",     "TRUST", "CONTEXT", "UNSUPPORTED"};
    _Static_assert(sizeof names / sizeof *names == ALLOY_STATUS_COUNT, "one name a status");
    return (unsigned)status < ALLOY_STATUS_COUNT ? names[status] : "?";
}

alloy_status alloy_fail(alloy_status status, const char *format, ...)
{
    char text[TEXT_SIZE]; /* an argument may be the old text */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(thread_text, text, sizeof text);
    thread_status = status;
    return status;
}

alloy_status alloy_fail_in(alloy_status status, const char *where)
{
    char text[TEXT_SIZE];
    memcpy(text, thread_text, sizeof text);
    return alloy_fail(status, "%s: %s", where, text);
}

/* Length of the valid UTF-8 sequence at `s`, 0 where there is none. */
static size_t sequence_length(const unsigned char *s, size_t size)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xC2 && s[0] < 0xE0 ? 2 : s[0] >= 0xE0 && s[0] < 0xF0 ? 3 : s[0] >= 0xF0 && s[0] < 0xF5 ? 4 : 0;
    if (n == 0 || n > size)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    return n;
}

const char *alloy_printable(const char *bytes, size_t size)
{
    static _Thread_local char buffers[PRINTABLE_BUFFERS][PRINTABLE_SIZE];
    static _Thread_local unsigned next;
    char *out = buffers[next++ % PRINTABLE_BUFFERS];
    size_t used = 0, i = 0;
    while (i < size && used < PRINTABLE_SIZE - 16) {
        const unsigned char *s = (const unsigned char *)bytes + i;
        size_t n = sequence_length(s, size - i);
        if (n == 0 || s[0] < 0x20 || s[0] == 0x7F || s[0] == '"' || s[0] == '\\' || (s[0] == 0xC2 && s[1] < 0xA0)) {
            used += (size_t)snprintf(out + used, PRINTABLE_SIZE - used, "\\x%02X", s[0]);
            i++;
            continue;
        }
        memcpy(out + used, s, n);
        used += n;
        i += n;
    }
    if (i < size)
        used += (size_t)snprintf(out + used, PRINTABLE_SIZE - used, "...");
    out[used] = 0;
    return out;
}
