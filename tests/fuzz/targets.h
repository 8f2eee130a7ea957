/* What the fuzzers do with bytes, and what must hold whatever they are. Shared by the libFuzzer programs of this folder
 * and by tests/files/test_mutations.c, which tries changed copies of known files in every run of the tests. A broken
 * promise aborts. */
#ifndef ALLOY_TESTS_FUZZ_TARGETS_H
#define ALLOY_TESTS_FUZZ_TARGETS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/utf8.h"
#include "files/json.h"
#include "files/safetensors.h"

#define PROMISE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A failed call has a text of one line, in valid UTF-8. */
static inline void check_error(alloy_status status)
{
    if (!status)
        return;
    const char *text = alloy_error();
    PROMISE(text[0] && !strchr(text, '\n') && alloy_utf8_valid(text, strlen(text)) == strlen(text));
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

/* Copies a string or a key, decoded. */
static inline void copy_string(alloy_json_writer *writer, const alloy_json_string_view *view, bool key)
{
    alloy_text value = {0};
    PROMISE(!alloy_json_unescape(view, &value));
    if (key)
        alloy_json_write_key_sized(writer, alloy_text_get(&value), value.size);
    else
        alloy_json_write_string(writer, alloy_text_get(&value), value.size);
    alloy_text_free(&value);
}

static inline void copy_scalar(alloy_json *json, alloy_json_writer *writer, alloy_json_type type)
{
    alloy_json_string_view view;
    switch (type) {
    case ALLOY_JSON_STRING:
        view = alloy_json_string(json);
        copy_string(writer, &view, false);
        break;
    case ALLOY_JSON_NUMBER:
        alloy_json_write_double(writer, alloy_json_double(json));
        break;
    case ALLOY_JSON_BOOL:
        alloy_json_write_bool(writer, alloy_json_bool(json));
        break;
    default:
        if (alloy_json_null(json))
            alloy_json_write_null(writer);
        else
            alloy_json_skip(json); /* not null after all: fails */
    }
}

/* Ends the arrays and objects that are complete, and comes to the next value; false at the end of the document. */
static inline bool next_value(alloy_json *json, alloy_json_writer *writer)
{
    while (json->depth > 0 && !json->status) {
        alloy_json_string_view key;
        bool object = json->in_object[json->depth];
        if (object ? alloy_json_next_key(json, &key) : alloy_json_next_item(json)) {
            if (object)
                copy_string(writer, &key, true);
            return true;
        }
        if (json->status)
            return false;
        if (object)
            alloy_json_write_object_end(writer);
        else
            alloy_json_write_array_end(writer);
    }
    return false;
}

/* Reads a document value by value and writes it again. */
static inline alloy_status copy_document(const void *bytes, size_t size, int indent, alloy_text *out)
{
    alloy_json json;
    alloy_json_writer writer;
    alloy_json_open(&json, "fuzz", bytes, size);
    alloy_json_writer_open(&writer, out, indent);
    do {
        alloy_json_type type = alloy_json_peek(&json);
        if (json.status)
            break;
        if (type == ALLOY_JSON_OBJECT) {
            alloy_json_object(&json);
            if (!json.status)
                alloy_json_write_object(&writer);
        } else if (type == ALLOY_JSON_ARRAY) {
            alloy_json_array(&json);
            if (!json.status)
                alloy_json_write_array(&writer);
        } else {
            copy_scalar(&json, &writer, type);
        }
    } while (!json.status && next_value(&json, &writer));
    return alloy_json_close(&json);
}

/* Skipping and reading agree on what is sound; what was read is written so that it reads the same. */
static inline void fuzz_json(const uint8_t *bytes, size_t size)
{
    alloy_json json;
    alloy_json_open(&json, "fuzz", bytes, size);
    alloy_json_skip(&json);
    alloy_status skipped = alloy_json_close(&json);
    check_error(skipped);
    alloy_text first = {0}, second = {0};
    alloy_status copied = copy_document(bytes, size, 0, &first);
    check_error(copied);
    PROMISE(skipped == copied);
    if (!copied) {
        PROMISE(!copy_document(first.bytes, first.size, 0, &second));
        PROMISE(first.size == second.size && memcmp(first.bytes, second.bytes, first.size) == 0);
        alloy_text_clear(&second);
        PROMISE(!copy_document(bytes, size, 3, &second));
        alloy_text_clear(&first);
        PROMISE(!copy_document(second.bytes, second.size, 3, &first));
        PROMISE(first.size == second.size && memcmp(first.bytes, second.bytes, first.size) == 0);
    }
    alloy_text_free(&first);
    alloy_text_free(&second);
}

/* ---- safetensors ------------------------------------------------------------------------------------------------- */

/* What an open file promises: tensors lie one behind the other, from the header to the end; each is found by its name.
 */
static inline void check_safetensors(const alloy_safetensors *file)
{
    const uint8_t *end = file->file.data + file->data_at;
    for (int64_t i = 0; i < file->count; i++) {
        const alloy_stored_tensor *tensor = alloy_safetensors_at(file, i);
        PROMISE(tensor->data == end);
        end += tensor->bytes;
        PROMISE(alloy_safetensors_find(file, tensor->name, tensor->name_size) == tensor);
        PROMISE(tensor->dtype > ALLOY_DTYPE_NONE && tensor->dtype < ALLOY_DTYPE_COUNT && tensor->ndim >= 0);
        PROMISE(tensor->name[tensor->name_size] == 0);
        volatile uint8_t sum = 0; /* every byte may be read */
        for (size_t j = 0; j < tensor->bytes; j++)
            sum = (uint8_t)(sum + tensor->data[j]);
        alloy_text words = {0};
        alloy_stored_tensor_describe(tensor, &words);
        alloy_text_free(&words);
    }
    PROMISE(end == file->file.data + file->file.size);
}

static inline void fuzz_safetensors(const uint8_t *bytes, size_t size)
{
    int descriptor = memfd_create("fuzz", 0);
    PROMISE(descriptor >= 0 && write(descriptor, bytes, size) == (ssize_t)size);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    alloy_safetensors mapped, read;
    alloy_status first = alloy_safetensors_open(&mapped, path, true);
    check_error(first);
    alloy_status second = alloy_safetensors_open(&read, path, false);
    check_error(second);
    PROMISE(first == second && mapped.count == read.count);
    PROMISE(!first || first == ALLOY_FORMAT);
    if (!first) {
        check_safetensors(&mapped);
        check_safetensors(&read);
    }
    alloy_safetensors_close(&mapped);
    alloy_safetensors_close(&read);
    close(descriptor);
}

#endif
