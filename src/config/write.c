/* Saving a config as `alloy`: fields in the table's order, grouped by module, then the fields that the library does not
 * know.
 *
 * An alloy config is saved as it was written: what was absent stays absent, lists and overrides keep their form. A
 * family's config is saved as what it was translated to. Either reads back as the same config. */
#include "config/config.h"

#include <string.h>

#include "base/file.h"
#include "base/file_write.h"
#include "base/status.h"
#include "config/source.h"

enum { INDENT = 2 };

static void write_key(alloy_json_writer *writer, const alloy_json_string_view *key)
{
    alloy_text text = {0};
    if (key->escaped && alloy_json_unescape(key, &text))
        writer->out->failed = true;
    else if (key->escaped)
        alloy_json_write_key_sized(writer, alloy_text_get(&text), text.size);
    else
        alloy_json_write_key_sized(writer, key->bytes, key->size);
    alloy_text_free(&text);
}

/* One value, or the beginning of one that holds others. */
static void copy_one(alloy_json_writer *writer, alloy_json *json)
{
    alloy_json_type type = alloy_json_peek(json);
    if (type == ALLOY_JSON_OBJECT) {
        alloy_json_object(json);
        alloy_json_write_object(writer);
    } else if (type == ALLOY_JSON_ARRAY) {
        alloy_json_array(json);
        alloy_json_write_array(writer);
    } else {
        alloy_json_string_view value = alloy_json_raw(json);
        alloy_json_write_raw(writer, value.bytes, value.size);
    }
}

/* A value of the file, indented anew. */
static alloy_status copy_value(alloy_json_writer *writer, const alloy_json_string_view *value)
{
    alloy_json json;
    alloy_json_string_view key;
    alloy_json_open(&json, "config", value->bytes, value->size);
    json.not_finite = true;
    do {
        copy_one(writer, &json);
        while (!json.status && json.depth > 0) {
            bool in_object = json.in_object[json.depth];
            if (in_object && alloy_json_next_key(&json, &key)) {
                write_key(writer, &key);
                break;
            }
            if (!in_object && alloy_json_next_item(&json))
                break;
            if (in_object)
                alloy_json_write_object_end(writer);
            else
                alloy_json_write_array_end(writer);
        }
    } while (!json.status && json.depth > 0);
    return alloy_json_close(&json);
}

/* ---- Fields of an alloy config ----------------------------------------------------------------------------------- */

static alloy_status write_given(alloy_json_writer *writer, const alloy_source *source, int row)
{
    const alloy_field *field = alloy_source_field(row);
    if (source->config.state[row] == ALLOY_FIELD_ABSENT)
        return ALLOY_OK;
    alloy_json_write_key(writer, field->key);
    if (source->config.state[row] == ALLOY_FIELD_NULL)
        alloy_json_write_null(writer);
    else if (field->type == ALLOY_FIELD_VALUE)
        return copy_value(writer, (const alloy_json_string_view *)((const char *)source + field->offset));
    else
        alloy_field_write(writer, field, source);
    return ALLOY_OK;
}

/* ---- Fields of a translated config ------------------------------------------------------------------------------- */

static void write_number(alloy_json_writer *writer, const char *key, double value)
{
    if (value == 0)
        return;
    alloy_json_write_key(writer, key);
    alloy_json_write_double(writer, value);
}

static void write_rope(alloy_json_writer *writer, const alloy_rope *rope)
{
    const char *type = alloy_rope_type_name(rope->type);
    alloy_json_write_object(writer);
    alloy_json_write_key(writer, "rope_type");
    alloy_json_write_string(writer, type, strlen(type));
    write_number(writer, "rope_theta", rope->theta);
    write_number(writer, "partial_rotary_factor", rope->partial_rotary_factor);
    write_number(writer, "factor", rope->factor);
    if (rope->original_max_position_embeddings) {
        alloy_json_write_key(writer, "original_max_position_embeddings");
        alloy_json_write_int64(writer, rope->original_max_position_embeddings);
    }
    write_number(writer, "attention_factor", rope->attention_factor);
    write_number(writer, "mscale", rope->mscale);
    write_number(writer, "mscale_all_dim", rope->mscale_all_dim);
    write_number(writer, "low_freq_factor", rope->low_freq_factor);
    write_number(writer, "high_freq_factor", rope->high_freq_factor);
    if (rope->type == ALLOY_ROPE_YARN) {
        write_number(writer, "beta_fast", rope->beta_fast);
        write_number(writer, "beta_slow", rope->beta_slow);
        alloy_json_write_key(writer, "truncate");
        alloy_json_write_bool(writer, rope->truncate);
    }
    alloy_json_write_object_end(writer);
}

/* Both, where the family has layers that rotate by the second. */
static void write_ropes(alloy_json_writer *writer, const alloy_source *source)
{
    if (!alloy_source_has(source, "compress_rope_theta")) {
        write_rope(writer, &source->config.rope);
        return;
    }
    alloy_json_write_object(writer);
    alloy_json_write_key(writer, "main");
    write_rope(writer, &source->config.rope);
    alloy_json_write_key(writer, "compress");
    write_rope(writer, &source->config.rope_compress);
    alloy_json_write_object_end(writer);
}

/* Was a field of another name, compress_rates, what set this one? */
static bool is_compress_rate(const alloy_source *source, const alloy_field *field)
{
    return strncmp(field->key, "compress_rate_", strlen("compress_rate_")) == 0 &&
           *(const int64_t *)((const char *)source + field->offset) != 0;
}

static void write_modules(alloy_json_writer *writer, const alloy_config *config, bool ffns)
{
    alloy_json_write_array(writer);
    for (int64_t i = 0; i < config->num_hidden_layers; i++) {
        const char *name = ffns ? config->layers[i].ffn : config->layers[i].mixer;
        alloy_json_write_string(writer, name, strlen(name));
    }
    alloy_json_write_array_end(writer);
}

static alloy_status write_translated(alloy_json_writer *writer, const alloy_source *source, int row)
{
    const alloy_field *field = alloy_source_field(row);
    bool has = source->config.state[row] == ALLOY_FIELD_GIVEN || source->config.state[row] == ALLOY_FIELD_DEFAULT;
    bool ffns = strcmp(field->key, "ffn_types") == 0;
    if (ffns || strcmp(field->key, "layer_types") == 0) {
        alloy_json_write_key(writer, field->key);
        write_modules(writer, &source->config, ffns);
    } else if (strcmp(field->key, "rope_parameters") == 0) {
        alloy_json_write_key(writer, field->key);
        write_ropes(writer, source);
    } else if (has && strcmp(field->key, "quantization_config") == 0) {
        return write_given(writer, source, row); /* of the files, not of the family */
    } else if (field->flags & ALLOY_FIELD_RULE || field->type == ALLOY_FIELD_VALUE) {
        ; /* translation has made other fields of it */
    } else if (has || (field->type == ALLOY_FIELD_DTYPE && alloy_source_has(source, "torch_dtype")) ||
               is_compress_rate(source, field)) {
        alloy_json_write_key(writer, field->key);
        alloy_field_write(writer, field, source);
    } else if (source->config.state[row] == ALLOY_FIELD_NULL) {
        alloy_json_write_key(writer, field->key);
        alloy_json_write_null(writer);
    }
    return ALLOY_OK;
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

static alloy_status write_extra(alloy_json_writer *writer, const alloy_config_root *root)
{
    const struct alloy_config_extra *extra = root->source.config.extra;
    bool translated = root->family->fields;
    alloy_status status = ALLOY_OK;
    for (int64_t i = 0; i < extra->count && !status; i++) {
        /* A field that its family lacks and Alloy has would mean something now. */
        if (translated && alloy_source_row_named(&extra->fields[i].key) >= 0)
            continue;
        write_key(writer, &extra->fields[i].key);
        status = copy_value(writer, &extra->fields[i].value);
    }
    return status;
}

alloy_status alloy_config_to_json(const alloy_config *config, alloy_text *out)
{
    const alloy_config_root *root = config->extra ? config->extra->root : NULL;
    if (!root || !config->layers || config->num_hidden_layers != root->source.config.num_hidden_layers)
        return alloy_fail(ALLOY_ARG, "only a whole config can be saved, not a layer's view of it or its first layers");
    alloy_status status = ALLOY_OK;
    alloy_json_writer writer;
    int count;
    alloy_config_fields(&count);
    alloy_json_writer_open(&writer, out, INDENT);
    alloy_json_write_object(&writer);
    alloy_json_write_key(&writer, "architectures");
    alloy_json_write_array(&writer);
    alloy_json_write_string(&writer, "AlloyForCausalLM", strlen("AlloyForCausalLM"));
    alloy_json_write_array_end(&writer);
    alloy_json_write_key(&writer, "model_type");
    alloy_json_write_string(&writer, "alloy", strlen("alloy"));
    for (int row = 0; row < count && !status; row++) {
        bool translated = root->family->fields;
        status = (translated ? write_translated : write_given)(&writer, &root->source, row);
    }
    if (!status)
        status = write_extra(&writer, root);
    if (status)
        return status;
    alloy_json_write_object_end(&writer);
    alloy_text_char(out, '\n');
    return alloy_text_status(out);
}

alloy_status alloy_config_write(const alloy_config *config, const char *path)
{
    alloy_text text = {0};
    alloy_status status = alloy_config_to_json(config, &text);
    if (!status)
        status = alloy_file_replace(path, text.bytes, text.size);
    alloy_text_free(&text);
    return status;
}
