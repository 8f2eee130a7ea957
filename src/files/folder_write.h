/* The folder that a new model is written to, so that at any moment it is no model, the old one or the new one, whole.
 *
 *     folder is missing                made beside its name, synced, renamed
 *     it holds none of the new files   written in place, config.json last; a mark stands there meanwhile, by which the
 *                                      next writer knows what a killed one left
 *     it holds some of them            refused (IO). With `force` the new folder is made beside it, the two change
 *                                      places in one call (renameat2; where the system has none, two renames), and the
 *                                      old one is removed
 *
 * What no writer of models writes stays: files are linked into the new folder before the two change places, folders
 * follow it after. The folder keeps its mode and owner, a new file those of the old one of its name. A folder that is
 * made beside is .NAME.RANDOM.tmp, and the old one .NAME.RANDOM.old between two renames: a killed writer may leave
 * them, and the next one of the same folder takes them away or back. A folder on the way is locked: a second writer is
 * refused (IO). Links to the folder are followed, and stay.
 *
 * Where many may write, as in /tmp, anybody can make such names. A folder that is made is its owner's alone (0700)
 * until the commit, and only a folder that this user owns and nobody else may write to is taken for what a killed
 * writer left; a mark likewise.
 *
 * A mount point or the current folder cannot change places: `force` is refused there. */
#ifndef ALLOY_FILES_FOLDER_WRITE_H
#define ALLOY_FILES_FOLDER_WRITE_H

#include <stdbool.h>

#include "alloy/alloy.h"

typedef struct alloy_folder_writer {
    char *path;               /* where the files are written */
    char *target;             /* where they belong, links followed; `path` itself where it is written in place */
    const char *given;        /* the caller's words, for messages */
    const char *const *names; /* of the files that are written beside weights; ends with NULL */
    unsigned mode;            /* that `path` gets at the end where nothing was; 0: it stays as it was made */
    bool replaces;            /* a folder stands at `target` that `path` changes places with */
    int lock, target_lock;    /* -1: none */
} alloy_folder_writer;

/* Checks again, as alloy_folder_check (alloy.h) does, and prepares; `folder` and `names` outlive it. On failure *w is
 * closed. */
alloy_status alloy_folder_open(alloy_folder_writer *w, const char *folder, const char *const *names, bool force);

/* The files in `path` are whole, config.json among them or not: makes them the folder's. Closes, also when it fails. */
alloy_status alloy_folder_commit(alloy_folder_writer *w);

/* Removes what was written; nothing for one that is closed. */
void alloy_folder_abandon(alloy_folder_writer *w);

#endif
