/* Stop texts (stop.h). Plain comparison at each place: stop texts are short and few, and only what is new is looked
 * at. */
#include "engine/stop.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/utf8.h"

static alloy_status add_stop(alloy_stops *stops, const char *text)
{
    long long number = (long long)stops->count;
    size_t size = text ? strlen(text) : 0;
    if (size == 0)
        return alloy_fail(ALLOY_ARG, "stop text %lld is empty", number);
    if (size > ALLOY_LONGEST_STOP)
        return alloy_fail(ALLOY_LIMIT, "stop text %lld has %zu bytes, at most %d are possible", number, size,
                          ALLOY_LONGEST_STOP);
    if (alloy_utf8_valid(text, size) != size)
        return alloy_fail(ALLOY_ARG, "stop text \"%s\" is not UTF-8", alloy_printable(text, size));
    char *copy = alloy_memory_copy(text, size);
    if (!copy)
        return ALLOY_NOMEM;
    stops->sizes[stops->count] = size;
    stops->texts[stops->count++] = copy;
    return ALLOY_OK;
}

alloy_status alloy_stops_open(alloy_stops *stops, const char *const *texts, int64_t count)
{
    alloy_status status = ALLOY_OK;
    *stops = (alloy_stops){0};
    if (count < 0 || (count > 0 && !texts))
        return alloy_fail(ALLOY_ARG, "%lld stop texts were announced and none given", (long long)count);
    if (count > ALLOY_MOST_STOPS)
        return alloy_fail(ALLOY_LIMIT, "%lld stop texts, at most %d are possible", (long long)count, ALLOY_MOST_STOPS);
    for (int64_t i = 0; i < count && !status; i++)
        status = add_stop(stops, texts[i]);
    if (status)
        alloy_stops_close(stops);
    return status;
}

void alloy_stops_close(alloy_stops *stops)
{
    for (int64_t i = 0; i < stops->count; i++)
        alloy_memory_free(stops->texts[i]);
    stops->count = 0;
}

bool alloy_stops_find(const alloy_stops *stops, const char *text, size_t known, size_t size, size_t *at)
{
    bool found = false;
    for (int64_t i = 0; i < stops->count; i++) {
        size_t length = stops->sizes[i];
        size_t from = known < length ? 0 : known - length + 1;
        size_t end = found && *at + length < size ? *at + length : size; /* only an earlier one is of interest */
        const char *match = from < end ? memmem(text + from, end - from, stops->texts[i], length) : NULL;
        if (match && (!found || (size_t)(match - text) < *at)) {
            *at = (size_t)(match - text);
            found = true;
        }
    }
    return found;
}

size_t alloy_stops_held(const alloy_stops *stops, const char *text, size_t size)
{
    size_t held = 0;
    for (int64_t i = 0; i < stops->count; i++) {
        size_t most = stops->sizes[i] - 1 < size ? stops->sizes[i] - 1 : size;
        for (size_t n = most; n > held; n--)
            if (memcmp(text + size - n, stops->texts[i], n) == 0)
                held = n;
    }
    return held;
}
