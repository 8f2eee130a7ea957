/* Stop texts: where the first one stands in a growing text, and how much of its end must be held back because a stop
 * text may have begun there.
 *
 * The text is whole characters and so are stop texts (UTF-8, checked), so a match or a held-back end never cuts a
 * character. */
#ifndef ALLOY_ENGINE_STOP_H
#define ALLOY_ENGINE_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloy/alloy.h"

enum { ALLOY_MOST_STOPS = 64, ALLOY_LONGEST_STOP = 1024 };

typedef struct alloy_stops {
    char *texts[ALLOY_MOST_STOPS];  /* [count] */
    size_t sizes[ALLOY_MOST_STOPS]; /* bytes */
    int64_t count;
} alloy_stops; /* {0} is closed, and has none */

/* Copies the texts. ARG for a stop text that is empty or not UTF-8, LIMIT for too many or too long ones. */
alloy_status alloy_stops_open(alloy_stops *stops, const char *const *texts, int64_t count);
void alloy_stops_close(alloy_stops *stops);

/* Does a stop text end in text[known .. size)? text[0 .. known) holds none. *at: where the earliest begins. */
bool alloy_stops_find(const alloy_stops *stops, const char *text, size_t known, size_t size, size_t *at);

/* Bytes at the end of the text that may be the beginning of a stop text. */
size_t alloy_stops_held(const alloy_stops *stops, const char *text, size_t size);

#endif
