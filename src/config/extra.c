/* What modules ask of a config: fields that the library does not know, and checks (extend.h). */
#include "base/status.h"
#include "config/source.h"

#include <string.h>

/* A field that the table knows, if it has this type; NULL otherwise. */
static const void *known(const alloy_config *config, const char *key, alloy_field_type type)
{
    for (int i = 0; i < alloy_config_field_count; i++) {
        const alloy_field *field = &alloy_config_fields[i];
        bool in_config = field->offset < sizeof(struct alloy_config);
        if (in_config && field->type == type && strcmp(field->key, key) == 0)
            return (const char *)config + field->offset;
    }
    return NULL;
}

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
    *out = member && *member ? *member : fallback;
    if (value && !alloy_parse_int64(value->bytes, value->size, out))
        return wrong_type(key, value, "an integer");
    return ALLOY_OK;
}

alloy_status alloy_config_get_double(const alloy_config *config, const char *key, double fallback, double *out)
{
    const double *member = known(config, key, ALLOY_FIELD_NUMBER);
    const alloy_json_string_view *value = member ? NULL : find(config, key);
    *out = member && *member != 0 ? *member : fallback;
    if (value && !alloy_parse_double(value->bytes, value->size, out))
        return wrong_type(key, value, "a number");
    return ALLOY_OK;
}

alloy_status alloy_config_require(const char *key, int64_t value, int64_t least, int64_t most)
{
    if (value >= least && value <= most)
        return ALLOY_OK;
    const char *missing = value == 0 && least > 0 ? " or missing" : "";
    if (least == most)
        return alloy_fail(ALLOY_RANGE, "%s is %lld%s, expected %lld", key, (long long)value, missing, (long long)least);
    return alloy_fail(ALLOY_RANGE, "%s is %lld%s, expected an integer in %lld..%lld", key, (long long)value, missing,
                      (long long)least, (long long)most);
}
