/* A config as text, every field of every view of it, so that tests compare two by comparing texts. */
#ifndef ALLOY_TESTS_CONFIG_DUMP_H
#define ALLOY_TESTS_CONFIG_DUMP_H

#include "support.h"

#include "config/config.h"
#include "config/source.h"

static inline void dump_rope(alloy_text *out, const char *name, const alloy_rope *rope)
{
    alloy_text_format(out,
                      "%s: %s theta %g partial %g factor %g original %lld attention %g mscale %g/%g beta %g/%g "
                      "truncate %d freq %g/%g\n",
                      name, alloy_rope_type_name(rope->type), rope->theta, rope->partial_rotary_factor, rope->factor,
                      (long long)rope->original_max_position_embeddings, rope->attention_factor, rope->mscale,
                      rope->mscale_all_dim, rope->beta_fast, rope->beta_slow, rope->truncate, rope->low_freq_factor,
                      rope->high_freq_factor);
}

/* The fields of one view; model_type is left out, since saving makes it "alloy". */
static inline void dump_fields(alloy_text *out, const alloy_config *config)
{
    alloy_json_writer writer;
    alloy_json_writer_open(&writer, out, 1);
    alloy_json_write_object(&writer);
    int count;
    const alloy_field *fields = alloy_config_fields(&count);
    for (int i = 0; i < count; i++) {
        const alloy_field *field = &fields[i];
        if (field->offset >= sizeof *config || field->type == ALLOY_FIELD_VALUE)
            continue;
        alloy_json_write_key(&writer, field->key);
        alloy_field_write(&writer, field, config);
    }
    alloy_json_write_object_end(&writer);
    alloy_text_char(out, '\n');
    dump_rope(out, "rope", &config->rope);
    dump_rope(out, "rope_compress", &config->rope_compress);
}

/* All of it; free() the text. */
static inline char *dump(const alloy_config *config)
{
    alloy_text out = {0};
    dump_fields(&out, config);
    for (int64_t i = 0; i < config->num_hidden_layers; i++) {
        const alloy_layer *layer = &config->layers[i];
        alloy_text_format(&out, "layer %lld: %s %s\n", (long long)i, layer->mixer, layer->ffn);
        dump_fields(&out, layer->mixer_config);
        dump_fields(&out, layer->ffn_config);
    }
    assert_int_equal(alloy_text_status(&out), ALLOY_OK);
    char *text = strdup(alloy_text_get(&out));
    alloy_text_free(&out);
    return text;
}

/* Names of the layers' modules, "mixer ffn, mixer ffn, ..." in a static buffer. */
static inline const char *layers_of(const alloy_config *config)
{
    static char text[4096];
    size_t used = 0;
    text[0] = 0;
    for (int64_t i = 0; i < config->num_hidden_layers && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %s", i ? ", " : "", config->layers[i].mixer,
                                 config->layers[i].ffn);
    return text;
}

/* What a module reads of a view: an integer or a bool. The module is `ffn`, or the first that reads such a field. */
static inline int64_t field_of(const alloy_config *view, const alloy_ffn *ffn, const char *key)
{
    _Alignas(double) char shape[1024];
    const alloy_field *fields = NULL, *row = NULL;
    alloy_status (*check)(void *) = NULL;
    for (int i = 0; !row; i++) {
        const alloy_mixer *mixer = ffn ? NULL : alloy_mixer_at(i);
        const alloy_ffn *other = ffn ? ffn : alloy_ffn_at(i);
        assert_true(mixer || other);
        for (int k = 0; k < 2 && !row; k++) {
            fields = k ? (other ? other->fields : NULL) : mixer ? mixer->fields : NULL;
            check = k ? (other ? other->check : NULL) : mixer ? mixer->check : NULL;
            for (row = fields; row && row->key && strcmp(row->key, key) != 0;)
                row++;
            row = row && row->key ? row : NULL;
        }
    }
    expect_ok(alloy_config_fill(view, fields, shape, sizeof shape));
    if (check)
        (void)check(shape); /* sets what follows from other fields */
    return row->type == ALLOY_FIELD_BOOL ? *(const bool *)(shape + row->offset)
                                         : *(const int64_t *)(const void *)(shape + row->offset);
}

static inline alloy_config *parse(const char *json)
{
    alloy_config *config;
    expect_ok(alloy_config_parse(&config, "config.json", json, strlen(json)));
    return config;
}

/* The status of a text that may be refused; nothing is left open. */
static inline alloy_status parse_status(const char *json)
{
    alloy_config *config;
    alloy_status status = alloy_config_parse(&config, "config.json", json, strlen(json));
    if (status)
        assert_null(config);
    alloy_config_close(config);
    return status;
}

#endif
