/* The file of a plug-in, judged before any code of it runs.
 *
 * The path is walked from the root, one name at a time and without following links by the system: of a link, the walk
 * goes on with its target. So every folder on the way, those of links too, is known and judged: each folder, link and
 * the file itself belongs to the user or to root, and no folder lets others write, unless it is sticky (as /tmp is:
 * there nobody can remove or rename what belongs to another). Nobody else can then put other code under this path.
 *
 * All is asked of descriptors, and the file that was judged is the one that is opened (plugin.c). */
#ifndef ALLOY_MODULES_PLUGIN_FILE_H
#define ALLOY_MODULES_PLUGIN_FILE_H

#include <elf.h>
#include <sys/types.h>

#include "alloy/alloy.h"

enum { ALLOY_PLUGIN_SEGMENTS = 32 }; /* at most; compilers make four or five */

typedef struct alloy_plugin_file {
    char *path; /* absolute and without links */
    int descriptor;
    dev_t device;
    ino_t inode;
    Elf64_Phdr segments[ALLOY_PLUGIN_SEGMENTS]; /* what is mapped: PT_LOAD, within the file */
    int segment_count;
} alloy_plugin_file;

/* TRUST for what somebody else could have written, and for what is no regular file; FORMAT for what is not there, and
 * for what is no shared object of this processor with all of its segments. On failure the file is closed. */
alloy_status alloy_plugin_file_open(alloy_plugin_file *file, const char *path);
void alloy_plugin_file_close(alloy_plugin_file *file); /* {.descriptor = -1} is fine */

#endif
