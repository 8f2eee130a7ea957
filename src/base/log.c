/* Warnings (log.h). */
#include "base/log.h"

#include <stdarg.h>
#include <string.h>

#include "base/printable.h"
#include "base/text.h"

static alloy_log_function *log_function;
static void *log_user;

void alloy_set_log(alloy_log_function *log, void *user)
{
    log_function = log;
    log_user = user;
}

void alloy_warn(const char *format, ...)
{
    if (!log_function)
        return;
    char text[1024], line[1024];
    va_list args;
    va_start(args, format);
    alloy_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    alloy_printable_form(line, sizeof line, text, strlen(text), ALLOY_KEEP_NOTHING);
    log_function(log_user, line);
}
