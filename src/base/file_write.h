/* Writing files: nothing that stands at the path is lost, and a path that must not be written is refused.
 *
 * What a path names decides how it is written. Links are followed first, also one that leads to nothing yet.
 *
 *     a regular file, or nothing     replaced whole: a temporary file beside it is written, synced and renamed. It
 *                                    takes over the mode, and the owner where the system permits; a new one has
 *                                    0666 & ~umask
 *     a FIFO, a character device,    written to directly; a reader gets the bytes and then the end
 *     /dev/stdout, /dev/fd/N
 *     a folder, a socket, a disk     IO
 *
 * Refused with IO as well: a file of a folder that holds a model (config.json and weights), by any link that leads to
 * it, a blob of the Hub's cache, and a file that this process has mapped (mapping.h). All of it can be asked for
 * before anything is computed (alloy_file_check_target); file_set.h adds what one run reads and writes.
 *
 * Temporary files are .NAME.RANDOM.tmp, opened with O_EXCL: unique between threads, processes and machines. A write to
 * a full disk, beyond a limit of file sizes or to a reader that left is IO; the signals of the last two (SIGXFSZ,
 * SIGPIPE) are held back and taken away. */
#ifndef ALLOY_BASE_FILE_WRITE_H
#define ALLOY_BASE_FILE_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "alloy/alloy.h"
#include "base/text.h"

/* What a path that is to be written leads to. */
typedef struct alloy_target {
    char *path;         /* without links in its last part; NULL: a descriptor of this process */
    int descriptor;     /* of /dev/fd/N; else -1 */
    bool exists;        /* false: a file is made */
    bool stream;        /* written to directly */
    struct stat info;   /* of what exists */
    struct stat folder; /* that holds it; not of a descriptor */
} alloy_target;         /* {0} is closed */

/* IO when nothing can be written there, ARG for an empty name. */
alloy_status alloy_target_open(alloy_target *target, const char *path);
void alloy_target_close(alloy_target *target);
const char *alloy_target_name(const alloy_target *target); /* the last part of its path */

/* The same question without the answer's details. */
alloy_status alloy_file_check_target(const char *path);

/* Lets a reader that waits at a FIFO see the end, where nothing was or will be written to it. */
void alloy_file_release_reader(const char *path);

/* A file being written. Sync, rename over the final name and sync of the folder happen at commit: before it, and when
 * anything fails, what stood there is untouched and the temporary file is removed. To a stream bytes go at once. */
typedef struct alloy_file_writer {
    char *path;      /* as given, for messages */
    char *target;    /* the final name; NULL: a stream */
    char *temporary; /* the name that is written to; NULL: a stream */
    int descriptor;
    uint64_t written; /* bytes */
} alloy_file_writer;  /* {0} is closed */

alloy_status alloy_file_create(alloy_file_writer *writer, const char *path);
alloy_status alloy_file_write(alloy_file_writer *writer, const void *bytes, size_t size);
/* writes what a descriptor of the regular file `path` holds, in pieces; the descriptor is closed in any case */
alloy_status alloy_file_copy(alloy_file_writer *writer, int descriptor, const char *path);
/* syncs and closes the temporary file: what is left is the rename. For sets of files; optional */
alloy_status alloy_file_finish(alloy_file_writer *writer);
alloy_status alloy_file_commit(alloy_file_writer *writer); /* closes, also when it fails */
void alloy_file_abandon(alloy_file_writer *writer);        /* closes and removes the temporary file; {0} is fine */

/* The whole of it at once. */
alloy_status alloy_file_replace(const char *path, const void *bytes, size_t size);

/* ---- For writers of folders (files/folder_write.h) --------------------------------------------------------------- */

/* The path that the links of `path`'s last part lead to, whether anything is there or not; free it. */
alloy_status alloy_follow_links(char **out, const char *path);

/* FOLDER/.NAME.RANDOM.ENDING in `text` (cleared first); NAME is cut where the name would be too long for a folder. */
alloy_status alloy_temporary_name(alloy_text *text, const char *folder, const char *name, const char *ending);

/* Is `name` such a name, of ENDING? Then its NAME stands at name + 1 and has *size bytes. */
bool alloy_is_temporary_name(const char *name, const char *ending, size_t *size);

/* Gives an open file or folder the mode and, where the system permits, the owner of another. */
void alloy_keep_mode(int descriptor, const struct stat *old);

/* The folder of a path, in our own memory: "." and "/" too. NULL: NOMEM. */
char *alloy_folder_of(const char *path);

/* A rename is on the disk only when its folder is. */
alloy_status alloy_folder_sync(const char *folder);

/* Does a folder hold config.json and weights? */
bool alloy_folder_holds_model(const char *folder);

#endif
