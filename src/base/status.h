/* Errors. Every fallible function returns an alloy_status (include/alloy/alloy.h) and leaves one line of text with the
 * calling thread, until that thread's next failing call. One place for the text, whatever the object: it also serves
 * failures before an object exists, needs no allocation (so NOMEM has a text too), and a binding that calls from one
 * thread reads it from there.
 *
 * A text says where (file, key, byte or line:column), what was found and what was expected. It is one line without
 * control characters, whatever was put into it (printable.h). Names from files are put into it with alloy_printable,
 * which also keeps them short and tells their quotes from ours. */
#ifndef ALLOY_BASE_STATUS_H
#define ALLOY_BASE_STATUS_H

#include <stdarg.h>
#include <stddef.h>

#include "alloy/alloy.h"

/* Sets the thread's text and returns `status`, so that a failure is `return alloy_fail(ALLOY_FORMAT, "...", ...)`. */
alloy_status alloy_fail(alloy_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "where: " before the thread's text: the caller of a failed function adds what only it knows. Returns
 * `status`. */
alloy_status alloy_fail_in(alloy_status status, const char *where);

/* The status of the thread's last failure, for functions that report failure by NULL. */
alloy_status alloy_last_status(void);

/* A printable form of `size` untrusted bytes, quotes escaped too, cut to 87 bytes. The result lies in one of eight
 * rotating buffers of the thread. */
const char *alloy_printable(const char *bytes, size_t size);

/* The same for a path: up to 500 bytes of it, and of a longer one the end, which names the file. One of four rotating
 * buffers. */
const char *alloy_printable_path(const char *path);

#endif
