/* One table over a model's files (weights.h).
 *
 * Invariant: entries[i] tells the shard of the i-th name; a shard that is open has passed check_shard. A single file is
 * one open shard whose names are the table, in the same order. */
#include "files/weights.h"

#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "files/json.h"

enum { MOST_INDEX_BYTES = 512 * 1024 * 1024 };

static const char SINGLE[] = "model.safetensors", INDEX[] = "model.safetensors.index.json";

struct alloy_weights {
    const alloy_model_files *files;
    bool map, allow_unused;
    alloy_name_table names; /* of the index; empty for a single file, whose own table serves */
    int32_t *entries;       /* [names.count] shard of each name */
    int64_t entry_capacity;
    alloy_name_table shard_names; /* number i: shards[i] */
    alloy_safetensors *shards;    /* [shard_names.count] closed until asked for */
    int64_t *shard_tensors;       /* [shard_names.count] tensors that the index places in each */
    double total_size;            /* bytes, as the index says; negative: not said */
    int64_t open_shards;          /* so many are open, */
    double open_bytes;            /* and hold so many bytes of tensors */
};

static bool is_single(const alloy_weights *weights)
{
    return weights->names.count == 0;
}

static bool is_open(const alloy_safetensors *shard)
{
    return shard->file.data != NULL;
}

/* ---- The index --------------------------------------------------------------------------------------------------- */

/* The bytes that a view means, decoded into `buffer` where it has escapes. */
static alloy_status decode(alloy_json_string_view *view, alloy_text *buffer)
{
    if (!view->escaped)
        return ALLOY_OK;
    alloy_text_clear(buffer);
    alloy_status status = alloy_json_unescape(view, buffer);
    *view = (alloy_json_string_view){alloy_text_get(buffer), buffer->size, false};
    return status;
}

/* The shard of that name, a new one where it is not known. */
static alloy_status add_shard(alloy_weights *weights, alloy_json *json, const alloy_json_string_view *name,
                              int64_t *shard)
{
    alloy_status status = alloy_file_name_check(name->bytes, name->size, INDEX);
    if (status)
        return alloy_json_fail(json, status, "%s", alloy_error());
    status = alloy_name_table_add(&weights->shard_names, name->bytes, name->size, shard);
    if (status == ALLOY_FORMAT)
        return ALLOY_OK;
    if (!status && weights->shard_names.count > ALLOY_MOST_SHARDS)
        status = alloy_json_fail(json, ALLOY_LIMIT, "more than %d shards", ALLOY_MOST_SHARDS);
    return status;
}

/* {"tensor": "shard", ..}. All names are checked here, before any file is opened. */
static alloy_status read_weight_map(alloy_weights *weights, alloy_json *json)
{
    alloy_text buffer = {0};
    alloy_json_string_view key, value;
    alloy_status status = ALLOY_OK;
    alloy_json_object(json);
    while (!status && alloy_json_next_key(json, &key)) {
        int64_t number, shard = 0;
        int32_t *entries =
            alloy_memory_grow(weights->entries, weights->names.count, &weights->entry_capacity, sizeof *entries);
        status = entries ? decode(&key, &buffer) : ALLOY_NOMEM;
        weights->entries = entries ? entries : weights->entries;
        if (!status)
            status = alloy_name_table_add(&weights->names, key.bytes, key.size, &number);
        value = alloy_json_string(json);
        if (!status && json->status)
            break;
        if (!status)
            status = decode(&value, &buffer);
        if (!status)
            status = add_shard(weights, json, &value, &shard);
        if (!status)
            weights->entries[number] = (int32_t)shard;
    }
    alloy_text_free(&buffer);
    return status;
}

/* {"total_size": ..} and whatever else. */
static void read_index_metadata(alloy_weights *weights, alloy_json *json)
{
    alloy_json_string_view key;
    if (alloy_json_peek(json) != ALLOY_JSON_OBJECT) {
        alloy_json_skip(json);
        return;
    }
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        if (!alloy_json_key_is(&key, "total_size") || alloy_json_peek(json) != ALLOY_JSON_NUMBER) {
            alloy_json_skip(json);
            continue;
        }
        weights->total_size = alloy_json_double(json);
        if (weights->total_size < 0)
            alloy_warn("%s: total_size is negative; ignored", alloy_printable_path(json->name));
    }
}

static alloy_status parse_index(alloy_weights *weights, const char *path, const alloy_text *text)
{
    alloy_json json;
    alloy_json_string_view key;
    alloy_status status = ALLOY_OK;
    alloy_json_open(&json, path, alloy_text_get(text), text->size);
    alloy_json_object(&json);
    while (!status && alloy_json_next_key(&json, &key)) {
        if (alloy_json_key_is(&key, "weight_map"))
            status = read_weight_map(weights, &json);
        else if (alloy_json_key_is(&key, "metadata"))
            read_index_metadata(weights, &json);
        else
            alloy_json_skip(&json);
    }
    alloy_status closed = alloy_json_close(&json);
    status = status ? status : closed;
    if (!status && weights->names.count == 0)
        status = alloy_fail(ALLOY_FORMAT, "%s: no weight_map, or an empty one", alloy_printable_path(path));
    return status;
}

static alloy_status open_index(alloy_weights *weights)
{
    alloy_text path = {0}, text = {0};
    alloy_status status = alloy_model_files_path(weights->files, INDEX, &path);
    if (!status)
        status = alloy_model_files_read(weights->files, INDEX, MOST_INDEX_BYTES, &text);
    if (!status)
        status = parse_index(weights, path.bytes, &text);
    alloy_text_free(&path);
    alloy_text_free(&text);
    if (status)
        return status;
    size_t shards = (size_t)weights->shard_names.count;
    weights->shards = alloy_memory_zeroed(shards, sizeof *weights->shards);
    weights->shard_tensors = alloy_memory_zeroed(shards, sizeof *weights->shard_tensors);
    if (!weights->shards || !weights->shard_tensors)
        return ALLOY_NOMEM;
    for (int64_t i = 0; i < weights->names.count; i++)
        weights->shard_tensors[weights->entries[i]]++;
    return ALLOY_OK;
}

/* ---- Shards ------------------------------------------------------------------------------------------------------ */

/* A tensor of a shard that the index does not place there. */
static alloy_status misplaced(const alloy_weights *weights, const alloy_safetensors *shard,
                              const alloy_stored_tensor *tensor, int64_t number)
{
    const char *path = alloy_printable_path(shard->file.path), *name = alloy_printable(tensor->name, tensor->name_size);
    if (number >= 0)
        return alloy_fail(ALLOY_FORMAT, "%s: holds tensor \"%s\", which the index places in %s", path, name,
                          alloy_name_table_get(&weights->shard_names, weights->entries[number], NULL));
    if (!weights->allow_unused)
        return alloy_fail(ALLOY_FORMAT, "%s: holds tensor \"%s\", which the index does not know", path, name);
    alloy_warn("%s: holds tensor \"%s\", which the index does not know; ignored", path, name);
    return ALLOY_OK;
}

/* Does the shard hold what the index says, and nothing else? */
static alloy_status check_shard(const alloy_weights *weights, const alloy_safetensors *shard, int64_t shard_number)
{
    int64_t found = 0;
    for (int64_t i = 0; i < shard->count; i++) {
        const alloy_stored_tensor *tensor = &shard->tensors[i];
        int64_t number = alloy_name_table_find(&weights->names, tensor->name, tensor->name_size);
        bool right = number >= 0 && weights->entries[number] == shard_number;
        alloy_status status = right ? ALLOY_OK : misplaced(weights, shard, tensor, number);
        if (status)
            return status;
        found += right;
    }
    for (int64_t i = 0; i < weights->names.count && found < weights->shard_tensors[shard_number]; i++) {
        size_t size;
        const char *name = alloy_name_table_get(&weights->names, i, &size);
        if (weights->entries[i] == shard_number && !alloy_safetensors_find(shard, name, size))
            return alloy_fail(ALLOY_FORMAT, "%s: does not hold tensor \"%s\", which the index places there",
                              alloy_printable_path(shard->file.path), alloy_printable(name, size));
    }
    return ALLOY_OK;
}

/* A shard more is open; once all are, does total_size say what they hold? */
static void count_shard(alloy_weights *weights, const alloy_safetensors *shard)
{
    weights->open_bytes += (double)(shard->file.size - shard->data_at);
    if (++weights->open_shards == weights->shard_names.count && weights->total_size >= 0 &&
        weights->total_size != weights->open_bytes)
        alloy_warn("%s: total_size is %.15g, the shards hold %.15g bytes; ignored", INDEX, weights->total_size,
                   weights->open_bytes);
}

static alloy_status open_shard(alloy_weights *weights, int64_t number)
{
    alloy_safetensors *shard = &weights->shards[number];
    if (is_open(shard))
        return ALLOY_OK;
    alloy_file file;
    const char *name = alloy_name_table_get(&weights->shard_names, number, NULL);
    alloy_status status = alloy_model_files_file(weights->files, name, SIZE_MAX, weights->map, &file);
    if (!status)
        status = alloy_safetensors_take(shard, &file);
    if (!status && !is_single(weights))
        status = check_shard(weights, shard, number);
    if (status)
        alloy_safetensors_close(shard);
    else
        count_shard(weights, shard);
    return status;
}

static alloy_status open_single(alloy_weights *weights)
{
    int64_t number;
    weights->shards = alloy_memory_zeroed(1, sizeof *weights->shards);
    if (!weights->shards)
        return ALLOY_NOMEM;
    alloy_status status = alloy_name_table_add(&weights->shard_names, SINGLE, sizeof SINGLE - 1, &number);
    return status ? status : open_shard(weights, 0);
}

alloy_status alloy_weights_open(alloy_weights **out, const alloy_model_files *files, const alloy_load_options *options)
{
    *out = NULL;
    alloy_weights *weights = alloy_memory_zeroed(1, sizeof *weights);
    if (!weights)
        return ALLOY_NOMEM;
    *weights = (alloy_weights){.files = files,
                               .map = !options || !options->no_mmap,
                               .allow_unused = options && options->allow_unused,
                               .total_size = -1};
    bool single = false, index = false;
    alloy_status status = alloy_model_files_has(files, SINGLE, &single);
    if (!status && !single)
        status = alloy_model_files_has(files, INDEX, &index);
    if (!status && single)
        status = open_single(weights);
    else if (!status && index)
        status = open_index(weights);
    else if (!status)
        status = alloy_fail(ALLOY_IO, "%s: holds neither %s nor %s", alloy_printable_path(files->path), SINGLE, INDEX);
    if (status)
        alloy_weights_close(weights);
    else
        *out = weights;
    return status;
}

void alloy_weights_close(alloy_weights *weights)
{
    if (!weights)
        return;
    for (int64_t i = 0; i < weights->shard_names.count && weights->shards; i++)
        alloy_safetensors_close(&weights->shards[i]);
    alloy_memory_free(weights->shards);
    alloy_memory_free(weights->shard_tensors);
    alloy_memory_free(weights->entries);
    alloy_name_table_free(&weights->names);
    alloy_name_table_free(&weights->shard_names);
    alloy_memory_free(weights);
}

/* ---- Looking up -------------------------------------------------------------------------------------------------- */

/* The table of all names. */
static const alloy_name_table *all_names(const alloy_weights *weights)
{
    return is_single(weights) ? &weights->shards[0].names : &weights->names;
}

int64_t alloy_weights_count(const alloy_weights *weights)
{
    return all_names(weights)->count;
}

const char *alloy_weights_name(const alloy_weights *weights, int64_t i, size_t *size)
{
    return alloy_name_table_get(all_names(weights), i, size);
}

bool alloy_weights_has(const alloy_weights *weights, const char *name)
{
    return alloy_name_table_find(all_names(weights), name, strlen(name)) >= 0;
}

alloy_status alloy_weights_at(alloy_weights *weights, int64_t i, const alloy_stored_tensor **out)
{
    *out = NULL;
    int64_t shard = is_single(weights) ? 0 : weights->entries[i];
    alloy_status status = open_shard(weights, shard);
    if (status)
        return status;
    size_t size;
    const char *name = alloy_weights_name(weights, i, &size);
    const alloy_stored_tensor *tensor = alloy_safetensors_find(&weights->shards[shard], name, size);
    status = alloy_stored_tensor_check(tensor);
    if (status)
        return alloy_fail_in(status, alloy_printable_path(weights->shards[shard].file.path));
    *out = tensor;
    return ALLOY_OK;
}

alloy_status alloy_weights_find(alloy_weights *weights, const char *name, const alloy_stored_tensor **out)
{
    *out = NULL;
    int64_t i = alloy_name_table_find(all_names(weights), name, strlen(name));
    return i < 0 ? ALLOY_OK : alloy_weights_at(weights, i, out);
}

alloy_status alloy_weights_open_all(alloy_weights *weights)
{
    alloy_status status = ALLOY_OK;
    for (int64_t shard = 0; shard < weights->shard_names.count && !status; shard++)
        status = open_shard(weights, shard);
    return status;
}

/* ---- The files --------------------------------------------------------------------------------------------------- */

int64_t alloy_weights_file_count(const alloy_weights *weights)
{
    return weights->shard_names.count;
}

const char *alloy_weights_file_path(const alloy_weights *weights, int64_t i)
{
    return weights->shards[i].file.path;
}

const alloy_file *alloy_weights_file(const alloy_weights *weights, int64_t i)
{
    return is_open(&weights->shards[i]) ? &weights->shards[i].file : NULL;
}

alloy_status alloy_weights_check(const alloy_weights *weights)
{
    for (int64_t i = 0; i < weights->shard_names.count; i++) {
        alloy_status status = alloy_file_check(&weights->shards[i].file);
        if (status)
            return status;
    }
    return ALLOY_OK;
}
