/* Writing safetensors (safetensors.h). */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/file_write.h"
#include "base/memory.h"
#include "base/status.h"
#include "files/json.h"
#include "files/safetensors.h"

enum { PIECE = 4 * 1024 * 1024 }; /* bytes asked of a source at a time */

static const uint64_t DEFAULT_SHARD = 5000000000; /* bytes */

static const char SINGLE[] = "model.safetensors", INDEX[] = "model.safetensors.index.json";

/* A tensor with its bytes counted. */
struct item {
    const alloy_saved_tensor *tensor;
    uint64_t bytes;
};

/* ---- Layout of one file ------------------------------------------------------------------------------------------ */

/* The order in which the format's own library ranks dtypes: by alignment first. The highest rank lies first. */
static int rank(alloy_dtype dtype)
{
    static const alloy_dtype ranks[] = {
        ALLOY_BOOL,    ALLOY_F4,      ALLOY_F6_E2M3, ALLOY_F6_E3M2,     ALLOY_U8,          ALLOY_I8,
        ALLOY_F8_E5M2, ALLOY_F8_E4M3, ALLOY_F8_E8M0, ALLOY_F8_E4M3FNUZ, ALLOY_F8_E5M2FNUZ, ALLOY_I16,
        ALLOY_U16,     ALLOY_F16,     ALLOY_BF16,    ALLOY_I32,         ALLOY_U32,         ALLOY_F32,
        ALLOY_C64,     ALLOY_F64,     ALLOY_I64,     ALLOY_U64,
    };
    _Static_assert(sizeof ranks / sizeof *ranks == ALLOY_DTYPE_COUNT - 1, "one rank a dtype");
    int i = 0;
    while (i < ALLOY_DTYPE_COUNT - 1 && ranks[i] != dtype)
        i++;
    return i;
}

static int compare_items(const void *left, const void *right)
{
    const alloy_saved_tensor *a = ((const struct item *)left)->tensor, *b = ((const struct item *)right)->tensor;
    int order = rank(b->dtype) - rank(a->dtype);
    return order ? order : strcmp(a->name, b->name);
}

/* Counts a tensor's bytes, with the checks that a reader will make. */
static alloy_status count_bytes(struct item *item)
{
    const alloy_saved_tensor *tensor = item->tensor;
    const char *name = alloy_printable(tensor->name, strlen(tensor->name));
    size_t elements = 1, bits;
    if (tensor->ndim < 0 || tensor->ndim > ALLOY_STORED_DIMS || alloy_dtype_bits(tensor->dtype) == 0)
        return alloy_fail(ALLOY_ARG, "tensor \"%s\": %d dimensions of dtype %d cannot be written", name, tensor->ndim,
                          (int)tensor->dtype);
    for (int i = 0; i < tensor->ndim; i++)
        if (!alloy_size_multiply(elements, tensor->shape[i], &elements))
            return alloy_fail(ALLOY_ARG, "tensor \"%s\": a shape whose number of elements passes 64 bits", name);
    if (!alloy_size_multiply(elements, (size_t)alloy_dtype_bits(tensor->dtype), &bits) || bits % 8 != 0)
        return alloy_fail(ALLOY_ARG, "tensor \"%s\": %zu elements of %s are no whole number of bytes", name, elements,
                          alloy_dtype_name(tensor->dtype));
    item->bytes = bits / 8;
    return ALLOY_OK;
}

/* All tensors counted, in the order given, no name twice; free the items. */
static alloy_status make_items(struct item **out, const alloy_saved_tensor *tensors, int64_t count)
{
    alloy_name_table names = {0};
    struct item *items = alloy_memory_new((size_t)count, sizeof *items);
    alloy_status status = items ? ALLOY_OK : ALLOY_NOMEM;
    for (int64_t i = 0, number; i < count && !status; i++) {
        size_t size = strlen(tensors[i].name);
        items[i].tensor = &tensors[i];
        status = alloy_name_table_add(&names, tensors[i].name, size, &number);
        if (status == ALLOY_FORMAT)
            status = alloy_fail(ALLOY_ARG, "two tensors are named \"%s\"", alloy_printable(tensors[i].name, size));
        if (!status)
            status = count_bytes(&items[i]);
    }
    alloy_name_table_free(&names);
    if (status) {
        alloy_memory_free(items);
        items = NULL;
    }
    *out = items;
    return status;
}

static void write_tensor_entry(alloy_json_writer *json, const struct item *item, uint64_t begin)
{
    const alloy_saved_tensor *tensor = item->tensor;
    const char *dtype = alloy_dtype_name(tensor->dtype);
    alloy_json_write_key(json, tensor->name);
    alloy_json_write_object(json);
    alloy_json_write_key(json, "dtype");
    alloy_json_write_string(json, dtype, strlen(dtype));
    alloy_json_write_key(json, "shape");
    alloy_json_write_array(json);
    for (int i = 0; i < tensor->ndim; i++)
        alloy_json_write_uint64(json, tensor->shape[i]);
    alloy_json_write_array_end(json);
    alloy_json_write_key(json, "data_offsets");
    alloy_json_write_array(json);
    alloy_json_write_uint64(json, begin);
    alloy_json_write_uint64(json, begin + item->bytes);
    alloy_json_write_array_end(json);
    alloy_json_write_object_end(json);
}

/* Size and JSON of the header in `out`, for items that are sorted. */
static alloy_status make_header(alloy_text *out, const struct item *items, int64_t count,
                                const alloy_saved_metadata *metadata, int64_t metadata_count)
{
    static const char no_size[8];
    alloy_json_writer json;
    alloy_text_append(out, no_size, sizeof no_size);
    alloy_json_writer_open(&json, out, 0);
    alloy_json_write_object(&json);
    alloy_json_write_key(&json, "__metadata__");
    alloy_json_write_object(&json);
    for (int64_t i = 0; i < metadata_count; i++) {
        alloy_json_write_key(&json, metadata[i].key);
        alloy_json_write_string(&json, metadata[i].value, strlen(metadata[i].value));
    }
    alloy_json_write_object_end(&json);
    uint64_t begin = 0;
    for (int64_t i = 0; i < count; i++) {
        write_tensor_entry(&json, &items[i], begin);
        if (__builtin_add_overflow(begin, items[i].bytes, &begin))
            return alloy_fail(ALLOY_ARG, "tensors of more than 2^64 bytes cannot be written");
    }
    alloy_json_write_object_end(&json);
    while (out->size % 8 != 0 && !out->failed)
        alloy_text_char(out, ' ');
    alloy_status status = alloy_text_status(out);
    if (status)
        return status;
    uint64_t size = out->size - sizeof no_size;
    if (size > ALLOY_SAFETENSORS_HEADER)
        return alloy_fail(ALLOY_LIMIT, "a header of %llu bytes, at most %d are allowed", (unsigned long long)size,
                          ALLOY_SAFETENSORS_HEADER);
    for (int i = 0; i < 8; i++)
        out->bytes[i] = (char)(size >> 8 * i);
    return ALLOY_OK;
}

/* ---- One file ---------------------------------------------------------------------------------------------------- */

static alloy_status write_bytes(alloy_file_writer *file, const struct item *item, uint8_t *piece)
{
    const alloy_saved_tensor *tensor = item->tensor;
    if (tensor->data)
        return alloy_file_write(file, tensor->data, item->bytes);
    alloy_status status = ALLOY_OK;
    for (uint64_t offset = 0; offset < item->bytes && !status; offset += PIECE) {
        size_t size = item->bytes - offset < PIECE ? (size_t)(item->bytes - offset) : PIECE;
        status = tensor->source(tensor->context, offset, piece, size);
        if (!status)
            status = alloy_file_write(file, piece, size);
    }
    return status;
}

/* Writes everything but the rename; sorts the items. On failure the writer is closed and its file removed. */
static alloy_status write_file(alloy_file_writer *file, const char *path, struct item *items, int64_t count,
                               const alloy_saved_metadata *metadata, int64_t metadata_count)
{
    static const alloy_saved_metadata pytorch = {"format", "pt"};
    alloy_text header = {0};
    uint8_t *piece = NULL;
    *file = (alloy_file_writer){0};
    qsort(items, (size_t)count, sizeof *items, compare_items);
    alloy_status status =
        make_header(&header, items, count, metadata ? metadata : &pytorch, metadata ? metadata_count : 1);
    if (!status && !(piece = alloy_memory_aligned(PIECE, 1)))
        status = ALLOY_NOMEM;
    if (!status)
        status = alloy_file_create(file, path);
    if (!status)
        status = alloy_file_write(file, header.bytes, header.size);
    for (int64_t i = 0; i < count && !status; i++)
        status = write_bytes(file, &items[i], piece);
    if (!status)
        status = alloy_file_finish(file);
    if (status)
        alloy_file_abandon(file);
    alloy_memory_free(piece);
    alloy_text_free(&header);
    return status;
}

alloy_status alloy_safetensors_write(const char *path, const alloy_saved_tensor *tensors, int64_t count,
                                     const alloy_saved_metadata *metadata, int64_t metadata_count)
{
    struct item *items;
    alloy_file_writer file;
    alloy_status status = make_items(&items, tensors, count);
    if (!status)
        status = write_file(&file, path, items, count, metadata, metadata_count);
    if (!status)
        status = alloy_file_commit(&file);
    alloy_memory_free(items);
    return status;
}

/* ---- A model's folder -----------------------------------------------------------------------------------------------
 *
 * At any moment the folder is the old model or the new one, also when the process is killed. A reader takes SINGLE
 * where it is, else the shards that INDEX names. So new shards never take the names of old ones (a save over a save
 * calls them model-v1-..), and one call makes them the model: the rename of INDEX, that of SINGLE, or the removal of an
 * old SINGLE that hid the new INDEX. What is left of the old model then, or of a save that was killed, is no part of a
 * model, and the next save removes it. One writer at a time: the folder is locked. */

/* A set of files that are written together. */
struct set {
    const char *folder;
    struct item *items; /* in the order given; sorted within each shard once it is written */
    int64_t *first;     /* [shards + 1] first item of each shard */
    int64_t shards;
    int version;              /* of the shards' names; 0: the plain ones */
    alloy_file_writer *files; /* [shards + 1] the last is the index, where there is one */
};

static void shard_name(char name[64], const struct set *set, int64_t shard)
{
    long long number = (long long)shard + 1, shards = (long long)set->shards;
    if (set->shards == 1)
        strcpy(name, SINGLE);
    else if (set->version == 0)
        snprintf(name, 64, "model-%05lld-of-%05lld.safetensors", number, shards);
    else
        snprintf(name, 64, "model-v%d-%05lld-of-%05lld.safetensors", set->version, number, shards);
}

/* Does a file stand under the name that a shard would take? */
static alloy_status any_name_is_taken(const struct set *set, bool *taken)
{
    alloy_text path = {0};
    alloy_status status = ALLOY_OK;
    *taken = false;
    for (int64_t shard = 0; shard < set->shards && !status && !*taken; shard++) {
        char name[64];
        shard_name(name, set, shard);
        status = alloy_path_join(&path, set->folder, name);
        *taken = !status && alloy_file_exists(path.bytes);
    }
    alloy_text_free(&path);
    return status;
}

/* Finds names that no file has. */
static alloy_status choose_names(struct set *set)
{
    bool taken = set->shards > 1;
    alloy_status status = ALLOY_OK;
    for (set->version = 0; taken && !status; set->version += taken)
        status = any_name_is_taken(set, &taken);
    return status;
}

/* Divides the items into shards of at most `most` bytes. */
static alloy_status divide(struct set *set, int64_t count, uint64_t most)
{
    set->first = alloy_memory_new((size_t)count + 2, sizeof *set->first);
    if (!set->first)
        return ALLOY_NOMEM;
    uint64_t bytes = 0;
    set->shards = 1;
    set->first[0] = 0;
    for (int64_t i = 0; i < count; i++) {
        if (i > set->first[set->shards - 1] && (bytes > most || set->items[i].bytes > most - bytes)) {
            set->first[set->shards++] = i;
            bytes = 0;
        }
        bytes += set->items[i].bytes;
    }
    set->first[set->shards] = count;
    set->files = alloy_memory_zeroed((size_t)set->shards + 1, sizeof *set->files);
    return set->files ? ALLOY_OK : ALLOY_NOMEM;
}

static alloy_status write_shards(struct set *set)
{
    alloy_text path = {0};
    alloy_status status = ALLOY_OK;
    for (int64_t shard = 0; shard < set->shards && !status; shard++) {
        char name[64];
        shard_name(name, set, shard);
        int64_t first = set->first[shard];
        status = alloy_path_join(&path, set->folder, name);
        if (!status)
            status =
                write_file(&set->files[shard], path.bytes, set->items + first, set->first[shard + 1] - first, NULL, 0);
    }
    alloy_text_free(&path);
    return status;
}

static void make_index(const struct set *set, alloy_text *out)
{
    uint64_t total = 0;
    for (int64_t i = 0; i < set->first[set->shards]; i++)
        total += set->items[i].bytes;
    alloy_json_writer json;
    alloy_json_writer_open(&json, out, 2);
    alloy_json_write_object(&json);
    alloy_json_write_key(&json, "metadata");
    alloy_json_write_object(&json);
    alloy_json_write_key(&json, "total_size");
    alloy_json_write_uint64(&json, total);
    alloy_json_write_object_end(&json);
    alloy_json_write_key(&json, "weight_map");
    alloy_json_write_object(&json);
    for (int64_t shard = 0; shard < set->shards; shard++) {
        char name[64];
        shard_name(name, set, shard);
        for (int64_t i = set->first[shard]; i < set->first[shard + 1]; i++) {
            alloy_json_write_key(&json, set->items[i].tensor->name);
            alloy_json_write_string(&json, name, strlen(name));
        }
    }
    alloy_json_write_object_end(&json);
    alloy_json_write_object_end(&json);
    alloy_text_char(out, '\n');
}

static alloy_status write_index(struct set *set)
{
    alloy_text index = {0}, path = {0};
    alloy_file_writer *file = &set->files[set->shards];
    make_index(set, &index);
    alloy_status status = alloy_text_status(&index);
    if (!status)
        status = alloy_path_join(&path, set->folder, INDEX);
    if (!status)
        status = alloy_file_create(file, path.bytes);
    if (!status) {
        status = alloy_file_write(file, index.bytes, index.size);
        if (!status)
            status = alloy_file_finish(file);
        if (status)
            alloy_file_abandon(file);
    }
    alloy_text_free(&index);
    alloy_text_free(&path);
    return status;
}

static bool is_weight_name(const char *name, size_t size)
{
    static const char *const patterns[] = {"model.safetensors%n", "model.safetensors.index.json%n",
                                           "model-%*5d-of-%*5d.safetensors%n",
                                           "model-v%*9d-%*5d-of-%*5d.safetensors%n"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        int end = 0;
        sscanf(name, patterns[i], &end);
        if (end > 0 && (size_t)end == size)
            return true;
    }
    return false;
}

bool alloy_is_weight_file(const char *name)
{
    size_t size;
    if (alloy_is_temporary_name(name, "tmp", &size))
        return is_weight_name(name + 1, size);
    return is_weight_name(name, strlen(name));
}

static bool is_of_set(const struct set *set, const char *name)
{
    char ours[64];
    if (set->shards > 1 && strcmp(name, INDEX) == 0)
        return true;
    for (int64_t shard = 0; shard < set->shards; shard++) {
        shard_name(ours, set, shard);
        if (strcmp(name, ours) == 0)
            return true;
    }
    return false;
}

/* Removes the weight files of an earlier save. The new model stands: from here on no memory is needed. */
static alloy_status remove_others(const struct set *set)
{
    alloy_status status = ALLOY_OK;
    DIR *folder = opendir(set->folder);
    if (!folder)
        return alloy_fail(ALLOY_IO, "%s: cannot list the folder", alloy_printable_path(set->folder));
    for (struct dirent *entry; !status && (entry = readdir(folder));) {
        if (!alloy_is_weight_file(entry->d_name) || is_of_set(set, entry->d_name))
            continue;
        if (unlinkat(dirfd(folder), entry->d_name, 0) != 0)
            status = alloy_fail(ALLOY_IO, "%s: cannot remove %s, a file of an earlier save",
                                alloy_printable_path(set->folder), entry->d_name);
    }
    closedir(folder);
    return status;
}

static alloy_status write_set(struct set *set, int64_t count, uint64_t most)
{
    alloy_status status = divide(set, count, most ? most : DEFAULT_SHARD);
    if (!status)
        status = choose_names(set);
    if (!status)
        status = write_shards(set);
    bool has_index = set->shards > 1;
    if (!status && has_index)
        status = write_index(set);
    for (int64_t i = 0; i < set->shards + has_index && !status; i++)
        status = alloy_file_commit(&set->files[i]);
    for (int64_t i = 0; i <= set->shards && status && set->files; i++)
        alloy_file_abandon(&set->files[i]);
    return status ? status : remove_others(set);
}

alloy_status alloy_safetensors_write_model_locked(const char *folder, const alloy_saved_tensor *tensors, int64_t count,
                                                  uint64_t most)
{
    struct set set = {.folder = folder};
    alloy_status status = make_items(&set.items, tensors, count);
    if (!status)
        status = write_set(&set, count, most);
    alloy_memory_free(set.items);
    alloy_memory_free(set.first);
    alloy_memory_free(set.files);
    return status;
}

alloy_status alloy_safetensors_write_model(const char *folder, const alloy_saved_tensor *tensors, int64_t count,
                                           uint64_t most)
{
    int lock = -1;
    alloy_status status = alloy_folder_lock(folder, &lock);
    if (!status)
        status = alloy_safetensors_write_model_locked(folder, tensors, count, most);
    alloy_folder_unlock(lock);
    return status;
}
