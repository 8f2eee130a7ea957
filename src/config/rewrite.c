/* Changing fields of a config.json (rewrite.h). */
#include "config/rewrite.h"

#include <string.h>

#include "base/status.h"
#include "files/json.h"

enum { MOST_CHANGES = 16 };

static void write_field(alloy_json_writer *writer, const char *key, size_t key_size, const char *value, size_t size)
{
    alloy_json_write_key_sized(writer, key, key_size);
    alloy_json_write_raw(writer, value, size);
}

static int change_of(const alloy_config_change *changes, int count, const alloy_json_string_view *key)
{
    for (int i = 0; i < count; i++)
        if (alloy_json_key_is(key, changes[i].key))
            return i;
    return -1;
}

int alloy_config_change_dtype(alloy_config_change *changes, int count, alloy_dtype dtype)
{
    const char *value = dtype == ALLOY_BF16 ? "\"bfloat16\"" : dtype == ALLOY_F16 ? "\"float16\"" : "\"float32\"";
    changes[count++] = (alloy_config_change){"dtype", value};
    changes[count++] = (alloy_config_change){"torch_dtype", NULL};
    return count;
}

alloy_status alloy_config_rewrite(alloy_text *out, const char *name, const void *bytes, size_t size,
                                  const alloy_config_change *changes, int count)
{
    bool done[MOST_CHANGES] = {false};
    alloy_json json;
    alloy_json_writer writer;
    alloy_json_string_view key;
    alloy_text plain = {0};
    alloy_json_writer_open(&writer, out, 2);
    alloy_json_write_object(&writer);
    alloy_json_open(&json, name, bytes, size);
    json.not_finite = true;
    alloy_json_object(&json);
    while (alloy_json_next_key(&json, &key)) {
        alloy_json_string_view value = alloy_json_raw(&json);
        int change = change_of(changes, count, &key);
        alloy_text_clear(&plain);
        if (alloy_json_unescape(&key, &plain))
            break;
        if (change >= 0)
            done[change] = true;
        if (change < 0)
            write_field(&writer, alloy_text_get(&plain), plain.size, value.bytes, value.size);
        else if (changes[change].value)
            write_field(&writer, alloy_text_get(&plain), plain.size, changes[change].value,
                        strlen(changes[change].value));
    }
    for (int i = 0; i < count; i++)
        if (!done[i] && changes[i].value)
            write_field(&writer, changes[i].key, strlen(changes[i].key), changes[i].value, strlen(changes[i].value));
    alloy_json_write_object_end(&writer);
    alloy_text_char(out, '\n');
    alloy_status status = alloy_json_close(&json);
    status = status ? status : alloy_text_status(&plain);
    alloy_text_free(&plain);
    return status ? status : alloy_text_status(out);
}

alloy_status alloy_config_rewrite_text(alloy_text *out, const char *name, const void *bytes, size_t size,
                                       const alloy_config_change *changes, int count)
{
    alloy_config_change all[MOST_CHANGES];
    alloy_json json;
    alloy_json_string_view key, inner = {0}, type = {0};
    alloy_text quoted = {0};
    alloy_json_open(&json, name, bytes, size);
    json.not_finite = true;
    alloy_json_object(&json);
    while (alloy_json_next_key(&json, &key)) {
        bool is_type = alloy_json_key_is(&key, "model_type"), is_inner = alloy_json_key_is(&key, "text_config");
        alloy_json_string_view value = is_type ? alloy_json_string(&json) : alloy_json_raw(&json);
        type = is_type ? value : type;
        inner = is_inner ? value : inner;
    }
    alloy_status status = alloy_json_close(&json);
    if (!status && (!inner.bytes || !type.bytes))
        status = alloy_fail(ALLOY_FORMAT, "%s: model_type and text_config are missing", name);
    alloy_text_format(&quoted, "\"%.*s_text\"", (int)type.size, type.size ? type.bytes : "");
    status = status ? status : alloy_text_status(&quoted);
    memcpy(all, changes, (size_t)count * sizeof *changes);
    all[count] = (alloy_config_change){"model_type", quoted.bytes};
    if (!status)
        status = alloy_config_rewrite(out, name, inner.bytes, inner.size, all, count + 1);
    alloy_text_free(&quoted);
    return status;
}
