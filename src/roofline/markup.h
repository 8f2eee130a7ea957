/* Markup: templates of XML and HTML whose values cannot break out of their places. */
#ifndef ALLOY_ROOFLINE_MARKUP_H
#define ALLOY_ROOFLINE_MARKUP_H

#include "base/text.h"

/* Appends a template with its values put in, checked by the compiler like a format of printf:
 *
 *     %s     text that may come from anywhere, escaped: &, <, >, both quotes, control characters, what is no UTF-8
 *     %f     a number with at most two digits after the point, and with a point in every locale
 *     %lld   a whole number
 *     %%     a percent sign
 *
 * Attributes stand in quotes, single or double. */
void alloy_markup(alloy_text *out, const char *template, ...) __attribute__((format(printf, 2, 3)));

/* The first `most` characters of a text, and "…" where there are more: for places of a fixed width. In a buffer of the
 * thread, until its next call. */
const char *alloy_markup_cut(const char *string, int most);

#endif
