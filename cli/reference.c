/* A file of reference tensors (reference.h). */
#include "reference.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "files/json.h"
#include "ids.h"

enum { MOST_JSON = 1 << 20 };

static alloy_status take_ids(const alloy_cli_reference *r, const char *name, alloy_ids *ids, bool required)
{
    const alloy_stored_tensor *tensor = alloy_safetensors_find(&r->file, name, strlen(name));
    if (!tensor && !required)
        return ALLOY_OK;
    if (!tensor || tensor->dtype != ALLOY_I64)
        return alloy_fail(ALLOY_FORMAT, "%s: no reference: it needs a tensor %s of I64", r->file.file.path, name);
    for (size_t at = 0; at < tensor->bytes; at += sizeof(int64_t)) {
        int64_t id;
        memcpy(&id, tensor->data + at, sizeof id);
        alloy_status status = alloy_cli_ids_push(ids, id);
        if (status)
            return status;
    }
    return ALLOY_OK;
}

const alloy_stored_tensor *alloy_cli_reference_hidden(const alloy_cli_reference *r, int64_t layer)
{
    char name[32];
    int size = snprintf(name, sizeof name, "hidden.%lld", (long long)layer);
    return alloy_safetensors_find(&r->file, name, (size_t)size);
}

static alloy_status read_errors(alloy_cli_reference *r, alloy_json *json)
{
    int64_t capacity = 0;
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        double *grown = alloy_memory_grow(r->hidden_error, r->hidden_error_count, &capacity, sizeof *grown);
        if (!grown)
            return ALLOY_NOMEM;
        r->hidden_error = grown;
        r->hidden_error[r->hidden_error_count++] = alloy_json_double(json);
    }
    return ALLOY_OK;
}

static alloy_status parse_json(alloy_cli_reference *r, const char *path, const alloy_text *text)
{
    alloy_json json;
    alloy_json_string_view key;
    alloy_status status = ALLOY_OK;
    alloy_json_open(&json, path, alloy_text_get(text), text->size);
    alloy_json_object(&json);
    while (!status && alloy_json_next_key(&json, &key)) {
        if (alloy_json_key_is(&key, "transformers_fp32_max_abs_error"))
            r->logits_error = alloy_json_double(&json);
        else if (alloy_json_key_is(&key, "transformers_fp32_hidden_error") && !r->hidden_error)
            status = read_errors(r, &json);
        else
            alloy_json_skip(&json);
    }
    alloy_status closed = alloy_json_close(&json);
    return status ? status : closed;
}

/* NAME.json beside NAME.safetensors, where there is one. */
static alloy_status read_json(alloy_cli_reference *r, const char *path)
{
    alloy_text name = {0}, text = {0};
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    size_t stem = dot && (!slash || dot > slash) ? (size_t)(dot - path) : strlen(path);
    alloy_text_append(&name, path, stem);
    alloy_text_string(&name, ".json");
    alloy_status status = alloy_text_status(&name);
    if (!status && alloy_file_exists(name.bytes)) {
        status = alloy_file_read(&text, name.bytes, MOST_JSON);
        status = status ? status : parse_json(r, name.bytes, &text);
    }
    alloy_text_free(&name);
    alloy_text_free(&text);
    return status;
}

alloy_status alloy_cli_reference_open(alloy_cli_reference *r, const char *path)
{
    *r = (alloy_cli_reference){.logits_error = NAN};
    alloy_status status = alloy_safetensors_open(&r->file, path, false);
    if (!status)
        status = take_ids(r, "input_ids", &r->input_ids, true);
    if (!status)
        status = take_ids(r, "greedy", &r->greedy, false);
    if (!status)
        status = read_json(r, path);
    if (status) {
        alloy_cli_reference_close(r);
        return status;
    }
    r->logits = alloy_safetensors_find(&r->file, "logits", strlen("logits"));
    while (alloy_cli_reference_hidden(r, r->layers))
        r->layers++;
    return ALLOY_OK;
}

void alloy_cli_reference_close(alloy_cli_reference *r)
{
    alloy_safetensors_close(&r->file);
    alloy_ids_free(&r->input_ids);
    alloy_ids_free(&r->greedy);
    alloy_memory_free(r->hidden_error);
    *r = (alloy_cli_reference){0};
}

static double element(const alloy_stored_tensor *tensor, int64_t i)
{
    double wide;
    float narrow;
    if (tensor->dtype == ALLOY_F64) {
        memcpy(&wide, tensor->data + (size_t)i * sizeof wide, sizeof wide);
        return wide;
    }
    memcpy(&narrow, tensor->data + (size_t)i * sizeof narrow, sizeof narrow);
    return narrow;
}

alloy_status alloy_cli_reference_distance(const alloy_stored_tensor *tensor, const float *values, int64_t count,
                                          alloy_cli_distance *out)
{
    *out = (alloy_cli_distance){0};
    if (tensor->dtype != ALLOY_F64 && tensor->dtype != ALLOY_F32)
        return alloy_fail(ALLOY_FORMAT, "reference tensor %s is %s, expected F64 or F32", tensor->name,
                          alloy_dtype_name(tensor->dtype));
    size_t size = tensor->dtype == ALLOY_F64 ? sizeof(double) : sizeof(float);
    if (tensor->bytes / size != (size_t)count)
        return alloy_fail(ALLOY_FORMAT, "reference tensor %s has %zu elements, the model computes %lld", tensor->name,
                          tensor->bytes / size, (long long)count);
    for (int64_t i = 0; i < count; i++) {
        double expected = element(tensor, i), error = fabs((double)values[i] - expected);
        if (!(error <= out->error)) /* a NaN counts as far off */
            out->error = isnan(error) ? INFINITY : error;
        if (fabs(expected) > out->largest)
            out->largest = fabs(expected);
    }
    return ALLOY_OK;
}
