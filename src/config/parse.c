/* Opening a config (the public header's section "Configs"): the order of source.h, from a file's bytes to an
 * alloy_config. */
#include "config/config.h"

#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "config/source.h"

enum { MOST_BYTES = ALLOY_CONFIG_BYTES };

/* model_type, the family's key, may stand anywhere: a first reading of the whole text finds it (and every syntax
 * error). */
static alloy_status find_family(alloy_config_reader *reader, const char **model_type, const alloy_family **family)
{
    alloy_json *json = &reader->json;
    alloy_json_string_view key;
    *model_type = NULL;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        if (alloy_json_key_is(&key, "model_type"))
            *model_type = alloy_read_name(json, reader->arena, "model_type");
        else
            alloy_json_skip(json);
    }
    size_t end = json->at;
    alloy_status status = alloy_json_close(json); /* nothing may follow the object */
    if (status)
        return status;
    if (!*model_type)
        return alloy_reader_fail(
            reader, ALLOY_FORMAT,
            "model_type is missing: it says what the other fields mean, \"alloy\" or a family's name");
    status = alloy_family_find(family, *model_type);
    if (status)
        return alloy_fail_in(status, alloy_printable(reader->name, strlen(reader->name)));
    alloy_json_open(json, reader->name, json->text, end);
    json->not_finite = true;
    return json->status;
}

static void warn_of_ignored(const alloy_config_reader *reader)
{
    if (reader->ignored.size)
        alloy_warn("%s: ignored: %s (no field of a model's file can name code, kernels or addresses)",
                   alloy_printable(reader->name, strlen(reader->name)), alloy_text_get(&reader->ignored));
}

/* Families have attention in some layer, so their heads must have a size. */
static alloy_status require_head_dim(const alloy_config_reader *reader, const alloy_source *source)
{
    int64_t heads = alloy_source_integer(source, "num_attention_heads"), hidden = source->config.hidden_size;
    if (!reader->family->fields || alloy_source_has(source, "head_dim") || hidden % heads == 0)
        return ALLOY_OK;
    return alloy_reader_fail(
        reader, ALLOY_RANGE,
        "hidden_size is %lld, expected a multiple of num_attention_heads, %lld, where head_dim is absent",
        (long long)hidden, (long long)heads);
}

static alloy_status require_vocabulary(const alloy_config_reader *reader, const alloy_source *source)
{
    if (alloy_source_has(source, "vocab_size"))
        return ALLOY_OK;
    return alloy_reader_fail(reader, ALLOY_RANGE, "vocab_size is missing, expected an integer in 1..2147483647");
}

/* From text to source->config. */
static alloy_status read_all(alloy_config_reader *reader, alloy_source *source)
{
    const char *model_type = NULL;
    const alloy_family *family = NULL;
    alloy_status status = find_family(reader, &model_type, &family);
    if (status)
        return status;
    alloy_reader_use(reader, family);
    status = alloy_read_config(reader, source);
    if (status)
        return status;
    source->config.model_type = model_type;
    if (family->defaults)
        alloy_source_defaults(source, family->defaults, ALLOY_FIELD_DEFAULT);
    status = require_vocabulary(reader, source);
    if (!status && family->translate)
        status = family->translate(reader, source);
    if (!status)
        status = alloy_source_resolve(reader, source);
    if (!status)
        status = require_head_dim(reader, source);
    if (!status && family->check)
        status = family->check(reader, source);
    if (!status)
        status = alloy_list_layers(reader, source);
    if (!status)
        status = alloy_build_layers(reader, source);
    return status;
}

/* Reads into an arena that the config will own. */
static alloy_status parse_into(alloy_config_root **out, alloy_arena *arena, const char *name, const void *bytes,
                               size_t size)
{
    alloy_config_root *root = alloy_arena_take_zeroed(arena, 1, sizeof *root);
    const char *text = root ? alloy_arena_copy(arena, bytes, size) : NULL;
    if (!text)
        return ALLOY_NOMEM;
    alloy_config_reader reader = {.name = name, .arena = arena, .root = root};
    alloy_json_open(&reader.json, name, text, size);
    reader.json.not_finite = true;
    alloy_status status = reader.json.status ? reader.json.status : read_all(&reader, &root->source);
    reader.json.depth = 1; /* given up, or done: nothing is left to be checked at the end */
    alloy_json_close(&reader.json);
    alloy_name_table_free(&reader.names);
    if (!status)
        status = alloy_text_status(&reader.ignored);
    if (!status)
        warn_of_ignored(&reader);
    alloy_text_free(&reader.ignored);
    root->arena = arena;
    root->family = reader.family;
    *out = root;
    return status;
}

alloy_status alloy_config_parse(alloy_config **out, const char *name, const void *bytes, size_t size)
{
    *out = NULL;
    if (size > MOST_BYTES)
        return alloy_fail(ALLOY_LIMIT, "%s: %zu bytes, a config has at most %d", alloy_printable(name, strlen(name)),
                          size, (int)MOST_BYTES);
    alloy_arena *arena = alloy_arena_new();
    alloy_config_root *root = NULL;
    alloy_status status = arena ? parse_into(&root, arena, name, bytes, size) : ALLOY_NOMEM;
    if (status) {
        alloy_arena_free(arena);
        return status;
    }
    *out = &root->source.config;
    return ALLOY_OK;
}

static alloy_status read_in(const alloy_model_files *files, alloy_text *path, alloy_text *bytes)
{
    alloy_status status = alloy_model_files_path(files, "config.json", path);
    return status ? status : alloy_model_files_read(files, "config.json", MOST_BYTES, bytes);
}

alloy_status alloy_config_read(const char *where, bool follow_symlinks, alloy_text *path, alloy_text *bytes)
{
    alloy_text_clear(path);
    if (!alloy_folder_exists(where)) {
        alloy_text_string(path, where);
        alloy_status status = alloy_text_status(path);
        return status ? status : alloy_file_read(bytes, where, MOST_BYTES);
    }
    alloy_model_files files;
    alloy_status status = alloy_model_files_open(&files, where, follow_symlinks);
    if (!status)
        status = read_in(&files, path, bytes);
    alloy_model_files_close(&files);
    return status;
}

alloy_status alloy_config_open_in(alloy_config **out, const alloy_model_files *files)
{
    alloy_text path = {0}, bytes = {0};
    *out = NULL;
    alloy_status status = read_in(files, &path, &bytes);
    if (!status)
        status = alloy_config_parse(out, path.bytes, alloy_text_get(&bytes), bytes.size);
    alloy_text_free(&path);
    alloy_text_free(&bytes);
    return status;
}

alloy_status alloy_config_open(alloy_config **out, const char *where)
{
    alloy_text path = {0}, bytes = {0};
    *out = NULL;
    alloy_status status = alloy_config_read(where, false, &path, &bytes);
    if (!status)
        status = alloy_config_parse(out, path.bytes, alloy_text_get(&bytes), bytes.size);
    alloy_text_free(&path);
    alloy_text_free(&bytes);
    return status;
}

void alloy_config_close(alloy_config *config)
{
    if (config)
        alloy_arena_free(((alloy_config_root *)config)->arena);
}
