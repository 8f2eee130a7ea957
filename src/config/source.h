/* A config on its way from a file's fields to Alloy's (struct alloy_config in extend.h).
 *
 *     find the family by model_type
 *     read          each field that the family has, by one table (source.c), into an alloy_source; the others are kept
 *                   as they stand
 *     the family's  defaults, then its rules (families/NAME.c), which also name each depth's mixer and FFN
 *     Alloy's       defaults
 *     resolve       what follows from other fields: head_dim, rope settings, ...
 *     layers        each depth's view: the source again, with layer_overrides, resolved anew (layers.c)
 *
 * Invariants
 *   (1) The reader's text is a copy in the config's arena, so values kept as views of it live as long as the config.
 *   (2) Every number is within its field's range as soon as it is read; widths are at most 2^20, heads and their sizes
 *       2^16, so that no product of two of them with a width overflows 63 bits.
 *   (3) Values that wait (lists, rope settings, overrides) are views; they are read later by the same reader, so that
 *       their failures too say line and column. */
#ifndef ALLOY_CONFIG_SOURCE_H
#define ALLOY_CONFIG_SOURCE_H

#include "base/name_table.h"
#include "config/config.h"
#include "config/fields.h"

enum { ALLOY_MOST_LAYERS = 100000 };

/* A field that the table does not know, or that the family does not have. */
typedef struct alloy_other_field {
    alloy_json_string_view key;
    alloy_json_string_view value; /* as it stands in the file */
} alloy_other_field;

/* The unknown fields of a config, or of an override, which lies upon others. */
struct alloy_config_extra {
    const alloy_other_field *fields; /* [count] */
    int64_t count;
    const struct alloy_config_extra *below; /* looked at where a field is not found here; or NULL */
    const struct alloy_config_root *root;   /* what was parsed: a copy of an alloy_config still knows it */
};

typedef struct alloy_source {
    struct alloy_config config; /* first, so that one table serves both; fields under their own names */
    double rope_theta, partial_rotary_factor, compress_rope_theta;
    int64_t original_max_position_embeddings;
    bool theta_wins, partial_wins; /* an override says so beside older rope settings, which would win otherwise */
    alloy_dtype torch_dtype;
    /* waiting */
    alloy_json_string_view rope_parameters, rope_scaling, compress_rates, layer_types, ffn_types, mlp_layer_types,
        layer_overrides, quantization_config;
    bool use_sliding_window;
    int64_t max_window_layers, full_attention_interval, decoder_sparse_step;
    alloy_integers mlp_only_layers;
    alloy_integers compress_ratios; /* of each layer */
    int64_t num_hash_layers;
} alloy_source;

/* The table: fields of the whole model and rules of families, then those that modules declare, each key once. Offsets
 * are from the beginning of an alloy_source. Its order is that of saved configs: grouped by module. It only grows. */
const alloy_field *alloy_config_fields(int *count);

/* A default of a family. */
typedef struct alloy_default {
    const char *key;
    double value;     /* INTEGER, NUMBER, BOOL */
    const char *word; /* STRING */
    int64_t id;       /* TOKENS: the one */
} alloy_default;

typedef struct alloy_family alloy_family;

typedef struct alloy_config_reader {
    alloy_json json;    /* at depth 0 between values */
    const char *name;   /* of the file, for messages */
    alloy_arena *arena; /* of the config */
    struct alloy_config_root *root;
    const alloy_family *family;
    bool has[ALLOY_MOST_CONFIG_FIELDS]; /* the family has this row of the table */
    alloy_text ignored;                 /* keys that are ignored with a warning, as one text */
    alloy_name_table names;             /* of mixers and FFNs */
    int64_t *mixers, *ffns;             /* [num_hidden_layers] numbers in `names` */
} alloy_config_reader;

/* A family's config as Alloy's. */
struct alloy_family {
    const char *model_type;
    bool wraps; /* the fields may stand in text_config */
    /* keys that it has beyond the common ones and those of `defaults`, ends with NULL; or NULL: all of Alloy's */
    const char *const *fields;
    const alloy_default *defaults; /* of fields that are absent, ends with {0} */

    bool flat_rope_is_compressed; /* rope settings that are not divided are "compress", and "main" is the default */
    bool cuts_lists;              /* lists of the layers may be longer than there are layers */

    /* Sets what follows from the family's rules; may be NULL. */
    alloy_status (*translate)(alloy_config_reader *reader, alloy_source *source);

    /* Is what was resolved sound? May be NULL. */
    alloy_status (*check)(const alloy_config_reader *reader, const alloy_source *source);

    /* Names of mixers, as pairs: one that layer_types may hold, and what Alloy calls it. Ends with NULL. */
    const char *const *mixers;
    const char *const *ffns; /* the same of FFNs and mlp_layer_types; NULL: the family has no such field */

    /* The mixer (FFN) of a depth that no list of the file tells: that of the function where there is one, else these.
     * The sliding one, where there is one, from layer max_window_layers on, if the config has a sliding_window. None at
     * all: a list is required. */
    const char *mixer, *sliding_mixer, *ffn;
    const char *(*mixer_at)(const alloy_source *source, int64_t layer);
    const char *(*ffn_at)(const alloy_source *source, int64_t layer);
};

/* FORMAT where there is no such family: the known ones and the nearest. */
alloy_status alloy_family_find(const alloy_family **out, const char *model_type);

/* What alloy_config_parse makes. The config that users see is the first member of the first. */
typedef struct alloy_config_root {
    alloy_source source;
    alloy_arena *arena; /* holds all of it, this struct too */
    const alloy_family *family;
} alloy_config_root;

/* ---- source.c: fields and their states --------------------------------------------------------------------------- */

/* The number of a row; -1: no row has this key. */
int alloy_source_find(const char *key);

/* The same; the key must be in the table. */
int alloy_source_row(const char *key);

const alloy_field *alloy_source_field(int row);

/* The row of the field that has this name, or has it as another spelling; -1: none. */
int alloy_source_row_named(const alloy_json_string_view *key);

/* Has the file, or the family, a value for it? */
bool alloy_source_has(const alloy_source *source, const char *key);
alloy_field_state alloy_source_state(const alloy_source *source, const char *key);
void alloy_source_mark(alloy_source *source, const char *key, alloy_field_state state);

/* Zero, and absent. */
void alloy_source_clear(alloy_source *source, const char *key);

/* Sets what `defaults` has and `source` lacks, and marks it so. */
void alloy_source_defaults(alloy_source *source, const alloy_default *defaults, alloy_field_state state);

/* The value of a field that is an integer. */
int64_t alloy_source_integer(const alloy_source *source, const char *key);

/* What the family fixes, or makes of other fields, whatever the file says: INTEGER, NUMBER or BOOL. */
void alloy_source_set(alloy_source *source, const char *key, double value);

/* Copies what `upper`, an override, has. */
void alloy_source_lay(alloy_source *source, const alloy_source *upper);

/* Alloy's own defaults, then what follows from other fields. */
alloy_status alloy_source_resolve(alloy_config_reader *reader, alloy_source *source);

/* ---- read.c: objects of fields ----------------------------------------------------------------------------------- */

/* Makes the family's fields the ones that are read. */
void alloy_reader_use(alloy_config_reader *reader, const alloy_family *family);

/* Reads the next value, the object of a config; the text_config of a family that wraps one takes its place. */
alloy_status alloy_read_config(alloy_config_reader *reader, alloy_source *source);

/* Reads an override, a value that waits, which may name layers' fields only. Its unknown fields are laid upon
 * source->config.extra. */
alloy_status alloy_read_override(alloy_config_reader *reader, const alloy_json_string_view *value,
                                 alloy_source *source);

/* Goes back to a value that waits; when it has been read, the reader stands at depth 0 again. */
void alloy_read_again(alloy_config_reader *reader, const alloy_json_string_view *value);

/* Fails with the file's name before the text. */
alloy_status alloy_reader_fail(const alloy_config_reader *reader, alloy_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- rope.c, quantization.c, layers.c ---------------------------------------------------------------------------- */

/* config.rope and config.rope_compress, from the settings of either generation. */
alloy_status alloy_resolve_rope(alloy_config_reader *reader, alloy_source *source);

/* config.weight_block_size. FORMAT or RANGE for quantization that Alloy has no arithmetic for. */
alloy_status alloy_resolve_quantization(alloy_config_reader *reader, alloy_source *source);

/* The lists of both kinds of module into reader->mixers and ->ffns. */
alloy_status alloy_list_layers(alloy_config_reader *reader, alloy_source *source);

/* source->config.layers: each depth's modules and their views. */
alloy_status alloy_build_layers(alloy_config_reader *reader, alloy_source *source);

#endif
