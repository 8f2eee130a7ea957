/* Rotary positions: the settings of both generations as one alloy_rope (checkpoints of transformers 5 have
 * rope_parameters; before it, rope_theta and partial_rotary_factor stood at the top and the rest in rope_scaling, its
 * kind as `type` or `rope_type`).
 *
 * Precedence, that of transformers: rope_scaling, where it is not null or empty, over rope_parameters; what is inside
 * over what is at the top; but original_max_position_embeddings at the top over the one inside. */
#include <string.h>

#include "base/names.h"
#include "base/status.h"
#include "config/config.h"
#include "config/source.h"

enum { MOST_BETA = 1000000 };

#define AT(member) offsetof(struct settings, member)
#define NUMBER(name) ALLOY_ROW(#name, NUMBER, ALLOY_FIELD_NULLABLE | ALLOY_FIELD_ABOVE, AT(rope.name), 0, 1e9, NULL)

/* One object of settings. */
struct settings {
    alloy_rope rope;
    const char *kind, *old_kind; /* rope_type, type */
    alloy_json_string_view main, compress;
    uint8_t state[16];
};

enum row {
    ROPE_TYPE,
    TYPE,
    THETA,
    PARTIAL,
    FACTOR,
    ORIGINAL,
    ATTENTION,
    MSCALE,
    MSCALE_ALL,
    FAST,
    SLOW,
    TRUNCATE,
    LOW,
    HIGH,
    MAIN,
    COMPRESS,
    ROWS
};

static const alloy_field fields[ROWS] = {
    [ROPE_TYPE] = ALLOY_ROW("rope_type", STRING, ALLOY_FIELD_NULLABLE, AT(kind), 0, 0, NULL),
    [TYPE] = ALLOY_ROW("type", STRING, ALLOY_FIELD_NULLABLE, AT(old_kind), 0, 0, NULL),
    [THETA] = ALLOY_ROW("rope_theta", NUMBER, ALLOY_FIELD_ABOVE, AT(rope.theta), 0, 1e300, NULL),
    [PARTIAL] = ALLOY_ROW("partial_rotary_factor", NUMBER, ALLOY_FIELD_NULLABLE | ALLOY_FIELD_ABOVE,
                          AT(rope.partial_rotary_factor), 0, 1, NULL),
    [FACTOR] = NUMBER(factor),
    [ORIGINAL] = ALLOY_ROW("original_max_position_embeddings", INTEGER, ALLOY_FIELD_NULLABLE,
                           AT(rope.original_max_position_embeddings), 1, 1099511627776.0, NULL),
    [ATTENTION] = NUMBER(attention_factor),
    [MSCALE] = ALLOY_ROW("mscale", NUMBER, ALLOY_FIELD_NULLABLE, AT(rope.mscale), 0, 1e6, NULL),
    [MSCALE_ALL] = ALLOY_ROW("mscale_all_dim", NUMBER, ALLOY_FIELD_NULLABLE, AT(rope.mscale_all_dim), 0, 1e6, NULL),
    [FAST] = ALLOY_ROW("beta_fast", NUMBER, ALLOY_FIELD_NULLABLE | ALLOY_FIELD_ABOVE, AT(rope.beta_fast), 0, MOST_BETA,
                       NULL),
    [SLOW] = ALLOY_ROW("beta_slow", NUMBER, ALLOY_FIELD_NULLABLE | ALLOY_FIELD_ABOVE, AT(rope.beta_slow), 0, MOST_BETA,
                       NULL),
    [TRUNCATE] = ALLOY_ROW("truncate", BOOL, ALLOY_FIELD_NULLABLE, AT(rope.truncate), 0, 0, NULL),
    [LOW] = NUMBER(low_freq_factor),
    [HIGH] = NUMBER(high_freq_factor),
    [MAIN] = ALLOY_ROW("main", VALUE, ALLOY_FIELD_NULLABLE, AT(main), 0, 0, NULL),
    [COMPRESS] = ALLOY_ROW("compress", VALUE, ALLOY_FIELD_NULLABLE, AT(compress), 0, 0, NULL),
};

_Static_assert(ROWS <= sizeof((struct settings *)0)->state, "a state for every row");

static const char *const kinds[] = {[ALLOY_ROPE_DEFAULT] = "default",
                                    [ALLOY_ROPE_LINEAR] = "linear",
                                    [ALLOY_ROPE_YARN] = "yarn",
                                    [ALLOY_ROPE_LLAMA3] = "llama3"};
static const char *const unsupported[] = {"dynamic", "longrope", "su", "proportional", "axial", "mrope"};

enum { KINDS = sizeof kinds / sizeof *kinds, UNSUPPORTED = sizeof unsupported / sizeof *unsupported };

const char *alloy_rope_type_name(alloy_rope_type type)
{
    return kinds[type];
}

static bool given(const struct settings *settings, enum row row)
{
    return settings->state[row] == ALLOY_FIELD_GIVEN;
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static void read_settings(alloy_config_reader *reader, const alloy_json_string_view *value, struct settings *settings)
{
    alloy_json *json = &reader->json;
    alloy_json_string_view key;
    alloy_read_again(reader, value);
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        int row = alloy_field_find(fields, ROWS, &key);
        if (row >= 0) {
            settings->state[row] = (uint8_t)alloy_field_read(json, reader->arena, &fields[row], settings);
            continue;
        }
        bool nested = alloy_json_peek(json) == ALLOY_JSON_OBJECT;
        alloy_json_skip(json);
        if (nested)
            alloy_json_fail(json, ALLOY_UNSUPPORTED,
                            "rope settings by layer type (\"%s\") are unsupported: write an alloy config, with "
                            "rope_parameters in layer_overrides",
                            alloy_printable(key.bytes, key.size));
    }
}

/* The type that the settings name. */
static alloy_status find_type(const alloy_config_reader *reader, const struct settings *settings, alloy_rope_type *type)
{
    const char *name = given(settings, ROPE_TYPE) ? settings->kind
                       : given(settings, TYPE)    ? settings->old_kind
                                                  : kinds[ALLOY_ROPE_DEFAULT];
    for (int i = 0; i < KINDS; i++) {
        if (strcmp(name, kinds[i]) == 0) {
            *type = (alloy_rope_type)i;
            return ALLOY_OK;
        }
    }
    for (int i = 0; i < UNSUPPORTED; i++)
        if (strcmp(name, unsupported[i]) == 0)
            return alloy_reader_fail(reader, ALLOY_UNSUPPORTED,
                                     "rope_type \"%s\" is unsupported, Alloy has default, linear, yarn and llama3",
                                     name);
    const char *nearest = alloy_nearest_name(name, kinds, KINDS);
    return alloy_reader_fail(reader, ALLOY_FORMAT,
                             "rope_type \"%s\" is unknown, expected default, linear, yarn or llama3%s%s%s",
                             alloy_printable(name, strlen(name)), nearest ? "; did you mean \"" : "",
                             nearest ? nearest : "", nearest ? "\"?" : "");
}

static alloy_status require(const alloy_config_reader *reader, const struct settings *settings, enum row row)
{
    if (given(settings, row))
        return ALLOY_OK;
    return alloy_reader_fail(reader, ALLOY_RANGE,
                             "rope_type \"%s\" needs %s, which is missing, expected a number above 0",
                             kinds[settings->rope.type], fields[row].key);
}

/* ---- Defaults and checks of each type ---------------------------------------------------------------------------- */

static alloy_status finish_yarn(const alloy_config_reader *reader, struct settings *settings, int64_t context)
{
    alloy_rope *rope = &settings->rope;
    rope->beta_fast = given(settings, FAST) ? rope->beta_fast : 32;
    rope->beta_slow = given(settings, SLOW) ? rope->beta_slow : 1;
    rope->truncate = given(settings, TRUNCATE) ? rope->truncate : true;
    if (settings->state[FACTOR] == ALLOY_FIELD_NULL) { /* the model's own ratio, as DeepSeek's configs have it */
        rope->factor = (double)context / (double)rope->original_max_position_embeddings;
        settings->state[FACTOR] = ALLOY_FIELD_GIVEN;
    }
    if (rope->theta <= 1) /* the ramp's ends divide by ln(theta) */
        return alloy_reader_fail(reader, ALLOY_RANGE, "rope_theta is %g, expected a number above 1 for yarn",
                                 rope->theta);
    return require(reader, settings, FACTOR);
}

static alloy_status finish_llama3(const alloy_config_reader *reader, struct settings *settings)
{
    const alloy_rope *rope = &settings->rope;
    alloy_status status = require(reader, settings, FACTOR);
    if (!status)
        status = require(reader, settings, LOW);
    if (!status)
        status = require(reader, settings, HIGH);
    if (!status && rope->high_freq_factor <= rope->low_freq_factor)
        return alloy_reader_fail(reader, ALLOY_RANGE,
                                 "high_freq_factor is %g, expected a number above low_freq_factor, %g",
                                 rope->high_freq_factor, rope->low_freq_factor);
    return status;
}

/* Settings as they are used: fields that the type does not read are zero. */
static alloy_status finish(const alloy_config_reader *reader, const alloy_source *source, struct settings *settings)
{
    alloy_rope *rope = &settings->rope;
    alloy_status status = find_type(reader, settings, &rope->type);
    if (status)
        return status;
    if (!given(settings, THETA) || source->theta_wins)
        rope->theta = source->rope_theta;
    if (!given(settings, PARTIAL) || source->partial_wins)
        rope->partial_rotary_factor =
            alloy_source_has(source, "partial_rotary_factor") ? source->partial_rotary_factor : 1;
    if (rope->type == ALLOY_ROPE_DEFAULT || rope->type == ALLOY_ROPE_LINEAR) {
        *rope = (alloy_rope){.type = rope->type,
                             .theta = rope->theta,
                             .partial_rotary_factor = rope->partial_rotary_factor,
                             .factor = rope->type == ALLOY_ROPE_LINEAR ? rope->factor : 0};
        return rope->type == ALLOY_ROPE_LINEAR ? require(reader, settings, FACTOR) : ALLOY_OK;
    }
    if (alloy_source_has(source, "original_max_position_embeddings"))
        rope->original_max_position_embeddings = source->original_max_position_embeddings;
    else if (!given(settings, ORIGINAL))
        rope->original_max_position_embeddings = source->config.max_position_embeddings;
    if (rope->type == ALLOY_ROPE_YARN)
        return finish_yarn(reader, settings, source->config.max_position_embeddings);
    return finish_llama3(reader, settings);
}

/* ---- The config's settings --------------------------------------------------------------------------------------- */

/* Is it an object without fields? */
static bool is_empty(const alloy_json_string_view *value)
{
    size_t i = 1;
    while (i < value->size && strchr(" \t\r\n", value->bytes[i]))
        i++;
    return value->bytes[0] == '{' && i + 1 == value->size;
}

/* The settings that count; no bytes where there are none. */
static alloy_json_string_view settings_of(const alloy_source *source)
{
    if (alloy_source_has(source, "rope_scaling") && !is_empty(&source->rope_scaling))
        return source->rope_scaling;
    if (alloy_source_has(source, "rope_parameters"))
        return source->rope_parameters;
    return (alloy_json_string_view){0};
}

/* What the compressed layers have of their own; else the flat settings with their own base. */
static alloy_status finish_compress(const alloy_config_reader *reader, alloy_source *source, struct settings *settings,
                                    bool own)
{
    alloy_rope *rope = &settings->rope;
    if (!own && alloy_source_has(source, "compress_rope_theta")) {
        rope->theta = source->compress_rope_theta;
        settings->state[THETA] = ALLOY_FIELD_GIVEN;
    }
    alloy_status status = finish(reader, source, settings);
    if (rope->type == ALLOY_ROPE_YARN) {
        rope->attention_factor = given(settings, ATTENTION) ? rope->attention_factor : 1;
        rope->truncate = true;
    }
    source->config.rope_compress = *rope;
    return status;
}

alloy_status alloy_resolve_rope(alloy_config_reader *reader, alloy_source *source)
{
    struct settings outer = {0}, main = {0}, compress = {0};
    alloy_json_string_view value = settings_of(source);
    if (value.bytes)
        read_settings(reader, &value, &outer);
    bool has_main = given(&outer, MAIN), has_compress = given(&outer, COMPRESS);
    if (has_main)
        read_settings(reader, &outer.main, &main);
    if (has_compress)
        read_settings(reader, &outer.compress, &compress);
    if (reader->json.status)
        return reader->json.status;
    bool split = has_main || reader->family->flat_rope_is_compressed; /* main stays empty then: the default */
    alloy_status status = finish(reader, source, split ? &main : &outer);
    source->config.rope = split ? main.rope : outer.rope;
    return status ? status : finish_compress(reader, source, has_compress ? &compress : &outer, has_compress);
}
