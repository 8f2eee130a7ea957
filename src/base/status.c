/* The thread's error text (status.h). */
#include "base/status.h"

#include <string.h>

#include "base/printable.h"
#include "base/text.h"

enum { TEXT_SIZE = 2048, PRINTABLE_SIZE = 88, PRINTABLE_BUFFERS = 8 };
enum { PATH_SHOWN = 500, PATH_SIZE = 528, PATH_BUFFERS = 4 }; /* bytes shown; room for them, dots and an escape */

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
    static const char *const names[] = {"OK", "DIFFERENT", "ARG",   "FORMAT",  "LIMIT",      "RANGE",
                                        "IO", "NOMEM",     "TRUST", "CONTEXT", "UNSUPPORTED"};
    _Static_assert(sizeof names / sizeof *names == ALLOY_STATUS_COUNT, "one name a status");
    return (unsigned)status < ALLOY_STATUS_COUNT ? names[status] : "?";
}

alloy_status alloy_fail(alloy_status status, const char *format, ...)
{
    char text[TEXT_SIZE]; /* an argument may be the old text */
    va_list args;
    va_start(args, format);
    alloy_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    alloy_printable_form(thread_text, sizeof thread_text, text, strlen(text), ALLOY_KEEP_NOTHING);
    thread_status = status;
    return status;
}

alloy_status alloy_fail_in(alloy_status status, const char *where)
{
    char text[TEXT_SIZE];
    memcpy(text, thread_text, sizeof text);
    return alloy_fail(status, "%s: %s", where, text);
}

const char *alloy_printable(const char *bytes, size_t size)
{
    static _Thread_local char buffers[PRINTABLE_BUFFERS][PRINTABLE_SIZE];
    static _Thread_local unsigned next;
    char *out = buffers[next++ % PRINTABLE_BUFFERS];
    alloy_printable_form(out, PRINTABLE_SIZE, bytes, size, ALLOY_ESCAPE_QUOTES);
    return out;
}

const char *alloy_printable_path(const char *path)
{
    static _Thread_local char buffers[PATH_BUFFERS][PATH_SIZE];
    static _Thread_local unsigned next;
    char *out = buffers[next++ % PATH_BUFFERS];
    size_t size = strlen(path), shown = size;
    while (shown > PATH_SHOWN || (shown < size && ((unsigned char)path[size - shown] & 0xC0) == 0x80))
        shown--;
    size_t dots = shown < size ? 3 : 0;
    memcpy(out, "...", dots);
    alloy_printable_form(out + dots, PATH_SIZE - dots, path + size - shown, shown, ALLOY_ESCAPE_QUOTES);
    return out;
}
