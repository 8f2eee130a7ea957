/* Reading safetensors (safetensors.h).
 *
 * Order of the checks: sizes of the file and of the header; the header's JSON, and with it each tensor's dtype, shape
 * and offsets by themselves; then, over the tensors sorted by (begin, end): each begins where the one before it ended,
 * the first at 0, the last ends with the file; each one's bytes are what dtype and shape say.
 *
 * The header is copied before it is read, so that a file that changes under its mapping cannot change what was
 * checked. */
#include "files/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/status.h"
#include "files/json.h"

enum { SIZE_BYTES = 8, HEADER_DEPTH = 127 }; /* levels: serde_json, which the format's own library uses, stops there */

/* Where the header says that a tensor lies. */
struct place {
    uint64_t begin, end; /* bytes from the start of the data */
    int64_t number;      /* of the tensor */
};

/* A file being opened. */
struct reader {
    alloy_safetensors *out;
    const char *path; /* printable */
    alloy_json json;
    struct place *places; /* [out->count] */
    int64_t place_capacity, tensor_capacity;
};

static const char *printable_name(const alloy_name_table *names, int64_t number)
{
    size_t size;
    const char *name = alloy_name_table_get(names, number, &size);
    return alloy_printable(name, size);
}

/* ---- The header -------------------------------------------------------------------------------------------------- */

/* Adds a key of the header to a table. (A key that stands twice has failed in the JSON reader.) */
static alloy_status add_name(alloy_name_table *names, const alloy_json_string_view *key)
{
    int64_t number;
    if (!key->escaped)
        return alloy_name_table_add(names, key->bytes, key->size, &number);
    alloy_text name = {0};
    alloy_status status = alloy_json_unescape(key, &name);
    if (!status)
        status = alloy_name_table_add(names, alloy_text_get(&name), name.size, &number);
    alloy_text_free(&name);
    return status;
}

/* __metadata__: null, or strings by name. */
static alloy_status read_metadata(alloy_json *json, alloy_safetensors *out)
{
    alloy_json_string_view key;
    if (alloy_json_null(json))
        return ALLOY_OK;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        size_t *value_at =
            alloy_memory_grow(out->value_at, out->metadata.count, &out->value_capacity, sizeof *value_at);
        if (!value_at)
            return ALLOY_NOMEM;
        out->value_at = value_at;
        value_at[out->metadata.count] = out->values.size;
        alloy_json_string_view value = alloy_json_string(json);
        alloy_status status = alloy_json_unescape(&value, &out->values);
        alloy_text_char(&out->values, 0);
        if (!status)
            status = add_name(&out->metadata, &key);
        if (status)
            return status;
    }
    return alloy_text_status(&out->values);
}

/* A shape, and the product of its dimensions from left to right: 64 bits at every step, as the format's own library
 * multiplies. */
static void read_shape(alloy_json *json, alloy_stored_tensor *tensor, size_t *elements)
{
    *elements = 1;
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        uint64_t size = alloy_json_uint64(json);
        if (!alloy_size_multiply(*elements, size, elements))
            alloy_json_fail(json, ALLOY_FORMAT, "a shape whose number of elements passes 64 bits");
        if (tensor->ndim < ALLOY_STORED_DIMS)
            tensor->shape[tensor->ndim] = size;
        tensor->ndim++;
    }
}

static void read_offsets(alloy_json *json, struct place *place)
{
    int count = 0;
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        uint64_t offset = alloy_json_uint64(json);
        if (count == 0)
            place->begin = offset;
        if (count == 1)
            place->end = offset;
        count++;
    }
    if (!json->status && count != 2)
        alloy_json_fail(json, ALLOY_FORMAT, "%d data_offsets, expected 2", count);
}

static void read_dtype(alloy_json *json, alloy_stored_tensor *tensor)
{
    alloy_json_string_view name = alloy_json_string(json);
    if (json->status)
        return;
    for (int dtype = 1; dtype < ALLOY_DTYPE_COUNT && !tensor->dtype; dtype++)
        if (alloy_json_key_is(&name, alloy_dtype_name((alloy_dtype)dtype)))
            tensor->dtype = (alloy_dtype)dtype;
    if (!tensor->dtype)
        alloy_json_fail(json, ALLOY_FORMAT, "unknown dtype \"%s\"", alloy_printable(name.bytes, name.size));
}

/* Bytes of a tensor from its dtype and number of elements. */
static void set_bytes(alloy_json *json, alloy_stored_tensor *tensor, size_t elements)
{
    size_t bits;
    if (!alloy_size_multiply(elements, (size_t)alloy_dtype_bits(tensor->dtype), &bits))
        alloy_json_fail(json, ALLOY_FORMAT, "a tensor whose number of bits passes 64 bits");
    else if (bits % 8 != 0)
        alloy_json_fail(json, ALLOY_FORMAT, "%zu elements of %s: no whole number of bytes", elements,
                        alloy_dtype_name(tensor->dtype));
    else
        tensor->bytes = bits / 8;
}

/* {"dtype": .., "shape": [..], "data_offsets": [begin, end]}; other fields are ignored. */
static void read_tensor(alloy_json *json, alloy_stored_tensor *tensor, struct place *place)
{
    bool has_dtype = false, has_shape = false, has_offsets = false;
    size_t elements = 0;
    alloy_json_string_view key;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        if (alloy_json_key_is(&key, "dtype")) {
            has_dtype = true;
            read_dtype(json, tensor);
        } else if (alloy_json_key_is(&key, "shape")) {
            has_shape = true;
            read_shape(json, tensor, &elements);
        } else if (alloy_json_key_is(&key, "data_offsets")) {
            has_offsets = true;
            read_offsets(json, place);
        } else {
            alloy_json_skip(json);
        }
    }
    if (json->status)
        return;
    if (!has_dtype || !has_shape || !has_offsets)
        alloy_json_fail(json, ALLOY_FORMAT, "a tensor without %s",
                        !has_dtype   ? "dtype"
                        : !has_shape ? "shape"
                                     : "data_offsets");
    else
        set_bytes(json, tensor, elements);
}

/* Room for one more tensor and its place. */
static bool make_room(struct reader *reader)
{
    alloy_safetensors *out = reader->out;
    void *tensors = alloy_memory_grow(out->tensors, out->count, &reader->tensor_capacity, sizeof *out->tensors);
    if (!tensors)
        return false;
    out->tensors = tensors;
    void *places = alloy_memory_grow(reader->places, out->count, &reader->place_capacity, sizeof *reader->places);
    if (!places)
        return false;
    reader->places = places;
    return true;
}

static alloy_status read_header(struct reader *reader)
{
    alloy_json *json = &reader->json;
    alloy_safetensors *out = reader->out;
    alloy_json_string_view key;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        if (alloy_json_key_is(&key, "__metadata__")) {
            alloy_status status = read_metadata(json, out);
            if (status)
                return status;
            continue;
        }
        alloy_status status = make_room(reader) ? add_name(&out->names, &key) : ALLOY_NOMEM;
        if (status)
            return status;
        out->tensors[out->count] = (alloy_stored_tensor){0};
        reader->places[out->count] = (struct place){.number = out->count};
        read_tensor(json, &out->tensors[out->count], &reader->places[out->count]);
        out->count++;
        if (json->status)
            return alloy_fail(json->status, "%s (tensor \"%s\")", alloy_error(),
                              printable_name(&out->names, out->count - 1));
    }
    return ALLOY_OK;
}

/* ---- Places ------------------------------------------------------------------------------------------------------ */

static int compare_places(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end)
        return a->end < b->end ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* Sorts the places, and keeps the order where it is not the header's. Most writers lay tensors down as they list
 * them. */
static alloy_status sort_places(struct reader *reader)
{
    alloy_safetensors *out = reader->out;
    bool sorted = true;
    for (int64_t i = 1; i < out->count && sorted; i++)
        sorted = compare_places(&reader->places[i - 1], &reader->places[i]) < 0;
    if (sorted)
        return ALLOY_OK;
    qsort(reader->places, (size_t)out->count, sizeof *reader->places, compare_places);
    out->order = alloy_memory_new((size_t)out->count, sizeof *out->order);
    if (!out->order)
        return ALLOY_NOMEM;
    for (int64_t i = 0; i < out->count; i++)
        out->order[i] = reader->places[i].number;
    return ALLOY_OK;
}

/* The tensor at `place` may not lie there: says why. */
static alloy_status bad_place(const struct reader *reader, const struct place *place, uint64_t expected_begin)
{
    const char *name = printable_name(&reader->out->names, place->number);
    unsigned long long begin = place->begin, end = place->end, expected = expected_begin;
    if (begin != expected)
        return alloy_fail(ALLOY_FORMAT, "%s: tensor \"%s\" begins at byte %llu of the data, expected %llu: %s",
                          reader->path, name, begin, expected,
                          begin > expected ? "a hole before it" : "it overlaps another tensor");
    if (end < begin)
        return alloy_fail(ALLOY_FORMAT,
                          "%s: tensor \"%s\" ends at byte %llu of the data, before it begins at %llu: reversed",
                          reader->path, name, end, begin);
    return alloy_fail(ALLOY_FORMAT, "%s: tensor \"%s\" has %llu bytes, its dtype and shape need %zu", reader->path,
                      name, end - begin, reader->out->tensors[place->number].bytes);
}

/* Checks that the tensors cover the data exactly, and points each at its bytes. */
static alloy_status bind_places(struct reader *reader)
{
    alloy_safetensors *out = reader->out;
    alloy_status status = sort_places(reader);
    uint64_t end = 0;
    for (int64_t i = 0; i < out->count && !status; i++) {
        const struct place *place = &reader->places[i];
        if (place->begin != end || place->end < end || place->end - end != out->tensors[place->number].bytes)
            status = bad_place(reader, place, end);
        end = place->end;
    }
    if (status)
        return status;
    uint64_t stored = out->file.size - out->data_at;
    if (end != stored)
        return alloy_fail(ALLOY_FORMAT, "%s: the tensors need %llu bytes of data, the file holds %llu: %s",
                          reader->path, (unsigned long long)end, (unsigned long long)stored,
                          end > stored ? "truncated" : "bytes that belong to no tensor");
    for (int64_t i = 0; i < out->count; i++) {
        alloy_stored_tensor *tensor = &out->tensors[reader->places[i].number];
        tensor->name = alloy_name_table_get(&out->names, reader->places[i].number, &tensor->name_size);
        tensor->data = out->file.data + out->data_at + reader->places[i].begin;
    }
    return ALLOY_OK;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* The size of the header, from the first 8 bytes. */
static alloy_status header_size(const alloy_file *file, const char *path, size_t *out)
{
    if (file->size < SIZE_BYTES)
        return alloy_fail(ALLOY_FORMAT, "%s: %zu bytes, too small for a safetensors file (at least %d)", path,
                          file->size, SIZE_BYTES);
    uint64_t size = 0;
    for (int i = 0; i < SIZE_BYTES; i++)
        size |= (uint64_t)file->data[i] << 8 * i;
    if (size > ALLOY_SAFETENSORS_HEADER)
        return alloy_fail(ALLOY_FORMAT, "%s: a header of %llu bytes, at most %d are allowed: not a safetensors file?",
                          path, (unsigned long long)size, ALLOY_SAFETENSORS_HEADER);
    if (size > file->size - SIZE_BYTES)
        return alloy_fail(ALLOY_FORMAT, "%s: a header of %llu bytes in a file of %zu: truncated", path,
                          (unsigned long long)size, file->size);
    *out = (size_t)size;
    return ALLOY_OK;
}

/* Failures of the header are FORMAT, whatever number or depth it was that failed. */
static alloy_status close_json(struct reader *reader, alloy_status status)
{
    alloy_status closed = alloy_json_close(&reader->json);
    status = status ? status : closed;
    if (status == ALLOY_RANGE || status == ALLOY_LIMIT)
        return alloy_fail(ALLOY_FORMAT, "%s", alloy_error());
    return status;
}

static alloy_status read_all(alloy_safetensors *out, const char *path)
{
    size_t size = 0;
    alloy_status status = header_size(&out->file, path, &size);
    if (status)
        return status;
    out->data_at = SIZE_BYTES + size;
    char *header = alloy_memory_copy(out->file.data + SIZE_BYTES, size);
    if (!header)
        return ALLOY_NOMEM;
    struct reader reader = {.out = out, .path = path};
    alloy_json_open(&reader.json, out->file.path, header, size);
    reader.json.most_depth = HEADER_DEPTH;
    status = close_json(&reader, read_header(&reader));
    if (!status)
        status = bind_places(&reader);
    alloy_memory_free(reader.places);
    alloy_memory_free(header);
    return status;
}

alloy_status alloy_safetensors_take(alloy_safetensors *out, alloy_file *file)
{
    *out = (alloy_safetensors){.file = *file};
    *file = (alloy_file){0};
    alloy_status status = read_all(out, alloy_printable_path(out->file.path));
    if (status)
        alloy_safetensors_close(out);
    return status;
}

alloy_status alloy_safetensors_open(alloy_safetensors *out, const char *path, bool map)
{
    alloy_file file;
    *out = (alloy_safetensors){0};
    alloy_status status = alloy_file_open(&file, path, SIZE_MAX, map);
    return status ? status : alloy_safetensors_take(out, &file);
}

void alloy_safetensors_close(alloy_safetensors *safetensors)
{
    alloy_text_free(&safetensors->values);
    alloy_memory_free(safetensors->value_at);
    alloy_name_table_free(&safetensors->metadata);
    alloy_name_table_free(&safetensors->names);
    alloy_memory_free(safetensors->tensors);
    alloy_memory_free(safetensors->order);
    alloy_file_close(&safetensors->file);
    *safetensors = (alloy_safetensors){0};
}

/* ---- Looking up -------------------------------------------------------------------------------------------------- */

const alloy_stored_tensor *alloy_safetensors_find(const alloy_safetensors *safetensors, const char *name, size_t size)
{
    int64_t number = alloy_name_table_find(&safetensors->names, name, size);
    return number < 0 ? NULL : &safetensors->tensors[number];
}

const alloy_stored_tensor *alloy_safetensors_at(const alloy_safetensors *safetensors, int64_t i)
{
    return &safetensors->tensors[safetensors->order ? safetensors->order[i] : i];
}

const char *alloy_safetensors_metadata(const alloy_safetensors *safetensors, const char *key, size_t *size)
{
    int64_t number = alloy_name_table_find(&safetensors->metadata, key, strlen(key));
    if (number < 0)
        return NULL;
    size_t at = safetensors->value_at[number];
    size_t end =
        number + 1 < safetensors->metadata.count ? safetensors->value_at[number + 1] : safetensors->values.size;
    if (size)
        *size = end - at - 1;
    return safetensors->values.bytes + at;
}

alloy_status alloy_stored_tensor_check(const alloy_stored_tensor *tensor)
{
    if (tensor->ndim > ALLOY_STORED_DIMS)
        return alloy_fail(ALLOY_LIMIT, "tensor \"%s\" has %d dimensions, at most %d can be used",
                          alloy_printable(tensor->name, tensor->name_size), tensor->ndim, ALLOY_STORED_DIMS);
    return ALLOY_OK;
}

void alloy_stored_tensor_describe(const alloy_stored_tensor *tensor, alloy_text *out)
{
    alloy_text_format(out, "%s [", alloy_dtype_name(tensor->dtype));
    for (int i = 0; i < tensor->ndim && i < ALLOY_STORED_DIMS; i++)
        alloy_text_format(out, i ? ", %llu" : "%llu", (unsigned long long)tensor->shape[i]);
    alloy_text_string(out, tensor->ndim > ALLOY_STORED_DIMS ? ", ...]" : "]");
}
