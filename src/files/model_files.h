/* A model's folder: where it is, and which of its files may be opened.
 *
 * MODEL is a folder, or a name in the Hub's cache: `user/name` (old models: `name`) stands for
 * CACHE/models--user--name/snapshots/REVISION, REVISION being what refs/main holds; CACHE is HF_HUB_CACHE, else
 * HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub (a ~ that begins one of
 * them is HOME). Nothing is fetched.
 *
 * Trust. All files of a model are opened here. A file of a model is one name, no path. What it leads to through links
 * must lie in the folder itself, or, for a snapshot of the Hub's cache, in the `blobs` beside `snapshots` (the cache
 * holds every file there and links to it): a cloned folder must not make the program read other files of its user.
 * `follow_symlinks` lifts that.
 *
 * What is checked is what is opened. A name is opened in the folder's descriptor without following links; of a link,
 * the path that it leads to is walked from that descriptor, again without following any. A folder that changes in
 * between makes opening fail, never leads it astray.
 *
 * Absent is only the name that is not in the folder. One that is there and cannot be opened or read, a dangling link
 * among them, is an error, whatever stands in for an absent file. */
#ifndef ALLOY_FILES_MODEL_FILES_H
#define ALLOY_FILES_MODEL_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "alloy/alloy.h"
#include "base/file.h"
#include "base/file_write.h"
#include "base/text.h"

enum { ALLOY_CONFIG_BYTES = 4 * 1024 * 1024 }; /* most bytes of config.json and its like */

struct alloy_model_files {
    char *path;  /* as it was found, for messages; NULL: closed */
    char *real;  /* without links */
    char *blobs; /* of the Hub's cache, without links; NULL for another folder */
    int folder;  /* descriptor of `real` */
    int blobs_folder;
    bool follow_symlinks;
}; /* {0} is closed */

/* Finds the folder of MODEL. IO when there is none, saying where it was looked for; TRUST for a revision that is a
 * path. On failure *files is {0}. */
alloy_status alloy_model_files_open(alloy_model_files *files, const char *where, bool follow_symlinks);
void alloy_model_files_close(alloy_model_files *files);

/* Is `size` bytes of `name` the name of a file in a folder, and nothing else? TRUST when empty, ".", "..", or with '/',
 * '\' or NUL in it; `what` tells in the message where the name came from. */
alloy_status alloy_file_name_check(const char *name, size_t size, const char *what);

/* folder/name, for messages. */
alloy_status alloy_model_files_path(const alloy_model_files *files, const char *name, alloy_text *path);

/* Opens a file of the model, checked as above: IO when it is not there or no regular file, TRUST when it is no name or
 * its links lead out of the folder; the rest as alloy_file_open, alloy_file_read and alloy_file_copy. */
alloy_status alloy_model_files_file(const alloy_model_files *files, const char *name, size_t most, bool map,
                                    alloy_file *file);
alloy_status alloy_model_files_read(const alloy_model_files *files, const char *name, size_t most, alloy_text *out);
alloy_status alloy_model_files_check(const alloy_model_files *files, const char *name); /* opens and closes */
alloy_status alloy_model_files_copy(const alloy_model_files *files, const char *name, alloy_file_writer *writer);

#endif
