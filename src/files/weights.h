/* The tensors of a model's folder: model.safetensors, or model.safetensors.index.json and the shards that it names, as
 * one table by name.
 *
 * Shards are opened when a tensor of theirs is first asked for, so of a model that is run in part only those files must
 * exist. A shard that is opened is checked against the index in both directions: it holds each tensor that the index
 * places there, and none that the index places elsewhere or does not know.
 *
 * Looking up may open files: one thread at a time. Reading what was found is free for all. */
#ifndef ALLOY_FILES_WEIGHTS_H
#define ALLOY_FILES_WEIGHTS_H

#include "alloy/alloy.h"
#include "files/model_files.h"
#include "files/safetensors.h"

enum { ALLOY_MOST_SHARDS = 16384 };

typedef struct alloy_weights alloy_weights;

/* Reads the index, or opens the single file. `files` must outlive the table. Of the options, no_mmap and allow_unused
 * count (a shard's tensor that the index does not know is a warning then); NULL: the defaults. IO when the folder holds
 * neither; TRUST for a shard's name that is a path; FORMAT; LIMIT. *out is NULL on failure. */
alloy_status alloy_weights_open(alloy_weights **out, const alloy_model_files *files, const alloy_load_options *options);
void alloy_weights_close(alloy_weights *weights);

/* All tensors, i in [0, count): in the order of the index, or of the single file's header. Opens nothing. */
int64_t alloy_weights_count(const alloy_weights *weights);
const char *alloy_weights_name(const alloy_weights *weights, int64_t i, size_t *size);
bool alloy_weights_has(const alloy_weights *weights, const char *name);

/* The tensor of that name, its file opened where that is needed; *out is NULL, with ALLOY_OK, where no file has it.
 * Fails as opening does: IO for a missing shard, FORMAT for one that is not as the index says; LIMIT for a tensor of
 * too many dimensions. The tensor lives as long as the table. */
alloy_status alloy_weights_find(alloy_weights *weights, const char *name, const alloy_stored_tensor **out);
alloy_status alloy_weights_at(alloy_weights *weights, int64_t i, const alloy_stored_tensor **out);

/* Opens every file, and compares the index's total_size (a wrong one is a warning). */
alloy_status alloy_weights_open_all(alloy_weights *weights);

/* Files, i in [0, count), and whether they are open: a path is NULL before. */
int64_t alloy_weights_file_count(const alloy_weights *weights);
const char *alloy_weights_file_path(const alloy_weights *weights, int64_t i);
const alloy_file *alloy_weights_file(const alloy_weights *weights, int64_t i); /* NULL before */

/* Are all mapped files as long as when they were opened? IO naming the one that is not. Cheap: one system call a
 * file. */
alloy_status alloy_weights_check(const alloy_weights *weights);

#endif
