/* What is asked of a config: by a module, whose struct of shapes is filled; by key; of the whole model (alloy.h,
 * extend.h, config.h). */
#include "base/status.h"
#include "config/source.h"
#include "modules/modules.h"

#include <string.h>

/* The value of a field in a view; NULL where it has none: neither the file nor the family nor a rule has set it.
 * `null`: a null of the file is one. */
static const void *value_of(const alloy_config *view, int row, bool null)
{
    const alloy_field *field = alloy_source_field(row);
    const char *member = (const char *)view + field->offset;
    if (view->state[row] == ALLOY_FIELD_NULL)
        return null ? member : NULL;
    if (view->state[row] != ALLOY_FIELD_ABSENT)
        return member;
    for (size_t i = 0; i < alloy_field_size(field); i++)
        if (member[i] != 0)
            return member;
    return NULL;
}

/* The row of a field that a view holds; -1: there is none. */
static int row_of(const char *key)
{
    int row = alloy_source_find(key);
    return row >= 0 && alloy_source_field(row)->offset < sizeof(struct alloy_config) ? row : -1;
}

/* A field that the table knows, if it has this type and a value; NULL otherwise. */
static const void *known(const alloy_config *config, const char *key, alloy_field_type type)
{
    int row = row_of(key);
    return row >= 0 && alloy_source_field(row)->type == type ? value_of(config, row, false) : NULL;
}

/* ---- Shapes of modules ------------------------------------------------------------------------------------------- */

static alloy_status fill_field(const alloy_config *view, const alloy_field *field, void *member)
{
    const char *const keys[] = {field->key, field->other};
    if (field->type == ALLOY_FIELD_ROPE) {
        *(alloy_rope *)member = strcmp(field->key, "compress") == 0 ? view->rope_compress : view->rope;
        return ALLOY_OK;
    }
    for (int i = 0; i < 2 && keys[i]; i++) {
        int row = row_of(keys[i]);
        if (row >= 0 && alloy_source_field(row)->type != field->type)
            return alloy_fail(ALLOY_ARG, "%s: a module declares it as of another type than others do", keys[i]);
        const void *value = row >= 0 ? value_of(view, row, true) : NULL;
        if (!value)
            continue;
        memcpy(member, value, alloy_field_size(field));
        return ALLOY_OK;
    }
    alloy_field_set(field, member, field->fallback);
    return ALLOY_OK;
}

alloy_status alloy_config_fill(const alloy_config *view, const alloy_field *fields, void *shape, size_t size)
{
    alloy_status status = ALLOY_OK;
    memset(shape, 0, size);
    for (; fields && fields->key && !status; fields++)
        status = fill_field(view, fields, (char *)shape + fields->offset);
    return status;
}

/* ---- By key ------------------------------------------------------------------------------------------------------ */

/* The value of an unknown field as it stands in the file, nearest first; NULL where it is absent or null. */
static const alloy_json_string_view *find(const alloy_config *config, const char *key)
{
    for (const struct alloy_config_extra *extra = config->extra; extra; extra = extra->below)
        for (int64_t i = 0; i < extra->count; i++)
            if (alloy_json_key_is(&extra->fields[i].key, key))
                return extra->fields[i].value.bytes[0] == 'n' ? NULL : &extra->fields[i].value;
    return NULL;
}

static alloy_status wrong_type(const char *key, const alloy_json_string_view *value, const char *expected)
{
    return alloy_fail(ALLOY_RANGE, "%s is %s, expected %s", key, alloy_printable(value->bytes, value->size), expected);
}

alloy_status alloy_config_get_int64(const alloy_config *config, const char *key, int64_t fallback, int64_t *out)
{
    const int64_t *member = known(config, key, ALLOY_FIELD_INTEGER);
    const alloy_json_string_view *value = member ? NULL : find(config, key);
    *out = member ? *member : fallback;
    if (value && !alloy_parse_int64(value->bytes, value->size, out))
        return wrong_type(key, value, "an integer");
    return ALLOY_OK;
}

alloy_status alloy_config_get_double(const alloy_config *config, const char *key, double fallback, double *out)
{
    const double *member = known(config, key, ALLOY_FIELD_NUMBER);
    const alloy_json_string_view *value = member ? NULL : find(config, key);
    *out = member ? *member : fallback;
    if (value && !alloy_parse_double(value->bytes, value->size, out))
        return wrong_type(key, value, "a number");
    return ALLOY_OK;
}

/* ---- Of the whole model ------------------------------------------------------------------------------------------ */

void alloy_config_keep_layers(alloy_config *config, int64_t num_layers)
{
    config->num_hidden_layers = num_layers;
}

const char *alloy_config_model_type(const alloy_config *config)
{
    return config->model_type;
}

int64_t alloy_config_vocab_size(const alloy_config *config)
{
    return config->vocab_size;
}

int64_t alloy_config_hidden_size(const alloy_config *config)
{
    return config->hidden_size;
}

int64_t alloy_config_num_layers(const alloy_config *config)
{
    return config->num_hidden_layers;
}

int64_t alloy_config_context(const alloy_config *config)
{
    return config->max_position_embeddings;
}

bool alloy_config_ties_head(const alloy_config *config)
{
    return config->tie_word_embeddings;
}

alloy_dtype alloy_config_dtype(const alloy_config *config)
{
    return config->dtype;
}

const char *alloy_config_mixer(const alloy_config *config, int64_t layer)
{
    return config->layers[layer].mixer;
}

const char *alloy_config_ffn(const alloy_config *config, int64_t layer)
{
    return config->layers[layer].ffn;
}

const alloy_residual *alloy_residual_of(const alloy_config *config)
{
    const char *mode = config->residual_mode; /* a config may say pre_norm and have use_mhc, which then decides */
    bool decides = mode && strcmp(mode, "pre_norm") != 0 && alloy_residual_is_known(mode);
    return alloy_residual_by_name(decides ? mode : config->use_mhc ? "mhc" : "pre_norm");
}
