/* What one run reads and writes, so that no file of it is written over: a set of files by device and inode, and of
 * files that are still to be made by folder and name. Filled before anything is computed: what is read first, then what
 * is written, which is refused (IO) where it is in the set already. Links, hard links and other spellings of a path are
 * the same file. Devices may be written twice, FIFOs not.
 *
 *     alloy_file_set_read(&set, "ids.json", "--ids-file");
 *     alloy_file_set_write(&set, "out.html", "--html");        IO for ./ids.json */
#ifndef ALLOY_BASE_FILE_SET_H
#define ALLOY_BASE_FILE_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "alloy/alloy.h"

typedef struct alloy_file_set {
    struct alloy_file_set_entry *entries; /* [count] */
    int64_t count, capacity;
} alloy_file_set; /* {0} is empty */

/* Adds the file at `path`, or the files of the folder there; nothing where neither is. `what` says in messages whose it
 * is, and outlives the set. */
alloy_status alloy_file_set_read(alloy_file_set *set, const char *path, const char *what);

/* The same for an open descriptor; one that is written (stdout) is named so in messages. */
alloy_status alloy_file_set_descriptor(alloy_file_set *set, int descriptor, bool written, const char *what);

/* IO (ARG for an empty name) where `path` cannot be written (alloy_file_check_target) or is in the set; else adds
 * it. */
alloy_status alloy_file_set_write(alloy_file_set *set, const char *path, const char *what);

void alloy_file_set_free(alloy_file_set *set);

#endif
