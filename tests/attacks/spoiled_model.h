/* Sound models, spoiled: S20 to S23 for the tests of who loads models. A model's folder is copied with one thing
 * changed in its model.safetensors, by means of the library's own reader and writer.
 *
 *     spoil_model(folder, ALLOY_SOURCE_DIR "/tests/golden/qwen3", &(struct spoil){.remove = "model.norm.weight"}); */
#ifndef ALLOY_TESTS_SPOILED_MODEL_H
#define ALLOY_TESTS_SPOILED_MODEL_H

#include "support.h"

#include "files/safetensors.h"

/* What is changed; the rest is NULL or 0. */
struct spoil {
    const char *fill; /* S20: every element of this tensor (F32 or BF16) becomes `value`, or those of one row */
    float value;
    bool one_row;
    int64_t row;
    const char *retype; /* S21: this tensor becomes one of `dtype`, same shape, zeros */
    alloy_dtype dtype;
    const char *reshape; /* S22: this tensor loses the last row of its first dimension */
    const char *remove;  /* S23: this tensor is left out */
    const char *rename;  /* S23: this tensor is there under the name `to` */
    const char *to;
    const char *add; /* S23: one more tensor of this name, F32 [2, 2] */
};

enum { MOST_SPOILED = 4096 }; /* tensors */

/* A tensor's bytes that are not those of the sound model; free() them when the file is written. */
static inline void *spoiled_bytes(size_t size)
{
    void *bytes = calloc(1, size ? size : 1);
    assert_non_null(bytes);
    return bytes;
}

static inline void *filled_with(const alloy_stored_tensor *tensor, const struct spoil *spoil)
{
    uint8_t *bytes = spoiled_bytes(tensor->bytes);
    size_t element = tensor->dtype == ALLOY_F32 ? 4 : 2, row = tensor->bytes / (size_t)tensor->shape[0];
    size_t at = spoil->one_row ? (size_t)spoil->row * row : 0, end = spoil->one_row ? at + row : tensor->bytes;
    assert_true(tensor->dtype == ALLOY_F32 || tensor->dtype == ALLOY_BF16);
    memcpy(bytes, tensor->data, tensor->bytes);
    for (; at < end; at += element)
        memcpy(bytes + at, (const uint8_t *)&spoil->value + 4 - element, element); /* BF16 is the upper half */
    return bytes;
}

static inline bool is_meant(const char *name, const alloy_stored_tensor *tensor)
{
    return name && strlen(name) == tensor->name_size && memcmp(name, tensor->name, tensor->name_size) == 0;
}

/* Makes `saved` of `tensor`, spoiled; *owned is what must be freed. False where it is left out. */
static inline bool spoil_tensor(const struct spoil *spoil, const alloy_stored_tensor *tensor, alloy_saved_tensor *saved,
                                void **owned)
{
    *saved =
        (alloy_saved_tensor){.name = tensor->name, .dtype = tensor->dtype, .ndim = tensor->ndim, .data = tensor->data};
    memcpy(saved->shape, tensor->shape, sizeof saved->shape);
    if (is_meant(spoil->remove, tensor))
        return false;
    if (is_meant(spoil->rename, tensor))
        saved->name = spoil->to;
    if (is_meant(spoil->fill, tensor))
        saved->data = *owned = filled_with(tensor, spoil);
    if (is_meant(spoil->reshape, tensor))
        saved->shape[0]--;
    if (is_meant(spoil->retype, tensor)) {
        saved->dtype = spoil->dtype;
        saved->data = *owned = spoiled_bytes(tensor->bytes * 8);
    }
    return true;
}

static inline void spoil_weights(const char *to, const char *from, const struct spoil *spoil)
{
    static alloy_saved_tensor saved[MOST_SPOILED + 1];
    static const float zeros[4];
    void *owned[2] = {NULL, NULL};
    int64_t count = 0;
    alloy_safetensors file;
    expect_ok(alloy_safetensors_open(&file, from, true));
    assert_true(file.count <= MOST_SPOILED);
    for (int64_t i = 0; i < file.count; i++)
        count += spoil_tensor(spoil, alloy_safetensors_at(&file, i), &saved[count], &owned[owned[0] != NULL]);
    if (spoil->add)
        saved[count++] =
            (alloy_saved_tensor){.name = spoil->add, .dtype = ALLOY_F32, .ndim = 2, .shape = {2, 2}, .data = zeros};
    expect_ok(alloy_safetensors_write(to, saved, count, NULL, 0));
    free(owned[0]);
    free(owned[1]);
    alloy_safetensors_close(&file);
}

/* Puts a spoiled copy of the model in `model` into `folder`, which exists: config.json as it is, model.safetensors. */
static inline void spoil_model(const char *folder, const char *model, const struct spoil *spoil)
{
    char from[4096], to[4096];
    size_t size;
    snprintf(from, sizeof from, "%s/config.json", model);
    char *config = read_whole(from, &size);
    write_file(folder, "config.json", config, size);
    free(config);
    snprintf(from, sizeof from, "%s/model.safetensors", model);
    snprintf(to, sizeof to, "%s/model.safetensors", folder);
    spoil_weights(to, from, spoil);
}

#endif
