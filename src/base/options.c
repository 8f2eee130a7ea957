/* Option structs (options.h). */
#include "base/options.h"

#include <string.h>

#include "base/status.h"

alloy_status alloy_options_take(void *out, size_t size, const void *given, const char *name)
{
    size_t theirs = sizeof theirs; /* of none: its size alone */
    given = given ? given : &theirs;
    memset(out, 0, size);
    memcpy(&theirs, given, sizeof theirs);
    if (theirs < sizeof theirs)
        return alloy_fail(ALLOY_ARG, "%s: size is %zu, expected sizeof (%s), which is %zu here", name, theirs, name,
                          size);
    for (size_t i = size; i < theirs; i++)
        if (((const char *)given)[i] != 0)
            return alloy_fail(ALLOY_ARG, "%s: byte %zu is set, this library knows %zu: it is older than the caller",
                              name, i, size);
    memcpy(out, given, theirs < size ? theirs : size);
    memcpy(out, &size, sizeof size);
    return ALLOY_OK;
}
