/* Configs for the rooms above: what the public header (section "Configs") does not say. */
#ifndef ALLOY_CONFIG_CONFIG_H
#define ALLOY_CONFIG_CONFIG_H

#include "alloy/extend.h"
#include "base/text.h"
#include "files/model_files.h"

enum { ALLOY_MOST_MODULE_FIELDS = 96, ALLOY_MOST_CONFIG_FIELDS = 160 };

/* One depth of the model. */
typedef struct alloy_layer {
    const char *mixer; /* name in the registry */
    const char *ffn;
    /* the view for its mixer (FFN): this config with what layer_overrides says for that module or depth */
    const alloy_config *mixer_config;
    const alloy_config *ffn_config;
} alloy_layer;

/* A field of a module. */
typedef union alloy_config_value {
    int64_t integer;
    double number;
    bool truth;
    const char *string;
} alloy_config_value;

/* What a model is. Names are those of config.json. Families' own configs are translated into this at parsing, with
 * their family's defaults. Members of the whole model, which the library reads itself, are named; those of modules are
 * values in the order of the table (source.h), and go into a module's struct of shapes by alloy_config_fill. An integer
 * that is 0, a double that is 0 or a string that is NULL was absent and has no default. Constant once parsed. */
struct alloy_config {
    const char *model_type; /* as in the file */
    int64_t vocab_size;
    int64_t hidden_size;
    int64_t num_hidden_layers;
    int64_t max_position_embeddings; /* tokens */
    double initializer_range;        /* standard deviation of `alloy init` */
    const char *hidden_act;          /* "silu" */
    bool tie_word_embeddings;
    int64_t bos_token_id;         /* -1: none */
    int64_t pad_token_id;         /* -1: none */
    const int64_t *eos_token_ids; /* [eos_token_count] */
    int64_t eos_token_count;
    alloy_dtype dtype; /* of new weights and of the roofline */
    /* rows and columns of the tile of an F8_E4M3 weight that one scale covers: quantization_config's, or 128 x 128 */
    int64_t weight_block_size[2];
    const alloy_layer *layers; /* [num_hidden_layers]; NULL in a layer's view */
    double rms_norm_eps;
    bool rms_norm_unit_offset;      /* (1 + w) * x in layer, final, q and k norms */
    alloy_rope rope, rope_compress; /* flat or "main"; "compress": DeepSeek-V4's compressed layers */
    double router_aux_loss_coef;    /* of training */
    const char *residual_mode;      /* a residual by name; NULL: mhc if use_mhc, else pre_norm */
    bool use_mhc;
    alloy_config_value value[ALLOY_MOST_MODULE_FIELDS];
    uint8_t state[ALLOY_MOST_CONFIG_FIELDS]; /* alloy_field_state of each row of the table */
    const struct alloy_config_extra *extra;  /* the parser's: fields that have no row; NULL: none */
};

/* Fills a module's struct of `size` bytes with the fields that it reads. RANGE for a field of another type. */
alloy_status alloy_config_fill(const alloy_config *view, const alloy_field *fields, void *shape, size_t size);

/* The residual of a config: what residual_mode names, if anything of that name is registered, else by use_mhc. */
const alloy_residual *alloy_residual_of(const alloy_config *config);

/* The bytes of a config.json, or of that of a folder, and its path for messages. */
alloy_status alloy_config_read(const char *where, bool follow_symlinks, alloy_text *path, alloy_text *bytes);

/* The text of an `alloy` config that means the same, appended to `out`: what alloy_config_write writes. */
alloy_status alloy_config_to_json(const alloy_config *config, alloy_text *out);

/* "default", "linear", "yarn", "llama3" */
const char *alloy_rope_type_name(alloy_rope_type type);

#endif
