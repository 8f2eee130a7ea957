/* Lists of ids (alloy/compare.h). */
#include <string.h>

#include "alloy/compare.h"
#include "base/random.h"
#include "base/status.h"
#include "compare/reference.h"
#include "tokenizer/ids.h"

alloy_status alloy_ids_push(alloy_ids *ids, int64_t id)
{
    return alloy_ids_add(ids, id) ? ALLOY_OK : ALLOY_NOMEM;
}

alloy_status alloy_ids_draw(alloy_ids *ids, int64_t count, int64_t vocab_size, uint64_t seed, uint64_t stream)
{
    for (int64_t i = 0; i < count; i++) {
        double uniform = alloy_random_uniform(seed, stream, (uint64_t)i);
        if (!alloy_ids_add(ids, (int64_t)(uniform * (double)vocab_size)))
            return ALLOY_NOMEM;
    }
    return ALLOY_OK;
}

alloy_status alloy_ids_fit(int64_t count, const alloy_model *model)
{
    if (count <= alloy_model_context(model))
        return ALLOY_OK;
    return alloy_fail(ALLOY_CONTEXT, "%lld token ids, the model's context is %lld", (long long)count,
                      (long long)alloy_model_context(model));
}

alloy_status alloy_ids_take(alloy_ids *ids, const alloy_stored_tensor *tensor)
{
    size_t size = tensor->dtype == ALLOY_I64 ? sizeof(int64_t) : sizeof(int32_t);
    for (size_t at = 0; at < tensor->bytes; at += size) {
        int64_t wide;
        int32_t narrow;
        memcpy(size == sizeof wide ? (void *)&wide : (void *)&narrow, tensor->data + at, size);
        if (!alloy_ids_add(ids, size == sizeof wide ? wide : narrow))
            return ALLOY_NOMEM;
    }
    return ALLOY_OK;
}

alloy_status alloy_ids_load(alloy_ids *ids, const char *path)
{
    alloy_safetensors file;
    alloy_status status = alloy_safetensors_open(&file, path, false);
    if (status)
        return status;
    const alloy_stored_tensor *tensor = alloy_safetensors_find(&file, "input_ids", strlen("input_ids"));
    if (!tensor)
        status = alloy_fail(ALLOY_FORMAT, "%s: holds no tensor input_ids", path);
    else if (tensor->dtype != ALLOY_I64 && tensor->dtype != ALLOY_I32)
        status =
            alloy_fail(ALLOY_FORMAT, "%s: input_ids is %s, expected I64 or I32", path, alloy_dtype_name(tensor->dtype));
    else
        status = alloy_ids_take(ids, tensor);
    alloy_safetensors_close(&file);
    return status;
}
