/* Warnings: one printable line each to the function that the user set (alloy_set_log in alloy.h), dropped where none is
 * set. */
#ifndef ALLOY_BASE_LOG_H
#define ALLOY_BASE_LOG_H

void alloy_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
