/* The table of config fields, and what follows from them (source.h). */
#include "config/source.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/status.h"
#include "modules/modules.h"

/* Ranges. Widths: invariant (2) of source.h. */
enum { MOST_WIDTH = 1 << 20 };
#define MOST_TOKENS 1099511627776.0 /* 2^40: of a context */
#define MOST_ID 2147483647.0
#define MOST_THETA 1e300

#define AT(member) offsetof(alloy_source, member)
#define WHOLE(name, flags, least, most) ALLOY_ROW(#name, INTEGER, flags, AT(config.name), least, most, NULL)
#define NUMBER(name, flags, least, most) ALLOY_ROW(#name, NUMBER, flags, AT(config.name), least, most, NULL)
#define BOOL(name, flags) ALLOY_ROW(#name, BOOL, flags, AT(config.name), 0, 0, NULL)
#define WAITS(name, flags) ALLOY_ROW(#name, VALUE, (flags) | ALLOY_FIELD_NULLABLE, AT(name), 0, 0, NULL)

enum {
    NULLABLE = ALLOY_FIELD_NULLABLE,
    ABOVE = ALLOY_FIELD_ABOVE,
    COMMON = ALLOY_FIELD_COMMON,
    MODEL = ALLOY_FIELD_MODEL,
    RULE = ALLOY_FIELD_RULE,
};

_Static_assert(offsetof(struct alloy_config, eos_token_count) ==
                   offsetof(struct alloy_config, eos_token_ids) + offsetof(alloy_integers, count),
               "the ids and their number are read as one alloy_integers");

static const char *const activations[] = {"silu", "swish", NULL};

static const alloy_field own[] = {
    /* The model. */
    WHOLE(vocab_size, COMMON | MODEL, 1, MOST_ID),
    WHOLE(hidden_size, COMMON | MODEL, 1, MOST_WIDTH),
    WHOLE(num_hidden_layers, COMMON | MODEL, 1, ALLOY_MOST_LAYERS),
    WHOLE(max_position_embeddings, COMMON | MODEL, 1, MOST_TOKENS),
    NUMBER(initializer_range, COMMON, 0, 1),
    ALLOY_ROW("hidden_act", STRING, COMMON, AT(config.hidden_act), 0, 0, activations),
    BOOL(tie_word_embeddings, COMMON | MODEL),
    WHOLE(bos_token_id, COMMON | MODEL | NULLABLE, -1, MOST_ID),
    ALLOY_ROW("eos_token_id", TOKENS, COMMON | MODEL | NULLABLE, AT(config.eos_token_ids), 0, MOST_ID, NULL),
    WHOLE(pad_token_id, COMMON | MODEL | NULLABLE, -1, MOST_ID),
    ALLOY_ROW("dtype", DTYPE, COMMON | MODEL | NULLABLE, AT(config.dtype), 0, 0, NULL),
    ALLOY_ROW("torch_dtype", DTYPE, COMMON | MODEL | NULLABLE | RULE, AT(torch_dtype), 0, 0, NULL),
    WAITS(quantization_config, COMMON | MODEL),
    WAITS(layer_types, MODEL),
    WAITS(ffn_types, MODEL),
    WAITS(mlp_layer_types, MODEL | RULE),
    WAITS(layer_overrides, MODEL),
    ALLOY_ROW("max_window_layers", INTEGER, RULE, AT(max_window_layers), 0, ALLOY_MOST_LAYERS, NULL),
    ALLOY_ROW("full_attention_interval", INTEGER, RULE, AT(full_attention_interval), 1, ALLOY_MOST_LAYERS, NULL),
    ALLOY_ROW("decoder_sparse_step", INTEGER, RULE, AT(decoder_sparse_step), 1, ALLOY_MOST_LAYERS, NULL),
    ALLOY_ROW("num_hash_layers", INTEGER, RULE | NULLABLE, AT(num_hash_layers), 0, ALLOY_MOST_LAYERS, NULL),
    ALLOY_ROW("compress_ratios", INTEGERS, RULE | NULLABLE | ALLOY_FIELD_ORDERED, AT(compress_ratios), 0, MOST_WIDTH,
              NULL),
    ALLOY_ROW("mlp_only_layers", INTEGERS, RULE | NULLABLE, AT(mlp_only_layers), 0, ALLOY_MOST_LAYERS, NULL),

    /* Norms. */
    NUMBER(rms_norm_eps, COMMON | ABOVE, 0, 1),
    BOOL(rms_norm_unit_offset, 0),

    /* Rotary positions. */
    WAITS(rope_parameters, COMMON),
    WAITS(rope_scaling, COMMON | RULE),
    ALLOY_ROW("rope_theta", NUMBER, COMMON | RULE | ABOVE, AT(rope_theta), 0, MOST_THETA, NULL),
    ALLOY_ROW("partial_rotary_factor", NUMBER, COMMON | RULE | ABOVE | NULLABLE, AT(partial_rotary_factor), 0, 1, NULL),
    ALLOY_ROW("original_max_position_embeddings", INTEGER, COMMON | RULE | NULLABLE,
              AT(original_max_position_embeddings), 1, MOST_TOKENS, NULL),

    ALLOY_ROW("use_sliding_window", BOOL, RULE, AT(use_sliding_window), 0, 0, NULL),
    NUMBER(router_aux_loss_coef, 0, 0, 1e6),

    /* DeepSeek-V4. */
    WAITS(compress_rates, 0),
    ALLOY_ROW("compress_rope_theta", NUMBER, ABOVE, AT(compress_rope_theta), 0, MOST_THETA, NULL),

    /* Residual streams. */
    ALLOY_ROW("residual_mode", STRING, COMMON | MODEL | NULLABLE, AT(config.residual_mode), 0, 0, NULL),
    BOOL(use_mhc, MODEL),
};

enum { OWN = sizeof own / sizeof *own };

/* Adds the field of a module, where there is room for another; without it, it is an unknown field that is kept. */
static void add_row(alloy_field *rows, int *count, const alloy_field *field)
{
    int value = *count - OWN;
    for (int i = 0; i < *count; i++)
        if (strcmp(rows[i].key, field->key) == 0)
            return;
    if (field->type > ALLOY_FIELD_STRING || value == ALLOY_MOST_MODULE_FIELDS || *count == ALLOY_MOST_CONFIG_FIELDS)
        return;
    rows[*count] = *field;
    rows[(*count)++].offset = AT(config.value) + (size_t)value * sizeof(alloy_config_value);
}

const alloy_field *alloy_config_fields(int *count)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static alloy_field rows[ALLOY_MOST_CONFIG_FIELDS];
    static int known, tables; /* of modules, that have been added */
    const alloy_field *table;
    pthread_mutex_lock(&lock);
    if (known == 0) {
        memcpy(rows, own, sizeof own);
        known = OWN;
    }
    for (; alloy_registered_fields(tables, &table); tables++)
        for (; table->key; table++)
            add_row(rows, &known, table);
    *count = known;
    pthread_mutex_unlock(&lock);
    return rows;
}

/* Of an `alloy` config. What families lack takes these too. */
static const alloy_default alloys_own[] = {
    {.key = "hidden_size", .value = 2048},       {.key = "max_position_embeddings", .value = 32768},
    {.key = "initializer_range", .value = 0.02}, {.key = "bos_token_id", .value = -1},
    {.key = "pad_token_id", .value = -1},        {.key = "rms_norm_eps", .value = 1e-6},
    {.key = "rope_theta", .value = 10000},       {0},
};

/* ---- States ------------------------------------------------------------------------------------------------------ */

int alloy_source_find(const char *key)
{
    int count;
    const alloy_field *rows = alloy_config_fields(&count);
    for (int i = 0; i < count; i++)
        if (strcmp(rows[i].key, key) == 0)
            return i;
    return -1;
}

int alloy_source_row(const char *key)
{
    int row = alloy_source_find(key);
    assert(row >= 0);
    return row;
}

const alloy_field *alloy_source_field(int row)
{
    int count;
    return &alloy_config_fields(&count)[row];
}

int64_t alloy_source_integer(const alloy_source *source, const char *key)
{
    return *(const int64_t *)((const char *)source + alloy_source_field(alloy_source_row(key))->offset);
}

alloy_field_state alloy_source_state(const alloy_source *source, const char *key)
{
    return source->config.state[alloy_source_row(key)];
}

bool alloy_source_has(const alloy_source *source, const char *key)
{
    alloy_field_state state = alloy_source_state(source, key);
    return state == ALLOY_FIELD_GIVEN || state == ALLOY_FIELD_DEFAULT;
}

void alloy_source_mark(alloy_source *source, const char *key, alloy_field_state state)
{
    source->config.state[alloy_source_row(key)] = (uint8_t)state;
}

static void set_default(alloy_source *source, const alloy_field *field, const alloy_default *from)
{
    void *member = (char *)source + field->offset;
    if (field->type == ALLOY_FIELD_STRING)
        *(const char **)member = from->word;
    else if (field->type == ALLOY_FIELD_TOKENS)
        *(alloy_integers *)member = (alloy_integers){&from->id, 1};
    else
        alloy_field_set(field, member, from->value);
}

void alloy_source_set(alloy_source *source, const char *key, double value)
{
    int row = alloy_source_row(key);
    const alloy_field *field = alloy_source_field(row);
    alloy_field_set(field, (char *)source + field->offset, value);
    source->config.state[row] = ALLOY_FIELD_DEFAULT;
}

void alloy_source_defaults(alloy_source *source, const alloy_default *defaults, alloy_field_state state)
{
    for (const alloy_default *from = defaults; from->key; from++) {
        int row = alloy_source_row(from->key);
        if (source->config.state[row] != ALLOY_FIELD_ABSENT)
            continue;
        set_default(source, alloy_source_field(row), from);
        source->config.state[row] = (uint8_t)state;
    }
}

void alloy_source_lay(alloy_source *source, const alloy_source *upper)
{
    int count;
    const alloy_field *rows = alloy_config_fields(&count);
    for (int i = 0; i < count; i++) {
        size_t offset = rows[i].offset;
        if (upper->config.state[i] == ALLOY_FIELD_ABSENT)
            continue;
        memcpy((char *)source + offset, (const char *)upper + offset, alloy_field_size(&rows[i]));
        source->config.state[i] = upper->config.state[i];
    }
    /* Within one object rope_scaling wins over rope_parameters, and both over fields beside them; between two the upper
     * one wins. */
    bool settings = alloy_source_has(upper, "rope_parameters") || alloy_source_has(upper, "rope_scaling");
    if (settings && !alloy_source_has(upper, "rope_scaling"))
        alloy_source_mark(source, "rope_scaling", ALLOY_FIELD_ABSENT);
    source->theta_wins = !settings && (source->theta_wins || alloy_source_has(upper, "rope_theta"));
    source->partial_wins = !settings && (source->partial_wins || alloy_source_has(upper, "partial_rotary_factor"));
}

void alloy_source_clear(alloy_source *source, const char *key)
{
    int row = alloy_source_row(key);
    const alloy_field *field = alloy_source_field(row);
    memset((char *)source + field->offset, 0, alloy_field_size(field));
    source->config.state[row] = ALLOY_FIELD_ABSENT;
}

/* ---- What follows from other fields ------------------------------------------------------------------------------ */

/* A field that the family leaves open: absent in the file, and without a default. */
static bool is_open(const alloy_source *source, const char *key)
{
    return !alloy_source_has(source, key);
}

/* {"compressed_sparse_attention": 4, "heavily_compressed_attention": 128}, by the Hub's names or Alloy's. */
static alloy_status resolve_compress_rates(alloy_config_reader *reader, alloy_source *source)
{
    static const char *const rates[] = {"compress_rate_csa", "compress_rate_hca"};
    static const char *const keys[] = {"compressed_sparse_attention", "dsv4_csa_attention",
                                       "heavily_compressed_attention", "dsv4_hca_attention"};
    if (!alloy_source_has(source, "compress_rates"))
        return ALLOY_OK;
    alloy_json *json = &reader->json;
    alloy_json_string_view key;
    alloy_read_again(reader, &source->compress_rates);
    alloy_json_object(json);
    while (alloy_json_next_key(json, &key)) {
        int found = -1;
        for (int i = 0; i < 4 && found < 0; i++)
            found = alloy_json_key_is(&key, keys[i]) ? i / 2 : -1;
        if (found < 0)
            alloy_json_fail(json, ALLOY_FORMAT, "compress_rates: unknown \"%s\", expected \"%s\" or \"%s\"",
                            alloy_printable(key.bytes, key.size), keys[0], keys[2]);
        else if (is_open(source, rates[found]))
            alloy_field_read(json, reader->arena, alloy_source_field(alloy_source_row(rates[found])), source);
        else
            alloy_json_skip(json);
    }
    return json->status;
}

alloy_status alloy_source_resolve(alloy_config_reader *reader, alloy_source *source)
{
    struct alloy_config *c = &source->config;
    alloy_source_defaults(source, alloys_own, ALLOY_FIELD_ABSENT);
    if (is_open(source, "dtype"))
        c->dtype = ALLOY_BF16;
    if (is_open(source, "dtype") && alloy_source_has(source, "torch_dtype"))
        c->dtype = source->torch_dtype;
    c->hidden_act = activations[0];
    if (alloy_source_state(source, "bos_token_id") == ALLOY_FIELD_NULL)
        c->bos_token_id = -1;
    if (alloy_source_state(source, "pad_token_id") == ALLOY_FIELD_NULL)
        c->pad_token_id = -1;
    alloy_status status = alloy_resolve_quantization(reader, source);
    if (!status)
        status = resolve_compress_rates(reader, source);
    return status ? status : alloy_resolve_rope(reader, source);
}
