/* Alloy for those who extend it: a new token mixer, a new feed-forward, a new residual, a new op.
 *
 * A module (mixer or FFN) is one `const` struct: its name, its parameters, what it keeps between forwards, and its
 * forward, written once as calls of ops. The same forward is read in three ways: *run* computes numbers, *count*
 * touches no memory and records work and traffic from the shapes, and *grad* (to come) records a tape. A forward never
 * asks which reading is going on.
 *
 *     static alloy_tensor *forward(alloy_pass *p, const void *shape, const void *weights, alloy_tensor *x)
 *     {
 *         const struct weights *w = weights; // an FFN's; a mixer's forward is given its state too
 *         alloy_tensor *gate = alloy_linear(p, x, w->gate_proj, NULL);
 *         alloy_tensor *up = alloy_linear(p, x, w->up_proj, NULL);
 *         return alloy_linear(p, alloy_swiglu(p, gate, up), w->down_proj, NULL);
 *     }
 *
 * Errors: an op that fails leaves the error in the pass and returns NULL; an op given NULL where a tensor is needed
 * returns NULL. So a forward is checked once, by who called it.
 *
 * Ownership: tensors belong to the pass and live until the module's forward has returned its result. Weights belong to
 * the model, states to the caches. Nothing is freed by hand.
 *
 * A module outside the library is a shared object that exports two symbols, written by ALLOY_PLUGIN below; `--plugin
 * FILE` or alloy_plugin_load opens it. examples/plugins/ holds one. Modules are looked up by the names in a config's
 * layer_types and ffn_types, a residual by its residual_mode. */
#ifndef ALLOY_EXTEND_H
#define ALLOY_EXTEND_H

#include <stddef.h>

#include "alloy/alloy.h"
#include "alloy/canonical.h"
#include "alloy/vector.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Fields of a config ---------------------------------------------------------------------------------------------
 *
 * A module declares the fields of config.json that it reads, beside its forward: a table of rows, each with a member of
 * the module's own struct of shapes. When a model opens, that struct is filled once for each view of the config (a
 * layer's, with layer_overrides applied); the module's functions are given it and nothing else of the config. A field
 * is checked where it stands in the file: its type, and its range. How fields go together (do heads divide?) is the
 * module's own `check`.
 *
 *     struct shape {
 *         int64_t hidden_size, intermediate_size;
 *         bool mlp_bias;
 *     };
 *
 *     static const alloy_field fields[] = {
 *         ALLOY_FIELD(struct shape, hidden_size, INTEGER),
 *         ALLOY_FIELD(struct shape, intermediate_size, INTEGER, .least = 1, .most = 1 << 20, .fallback = 8192),
 *         ALLOY_FIELD(struct shape, mlp_bias, BOOL),
 *         {0},
 *     };
 *
 * The same field may be declared by several modules, with one type; the first that is registered says its range.
 * Fields of the whole model that a row may name without a range: vocab_size, hidden_size, num_hidden_layers,
 * max_position_embeddings, rms_norm_eps, rms_norm_unit_offset; and, of type ROPE, rope_parameters (flat, or "main") and
 * "compress". Ranges keep products of two fields with a width below 63 bits: widths at most 2^20, heads and their sizes
 * 2^16. */

typedef enum alloy_rope_type {
    ALLOY_ROPE_DEFAULT,
    ALLOY_ROPE_LINEAR,
    ALLOY_ROPE_YARN,
    ALLOY_ROPE_LLAMA3
} alloy_rope_type;

typedef struct alloy_rope {
    alloy_rope_type type;
    double theta;                             /* base of the inverse frequencies */
    double partial_rotary_factor;             /* share of head_dim that is rotated */
    double factor;                            /* linear, yarn, llama3: the context is so many times the original */
    int64_t original_max_position_embeddings; /* yarn, llama3: tokens */
    double attention_factor;                  /* yarn: multiplies cos and sin; 0: 0.1 ln(factor) + 1, or by mscale */
    double mscale, mscale_all_dim;            /* yarn: 0 when absent */
    double beta_fast, beta_slow;              /* yarn: rotations at the ends of the ramp */
    bool truncate;                            /* yarn: ends of the ramp rounded to whole channels */
    double low_freq_factor, high_freq_factor; /* llama3 */
} alloy_rope;

typedef enum alloy_field_type {
    ALLOY_FIELD_INTEGER, /* int64_t; RANGE for what is no integer, or outside least..most */
    ALLOY_FIELD_NUMBER,  /* double; RANGE likewise */
    ALLOY_FIELD_BOOL,    /* bool */
    ALLOY_FIELD_STRING,  /* const char *; where `words` are given one of them, else FORMAT */
    ALLOY_FIELD_ROPE,    /* alloy_rope */
    /* of the library's own tables */
    ALLOY_FIELD_TOKENS,   /* alloy_integers: one id, or a list of at least one */
    ALLOY_FIELD_INTEGERS, /* alloy_integers: a list, kept sorted unless ORDERED */
    ALLOY_FIELD_DTYPE,    /* alloy_dtype, by torch's names */
    ALLOY_FIELD_VALUE,    /* alloy_json_string_view: any value, as it stands in the file */
} alloy_field_type;

enum {
    ALLOY_FIELD_NULLABLE = 1, /* null is allowed: the field has no value, whatever its default */
    ALLOY_FIELD_ABOVE = 2,    /* NUMBER: least itself is outside */
    ALLOY_FIELD_COMMON = 4,   /* every family has it */
    ALLOY_FIELD_MODEL = 8,    /* of the whole model: layer_overrides cannot change it */
    /* of the library's own tables */
    ALLOY_FIELD_RULE = 16,    /* of some families, which turn it into other fields; unknown to `alloy` unless COMMON */
    ALLOY_FIELD_ORDERED = 32, /* INTEGERS: in the file's order */
};

typedef struct alloy_field {
    const char *key;
    alloy_field_type type;
    unsigned flags;
    size_t offset;            /* of the member, from the struct's beginning; bytes */
    double least, most;       /* INTEGER, NUMBER, elements of TOKENS and INTEGERS; both 0: as declared elsewhere */
    const char *const *words; /* STRING: what it may be, ends with NULL; or NULL: anything */
    double fallback;          /* INTEGER, NUMBER, BOOL: the value where the config and its family have none */
    const char *other;        /* a field whose value is taken before the fallback; or NULL */
} alloy_field;

#define ALLOY_FIELD(shape, name, kind, ...)                                                                            \
    {                                                                                                                  \
        .key = #name, .type = ALLOY_FIELD_##kind, .offset = offsetof(shape, name), __VA_ARGS__                         \
    }

/* For `check` functions: RANGE that names the key, the value and the range, unless least <= value <= most. */
ALLOY_API alloy_status alloy_config_require(const char *key, int64_t value, int64_t least, int64_t most);

/* A field by its key, as the file or its family has it; `fallback` where it has none or null. A value of another type
 * fails with RANGE, naming the key. Thread safe. */
ALLOY_API alloy_status alloy_config_get_int64(const alloy_config *config, const char *key, int64_t fallback,
                                              int64_t *out);
ALLOY_API alloy_status alloy_config_get_double(const alloy_config *config, const char *key, double fallback,
                                               double *out);

/* ---- Tensors, weights, passes ------------------------------------------------------------------------------------ */

enum { ALLOY_MOST_DIMS = 4 };

typedef struct alloy_pass alloy_pass; /* one reading of a model's forward over one batch */

/* Memory that tensors lie in. */
typedef struct alloy_buffer {
    void *memory;
} alloy_buffer;

/* What ops read and write: activations in F32 (F64 in the backend "fp64"), or indices in I32 or I64. Contiguous, last
 * dimension fastest; the first dimension is the batch's tokens. A view lies in the memory of another tensor. */
typedef struct alloy_tensor {
    alloy_dtype dtype;
    int ndim;
    int64_t shape[ALLOY_MOST_DIMS];  /* unused ones are 1 */
    alloy_buffer *buffer;            /* NULL when nothing is computed (count) */
    size_t offset;                   /* of its first element in the buffer, bytes */
    const struct alloy_tensor *base; /* whose view it is; NULL: of none */
} alloy_tensor;

/* The elements of a tensor of that dtype, for an op's run; NULL when nothing is computed. */
static inline void *alloy_tensor_memory(const alloy_tensor *x)
{
    return x->buffer ? (char *)x->buffer->memory + x->offset : NULL;
}

static inline float *alloy_f32(const alloy_tensor *x)
{
    return (float *)alloy_tensor_memory(x);
}

static inline double *alloy_f64(const alloy_tensor *x)
{
    return (double *)alloy_tensor_memory(x);
}

static inline int32_t *alloy_i32(const alloy_tensor *x)
{
    return (int32_t *)alloy_tensor_memory(x);
}

static inline int64_t *alloy_i64(const alloy_tensor *x)
{
    return (int64_t *)alloy_tensor_memory(x);
}

/* A parameter where the file holds it. */
typedef struct alloy_weight {
    const char *name;  /* full, as in the checkpoint */
    alloy_dtype dtype; /* F32, BF16, F16, F8_E4M3 or F4 (two a byte, the low half first); of indices I64 or I32 */
    int ndim;
    int64_t shape[ALLOY_MOST_DIMS]; /* unused ones are 1 */
    const void *data;               /* any alignment; NULL when nothing is computed */
    /* of F8_E4M3 and F4; a weight of three dimensions is so many matrices, each with whole rows of scales of its own */
    alloy_scales scales;
    bool keeps_f32; /* stays in its own dtype when others are cast (ALLOY_KEEPS_F32) */
    bool routes;    /* of a router (ALLOY_ROUTES) */
} alloy_weight;

/* The routed experts of one layer, whether the file holds them one by one or stacked. */
typedef struct alloy_expert_weights {
    int64_t count;
    const alloy_weight *gate, *up, *down; /* [count] each: [I, H], [I, H], [H, I] */
} alloy_expert_weights;

/* The new tokens of one sequence within a batch: rows first .. first + count - 1 of every tensor. */
typedef struct alloy_span {
    int64_t first;
    int64_t count;  /* new tokens, at least 1 */
    int64_t past;   /* tokens before them: the first new token has this position */
    int64_t repeat; /* in count: so many equal sequences; 1 when numbers are computed */
} alloy_span;

/* What a forward may ask of its pass. */
ALLOY_API int64_t alloy_pass_tokens(const alloy_pass *pass); /* rows of the batch, repeats included */
ALLOY_API const alloy_span *alloy_pass_spans(const alloy_pass *pass, int64_t *count);
/* I64 [tokens], for modules that route by token */
ALLOY_API alloy_tensor *alloy_pass_ids(alloy_pass *pass);

/* Stops the pass with an error; returns NULL, to be returned. */
ALLOY_API void *alloy_pass_fail(alloy_pass *pass, alloy_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- Parameters and state ---------------------------------------------------------------------------------------- */

typedef struct alloy_params alloy_params;
typedef struct alloy_state_spec alloy_state_spec;
typedef struct alloy_state alloy_state; /* what one layer keeps, for every sequence of the batch */

/* A part of it, as an op's argument. state NULL: none, as after a failure. */
typedef struct alloy_state_part {
    const alloy_state *state;
    int part;
} alloy_state_part;

/* How `alloy init` draws a parameter, and what else is true of it. */
enum {
    ALLOY_INIT_NORMAL = 0, /* mean 0, standard deviation initializer_range */
    ALLOY_INIT_ZEROS = 1,
    ALLOY_INIT_ONES = 2,
    ALLOY_INIT_LOG_UNIFORM = 3, /* log of uniform (0, 16]: A_log */
    ALLOY_INIT_MASK = 15,
    ALLOY_KEEPS_F32 = 16, /* transformers keeps it in fp32 whatever the model's dtype is */
    ALLOY_ROUTES = 32,    /* of a router: the roofline counts its traffic apart */
    ALLOY_BUFFER = 64,    /* kept in files, but not counted among the parameters: it is set, not trained */
    ALLOY_LINEAR = 128,   /* alloy_param_linear */
};

/* A shape: ALLOY_SHAPE(rows, columns). Ends with a 0. */
#define ALLOY_SHAPE(...) ((const int64_t[]){__VA_ARGS__, 0})

/* Declares a parameter, called from `params`. `name` is relative to the module ("q_proj.weight"); `offset` is where the
 * module's struct of weights has its `const alloy_weight *`. */
ALLOY_API void alloy_param(alloy_params *params, const char *name, size_t offset, const int64_t *shape, int flags);

/* Declares the weight [rows, columns] of a linear, NAME.weight: drawn from the normal distribution, and what `alloy
 * convert` may store in FP8 and FP4 (so nothing but alloy_linear and its kin may read it). */
ALLOY_API void alloy_param_linear(alloy_params *params, const char *name, size_t offset, int64_t rows, int64_t columns);

/* Declares routed experts: `name`.E.gate_proj.weight, .up_proj.weight, .down_proj.weight, or stacked
 * `name`.gate_up_proj [E, 2I, H] and `name`.down_proj [E, H, I]. `offset`: of an alloy_expert_weights. */
ALLOY_API void alloy_param_experts(alloy_params *params, const char *name, size_t offset, int64_t experts,
                                   int64_t intermediate, int64_t hidden);

/* Declares a buffer of indices [rows, columns], I64 or I32 in files: each is at least 0 and below `limit`, which
 * opening a model checks. In new weights those of a row are distinct. */
ALLOY_API void alloy_param_indices(alloy_params *params, const char *name, size_t offset, int64_t rows, int64_t columns,
                                   int64_t limit);

/* Checkpoints may hold the same thing in more than one layout. What is declared after alloy_params_layout(p, 1) belongs
 * to layout 1, and so on; a file must hold one layout whole, and the pointers of the others are NULL then.
 * ALLOY_EVERY_LAYOUT ends the choice. New weights get layout 0, or the one that alloy_params_new_layout names. */
enum { ALLOY_EVERY_LAYOUT = -1 };
ALLOY_API void alloy_params_layout(alloy_params *params, int layout);
ALLOY_API void alloy_params_new_layout(alloy_params *params, int layout);

/* Declares what a mixer keeps of each sequence; parts are numbered 0, 1, ... in the order of the calls.
 * rows:    one row of `width` floats a token. window 0: of all tokens; else of the last `window` tokens.
 * entries: one row of `width` floats for each `rate` tokens, once the last of them has come.
 * fixed:   `count` floats, zero at the beginning. */
ALLOY_API void alloy_state_keep_rows(alloy_state_spec *spec, const char *name, int64_t width, int64_t window);
ALLOY_API void alloy_state_keep_entries(alloy_state_spec *spec, const char *name, int64_t width, int64_t rate);
ALLOY_API void alloy_state_keep_fixed(alloy_state_spec *spec, const char *name, int64_t count);

/* ---- Modules ----------------------------------------------------------------------------------------------------- */

typedef enum alloy_mask_kind { ALLOY_MASK_CAUSAL, ALLOY_MASK_SLIDING, ALLOY_MASK_LINEAR } alloy_mask_kind;

typedef struct alloy_mixer {
    const char *name;      /* the key in layer_types */
    const char *attr_name; /* the name its weights carry in a checkpoint: "self_attn" */
    const char *summary;   /* one line for `alloy modules` */
    alloy_mask_kind mask_kind;
    /* of the struct that `params` describes: pointers to alloy_weight and alloy_expert_weights only */
    size_t weights_size;
    const alloy_field *fields; /* to {0}: what it reads of a config */
    size_t shape_size;         /* of the struct that they describe */
    /* sets what follows from other fields, and says whether they are sound: RANGE that names the key; may be NULL */
    alloy_status (*check)(void *shape);
    void (*params)(alloy_params *params, const void *shape);
    void (*state)(alloy_state_spec *spec, const void *shape); /* NULL: keeps nothing */
    alloy_tensor *(*forward)(alloy_pass *pass, const void *shape, const void *weights, const alloy_state *state,
                             alloy_tensor *x); /* [n, hidden] -> [n, hidden] */
} alloy_mixer;

typedef struct alloy_ffn {
    const char *name;      /* the key in ffn_types */
    const char *attr_name; /* "mlp" */
    const char *summary;
    size_t weights_size;
    const alloy_field *fields;
    size_t shape_size;
    alloy_status (*check)(void *shape);
    void (*params)(alloy_params *params, const void *shape);
    alloy_tensor *(*forward)(alloy_pass *pass, const void *shape, const void *weights, alloy_tensor *x);
    /* announces weights that the tokens' ids call for; called before the layer's mixer where weights are read from
     * files as they are needed, so that they come while it runs. NULL: they are not known before */
    void (*foresee)(alloy_pass *pass, const void *shape, const void *weights);
} alloy_ffn;

/* A layer is a list of slots. They run in order, with two values: the stream h [n, streams * hidden], which goes from
 * layer to layer, and x [n, hidden], which lives from a READ to the next ADD. The same list says which parameters a
 * layer has in a checkpoint: those of slot NAME are model.layers.I.NAME.*, those of a module have its attr_name.
 *
 *     {{ALLOY_SLOT_READ, "attn_hc"}, {ALLOY_SLOT_NORM, "input_layernorm"}, {ALLOY_SLOT_MIXER}, {ALLOY_SLOT_ADD},
 *      {ALLOY_SLOT_READ, "ffn_hc"}, {ALLOY_SLOT_NORM, "post_attention_layernorm"}, {ALLOY_SLOT_FFN}, {ALLOY_SLOT_ADD},
 *      {ALLOY_SLOT_END}}
 *
 * is the list of most families. A list has one mixer and one FFN, and at most ALLOY_MOST_SLOTS slots. */
typedef enum alloy_slot_kind {
    ALLOY_SLOT_END,         /* of the list */
    ALLOY_SLOT_READ,        /* x = the residual's before(h); it has the residual's weights, and so needs a name */
    ALLOY_SLOT_NORM,        /* x = norm(x); its weight is NAME.weight */
    ALLOY_SLOT_MIXER,       /* x = mixer(x) */
    ALLOY_SLOT_FFN,         /* x = ffn(x) */
    ALLOY_SLOT_BESIDE,      /* x waits to be added to the x of the next ADD; x = what the module before was given */
    ALLOY_SLOT_ADD,         /* h = the residual's after(h, x), with the weights of the READ before */
    ALLOY_SLOT_NORM_STREAM, /* after an ADD, where there is one stream: h = norm(h); its weight is NAME.weight */
} alloy_slot_kind;

typedef struct alloy_slot {
    alloy_slot_kind kind;
    const char *name; /* in a checkpoint; NULL where the kind needs none */
} alloy_slot;

enum { ALLOY_MOST_SLOTS = 32 };

/* How modules are joined to the stream: what the stream is, and the list of a layer's slots. Every function may be NULL
 * for the plain residual's: one stream; begin, before and end give what they are given; after adds y to h. All are
 * given the residual's shape, of the whole model's config. */
typedef struct alloy_residual {
    const char *name; /* the value of residual_mode */
    const char *summary;
    /* of the structs that params and head_params describe, pointers to alloy_weight only; 0: none */
    size_t weights_size, head_weights_size;
    bool norms_keep_f32;       /* ALLOY_KEEPS_F32 for the norms of slots and the final one */
    const alloy_field *fields; /* NULL: it reads none */
    size_t shape_size;
    alloy_status (*check)(void *shape);
    const alloy_slot *(*slots)(const void *shape, int64_t layer); /* NULL: the list above */
    void (*params)(alloy_params *params, const void *shape);      /* of a READ */
    void (*head_params)(alloy_params *params, const void *shape); /* model.hc_head.* */
    int64_t (*streams)(const void *shape);
    /* once: h = begin(embedding); logits = head(norm(end(h))) */
    alloy_tensor *(*begin)(alloy_pass *pass, const void *shape, alloy_tensor *x);
    alloy_tensor *(*end)(alloy_pass *pass, const void *shape, const void *weights, alloy_tensor *h);
    /* what `before` computes and `after` needs goes by *carry, [n, ..] */
    alloy_tensor *(*before)(alloy_pass *pass, const void *shape, const void *weights, alloy_tensor *h,
                            alloy_tensor **carry);
    alloy_tensor *(*after)(alloy_pass *pass, const void *shape, const void *weights, alloy_tensor *h,
                           alloy_tensor *carry, alloy_tensor *y);
} alloy_residual;

/* Adds a module or a residual to the process's registry; the struct must outlive the process. ARG for a name that is
 * taken or a struct that is incomplete. */
ALLOY_API alloy_status alloy_register_mixer(const alloy_mixer *mixer);
ALLOY_API alloy_status alloy_register_ffn(const alloy_ffn *ffn);
ALLOY_API alloy_status alloy_register_residual(const alloy_residual *residual);

/* Looks up; NULL with the thread's text set (FORMAT: the known names and the nearest one). The Hub's generic names are
 * known too. */
ALLOY_API const alloy_mixer *alloy_mixer_by_name(const char *name);
ALLOY_API const alloy_ffn *alloy_ffn_by_name(const char *name);
ALLOY_API const alloy_residual *alloy_residual_by_name(const char *name);

/* All of them, built in first; NULL past the end. */
ALLOY_API const alloy_mixer *alloy_mixer_at(int index);
ALLOY_API const alloy_ffn *alloy_ffn_at(int index);
ALLOY_API const alloy_residual *alloy_residual_at(int index);

/* Opens a shared object and lets it register its modules. A plug-in is code and runs with the rights of the process:
 * only a path that the user gave, with a '/' in it, of a regular file, which nobody but the user and root may write,
 * move or replace, judged by all folders and links on the way to it (TRUST). No shared object of this processor, or not
 * all of one; ABI or struct sizes of another version; a missing symbol or a name clash: FORMAT. A file that is open
 * already, by whatever path, is ALLOY_OK. */
ALLOY_API alloy_status alloy_plugin_load(const char *path);

enum { ALLOY_ABI_VERSION = 3 };

typedef struct alloy_plugin_info {
    uint32_t abi_version; /* ALLOY_ABI_VERSION */
    /* sizeof of the structs it was compiled with */
    uint32_t mixer_size, ffn_size, op_size, residual_size;
    const char *name;
} alloy_plugin_info;

/* Written once in a plug-in: ALLOY_PLUGIN("mamba2") { return alloy_register_mixer(&mamba2); } */
#define ALLOY_PLUGIN(plugin_name)                                                                                      \
    __attribute__((visibility("default")))                                                                             \
    const alloy_plugin_info alloy_plugin = {ALLOY_ABI_VERSION, sizeof(alloy_mixer),    sizeof(alloy_ffn),              \
                                            sizeof(alloy_op),  sizeof(alloy_residual), plugin_name};                   \
    __attribute__((visibility("default"))) alloy_status alloy_plugin_init(void);                                       \
    alloy_status alloy_plugin_init(void)

/* ---- Built-in ops ---------------------------------------------------------------------------------------------------
 *
 * n: tokens of the batch. Results are new tensors. Each fails with ARG when shapes do not fit. */

/* y [n, O] = x [n, .., I flattened] W^T (+ bias). W [O, I], bias [O] or NULL. */
ALLOY_API alloy_tensor *alloy_linear(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, const alloy_weight *bias);

/* y = x / sqrt(mean(x^2) + eps) * w over the last dimension (arXiv:1910.07467, eq. 4); unit_offset: (1 + w). w [d] or
 * NULL. */
ALLOY_API alloy_tensor *alloy_rms_norm(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, double eps,
                                       bool unit_offset);

/* The delta net's gated norm: rms_norm(x) * w * silu(gate), over the last dimension; gate like x. */
ALLOY_API alloy_tensor *alloy_gated_rms_norm(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, alloy_tensor *gate,
                                             double eps);

/* y = x / sqrt(sum(x^2) + eps) * scale over the last dimension. */
ALLOY_API alloy_tensor *alloy_l2_norm(alloy_pass *p, alloy_tensor *x, double eps, double scale);

/* Views, no work: [n, heads * d] as [n, heads, d], and [n, .., ..] as [n, all]. */
ALLOY_API alloy_tensor *alloy_heads(alloy_pass *p, alloy_tensor *x, int64_t heads);
ALLOY_API alloy_tensor *alloy_flatten(alloy_pass *p, alloy_tensor *x);

/* Cuts each of `groups` equal groups of a row [n, groups * (w0 + w1 + ..)] into `parts` widths; part i of all groups
 * side by side is parts[i] [n, groups * w_i]. Returns parts[0]. All of parts are NULL on failure. */
ALLOY_API alloy_tensor *alloy_split(alloy_pass *p, alloy_tensor *x, int64_t groups, int count, const int64_t *widths,
                                    alloy_tensor **parts);

/* Rows of `count` tensors side by side: [n, sum of widths]. */
ALLOY_API alloy_tensor *alloy_concat(alloy_pass *p, int count, alloy_tensor **parts);

/* Rotates halves of the leading channels of x [n, heads, d] by each token's position (arXiv:2104.09864). */
ALLOY_API alloy_tensor *alloy_rotary(alloy_pass *p, alloy_tensor *x, const alloy_rope *rope);

/* Appends the rows of x [n, .., ..] to part `part` of the state, rounded to the cache's dtype; gives what attention
 * reads: those rows and the ones before. */
ALLOY_API alloy_state_part alloy_append(alloy_pass *p, const alloy_state *s, int part, alloy_tensor *x);

/* Causal softmax attention with grouped heads. q [n, heads, d]; keys rows of kv_heads * d, values of kv_heads * dv; y
 * [n, heads, dv]. window 0: all positions, else a token at t sees t - window + 1 .. t. */
ALLOY_API alloy_tensor *alloy_attention(alloy_pass *p, alloy_tensor *q, alloy_state_part keys, alloy_state_part values,
                                        int64_t kv_heads, double scale, int64_t window);

/* ---- DeepSeek-V4's ops. Entry e of a rate stands for tokens e * rate .. (e + 1) * rate - 1; a token at t sees the
 * entries below floor((t + 1) / rate). A forward closes the entries floor(past / rate) .. floor((past + count) / rate)
 * - 1 of each sequence; a tensor "of entries" has a row for each of them, sequence by sequence. */

/* Rotates pairs (2i, 2i + 1) of the trailing `channels` (an odd number is rounded up) of x [n, heads, d] by each
 * token's position, or back by it. */
ALLOY_API alloy_tensor *alloy_rotary_pairs(alloy_pass *p, alloy_tensor *x, const alloy_rope *rope, int64_t channels,
                                           bool back);

/* The same for entries x [entries, d], entry e by position e * rate. */
ALLOY_API alloy_tensor *alloy_rotary_entries(alloy_pass *p, alloy_tensor *x, const alloy_rope *rope, int64_t channels,
                                             int64_t rate);

/* The entries that these tokens close, [entries, w]: per channel the sum over the window's tokens of kv, weighted by
 * the softmax of gate + bias over them. bias [rate, ..]. The fixed part `open` of the state keeps rows of kv and gate
 * of the window that is not closed yet: rate * 2 * the width of kv floats.
 * overlap < 0: kv, gate [n, w]. Else kv, gate [n, 2w] = [a | b], and an entry takes a of the window before (absent
 * before the first) and b of its own; the fixed part `overlap` keeps a of the last closed window: rate * 2w floats. */
ALLOY_API alloy_tensor *alloy_compress(alloy_pass *p, alloy_tensor *kv, alloy_tensor *gate, const alloy_weight *bias,
                                       int64_t rate, const alloy_state *s, int open, int overlap);

/* Appends entries x [entries, w] to part `part` of the state; gives those and the ones before. `indexer`: they are the
 * indexer's keys. */
ALLOY_API alloy_state_part alloy_append_entries(alloy_pass *p, const alloy_state *s, int part, alloy_tensor *x,
                                                bool indexer);

/* The `most` visible entries of each token with the largest sum over heads h of weights[h] * heads^-1/2 * max(0,
 * dot(q[h], key)) * d^-1/2; ties to the earlier entry. q [n, heads, d], weights [n, heads], keys rows of d. */
typedef struct alloy_chosen {
    alloy_tensor *entry; /* I32 [n, most], rising within a token; NULL after a failure */
    alloy_tensor *count; /* I32 [n], of a token's entries; the rest of its row is not set */
} alloy_chosen;
ALLOY_API alloy_chosen alloy_choose_entries(alloy_pass *p, alloy_tensor *q, alloy_tensor *weights,
                                            alloy_state_part keys, int64_t most);

/* alloy_attention over a window, with one head of rows `kv` that are keys and values at once, and with a logit more in
 * each head's softmax, sinks [heads], which has no value. Where `entries` are given (NULL: none) a token sees the
 * visible ones too; where `chosen` are given (NULL: none), only those of them. q [n, heads, d] -> [n, heads, d]. */
ALLOY_API alloy_tensor *alloy_shared_kv_attention(alloy_pass *p, alloy_tensor *q, alloy_state_part kv,
                                                  const alloy_state_part *entries, const alloy_chosen *chosen,
                                                  const alloy_weight *sinks, double scale, int64_t window);

/* alloy_linear in blocks: group g of y [n, groups * O] is group g of x [n, groups * I] times rows g * O .. of W [groups
 * * O, I], transposed. */
ALLOY_API alloy_tensor *alloy_grouped_linear(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, int64_t groups);

/* Depthwise causal convolution over tokens, then SiLU: y[t][c] = silu(sum_j w[c][j] x[t - taps + 1 + j][c]). x [n,
 * channels], w [channels, 1, taps] or [channels, taps]. The tail of taps - 1 rows is the fixed part `part` of the
 * state. */
ALLOY_API alloy_tensor *alloy_conv1d_silu(alloy_pass *p, alloy_tensor *x, const alloy_weight *w, const alloy_state *s,
                                          int part);

/* exp(-exp(A_log) * softplus(a + dt_bias)), the delta net's decay: a [n, heads] -> [n, heads]. */
ALLOY_API alloy_tensor *alloy_decay(alloy_pass *p, alloy_tensor *a, const alloy_weight *A_log,
                                    const alloy_weight *dt_bias);

/* The gated delta rule, token by token (arXiv:2412.06464, eq. 10): per value head S = decay S; S += k (beta (v - S^T
 * k))^T; y = S^T q. q, k [n, key_heads, K] (normalised, q scaled), v [n, value_heads, V], decay, beta [n, value_heads];
 * value head h reads key head h / (value_heads / key_heads). S is the fixed part `part` of the state, value_heads * K *
 * V floats. */
ALLOY_API alloy_tensor *alloy_delta_rule(alloy_pass *p, alloy_tensor *q, alloy_tensor *k, alloy_tensor *v,
                                         alloy_tensor *decay, alloy_tensor *beta, const alloy_state *s, int part);

/* Element by element, shapes equal. */
ALLOY_API alloy_tensor *alloy_add(alloy_pass *p, alloy_tensor *a, alloy_tensor *b);
ALLOY_API alloy_tensor *alloy_multiply(alloy_pass *p, alloy_tensor *a, alloy_tensor *b);
ALLOY_API alloy_tensor *alloy_silu(alloy_pass *p, alloy_tensor *x);
ALLOY_API alloy_tensor *alloy_sigmoid(alloy_pass *p, alloy_tensor *x);
ALLOY_API alloy_tensor *alloy_swiglu(alloy_pass *p, alloy_tensor *gate, alloy_tensor *up); /* silu(gate) * up */
/* silu(min(gate, limit)) * min(max(up, -limit), limit); limit 0: none */
ALLOY_API alloy_tensor *alloy_swiglu_clamped(alloy_pass *p, alloy_tensor *gate, alloy_tensor *up, double limit);
/* x * sigmoid(gate); gate like x, or [n, 1] */
ALLOY_API alloy_tensor *alloy_mul_sigmoid(alloy_pass *p, alloy_tensor *x, alloy_tensor *gate);

/* The k experts of each token and their weights, softmax over all of logits [n, experts] ranked by logit, ties to the
 * lower expert; normalize: divided by the sum of the chosen. */
typedef struct alloy_routes {
    alloy_tensor *expert; /* I32 [n, k], rising within a token; NULL after a failure */
    alloy_tensor *weight; /* F32 [n, k] */
    int64_t experts;      /* that are chosen from */
    double distinct;      /* in count: tokens that are expected to differ in where they go, at most n */
} alloy_routes;
ALLOY_API alloy_routes alloy_route_softmax(alloy_pass *p, alloy_tensor *logits, int64_t k, bool normalize);

/* DeepSeek's router: scores of logits [n, experts] by `scoring` ("sqrtsoftplus", "sigmoid", "softmax"); the k largest
 * score + bias are chosen, ties to the lower expert; their weights are score / (sum of the chosen + 1e-20) * scale. */
ALLOY_API alloy_routes alloy_route_scores(alloy_pass *p, alloy_tensor *logits, const alloy_weight *bias, int64_t k,
                                          const char *scoring, double scale);

/* The same weights for the experts that `table` [vocabulary, k] names for each token's id. gate [experts, H]; only the
 * chosen experts' logits of x [n, H] are computed, so `scoring` is not "softmax". */
ALLOY_API alloy_routes alloy_route_by_id(alloy_pass *p, alloy_tensor *x, const alloy_weight *gate,
                                         const alloy_weight *table, const char *scoring, double scale);

/* For an FFN's foresee: the experts that alloy_route_by_id will choose. */
ALLOY_API void alloy_foresee_by_id(alloy_pass *p, const alloy_weight *table, const alloy_expert_weights *experts);

/* y [n, H] = sum over a token's experts, in rising expert number, of weight * down(silu(gate x) * up x). */
ALLOY_API alloy_tensor *alloy_experts(alloy_pass *p, alloy_tensor *x, alloy_routes routes,
                                      const alloy_expert_weights *experts);

/* alloy_experts with alloy_swiglu_clamped in the experts. */
ALLOY_API alloy_tensor *alloy_experts_clamped(alloy_pass *p, alloy_tensor *x, alloy_routes routes,
                                              const alloy_expert_weights *experts, double limit);

/* x [n, H] as `streams` equal streams: [n, streams * H]. */
ALLOY_API alloy_tensor *alloy_hyper_copies(alloy_pass *p, alloy_tensor *x, int64_t streams);

/* Hyper-connections over h [n, streams * H] (manifold-constrained, arXiv:2512.24880). From the streams, normalised as
 * one row, times fn [(2 + streams) * streams, streams * H], with scale [3] and base [(2 + streams) * streams]: for each
 * token pre [streams], post [streams] and comb [streams, streams], made doubly stochastic by `iterations` of Sinkhorn's
 * (rounds of columns and rows); side by side in the result.
 * Head: pre alone, from fn [streams, streams * H], scale [1], base [streams]; `iterations` is 0. */
ALLOY_API alloy_tensor *alloy_hyper_weights(alloy_pass *p, alloy_tensor *h, const alloy_weight *fn,
                                            const alloy_weight *base, const alloy_weight *scale, int64_t streams,
                                            int64_t iterations, double eps, double norm_eps);

/* x [n, H] = sum over streams of pre * stream. */
ALLOY_API alloy_tensor *alloy_hyper_collapse(alloy_pass *p, alloy_tensor *h, alloy_tensor *weights, int64_t streams);

/* Stream k of the result = post[k] * y + sum over streams j of comb[j][k] * stream j. */
ALLOY_API alloy_tensor *alloy_hyper_expand(alloy_pass *p, alloy_tensor *h, alloy_tensor *weights, alloy_tensor *y,
                                           int64_t streams);

/* ---- Ops of one's own -----------------------------------------------------------------------------------------------
 *
 * An op is its readings side by side. A front function checks shapes, makes the result with alloy_tensor_new and calls
 * alloy_apply:
 *
 *     alloy_tensor *y = alloy_tensor_new(p, 2, x->shape);
 *     return alloy_apply(p, &scan, &(alloy_args){.in = {x, dt}, .out = {y}, .weight = {w->A}, .state = {{s, SCAN}}});
 *
 * All that an op reads or writes stands in its arguments. Options are plain values, without a pointer: whoever keeps a
 * call keeps a copy of them. */

enum { ALLOY_MOST_INPUTS = 8, ALLOY_MOST_OUTPUTS = 8, ALLOY_MOST_WEIGHTS = 4, ALLOY_MOST_STATES = 4 };

typedef struct alloy_args {
    alloy_pass *pass;                    /* set by alloy_apply */
    const struct alloy_op *op;           /* likewise */
    alloy_tensor *in[ALLOY_MOST_INPUTS]; /* up to the first NULL */
    alloy_tensor *out[ALLOY_MOST_OUTPUTS];
    const alloy_weight *weight[ALLOY_MOST_WEIGHTS];
    const alloy_expert_weights *experts;       /* of a layer's routed experts, or NULL */
    alloy_state_part state[ALLOY_MOST_STATES]; /* read, written or both */
    const void *options;                       /* the op's own struct of plain values */
    size_t options_size;
} alloy_args;

/* What cache traffic is made of. */
typedef enum alloy_cache_kind {
    ALLOY_CACHE_KV,
    ALLOY_CACHE_INDEXER,
    ALLOY_CACHE_STATE,
    ALLOY_CACHE_CONV
} alloy_cache_kind;

/* The neutral record that an op emits in *count*: what has to be computed and moved, whoever does it. Elements, not
 * bytes: dtypes are the reader's. The roofline's exact accounting sums these records. Its classic one has formulas of
 * its own for built-in ops (docs/roofline.md); an op of a plug-in counts there what it counts here, products and the
 * rest together. */
typedef struct alloy_cost alloy_cost;

typedef enum alloy_cost_unit { ALLOY_COST_TENSOR, ALLOY_COST_VECTOR } alloy_cost_unit;

/* Add FLOPs, an int64_t; alloy_cost_add takes what may pass 2^63. The expression is kept as text too, so that --explain
 * shows the code that counted and no second formula can drift from it; alloy_cost_let gives the int64_t variables in it
 * their values for that. */
#define alloy_cost_tensor(cost, flops) alloy_cost_add((cost), ALLOY_COST_TENSOR, alloy_count_of(flops), #flops)
#define alloy_cost_vector(cost, flops) alloy_cost_add((cost), ALLOY_COST_VECTOR, alloy_count_of(flops), #flops)
#define alloy_cost_let(cost, ...)                                                                                      \
    alloy_cost_name((cost), #__VA_ARGS__, (const int64_t[]){__VA_ARGS__},                                              \
                    (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))
ALLOY_API void alloy_cost_add(alloy_cost *cost, alloy_cost_unit unit, alloy_count flops, const char *formula);
ALLOY_API void alloy_cost_name(alloy_cost *cost, const char *names, const int64_t *values, int count);

/* Reads `copies` copies of `elements` elements of a parameter. NULL adds nothing. At most ALLOY_MOST_WEIGHTS an op. */
ALLOY_API void alloy_cost_weight(alloy_cost *cost, const alloy_weight *weight, int64_t elements, double copies);

/* Reads and writes elements of the layer's state. Calls of one kind add up. */
ALLOY_API void alloy_cost_cache(alloy_cost *cost, alloy_cache_kind kind, int64_t read, int64_t written);

/* Reads token ids, 8 bytes each. */
ALLOY_API void alloy_cost_ids(alloy_cost *cost, int64_t ids);

/* Computes out from in. */
typedef void alloy_run(const alloy_args *args);

/* What an op is. Where it runs is a backend's: one that lacks the op has it run on the CPU. */
typedef struct alloy_op {
    const char *name;
    alloy_run *run; /* on the CPU, in F32, of a plug-in's op; NULL: of a built-in one, which the CPU's backend knows */
    /* from shapes and spans alone; NULL: no work, and nothing that a count would name */
    void (*count)(const alloy_args *args, alloy_cost *cost);
} alloy_op;

/* A tensor of activations. NULL and the pass failed when memory is short or sizes overflow (LIMIT). */
ALLOY_API alloy_tensor *alloy_tensor_new(alloy_pass *p, int ndim, const int64_t *shape);

/* The same memory with another shape of as many elements. */
ALLOY_API alloy_tensor *alloy_view(alloy_pass *p, alloy_tensor *x, int ndim, const int64_t *shape);

/* Reads the op as the pass does; returns args->out[0], or NULL after a failure. */
ALLOY_API alloy_tensor *alloy_apply(alloy_pass *p, const alloy_op *op, const alloy_args *args);

/* For run functions. The fixed part args->state[i] of one sequence; work divided among threads (tasks are independent;
 * the result must not depend on who runs which; `scratch` has ALLOY_TASK_SCRATCH bytes). */
enum { ALLOY_TASK_SCRATCH = 512 * 1024 };
ALLOY_API float *alloy_state_fixed(const alloy_args *args, int i, int64_t span);
ALLOY_API void alloy_pass_parallel(alloy_pass *p, int64_t tasks,
                                   void (*task)(void *context, int64_t index, void *scratch), void *context);

/* Functions of arrays, by which built-in ops run too. */
ALLOY_API const alloy_vector *alloy_pass_vector(const alloy_pass *pass);

/* Weights widened to fp32: `count` elements from `first`. */
ALLOY_API void alloy_weight_read(const alloy_weight *weight, int64_t first, int64_t count, float *out);

#ifdef __cplusplus
}
#endif

#endif
