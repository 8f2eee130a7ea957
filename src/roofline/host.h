/* This machine as a chip (alloy.h): what the system says of it (host_system.c), what is measured (host.c), and the file
 * that keeps it (host_file.c). */
#ifndef ALLOY_ROOFLINE_HOST_H
#define ALLOY_ROOFLINE_HOST_H

#include "alloy/alloy.h"
#include "base/text.h"

/* ---- host_system.c ----------------------------------------------------------------------------------------------- */

/* A level of data cache, as the system describes it. */
typedef struct alloy_cache_level {
    int64_t level;  /* 1: nearest */
    double size;    /* of one instance, bytes */
    int64_t shared; /* processors that share an instance */
} alloy_cache_level;

enum { ALLOY_CACHE_LEVELS = 4 };

/* Fills `levels`, the nearest first, and returns how many; at least one. `folder` is the system's description of a
 * processor's caches (NULL: the first one's, else what sysconf says, else a guess). */
int alloy_cache_levels(alloy_cache_level levels[ALLOY_CACHE_LEVELS], const char *folder);

/* The processor's name as the system has it ("AMD EPYC ..."), cut to `size`; and the memory of this machine, bytes. */
void alloy_processor_name(char *name, size_t size);
double alloy_installed_memory(void);

/* ---- host.c ------------------------------------------------------------------------------------------------------ */

/* The chip, but for its peaks, from the levels. */
void alloy_host_complete(alloy_host *host);

/* ---- host_file.c ------------------------------------------------------------------------------------------------- */

/* $XDG_CACHE_HOME/alloy/host-HASH.json, or below ~/.cache; the hash is of what the figures depend on: processor,
 * cpu and threads of `host`, and the version. ALLOY_IO, the text not set, where there is no such folder to name. */
alloy_status alloy_host_file(const alloy_host *host, alloy_text *path);

/* Takes the figures from the file. ALLOY_IO where there is none; anything else that is not what alloy_host_write wrote
 * for this very host is a FORMAT or RANGE, and `host` is as before. */
alloy_status alloy_host_read(alloy_host *host, const char *path);
alloy_status alloy_host_write(const alloy_host *host, const char *path);

#endif
