/* Objects of config fields (source.h): config.json, its text_config, and overrides.
 *
 * No field can name code, a kernel or an address: what would is dropped with one warning and is not saved again. */
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "config/source.h"

/* Other names of a field, for families that do not have the name itself. */
static const char *const aliases[][2] = {{"num_local_experts", "num_experts"},
                                         {"num_local_experts", "n_routed_experts"},
                                         {"n_routed_experts", "num_experts"},
                                         {"num_experts", "n_routed_experts"}};

/* Told by the family, or made anew when a config is saved. */
static const char *const silent[] = {"model_type", "architectures"};

/* What transformers would load code, or choose kernels, by. */
static const char *const never[] = {
    "auto_map",
    "trust_remote_code",
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "custom_pipeline",
    "custom_pipelines",
    "use_kernels",
    "kernel_config",
    "experts_implementation",
    "_experts_implementation",
    "_experts_implementation_internal",
};

/* Fields that say more than any family's config can: nobody writes them there and means nothing. */
static const char *const alloys_only[] = {"ffn_types", "layer_overrides"};

/* What changes the mathematics and is implemented with one value only. */
static const struct {
    const char *key, *value;
} fixed[] = {{"is_causal", "true"}, {"use_bidirectional_attention", "false"}};

enum { MOST_IGNORED_NAMED = 400 /* bytes of a warning */ };

/* Unknown fields while an object is read. */
struct others {
    alloy_other_field *fields;
    int64_t count, capacity;
};

static bool is_any(const alloy_json_string_view *key, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (alloy_json_key_is(key, names[i]))
            return true;
    return false;
}

#define IS_ANY(key, names) is_any(key, names, sizeof(names) / sizeof *(names))

static bool holds_address(const alloy_json_string_view *value)
{
    return value->size > 0 && value->bytes[0] == '"' && memmem(value->bytes, value->size, "://", 3);
}

alloy_status alloy_reader_fail(const alloy_config_reader *reader, alloy_status status, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    alloy_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return alloy_fail(status, "%s: %s", alloy_printable(reader->name, strlen(reader->name)), text);
}

void alloy_reader_use(alloy_config_reader *reader, const alloy_family *family)
{
    int count;
    const alloy_field *fields = alloy_config_fields(&count);
    reader->family = family;
    for (int i = 0; i < count; i++) {
        const alloy_field *field = &fields[i];
        bool has = (field->flags & ALLOY_FIELD_COMMON) || (!family->fields && !(field->flags & ALLOY_FIELD_RULE));
        for (const char *const *key = family->fields; !has && key && *key; key++)
            has = strcmp(*key, field->key) == 0;
        for (const alloy_default *d = family->defaults; !has && d && d->key; d++)
            has = strcmp(d->key, field->key) == 0;
        reader->has[i] = has;
    }
}

void alloy_read_again(alloy_config_reader *reader, const alloy_json_string_view *value)
{
    reader->json.at = (size_t)(value->bytes - reader->json.text);
}

/* ---- One field --------------------------------------------------------------------------------------------------- */

static void keep(alloy_config_reader *reader, struct others *others, const alloy_json_string_view *key)
{
    alloy_json_string_view value = alloy_json_raw(&reader->json);
    if (reader->json.status)
        return;
    if (IS_ANY(key, never) || holds_address(&value)) {
        if (reader->ignored.size < MOST_IGNORED_NAMED)
            alloy_text_format(&reader->ignored, "%s%s", reader->ignored.size ? ", " : "",
                              alloy_printable(key->bytes, key->size));
        return;
    }
    alloy_other_field *grown = alloy_memory_grow(others->fields, others->count, &others->capacity, sizeof *grown);
    if (!grown) {
        reader->json.status = ALLOY_NOMEM;
        return;
    }
    others->fields = grown;
    grown[others->count++] = (alloy_other_field){*key, value};
}

static void refuse_alloys(alloy_config_reader *reader, const alloy_json_string_view *key)
{
    alloy_json_skip(&reader->json);
    alloy_json_fail(&reader->json, ALLOY_FORMAT, "%s is a field of model_type \"alloy\", %s has none",
                    alloy_printable(key->bytes, key->size), reader->family->model_type);
}

static void refuse_per_layer(alloy_json *json)
{
    alloy_json_skip(json);
    alloy_json_fail(json, ALLOY_UNSUPPORTED,
                    "per_layer_config is unsupported: write the model as an alloy config with layer_overrides");
}

/* Takes the value of a key that may have one value only; false, nothing taken, for any other key. */
static bool read_fixed(alloy_json *json, const alloy_json_string_view *key)
{
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        if (!alloy_json_key_is(key, fixed[i].key))
            continue;
        alloy_json_type type = alloy_json_peek(json);
        alloy_json_string_view value = alloy_json_raw(json);
        if (type != ALLOY_JSON_NULL && !alloy_json_key_is(&value, fixed[i].value))
            alloy_json_fail(json, ALLOY_FORMAT, "%s is %s, which is not implemented, expected %s", fixed[i].key,
                            alloy_printable(value.bytes, value.size), fixed[i].value);
        return true;
    }
    return false;
}

static void read_field(alloy_config_reader *reader, alloy_source *source, int row, bool layer)
{
    const alloy_field *field = alloy_source_field(row);
    uint8_t *state = &source->config.state[row];
    alloy_json *json = &reader->json;
    if (layer && (field->flags & ALLOY_FIELD_MODEL)) {
        alloy_json_skip(json);
        alloy_json_fail(json, ALLOY_FORMAT, "layer_overrides: %s belongs to the whole model, it cannot differ by layer",
                        field->key);
        return;
    }
    bool twice = *state != ALLOY_FIELD_ABSENT; /* by an alias: integers alone have any */
    const int64_t *member = (const int64_t *)((const char *)source + field->offset);
    int64_t before = twice ? *member : 0;
    *state = (uint8_t)alloy_field_read(json, reader->arena, field, source);
    if (twice && *member != before)
        alloy_json_fail(json, ALLOY_FORMAT, "%s is given twice, by two of its names: %lld and %lld", field->key,
                        (long long)before, (long long)*member);
}

/* The row of a key, or of a field that it is another name of; -1: none that `has` (NULL: all do). */
static int row_named(const alloy_json_string_view *key, const bool *has)
{
    int count;
    const alloy_field *fields = alloy_config_fields(&count);
    int row = alloy_field_find(fields, count, key);
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases && (row < 0 || (has && !has[row])); i++)
        if (alloy_json_key_is(key, aliases[i][0]))
            row = alloy_source_row(aliases[i][1]);
    return row >= 0 && has && !has[row] ? -1 : row;
}

int alloy_source_row_named(const alloy_json_string_view *key)
{
    return row_named(key, NULL);
}

static int row_of(const alloy_config_reader *reader, const alloy_json_string_view *key)
{
    return row_named(key, reader->has);
}

/* ---- Objects ----------------------------------------------------------------------------------------------------- */

/* The unknown fields of one object upon those `below`, as what config.extra points to. */
static const struct alloy_config_extra *keep_others(alloy_config_reader *reader, const struct others *others,
                                                    const struct alloy_config_extra *below)
{
    if (others->count == 0 && below)
        return below;
    size_t size = (size_t)others->count * sizeof *others->fields;
    struct alloy_config_extra *extra = alloy_arena_take_zeroed(reader->arena, 1, sizeof *extra);
    alloy_other_field *fields = extra ? alloy_arena_take(reader->arena, 1, size) : NULL;
    if (!fields) {
        reader->json.status = ALLOY_NOMEM;
        return NULL;
    }
    if (size)
        memcpy(fields, others->fields, size);
    *extra = (struct alloy_config_extra){fields, others->count, below, reader->root};
    return extra;
}

/* Takes the value of a key that is no field but means something; false, nothing taken, for any other key. */
static bool read_special(alloy_config_reader *reader, const alloy_json_string_view *key)
{
    alloy_json *json = &reader->json;
    if (IS_ANY(key, silent)) {
        alloy_json_skip(json);
    } else if (IS_ANY(key, alloys_only)) {
        refuse_alloys(reader, key);
    } else if (alloy_json_key_is(key, "per_layer_config")) {
        if (!alloy_json_null(json))
            refuse_per_layer(json);
    } else {
        return read_fixed(json, key);
    }
    return true;
}

static void read_object(alloy_config_reader *reader, alloy_source *source, alloy_source *inner, bool layer)
{
    alloy_json *json = &reader->json;
    struct others others = {0};
    alloy_json_string_view key;
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        int row = row_of(reader, &key);
        bool nested = inner && alloy_json_key_is(&key, "text_config") && alloy_json_peek(json) == ALLOY_JSON_OBJECT;
        if (row >= 0)
            read_field(reader, source, row, layer);
        else if (nested)
            read_object(reader, inner, NULL, false);
        else if (!read_special(reader, &key))
            keep(reader, &others, &key);
    }
    if (!json->status)
        source->config.extra = keep_others(reader, &others, source->config.extra);
    alloy_memory_free(others.fields);
}

alloy_status alloy_read_config(alloy_config_reader *reader, alloy_source *source)
{
    alloy_source inner = {0};
    bool wraps = reader->family->wraps;
    read_object(reader, source, wraps ? &inner : NULL, false);
    if (reader->json.status || !inner.config.extra)
        return reader->json.status;
    inner.config.tie_word_embeddings |= source->config.tie_word_embeddings; /* either level may say so */
    if (inner.config.tie_word_embeddings)
        alloy_source_mark(&inner, "tie_word_embeddings", ALLOY_FIELD_GIVEN);
    if (!alloy_source_has(&inner, "dtype") && !alloy_source_has(&inner, "torch_dtype")) {
        inner.config.dtype = source->config.dtype;
        inner.torch_dtype = source->torch_dtype;
        alloy_source_mark(&inner, "dtype", alloy_source_state(source, "dtype"));
        alloy_source_mark(&inner, "torch_dtype", alloy_source_state(source, "torch_dtype"));
    }
    if (!alloy_source_has(&inner, "quantization_config")) { /* of the whole model */
        inner.quantization_config = source->quantization_config;
        alloy_source_mark(&inner, "quantization_config", alloy_source_state(source, "quantization_config"));
    }
    *source = inner;
    return ALLOY_OK;
}

alloy_status alloy_read_override(alloy_config_reader *reader, const alloy_json_string_view *value, alloy_source *source)
{
    alloy_read_again(reader, value);
    read_object(reader, source, NULL, true);
    return reader->json.status;
}
