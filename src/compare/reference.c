/* A file of reference tensors (reference.h). */
#include "compare/reference.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "files/json.h"
#include "kernels/kernels.h"

enum { MOST_JSON = 1 << 20 };

static alloy_status take_ids(const alloy_reference *r, const char *name, alloy_ids *ids, bool required)
{
    const alloy_stored_tensor *tensor = alloy_safetensors_find(&r->file, name, strlen(name));
    if (!tensor && !required)
        return ALLOY_OK;
    if (!tensor || tensor->dtype != ALLOY_I64)
        return alloy_fail(ALLOY_FORMAT, "%s: no reference: it needs a tensor %s of I64", r->file.file.path, name);
    return alloy_ids_take(ids, tensor);
}

const alloy_stored_tensor *alloy_reference_tensor(const alloy_reference *r, int64_t layer)
{
    char name[32];
    if (layer < 0)
        return r->logits;
    int size = snprintf(name, sizeof name, "hidden.%lld", (long long)layer);
    return alloy_safetensors_find(&r->file, name, (size_t)size);
}

/* An error of transformers: it is a bound, so one that is not finite would let everything pass. */
static double read_error(alloy_json *json)
{
    double error = alloy_json_double(json);
    if (!json->status && !(isfinite(error) && error >= 0))
        alloy_json_fail(json, ALLOY_RANGE, "an error of %g, expected a finite number from 0 on", error);
    return error;
}

static alloy_status read_errors(alloy_reference *r, alloy_json *json)
{
    int64_t capacity = 0;
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        double *grown = alloy_memory_grow(r->hidden_error, r->hidden_error_count, &capacity, sizeof *grown);
        if (!grown)
            return ALLOY_NOMEM;
        r->hidden_error = grown;
        r->hidden_error[r->hidden_error_count++] = read_error(json);
    }
    return ALLOY_OK;
}

static alloy_status parse_json(alloy_reference *r, const char *path, const alloy_text *text)
{
    alloy_json json;
    alloy_json_string_view key;
    alloy_status status = ALLOY_OK;
    alloy_json_open(&json, path, alloy_text_get(text), text->size);
    alloy_json_object(&json);
    while (!status && alloy_json_next_key(&json, &key)) {
        if (alloy_json_key_is(&key, "transformers_fp32_max_abs_error"))
            r->logits_error = read_error(&json);
        else if (alloy_json_key_is(&key, "transformers_fp32_hidden_error") && !r->hidden_error)
            status = read_errors(r, &json);
        else
            alloy_json_skip(&json);
    }
    alloy_status closed = alloy_json_close(&json);
    return status ? status : closed;
}

/* NAME.json beside NAME.safetensors, where there is one. */
static alloy_status read_json(alloy_reference *r, const char *path)
{
    alloy_text name = {0}, text = {0};
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    size_t stem = dot && (!slash || dot > slash) ? (size_t)(dot - path) : strlen(path);
    alloy_text_append(&name, path, stem);
    alloy_text_string(&name, ".json");
    bool has = false;
    alloy_status status = alloy_text_status(&name);
    if (!status)
        status = alloy_path_has(name.bytes, &has);
    if (!status && has) {
        status = alloy_file_read(&text, name.bytes, MOST_JSON);
        status = status ? status : parse_json(r, name.bytes, &text);
    }
    alloy_text_free(&name);
    alloy_text_free(&text);
    return status;
}

/* ---- Metadata ---------------------------------------------------------------------------------------------------- */

static alloy_status take_dtype(alloy_reference *r)
{
    static const struct {
        const char *name;
        alloy_dtype dtype;
    } rows[] = {{"float64", ALLOY_F64}, {"float32", ALLOY_F32}, {"bfloat16", ALLOY_BF16}, {"float16", ALLOY_F16}};
    const char *name = alloy_safetensors_metadata(&r->file, "dtype", NULL);
    const alloy_stored_tensor *any = r->logits ? r->logits : alloy_reference_tensor(r, 0);
    r->dtype = any ? any->dtype : ALLOY_F64;
    if (!name)
        return ALLOY_OK;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(name, rows[i].name) == 0) {
            r->dtype = rows[i].dtype;
            return ALLOY_OK;
        }
    return alloy_fail(ALLOY_FORMAT, "%s: dtype \"%s\" in its metadata, expected float64, float32, bfloat16 or float16",
                      r->file.file.path, alloy_printable(name, strlen(name)));
}

static alloy_status take_num_layers(alloy_reference *r)
{
    const char *text = alloy_safetensors_metadata(&r->file, "num_layers", NULL);
    if (!text)
        return ALLOY_OK;
    for (const char *digit = text; *digit >= '0' && *digit <= '9' && r->num_layers < INT32_MAX; digit++)
        r->num_layers = 10 * r->num_layers + *digit - '0';
    if (r->num_layers > 0 && strspn(text, "0123456789") == strlen(text))
        return ALLOY_OK;
    return alloy_fail(ALLOY_FORMAT, "%s: num_layers \"%s\" in its metadata, expected a number of layers",
                      r->file.file.path, alloy_printable(text, strlen(text)));
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

alloy_status alloy_reference_open(alloy_reference *r, const char *path, bool map)
{
    *r = (alloy_reference){.logits_error = NAN};
    alloy_status status = alloy_safetensors_open(&r->file, path, map);
    if (!status)
        status = take_ids(r, "input_ids", &r->input_ids, true);
    if (!status)
        status = take_ids(r, "greedy", &r->greedy, false);
    if (!status)
        status = read_json(r, path);
    if (!status) {
        r->logits = alloy_safetensors_find(&r->file, "logits", strlen("logits"));
        while (alloy_reference_tensor(r, r->layers))
            r->layers++;
        status = take_dtype(r);
    }
    if (!status)
        status = take_num_layers(r);
    if (status)
        alloy_reference_close(r);
    return status;
}

void alloy_reference_close(alloy_reference *r)
{
    alloy_safetensors_close(&r->file);
    alloy_ids_free(&r->input_ids);
    alloy_ids_free(&r->greedy);
    alloy_memory_free(r->hidden_error);
    *r = (alloy_reference){0};
}

/* ---- Its numbers ------------------------------------------------------------------------------------------------- */

static bool is_number(alloy_dtype dtype)
{
    return dtype == ALLOY_F64 || dtype == ALLOY_F32 || dtype == ALLOY_BF16 || dtype == ALLOY_F16;
}

alloy_status alloy_reference_check(const alloy_reference *r, const alloy_stored_tensor *tensor, int64_t count)
{
    const char *path = alloy_printable_path(r->file.file.path);
    if (!is_number(tensor->dtype))
        return alloy_fail(ALLOY_FORMAT, "%s: %s is %s, expected F64, F32, BF16 or F16", path, tensor->name,
                          alloy_dtype_name(tensor->dtype));
    size_t elements = tensor->bytes / ((size_t)alloy_dtype_bits(tensor->dtype) / 8);
    if (elements != (size_t)count)
        return alloy_fail(ALLOY_FORMAT, "%s: %s has %zu elements, the model computes %lld", path, tensor->name,
                          elements, (long long)count);
    return ALLOY_OK;
}

void alloy_reference_row(const alloy_stored_tensor *tensor, int64_t row, int64_t width, double *out)
{
    enum { PIECE = 1024 };
    float piece[PIECE];
    size_t size = (size_t)alloy_dtype_bits(tensor->dtype) / 8;
    const uint8_t *data = tensor->data + (size_t)(row * width) * size;
    if (tensor->dtype == ALLOY_F64) {
        memcpy(out, data, (size_t)width * size);
        return;
    }
    for (int64_t begin = 0; begin < width; begin += PIECE) {
        int64_t count = width - begin < PIECE ? width - begin : PIECE;
        alloy_kernels_get(NULL)->widen(piece, data + (size_t)begin * size, tensor->dtype, count);
        for (int64_t i = 0; i < count; i++)
            out[begin + i] = (double)piece[i];
    }
}
