/* Files: reading whole ones, mapping weights; folders. file_write.h writes files.
 *
 * Opening is safe against what strangers put into folders: only regular files (a FIFO or device never hangs: O_NONBLOCK
 * + fstat). What is asked of a file is asked of its descriptor, never of its path. Interrupted calls are retried, short
 * reads continued. Every failure is ALLOY_IO with the path and the system's reason.
 *
 * A file may be changed by others while it is used. One that is read whole is then IO or its new bytes, never a signal.
 * Only weights are mapped, and each mapping is known to base/mapping.h. */
#ifndef ALLOY_BASE_FILE_H
#define ALLOY_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloy/alloy.h"
#include "base/mapping.h"
#include "base/text.h"

/* The bytes of an open file: mapped, or read into memory. */
typedef struct alloy_file {
    char *path;             /* as opened, for messages */
    const uint8_t *data;    /* `size` bytes; not NULL even when empty */
    size_t size;            /* bytes */
    uint64_t device, inode; /* of the file that was opened, for alloy_file_check */
    bool mapped;
    alloy_mapping *mapping; /* of `mapped` */
} alloy_file;               /* {0} is closed */

/* Opens a regular file of at most `most` bytes (more: ALLOY_LIMIT). With `map` the file is mapped read-only, shared, so
 * that pages come when touched; else it is read whole. On failure *file is {0}. */
alloy_status alloy_file_open(alloy_file *file, const char *path, size_t most, bool map);

/* The same of a descriptor, which is closed in any case; `path` is for messages. */
alloy_status alloy_file_open_descriptor(alloy_file *file, int descriptor, const char *path, size_t most, bool map);
alloy_status alloy_file_check_descriptor(int descriptor, const char *path); /* is it a regular file? Closes it */
void alloy_file_close(alloy_file *file);

/* Is a mapped file still as long as it was? IO when not: reading what was cut off would raise SIGBUS. A file that was
 * replaced or removed is fine (the mapping holds the old one), and so is one that was read into memory. */
alloy_status alloy_file_check(const alloy_file *file);

/* Reads a whole regular file into `text` (cleared first), to its end, whatever size it claims: one of /proc claims 0.
 * More than `most` bytes: ALLOY_LIMIT. */
alloy_status alloy_file_read(alloy_text *text, const char *path, size_t most);
alloy_status alloy_file_read_descriptor(alloy_text *text, int descriptor, const char *path, size_t most);

/* openat for reading, with the flags that all reading has and `flags` of O_NOFOLLOW and its like: a descriptor, or -1
 * with errno. What it is open on is not asked. */
int alloy_file_open_at(int folder, const char *name, int flags);

/* Does anything stand at this path, were it a link that leads nowhere? IO when the system does not tell. */
alloy_status alloy_path_has(const char *path, bool *has);

/* Does a regular file (a folder) stand at this path, through links? */
bool alloy_file_exists(const char *path);
bool alloy_folder_exists(const char *path);

/* Is it one file (or folder) that stands at both paths, through links? */
bool alloy_file_same(const char *a, const char *b);

/* Creates a folder and those above it that are missing. */
alloy_status alloy_folder_create(const char *path);

/* Makes this the one writer of a folder until alloy_folder_unlock (or the end of the process): IO when another has it.
 * Nothing is left in the folder. Where the file system has no locks, there is none. */
alloy_status alloy_folder_lock(const char *path, int *descriptor);
void alloy_folder_unlock(int descriptor); /* -1 is fine */

/* folder/name in `text` (cleared first). */
alloy_status alloy_path_join(alloy_text *text, const char *folder, const char *name);

#endif
