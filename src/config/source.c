/* The table of config fields, and what follows from them (source.h). */
#include "config/source.h"

#include <assert.h>
#include <string.h>

#include "base/status.h"

/* Ranges. Widths and heads: invariant (2) of source.h. */
enum { MOST_WIDTH = 1 << 20, MOST_HEADS = 1 << 16, MOST_EXPERTS = 1 << 16, MOST_TAPS = 1024 };
#define MOST_TOKENS 1099511627776.0 /* 2^40: of a context */
#define MOST_ID 2147483647.0
#define MOST_THETA 1e300

#define AT(member) offsetof(alloy_source, member)
#define WHOLE(name, flags, least, most)                                                                                \
    {                                                                                                                  \
#name, ALLOY_FIELD_INTEGER, flags, AT(config.name), least, most, NULL                                          \
    }
#define NUMBER(name, flags, least, most)                                                                               \
    {                                                                                                                  \
#name, ALLOY_FIELD_NUMBER, flags, AT(config.name), least, most, NULL                                           \
    }
#define BOOL(name, flags)                                                                                              \
    {                                                                                                                  \
#name, ALLOY_FIELD_BOOL, flags, AT(config.name), 0, 0, NULL                                                    \
    }
#define WAITS(name, flags)                                                                                             \
    {                                                                                                                  \
#name, ALLOY_FIELD_VALUE, (flags) | ALLOY_FIELD_NULLABLE, AT(name), 0, 0, NULL                                 \
    }

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
static const char *const scorings[] = {"softmax", "sigmoid", "sqrtsoftplus", NULL};

const alloy_field alloy_config_fields[] = {
    /* The model. */
    WHOLE(vocab_size, COMMON | MODEL, 1, MOST_ID),
    WHOLE(hidden_size, COMMON | MODEL, 1, MOST_WIDTH),
    WHOLE(num_hidden_layers, COMMON | MODEL, 1, ALLOY_MOST_LAYERS),
    WHOLE(max_position_embeddings, COMMON | MODEL, 1, MOST_TOKENS),
    NUMBER(initializer_range, COMMON, 0, 1),
    {"hidden_act", ALLOY_FIELD_STRING, COMMON, AT(config.hidden_act), 0, 0, activations},
    BOOL(tie_word_embeddings, COMMON | MODEL),
    WHOLE(bos_token_id, COMMON | MODEL | NULLABLE, -1, MOST_ID),
    {"eos_token_id", ALLOY_FIELD_TOKENS, COMMON | MODEL | NULLABLE, AT(config.eos_token_ids), 0, MOST_ID, NULL},
    WHOLE(pad_token_id, COMMON | MODEL | NULLABLE, -1, MOST_ID),
    {"dtype", ALLOY_FIELD_DTYPE, COMMON | MODEL | NULLABLE, AT(config.dtype), 0, 0, NULL},
    {"torch_dtype", ALLOY_FIELD_DTYPE, COMMON | MODEL | NULLABLE | RULE, AT(torch_dtype), 0, 0, NULL},
    WAITS(quantization_config, COMMON | MODEL),
    WAITS(layer_types, MODEL),
    WAITS(ffn_types, MODEL),
    WAITS(mlp_layer_types, MODEL | RULE),
    WAITS(layer_overrides, MODEL),
    {"max_window_layers", ALLOY_FIELD_INTEGER, RULE, AT(max_window_layers), 0, ALLOY_MOST_LAYERS, NULL},
    {"full_attention_interval", ALLOY_FIELD_INTEGER, RULE, AT(full_attention_interval), 1, ALLOY_MOST_LAYERS, NULL},
    {"decoder_sparse_step", ALLOY_FIELD_INTEGER, RULE, AT(decoder_sparse_step), 1, ALLOY_MOST_LAYERS, NULL},
    {"num_hash_layers", ALLOY_FIELD_INTEGER, RULE | NULLABLE, AT(num_hash_layers), 0, ALLOY_MOST_LAYERS, NULL},
    {"compress_ratios", ALLOY_FIELD_INTEGERS, RULE | NULLABLE | ALLOY_FIELD_ORDERED, AT(compress_ratios), 0, MOST_WIDTH,
     NULL},
    {"mlp_only_layers", ALLOY_FIELD_INTEGERS, RULE | NULLABLE, AT(mlp_only_layers), 0, ALLOY_MOST_LAYERS, NULL},

    /* Norms. */
    NUMBER(rms_norm_eps, COMMON | ABOVE, 0, 1),
    BOOL(rms_norm_unit_offset, 0),

    /* Rotary positions. */
    WAITS(rope_parameters, COMMON),
    WAITS(rope_scaling, COMMON | RULE),
    {"rope_theta", ALLOY_FIELD_NUMBER, COMMON | RULE | ABOVE, AT(rope_theta), 0, MOST_THETA, NULL},
    {"partial_rotary_factor", ALLOY_FIELD_NUMBER, COMMON | RULE | ABOVE | NULLABLE, AT(partial_rotary_factor), 0, 1,
     NULL},
    {"original_max_position_embeddings", ALLOY_FIELD_INTEGER, COMMON | RULE | NULLABLE,
     AT(original_max_position_embeddings), 1, MOST_TOKENS, NULL},

    /* Attention. */
    WHOLE(num_attention_heads, COMMON, 1, MOST_HEADS),
    WHOLE(num_key_value_heads, COMMON | NULLABLE, 1, MOST_HEADS),
    WHOLE(head_dim, COMMON | NULLABLE, 1, MOST_HEADS),
    BOOL(attention_bias, 0),
    BOOL(attention_output_bias, 0),
    BOOL(attn_output_gate, 0),
    WHOLE(sliding_window, NULLABLE, 0, MOST_TOKENS),
    {"use_sliding_window", ALLOY_FIELD_BOOL, RULE, AT(use_sliding_window), 0, 0, NULL},

    /* Delta net. */
    WHOLE(linear_num_key_heads, 0, 1, MOST_HEADS),
    WHOLE(linear_num_value_heads, 0, 1, MOST_HEADS),
    WHOLE(linear_key_head_dim, 0, 1, MOST_HEADS),
    WHOLE(linear_value_head_dim, 0, 1, MOST_HEADS),
    WHOLE(linear_conv_kernel_dim, 0, 1, MOST_TAPS),
    BOOL(linear_fused_inputs, 0),

    /* MLP. */
    WHOLE(intermediate_size, COMMON, 1, MOST_WIDTH),
    BOOL(mlp_bias, 0),

    /* Experts. */
    WHOLE(num_experts, 0, 0, MOST_EXPERTS),
    WHOLE(num_experts_per_tok, 0, 1, MOST_EXPERTS),
    WHOLE(moe_intermediate_size, 0, 1, MOST_WIDTH),
    WHOLE(shared_expert_intermediate_size, 0, 1, MOST_WIDTH),
    BOOL(norm_topk_prob, 0),
    {"scoring_func", ALLOY_FIELD_STRING, 0, AT(config.scoring_func), 0, 0, scorings},
    NUMBER(routed_scaling_factor, ABOVE, 0, 1e6),
    NUMBER(swiglu_limit, 0, 0, 1e6),
    NUMBER(router_aux_loss_coef, 0, 0, 1e6),

    /* DeepSeek-V4. */
    WHOLE(q_lora_rank, 0, 1, MOST_WIDTH),
    WHOLE(qk_rope_head_dim, NULLABLE, 1, MOST_HEADS),
    WHOLE(o_groups, 0, 1, MOST_HEADS),
    WHOLE(o_lora_rank, 0, 1, MOST_HEADS),
    WHOLE(index_n_heads, 0, 1, MOST_HEADS),
    WHOLE(index_head_dim, 0, 1, MOST_HEADS),
    WHOLE(index_topk, 0, 1, MOST_TOKENS),
    WAITS(compress_rates, 0),
    WHOLE(compress_rate_csa, NULLABLE, 1, MOST_WIDTH),
    WHOLE(compress_rate_hca, NULLABLE, 1, MOST_WIDTH),
    {"compress_rope_theta", ALLOY_FIELD_NUMBER, ABOVE, AT(compress_rope_theta), 0, MOST_THETA, NULL},

    /* Residual streams. */
    {"residual_mode", ALLOY_FIELD_STRING, COMMON | MODEL | NULLABLE, AT(config.residual_mode), 0, 0, NULL},
    BOOL(use_mhc, MODEL),
    WHOLE(hc_mult, MODEL, 1, 64),
    WHOLE(hc_sinkhorn_iters, MODEL, 1, 1000),
    NUMBER(hc_eps, MODEL, 0, 1),
};

enum { FIELDS = sizeof alloy_config_fields / sizeof *alloy_config_fields };

const int alloy_config_field_count = FIELDS;

_Static_assert((int)FIELDS <= (int)ALLOY_FIELD_LIMIT, "alloy_source.state has room for every row");

/* Of an `alloy` config. What families lack takes these too, and no module of theirs reads it. */
static const alloy_source alloys_own = {
    .config =
        {
            .hidden_size = 2048,
            .max_position_embeddings = 32768,
            .initializer_range = 0.02,
            .hidden_act = "silu",
            .bos_token_id = -1,
            .pad_token_id = -1,
            .dtype = ALLOY_BF16,
            .rms_norm_eps = 1e-6,
            .num_attention_heads = 16,
            .num_key_value_heads = 2,
            .linear_num_key_heads = 16,
            .linear_key_head_dim = 128,
            .linear_value_head_dim = 128,
            .linear_conv_kernel_dim = 4,
            .intermediate_size = 8192,
            .routed_scaling_factor = 1,
            .hc_mult = 4,
            .hc_sinkhorn_iters = 20,
            .hc_eps = 1e-6,
        },
    .rope_theta = 10000,
};

/* ---- States ------------------------------------------------------------------------------------------------------ */

int alloy_source_row(const char *key)
{
    for (int i = 0; i < FIELDS; i++)
        if (strcmp(alloy_config_fields[i].key, key) == 0)
            return i;
    assert(!"a key of the table");
    return 0;
}

alloy_field_state alloy_source_state(const alloy_source *source, const char *key)
{
    return source->state[alloy_source_row(key)];
}

bool alloy_source_has(const alloy_source *source, const char *key)
{
    alloy_field_state state = alloy_source_state(source, key);
    return state == ALLOY_FIELD_GIVEN || state == ALLOY_FIELD_DEFAULT;
}

void alloy_source_mark(alloy_source *source, const char *key, alloy_field_state state)
{
    source->state[alloy_source_row(key)] = (uint8_t)state;
}

static bool all_zero(const char *bytes, size_t size)
{
    while (size > 0 && bytes[size - 1] == 0)
        size--;
    return size == 0;
}

void alloy_source_defaults(alloy_source *source, const alloy_source *defaults, alloy_field_state state)
{
    for (int i = 0; i < FIELDS; i++) {
        const char *from = (const char *)defaults + alloy_config_fields[i].offset;
        size_t size = alloy_field_size(&alloy_config_fields[i]);
        if (source->state[i] != ALLOY_FIELD_ABSENT || all_zero(from, size))
            continue;
        memcpy((char *)source + alloy_config_fields[i].offset, from, size);
        source->state[i] = (uint8_t)state;
    }
}

void alloy_source_lay(alloy_source *source, const alloy_source *upper)
{
    for (int i = 0; i < FIELDS; i++) {
        size_t offset = alloy_config_fields[i].offset;
        if (upper->state[i] == ALLOY_FIELD_ABSENT)
            continue;
        memcpy((char *)source + offset, (const char *)upper + offset, alloy_field_size(&alloy_config_fields[i]));
        source->state[i] = upper->state[i];
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
    memset((char *)source + alloy_config_fields[row].offset, 0, alloy_field_size(&alloy_config_fields[row]));
    source->state[row] = ALLOY_FIELD_ABSENT;
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
    static const alloy_field rates[] = {
        WHOLE(compress_rate_csa, 0, 1, MOST_WIDTH),
        WHOLE(compress_rate_hca, 0, 1, MOST_WIDTH),
    };
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
        else if (is_open(source, rates[found].key))
            alloy_field_read(json, reader->arena, &rates[found], source);
        else
            alloy_json_skip(json);
    }
    return json->status;
}

alloy_status alloy_source_resolve(alloy_config_reader *reader, alloy_source *source)
{
    struct alloy_config *c = &source->config;
    alloy_source_defaults(source, &alloys_own, ALLOY_FIELD_ABSENT);
    if (is_open(source, "dtype") && alloy_source_has(source, "torch_dtype"))
        c->dtype = source->torch_dtype;
    c->hidden_act = activations[0];
    if (alloy_source_state(source, "bos_token_id") == ALLOY_FIELD_NULL)
        c->bos_token_id = -1;
    if (alloy_source_state(source, "pad_token_id") == ALLOY_FIELD_NULL)
        c->pad_token_id = -1;
    if (alloy_source_state(source, "num_key_value_heads") == ALLOY_FIELD_NULL)
        c->num_key_value_heads = c->num_attention_heads;
    if (is_open(source, "head_dim")) /* stays 0, required of whoever reads it, where it would not be whole */
        c->head_dim = c->hidden_size % c->num_attention_heads ? 0 : c->hidden_size / c->num_attention_heads;
    if (is_open(source, "attention_output_bias"))
        c->attention_output_bias = c->attention_bias;
    if (is_open(source, "linear_num_value_heads"))
        c->linear_num_value_heads = c->linear_num_key_heads;
    alloy_status status = alloy_resolve_quantization(reader, source);
    if (!status)
        status = resolve_compress_rates(reader, source);
    return status ? status : alloy_resolve_rope(reader, source);
}
