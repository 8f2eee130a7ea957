/* safetensors: 8 bytes N, little endian; N bytes of JSON that name each tensor's dtype, shape and place; the tensors'
 * bytes.
 *
 * Reading accepts a subset of what release 0.8.0 of the format's own library accepts. Stricter on purpose: a tensor's
 * name, a metadata key or any other key that stands twice in one object is an error (there the last one wins, so that
 * two programs could see two models); so is a tensor described by an array in place of an object. As there: tensors
 * cover the data without hole, overlap or rest; sizes are checked in 64 bits; a dimension may be 0; tensors may lie at
 * any alignment; names may be any bytes, so they are no paths and no C strings.
 *
 * After opening a mapped file none of its tensors has been touched: memory holds names and places only. */
#ifndef ALLOY_FILES_SAFETENSORS_H
#define ALLOY_FILES_SAFETENSORS_H

#include "alloy/alloy.h"
#include "base/file.h"
#include "base/name_table.h"

enum {
    ALLOY_STORED_DIMS = 8,
    ALLOY_SAFETENSORS_HEADER = 100000000
}; /* dimensions that are kept; most bytes of a header */

/* A tensor in a file. */
typedef struct alloy_stored_tensor {
    const char *name;    /* name_size bytes and a NUL after them */
    size_t name_size;    /* bytes */
    const uint8_t *data; /* `bytes` bytes at any alignment */
    size_t bytes;
    uint64_t shape[ALLOY_STORED_DIMS]; /* the first `ndim` are set; one may pass 2^63 where another is 0 */
    int ndim; /* 0: a scalar. Beyond ALLOY_STORED_DIMS only the first are kept: see alloy_stored_tensor_check */
    alloy_dtype dtype;
} alloy_stored_tensor;

/* Constant once open, so any number of threads may read it. */
typedef struct alloy_safetensors {
    alloy_file file;
    alloy_name_table names;       /* number i: tensors[i] */
    alloy_stored_tensor *tensors; /* [count] in the order of the header */
    int64_t count;
    /* [count] numbers of the tensors in the order of their bytes; NULL where that is the header's order */
    int64_t *order;
    alloy_name_table metadata; /* keys of __metadata__ */
    alloy_text values;         /* their values, each with a NUL after it */
    size_t *value_at;          /* [metadata.count] offset of each value; a value ends where the next begins */
    int64_t value_capacity;    /* room in value_at */
    size_t data_at;            /* offset of the first tensor's bytes in the file */
} alloy_safetensors;           /* {0} is closed */

/* Opens and checks a whole file. FORMAT names the file and the tensor or the line:column of the header; IO and NOMEM as
 * alloy_file_open. `map`: map the file; else read it into memory. On failure *out is {0}. */
alloy_status alloy_safetensors_open(alloy_safetensors *out, const char *path, bool map);

/* The same of an open file, which is the table's from then on, also on failure (*file is {0}). */
alloy_status alloy_safetensors_take(alloy_safetensors *out, alloy_file *file);
void alloy_safetensors_close(alloy_safetensors *safetensors);

/* The tensor of that name, or NULL. */
const alloy_stored_tensor *alloy_safetensors_find(const alloy_safetensors *safetensors, const char *name, size_t size);

/* The tensors in the order of their bytes, i in [0, count). */
const alloy_stored_tensor *alloy_safetensors_at(const alloy_safetensors *safetensors, int64_t i);

/* The value of a metadata key, with a NUL after its bytes, or NULL. `size` may be NULL. */
const char *alloy_safetensors_metadata(const alloy_safetensors *safetensors, const char *key, size_t *size);

/* Is the tensor one that can be used? LIMIT when it has more than ALLOY_STORED_DIMS dimensions, naming it. */
alloy_status alloy_stored_tensor_check(const alloy_stored_tensor *tensor);

/* "BF16 [1024, 64]", for messages; appended. */
void alloy_stored_tensor_describe(const alloy_stored_tensor *tensor, alloy_text *out);

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

/* Puts bytes [offset, offset + size) of a tensor at `to`. Called in rising order, in pieces that are multiples of 64
 * bytes but for the last. */
typedef alloy_status alloy_tensor_source(void *context, uint64_t offset, void *to, size_t size);

/* A tensor to be written: its bytes are at `data`, or `source` gives them. */
typedef struct alloy_saved_tensor {
    const char *name; /* NUL-terminated */
    alloy_dtype dtype;
    int ndim;
    uint64_t shape[ALLOY_STORED_DIMS];
    const void *data;
    alloy_tensor_source *source; /* where data is NULL */
    void *context;               /* for `source` */
} alloy_saved_tensor;

/* A pair of __metadata__. */
typedef struct alloy_saved_metadata {
    const char *key, *value;
} alloy_saved_metadata;

/* Writes one file, atomically. Bytes lie as the format's own library lays them: larger dtypes first, then by name;
 * header padded with spaces to a multiple of 8. `metadata` NULL: {"format": "pt"}, which `transformers` asks for. ARG
 * for two tensors of one name, a size that overflows or is no whole number of bytes; IO; NOMEM; what a source
 * returned. */
alloy_status alloy_safetensors_write(const char *path, const alloy_saved_tensor *tensors, int64_t count,
                                     const alloy_saved_metadata *metadata, int64_t metadata_count);

/* Writes a model's tensors into a folder as `transformers` names them: model.safetensors when they fit `most` bytes (0:
 * 5 * 10^9), else model-00001-of-0000N.safetensors and model.safetensors.index.json, in the order given, a tensor
 * larger than `most` in a file of its own. All files are complete and synced beside their final names before the first
 * is renamed, and the folder is the old model until one last call makes it the new one; where an earlier save has these
 * names, shards are called model-v1-00001-of-0000N.safetensors and so on. Files of an earlier save are removed at the
 * end. IO when another process is writing a model there. */
alloy_status alloy_safetensors_write_model(const char *folder, const alloy_saved_tensor *tensors, int64_t count,
                                           uint64_t most);

/* Is it the name of a file that the above writes, or one of its temporary files? */
bool alloy_is_weight_file(const char *name);

/* The same for who holds the folder's lock (alloy_folder_lock) and writes more than the tensors under it. */
alloy_status alloy_safetensors_write_model_locked(const char *folder, const alloy_saved_tensor *tensors, int64_t count,
                                                  uint64_t most);

#endif
