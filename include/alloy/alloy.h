/* Alloy: composes, runs and analyses hybrid transformers.
 *
 * This header is the manual for those who use models; roofline.h, which it includes, for those who ask how fast a model
 * can be. Those who write mixers, FFNs or ops read extend.h too.
 *
 * A first program: open a model, make a session, tokenize, generate.
 *
 *     alloy_model *model;
 *     alloy_session *session;
 *     if (alloy_model_open(&model, "path/to/folder", NULL) || alloy_session_open(&session, model, NULL))
 *         fprintf(stderr, "%s\n", alloy_error());
 *
 * Conventions.
 *   Errors     Every function that can fail returns an alloy_status, ALLOY_OK (0) on success; alloy_error() then tells
 *              what happened in one line. Out parameters are set to NULL or zero on failure. The library never exits,
 *              aborts or prints.
 *   Ownership  X_open makes, X_close frees (NULL is fine). What a getter returns belongs to the object and lives as
 *              long as it.
 *   Threads    Any number of threads may use one alloy_model or alloy_tokenizer at the same time: both are constant
 *              once open. A session, a cache or a decoder belongs to one thread at a time. A session's own
 *              threads live as long as it, block all signals but those of faults, and sleep between calls. A forked
 *              child may go on with a session that it got: alone, on one thread (docs/threads.md).
 *   Numbers    In the default arithmetic the same model and tokens give the same bits, whatever the batch, the chunk
 *              size, the number of threads and the instruction set (docs/numerics.md).
 *   Text       UTF-8, with a length; it may hold NULs. Paths and names are NUL-terminated.
 *   Versions   Option structs begin with their size: `alloy_load_options options = {.size = sizeof options};`. So a
 *              library that has more fields knows which its caller has; one that has fewer refuses a field that is set
 *              and that it does not know. Zero means the default of every other field. ARG for a size too small.
 *              What is marked experimental may change in any version. */
#ifndef ALLOY_ALLOY_H
#define ALLOY_ALLOY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALLOY_VERSION_MAJOR 0
#define ALLOY_VERSION_MINOR 1
#define ALLOY_VERSION_PATCH 0

#if defined(ALLOY_BUILDING)
#define ALLOY_API __attribute__((visibility("default")))
#else
#define ALLOY_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

/* What kind of thing went wrong. The command's exit codes are these numbers. */
typedef enum alloy_status {
    ALLOY_OK = 0,
    ALLOY_DIFFERENT = 1,    /* compare and verify: the two sides differ */
    ALLOY_ARG = 2,          /* an invalid argument, of a call or of the command line */
    ALLOY_FORMAT = 3,       /* a file or a text is not what it should be */
    ALLOY_LIMIT = 4,        /* larger than allowed here */
    ALLOY_RANGE = 5,        /* a number outside its range */
    ALLOY_IO = 6,           /* the system could not read or write */
    ALLOY_NOMEM = 7,        /* out of memory */
    ALLOY_TRUST = 8,        /* a file asks for something that no file may ask for */
    ALLOY_CONTEXT = 9,      /* longer than the context of the model or the cache */
    ALLOY_UNSUPPORTED = 10, /* sound, but not implemented */
    ALLOY_STATUS_COUNT
} alloy_status;

/* What happened in the calling thread's last failed call, in one line without control characters; "" before any. Valid
 * until the thread's next failure. Kept with the thread and not with an object, so that one place serves failures
 * before an object exists too. */
ALLOY_API const char *alloy_error(void);

/* "OK", "ARG", ... */
ALLOY_API const char *alloy_status_name(alloy_status status);

/* "0.1.0" */
ALLOY_API const char *alloy_version(void);

/* Warnings (a vocabulary larger than the embedding, an ignored auto_map, ...) go to this function, one line each
 * without control characters; NULL, the default, drops them. A line that was given to it already is not given again.
 * Process-wide; set it before other calls. `user` is handed back. */
typedef void alloy_log_function(void *user, const char *line);
ALLOY_API void alloy_set_log(alloy_log_function *log, void *user);

/* ---- Dtypes ------------------------------------------------------------------------------------------------------ */

/* Dtypes that a safetensors file may hold; the names are those of the format. */
typedef enum alloy_dtype {
    ALLOY_DTYPE_NONE = 0,
    ALLOY_BOOL,
    ALLOY_U8,
    ALLOY_I8,
    ALLOY_I16,
    ALLOY_U16,
    ALLOY_I32,
    ALLOY_U32,
    ALLOY_I64,
    ALLOY_U64,
    ALLOY_F16,
    ALLOY_BF16,
    ALLOY_F32,
    ALLOY_F64,
    ALLOY_C64,
    ALLOY_F8_E4M3,
    ALLOY_F8_E5M2,
    ALLOY_F8_E8M0,
    ALLOY_F8_E4M3FNUZ,
    ALLOY_F8_E5M2FNUZ,
    ALLOY_F4,
    ALLOY_F6_E2M3,
    ALLOY_F6_E3M2,
    ALLOY_DTYPE_COUNT
} alloy_dtype;

/* "BF16", ...; and back: ALLOY_DTYPE_NONE for an unknown name. `size` bytes of name. */
ALLOY_API const char *alloy_dtype_name(alloy_dtype dtype);
ALLOY_API alloy_dtype alloy_dtype_by_name(const char *name, size_t size);

/* Bits of one element. */
ALLOY_API int alloy_dtype_bits(alloy_dtype dtype);

/* Scales beside a weight in F8_E4M3 or F4: the element at row r and column c of the weight means its own value times
 * the scale at row (first + r) / rows and column c / columns of the scales, rounded once to fp32. */
typedef struct alloy_scales {
    const void *data;      /* any alignment; NULL: no scales, every element means its own value */
    alloy_dtype dtype;     /* F32, or F8_E8M0: 2^(byte - 127), 255 is NaN */
    int64_t rows, columns; /* of the tile of weights that one scale covers; columns is a multiple of 16 */
    int64_t stride;        /* bytes from one row of scales to the next */
    int64_t first;         /* place of the weight's first row in its tile and those before: other than 0 for a view */
} alloy_scales;

/* Operations and bytes pass 2^63 (ten trillion parameters times a million tokens): high * 2^64 + low, no digit is
 * lost. */
typedef struct alloy_count {
    uint64_t low;
    int64_t high;
} alloy_count;

enum { ALLOY_COUNT_TEXT = 56 };
ALLOY_API alloy_count alloy_count_of(int64_t value);
ALLOY_API alloy_count alloy_count_add(alloy_count a, alloy_count b);
ALLOY_API alloy_count alloy_count_multiply(alloy_count count, int64_t factor);
ALLOY_API double alloy_count_double(alloy_count count); /* the nearest */
/* "9,360,441" into `out` of ALLOY_COUNT_TEXT bytes; separator 0: none. Returns `out`. */
ALLOY_API char *alloy_count_text(alloy_count count, char separator, char *out);

/* ---- Configs ----------------------------------------------------------------------------------------------------- */

/* What a model is: its fields, constant once parsed, are in extend.h. Alloy reads its own configs (model_type "alloy":
 * any mixer and FFN at any depth) and those of qwen3, qwen3_moe, qwen3_next, qwen3_5, qwen3_5_moe, llama, qwen2 and
 * mistral as transformers 4 and 5 write them, each with its family's defaults and rules. */
typedef struct alloy_config alloy_config;

/* Reads a config.json, or that of a folder. Unknown model_type, rope, activation or quantisation, JSON that is not
 * sound: FORMAT; what is no number, or outside its range: RANGE; more than 4 MiB: LIMIT; what is known and not
 * implemented: UNSUPPORTED. The text names line, column and key. Fields that would name code or addresses (auto_map,
 * ...) are ignored with one warning. */
ALLOY_API alloy_status alloy_config_open(alloy_config **out, const char *where);

/* The same from `size` bytes, which are copied; `name` stands for the file in messages. */
ALLOY_API alloy_status alloy_config_parse(alloy_config **out, const char *name, const void *bytes, size_t size);
ALLOY_API void alloy_config_close(alloy_config *config);

/* Keeps the first layers alone, 1 .. num_layers; it can no longer be saved. */
ALLOY_API void alloy_config_keep_layers(alloy_config *config, int64_t num_layers);

/* Of the whole model. */
ALLOY_API const char *alloy_config_model_type(const alloy_config *config); /* as in the file */
ALLOY_API int64_t alloy_config_vocab_size(const alloy_config *config);
ALLOY_API int64_t alloy_config_hidden_size(const alloy_config *config);
ALLOY_API int64_t alloy_config_num_layers(const alloy_config *config);
ALLOY_API int64_t alloy_config_context(const alloy_config *config);   /* tokens */
ALLOY_API bool alloy_config_ties_head(const alloy_config *config);    /* the head's weight is the embedding's */
ALLOY_API alloy_dtype alloy_config_dtype(const alloy_config *config); /* of new weights and of the roofline */

/* Names of a layer's modules, 0 .. num_layers - 1. */
ALLOY_API const char *alloy_config_mixer(const alloy_config *config, int64_t layer);
ALLOY_API const char *alloy_config_ffn(const alloy_config *config, int64_t layer);

/* Writes a file that reads back as the same config, of model_type "alloy" whatever it came from: fields grouped by
 * module, unknown ones kept. What stood at `path` stays until the new file is whole. ARG for a layer's view, and for
 * the first layers that a model was opened with. */
ALLOY_API alloy_status alloy_config_write(const alloy_config *config, const char *path);

/* ---- Folders of models ---------------------------------------------------------------------------------------------
 *
 * Experimental. What takes a `where` finds the folder by itself; these are for those who ask what it holds first. */

typedef struct alloy_model_files alloy_model_files; /* a folder, open */

/* Finds a folder, or "user/name" in the Hub's cache. Files of it are opened only where its links stay in it and in that
 * cache, unless `follow_symlinks`. IO where there is none; TRUST for a revision that is a path. */
ALLOY_API alloy_status alloy_model_files_find(alloy_model_files **out, const char *where, bool follow_symlinks);
ALLOY_API void alloy_model_files_release(alloy_model_files *files);
ALLOY_API const char *alloy_model_files_folder(const alloy_model_files *files); /* as it was found */

/* Does anything stand under that name? IO when the system does not tell. */
ALLOY_API alloy_status alloy_model_files_has(const alloy_model_files *files, const char *name, bool *has);

/* alloy_config_open of its config.json. */
ALLOY_API alloy_status alloy_config_open_in(alloy_config **out, const alloy_model_files *files);

/* Can a model be written to `folder`? Before anything is computed. IO when not, and for a folder that holds any of
 * `names` (ends with NULL; NULL: config.json and the like) or weights, unless `force`; ARG for an empty name. */
ALLOY_API alloy_status alloy_folder_check(const char *folder, const char *const *names, bool force);

/* ---- Models ------------------------------------------------------------------------------------------------------ */

typedef struct alloy_model alloy_model; /* a config and its weights, in place */

typedef struct alloy_load_options {
    size_t size;          /* sizeof(alloy_load_options) */
    int64_t num_layers;   /* run only the first so many layers; 0: all */
    bool no_mmap;         /* read weights into memory instead of mapping the files (safe against files that change) */
    bool allow_unused;    /* tensors that nothing uses are a warning, not an error */
    bool follow_symlinks; /* follow links that leave the model's folder and its Hub cache */
    /* most bytes of the mapped weights that stay in memory; 0: what the system keeps. Results are the same bits */
    uint64_t weight_memory;
} alloy_load_options;

/* Opens a model: `where` is a folder with config.json and *.safetensors (with an index or without), or "user/name" in
 * the Hub's cache (HF_HUB_CACHE, HF_HOME, or ~/.cache/huggingface; never the network). Weights are used where the file
 * holds them; memory is touched when a forward reads it. Missing, left-over or misshapen tensors are FORMAT and name
 * all of them; so is one of a dtype that is unsupported (not F32, BF16, F16, FP8 or FP4), and FP8 or FP4 without its
 * scales. Weights that are NaN or infinite stop the forward, not the opening, which does not read them; with no_mmap,
 * which does, they are a warning. weight_memory: ARG with no_mmap, which keeps all of them;
 * RANGE for less than this model needs, and the text names the least. `options` may be NULL. */
ALLOY_API alloy_status alloy_model_open(alloy_model **out, const char *where, const alloy_load_options *options);
ALLOY_API void alloy_model_close(alloy_model *model);

ALLOY_API const alloy_config *alloy_model_config(const alloy_model *model);
ALLOY_API const char *alloy_model_folder(const alloy_model *model); /* the folder that it was opened from */
ALLOY_API const alloy_model_files *alloy_model_opened_files(const alloy_model *model); /* likewise */
ALLOY_API int64_t alloy_model_vocab_size(const alloy_model *model);
ALLOY_API int64_t alloy_model_context(const alloy_model *model); /* max_position_embeddings, tokens */

/* What became of weight_memory since the model was opened, by all of its sessions; bytes, in blocks of 64 KiB. */
typedef struct alloy_weight_memory {
    uint64_t limit;    /* weight_memory; 0: there is none, and all others are 0 */
    uint64_t resident; /* in memory now */
    uint64_t peak;     /* most of it; more than the limit only where several sessions run at a time */
    uint64_t read;     /* brought in from the files */
    uint64_t ahead;    /* of these, before they were asked for */
    uint64_t hits;     /* asked for and there already */
    uint64_t released;
    int64_t disk; /* what this process read from disks, whatever for; -1: the system does not tell */
} alloy_weight_memory;
ALLOY_API void alloy_model_weight_memory(const alloy_model *model, alloy_weight_memory *out);

/* Bytes of weights that one decoded token reads when routing picks `num_experts_per_tok` experts a layer. */
ALLOY_API uint64_t alloy_model_bytes_per_token(const alloy_model *model);

/* What a layer, or all of a model, is made of. Experimental, as all down to Converting. */
typedef struct alloy_amounts {
    alloy_count parameters, active; /* active: that one token meets */
    alloy_count cache_per_token;    /* bytes */
    alloy_count cache_fixed;        /* bytes of a sequence however long: full windows, recurrent states */
} alloy_amounts;

/* Of the whole model, embedding, norms and head included, and of each layer: `layers` has room for num_hidden_layers.
 * `kv_dtype` as in alloy_session_options. The model may be described only. */
ALLOY_API alloy_status alloy_model_amounts(const alloy_model *model, alloy_dtype kv_dtype, alloy_amounts *total,
                                           alloy_amounts *layers);

/* What a model's files hold, also what it does not use. */
typedef struct alloy_stored {
    int64_t files;
    uint64_t bytes;                         /* of all tensors */
    uint64_t tensors_of[ALLOY_DTYPE_COUNT]; /* by dtype */
    uint64_t bytes_of[ALLOY_DTYPE_COUNT];
} alloy_stored;

/* Opens shards that no layer needed so far. ARG for a model that is described only. */
ALLOY_API alloy_status alloy_model_stored(const alloy_model *model, alloy_stored *out);
ALLOY_API int64_t alloy_model_tensors(const alloy_model *model); /* in its files; 0: described only */

/* Tensors that no text model uses (vision towers, multi-token prediction). */
ALLOY_API int64_t alloy_model_skipped(const alloy_model *model);

/* The file and the byte of it that lie at `address`, of what the library has mapped. A mapped page that cannot be read
 * (its file was cut short, its disk failed) raises SIGBUS in the thread that touches it; a program that handles that
 * asks here, which takes no lock and allocates nothing. `path` gets a printable form, cut to `size` bytes with its
 * NUL. */
ALLOY_API bool alloy_mapping_find(const void *address, char *path, size_t size, uint64_t *offset);

/* ---- New models -------------------------------------------------------------------------------------------------- */

typedef struct alloy_init_options {
    size_t size; /* sizeof (alloy_init_options) */
    uint64_t seed;
    alloy_dtype dtype;                                           /* F32, BF16, F16; 0: the config's, else F32 */
    uint64_t max_shard_size;                                     /* bytes; 0: 5 * 10^9 */
    bool force;                                                  /* replace a model that the folder holds */
    bool follow_symlinks;                                        /* to the config, as in alloy_load_options */
    void (*progress)(void *user, uint64_t done, uint64_t bytes); /* may be NULL */
    void *user;
} alloy_init_options;

/* Writes a model of random weights for a config.json, or that of a folder: model.safetensors or shards and their index,
 * named as save_pretrained names them, beside the config as its author wrote it (its dtype where another is asked for).
 * Each element is a function of (seed, name of its parameter, place in it) alone. Errors of the folder as
 * alloy_convert's. */
ALLOY_API alloy_status alloy_init(const char *config, const char *folder, const alloy_init_options *options);

/* ---- Converting ----------------------------------------------------------------------------------------------------
 *
 * A model in another dtype, with other names of its tensors, in shards of another size. Tensors are read, rounded and
 * written row by row, so a model may be larger than memory. */

/* How the files of a converted model name and divide its tensors. */
typedef enum alloy_layout {
    ALLOY_LAYOUT_KEPT = 0,     /* as the model's own files do (stacked experts come apart in FP8 and FP4) */
    ALLOY_LAYOUT_TRANSFORMERS, /* as save_pretrained of transformers writes them: routed experts one by one */
    ALLOY_LAYOUT_RELEASE,      /* as DeepSeek publishes V4: layers.0.attn.wq_a; of that family alone */
    ALLOY_LAYOUT_MEMORY,       /* as transformers has them in memory: experts stacked, mlp.experts.gate_up_proj */
} alloy_layout;

/* A tensor of the converted model, and what rounding cost: the error of an element is its difference from what the
 * model held. All zero where the bytes are the model's own. */
typedef struct alloy_converted_tensor {
    const char *name;              /* in the new files */
    alloy_dtype from, to;          /* F8_E4M3 and F4 have scales beside them */
    uint64_t elements;             /* of the weight, two a byte in F4 */
    bool kept;                     /* the bytes are the model's */
    double largest, largest_error; /* largest absolute value, and error */
    double rms, rms_error;         /* square roots of the means of the squares */
} alloy_converted_tensor;

typedef struct alloy_convert_options {
    size_t size; /* sizeof(alloy_convert_options) */
    /* F32, BF16, F16; F8_E4M3; F4: to nearest even, but for what transformers keeps in fp32. 0: each keeps its own.
     * F8_E4M3: weights of linears whose sides divide by 128, with an F32 scale of each tile of 128 x 128.
     * F4: as DeepSeek-V4 is released: routed experts in FP4, two a byte, with a power of two as the scale of 32
     * elements of a row, other linears in FP8 with powers of two; in a model without routed experts all linears whose
     * rows divide by 32 in FP4. In both, what is left keeps its dtype. */
    alloy_dtype dtype;
    alloy_layout layout;
    uint64_t max_shard_size;                                             /* bytes; 0: 5 * 10^9 */
    bool force;                                                          /* replace a model that `folder` holds */
    bool (*progress)(void *user, uint64_t done, uint64_t bytes);         /* false: stops, with OK; may be NULL */
    void (*tensor)(void *user, const alloy_converted_tensor *converted); /* each, once all are written; may be NULL */
    void *user;
} alloy_convert_options;

/* Writes a model's folder as a new one, which transformers reads too: config.json, model.safetensors or shards and
 * their index, and copies of the tokenizer's files, generation_config.json and the chat template. Tensors that a text
 * model does not use (vision towers, MTP heads) are left out, and of a multimodal model its text_config is the new
 * config. `folder` is made where it is missing, and becomes the new model by one last call. IO when it is the model's
 * own, is being written by another process, or holds a file that would be written over; with `force` the new folder is
 * made beside it and the two change places, so that a kill leaves the old model or the new one, and files that no model
 * of Alloy's has stay (docs/files.md). RANGE for a weight that is
 * not finite, or not in the new dtype; UNSUPPORTED for a layout that the family or the dtype has not; ARG for another
 * dtype, and for a model of which the first layers alone were opened. `options` may be NULL. */
ALLOY_API alloy_status alloy_convert(const alloy_model *model, const char *folder,
                                     const alloy_convert_options *options);

/* ---- Sessions and caches ----------------------------------------------------------------------------------------- */

typedef struct alloy_session alloy_session; /* threads, kernels and scratch memory to run a model with */
typedef struct alloy_cache alloy_cache;     /* the state of one sequence: keys and values, recurrent matrices, ... */

typedef struct alloy_session_options {
    size_t size; /* sizeof(alloy_session_options) */
    int threads; /* 0: one a processor. Where the system gives fewer, a warning, and alloy_session_threads tells */
    /* "generic", "avx2", "avx512"; NULL: ALLOY_CPU from the environment, else the best this processor has */
    const char *cpu;
    int64_t chunk;        /* most tokens of one forward; longer batches are divided. 0: 512 */
    alloy_dtype kv_dtype; /* of keys and values in caches: F32 (also 0), BF16 or F16, rounded once when appended */
    /* most bytes of keys, values and entries in all caches of the session, in pages; 0: this machine's memory */
    uint64_t kv_bytes;
    /* where ops run: "cpu" (also NULL), or "fp64": everything in double precision, slowly, for comparison. There
     * kv_dtype is 0, and logits and hidden states are doubles (logits_f64, hidden_f64 below) */
    const char *backend;
} alloy_session_options;

enum { ALLOY_MOST_THREADS = 1024 };

ALLOY_API alloy_status alloy_session_open(alloy_session **out, const alloy_model *model,
                                          const alloy_session_options *options);
ALLOY_API void alloy_session_close(alloy_session *session);
ALLOY_API const alloy_model *alloy_session_model(const alloy_session *session);

/* Is there an instruction set of that name, on whatever machine? Else ARG. */
ALLOY_API alloy_status alloy_kernels_check(const char *cpu);
ALLOY_API const char *alloy_session_cpu(const alloy_session *session); /* "avx2" */
ALLOY_API int alloy_session_threads(const alloy_session *session);

/* Bytes of pages that the session's caches hold, each once, however many share it. */
ALLOY_API uint64_t alloy_session_cache_bytes(const alloy_session *session);

/* An empty cache that grows as it is used; at most `context` tokens (0: the model's context). LIMIT, with the bytes,
 * when this machine has not the memory for a context that was asked for, and from a forward when a cache would outgrow
 * it, or the session's kv_bytes: a model may claim any context, and only what is used counts. It may be closed after
 * its session. */
ALLOY_API alloy_status alloy_cache_open(alloy_cache **out, const alloy_session *session, int64_t context);
ALLOY_API void alloy_cache_close(alloy_cache *cache);
ALLOY_API int64_t alloy_cache_length(const alloy_cache *cache);     /* tokens in it */
ALLOY_API const int64_t *alloy_cache_ids(const alloy_cache *cache); /* [length] the tokens; until its next forward */
ALLOY_API uint64_t alloy_cache_bytes(const alloy_cache *cache);     /* memory that it holds now, shared pages too */

/* A copy that shares the pages of keys, values and entries until one of both writes into one: memory is taken for the
 * last page of each layer then, and at once for windows and recurrent states. */
ALLOY_API alloy_status alloy_cache_copy(alloy_cache **out, const alloy_cache *cache);

/* Cuts a cache back to its first `length` tokens. Only full keys and values can be cut in place; ALLOY_UNSUPPORTED when
 * a layer keeps a window or a recurrent state and length is neither 0 nor the cache's own, and nothing is changed then:
 * compute the prefix again. */
ALLOY_API alloy_status alloy_cache_truncate(alloy_cache *cache, int64_t length);

/* One sequence of a forward: `count` new tokens (at least 1) after what its cache holds. */
typedef struct alloy_sequence {
    alloy_cache *cache;
    const int64_t *ids; /* [count] */
    int64_t count;
} alloy_sequence;

/* Which rows of logits a forward writes. */
typedef enum alloy_logits_rows {
    ALLOY_LOGITS_LAST = 0, /* the last token of each sequence: [sequences, vocab] */
    ALLOY_LOGITS_ALL = 1,  /* every token, sequence by sequence: [tokens, vocab] */
    ALLOY_LOGITS_NONE = 2, /* none */
} alloy_logits_rows;

/* Sees the output of every decoder layer: `rows` tokens beginning with token `first` of sequence `sequence` (counted
 * from the start of this call), `width` floats each (hc_mult * hidden_size where residuals carry several streams). */
typedef void alloy_hidden_function(void *user, int64_t layer, int64_t sequence, int64_t first, int64_t rows,
                                   int64_t width, const float *hidden);

/* Sees which of `experts` experts a layer's tokens went to: `count` choices in the order of the tokens, once a layer
 * and chunk. */
typedef void alloy_routed_function(void *user, int64_t layer, int64_t experts, int64_t count, const int32_t *chosen);

/* The same in double precision, of a session whose backend is "fp64". */
typedef void alloy_hidden_f64_function(void *user, int64_t layer, int64_t sequence, int64_t first, int64_t rows,
                                       int64_t width, const double *hidden);

typedef struct alloy_forward_options {
    size_t size; /* sizeof(alloy_forward_options) */
    alloy_logits_rows logits;
    alloy_hidden_function *hidden;         /* may be NULL */
    alloy_routed_function *routed;         /* may be NULL */
    double *logits_f64;                    /* of an "fp64" session, in place of `logits`; NULL where none are wanted */
    alloy_hidden_f64_function *hidden_f64; /* likewise, in place of `hidden`; may be NULL */
    /* after each chunk; may be NULL; false stops with ALLOY_OK at `done` tokens */
    bool (*progress)(void *user, int64_t done, int64_t tokens);
    /* A sequence has failed, with this status and the thread's text: it ends alone. Its cache is empty unless nothing
     * of it has run, its rows of logits are not set, and the others go on with the bits of running alone. NULL: the
     * first failure is that of the call. */
    void (*failed)(void *user, int64_t sequence, alloy_status status);
    void *user;
} alloy_forward_options;

/* Runs a ragged batch and appends it to the caches, which must be different ones. `logits` has room for the rows asked
 * for. Errors, nothing having run: RANGE for an id outside the vocabulary, CONTEXT when a cache would pass its context,
 * IO when a mapped file was cut short since it was opened. In mid-run: NOMEM; LIMIT when a cache would outgrow this
 * machine's memory; RANGE for logits or router scores that are not finite: the weights are searched then (all of them
 * are read), and the text names the first that is NaN or infinite and its element, or says that none is. After an error
 * in mid-run the caches that were being filled are empty. `options` may be NULL. */
ALLOY_API alloy_status alloy_forward(alloy_session *session, const alloy_sequence *sequences, int64_t count,
                                     float *logits, const alloy_forward_options *options);

/* ---- Tokenizers -----------------------------------------------------------------------------------------------------
 *
 * The tokenizer.json of Hugging Face, with the ids that the `tokenizers` library gives. Read are: models of type BPE,
 * byte-level or with byte fallback; the normalizers, pre-tokenizers, post-processors and decoders that such models come
 * with. A part that is not implemented is a FORMAT error that names it, never a guess. `truncation` and `padding` are
 * checked and not applied.
 *
 *     alloy_tokenizer *tokenizer;
 *     alloy_ids ids = {0};
 *     if (alloy_tokenizer_open(&tokenizer, "path/to/folder") ||
 *         alloy_tokenizer_encode(tokenizer, text, strlen(text), ALLOY_ENCODE_ADD_SPECIAL, &ids))
 *         fprintf(stderr, "%s\n", alloy_error());
 *     alloy_ids_free(&ids);
 *     alloy_tokenizer_close(tokenizer);
 *
 * Text that is not UTF-8 is read as if every maximal part of a bad sequence were U+FFFD, here and wherever text comes
 * in (as Python's errors="replace" does). NULs are text. Encoding takes time linear in the text, whatever the text. */

typedef struct alloy_tokenizer alloy_tokenizer;

/* A list of ids that grows; {0} is empty. It is the caller's, who frees it. */
typedef struct alloy_ids {
    int64_t *ids; /* [count] */
    int64_t count;
    int64_t capacity;
} alloy_ids;

/* Empties a list and frees its memory. */
ALLOY_API void alloy_ids_free(alloy_ids *ids);

/* Opens a tokenizer.json, or that of a model's folder. At most 512 MiB. FORMAT for what is not sound or not
 * supported. */
ALLOY_API alloy_status alloy_tokenizer_open(alloy_tokenizer **out, const char *path);
ALLOY_API alloy_status alloy_tokenizer_open_in(alloy_tokenizer **out,
                                               const alloy_model_files *files); /* experimental */
ALLOY_API void alloy_tokenizer_close(alloy_tokenizer *tokenizer);

enum {
    ALLOY_ENCODE_ADD_SPECIAL = 1, /* with the special tokens that the post-processor adds, as the start of the text */
    /* The texts of special tokens are text, and do not become these tokens: for what users typed. Without it they
     * become the tokens, as `tokenizers` does, and a user can write `<|im_end|>`. (Its encode_special_tokens; added
     * tokens that are not special still count.) */
    ALLOY_ENCODE_SPECIAL_AS_TEXT = 2,
};

/* Appends the ids of a text to `ids`. LIMIT for more than 2^31 bytes, or when a regular expression of the file needs
 * more steps than honest ones do; `ids` is as before then. */
ALLOY_API alloy_status alloy_tokenizer_encode(const alloy_tokenizer *tokenizer, const char *text, size_t size,
                                              unsigned flags, alloy_ids *ids);

/* The text of ids, with a NUL after its *size bytes; free it with alloy_free. Ids that have no token (a model's logits
 * may be wider than its vocabulary) have no text; RANGE for those below 0 or above 2^32 - 1. `skip_special`: tokens
 * whose decoded text is the content of a special token have none (so a special token that the normalizer changes still
 * has: docs/tokenizer.md). `size` may be NULL. */
ALLOY_API alloy_status alloy_tokenizer_decode(const alloy_tokenizer *tokenizer, const int64_t *ids, int64_t count,
                                              bool skip_special, char **text, size_t *size);
ALLOY_API void alloy_free(void *memory);

/* One more than the largest id. */
ALLOY_API int64_t alloy_tokenizer_vocab_size(const alloy_tokenizer *tokenizer);

/* The id of a token by its text as the file has it; -1: there is none. */
ALLOY_API int64_t alloy_tokenizer_id(const alloy_tokenizer *tokenizer, const char *token, size_t size);

/* A token's text as the file has it (byte-level tokens in their alphabet), not NUL-terminated; NULL: the id has no
 * token. */
ALLOY_API const char *alloy_tokenizer_token(const alloy_tokenizer *tokenizer, int64_t id, size_t *size);
ALLOY_API bool alloy_tokenizer_is_special(const alloy_tokenizer *tokenizer, int64_t id);

/* Decodes ids as they come. What push gives is certain: whole characters, which later ids do not change; the texts in a
 * row are what alloy_tokenizer_decode gives for all ids. The tokenizer must stay open. */
typedef struct alloy_decoder alloy_decoder;
ALLOY_API alloy_status alloy_decoder_open(alloy_decoder **out, const alloy_tokenizer *tokenizer, bool skip_special);
ALLOY_API void alloy_decoder_close(alloy_decoder *decoder);

/* Takes an id; *text (often empty) stays until the decoder's next call. */
ALLOY_API alloy_status alloy_decoder_push(alloy_decoder *decoder, int64_t id, const char **text, size_t *size);

/* No more ids come: the rest, where bytes that are no whole character are U+FFFD. The decoder is as new afterwards. */
ALLOY_API alloy_status alloy_decoder_finish(alloy_decoder *decoder, const char **text, size_t *size);

/* ---- Generation -----------------------------------------------------------------------------------------------------
 *
 *     alloy_generate_options options = {.size = sizeof options, .max_new_tokens = 64};
 *     alloy_generation *generation;
 *     if (alloy_generate(&generation, session, tokenizer, &(alloy_prompt){ids, count}, 1, &options) == ALLOY_OK) {
 *         const alloy_output *output = alloy_generation_output(generation, 0);
 *         fwrite(output->text, 1, output->text_size, stdout);
 *     }
 *     alloy_generation_close(generation); */

/* How the next token is chosen from the logits. Applied in this order, which is that of transformers: repetition
 * penalty, frequency and presence penalty, temperature, top_k, top_p, min_p, draw. All zero: greedy, the largest logit,
 * ties to the lower id. The draw is a function of (seed, number of the output among those of its prompt, position), so
 * neighbours in a batch do not matter. */
typedef struct alloy_sampling {
    /* logits are divided by it; 0: greedy, and top_k, top_p and min_p have nothing to do. 0..1000000 */
    double temperature;
    int64_t top_k; /* only the k likeliest, ties to the lower id; 0: all */
    double top_p;  /* only the likeliest whose probabilities reach this sum; 0 or 1: all. 0..1 */
    double min_p;  /* only those at least so likely as this share of the likeliest; 0: all. 0..1 */
    /* logits of ids in the prompt and the output: divided by it if positive, else multiplied. 0 or 1: none. 0..1000 */
    double repetition_penalty;
    double presence_penalty;  /* taken once from logits of ids in the output. -1000..1000 */
    double frequency_penalty; /* taken from logits of ids in the output once for each time they occur. -1000..1000 */
    uint64_t seed;
} alloy_sampling;

/* generation_config.json: how a model's makers would have it sampled. alloy_generate follows its end-of-sequence ids
 * alone. Absent settings take the defaults of transformers (temperature 1, top_k 50, top_p 1). Experimental. */
typedef struct alloy_generation_config {
    bool do_sample;               /* false: greedy, and the next four have nothing to do */
    double temperature;           /* 0..1000000 */
    int64_t top_k;                /* 0: all. 0..2^24 */
    double top_p;                 /* above 0, at most 1 */
    double min_p;                 /* 0..1; 0: all */
    double repetition_penalty;    /* above 0, at most 1000; 1: none */
    int64_t max_length;           /* tokens of prompt and output; 0: absent */
    int64_t max_new_tokens;       /* 0: absent */
    int64_t bos_token_id;         /* -1: absent */
    int64_t pad_token_id;         /* -1: absent */
    const int64_t *eos_token_ids; /* [eos_token_count] */
    int64_t eos_token_count;      /* 0: absent, the config's count */
} alloy_generation_config;

/* Reads that of a model's folder; all defaults where it has none, and an error where there is one that cannot be read,
 * since its end-of-sequence ids decide where outputs end. These must be below `vocab_size` (0: not checked). FORMAT,
 * RANGE and LIMIT as alloy_config_open; settings that Alloy does not have are ignored with one warning. */
ALLOY_API alloy_status alloy_generation_config_open(alloy_generation_config **out, const alloy_model_files *files,
                                                    int64_t vocab_size);
ALLOY_API void alloy_generation_config_close(alloy_generation_config *config);

/* Why an output ended. */
typedef enum alloy_finish {
    ALLOY_FINISH_NONE = 0,  /* it has not */
    ALLOY_FINISH_STOP,      /* an end-of-sequence id or a stop text */
    ALLOY_FINISH_LENGTH,    /* max_new_tokens, or the context is full */
    ALLOY_FINISH_CANCELLED, /* alloy_engine_cancel, or a callback returned false */
    ALLOY_FINISH_FAILED,    /* its request failed */
} alloy_finish;

/* "stop", "length", "cancelled", "failed"; "" for none. */
ALLOY_API const char *alloy_finish_name(alloy_finish finish);

/* An id and the natural logarithm of its probability, before penalties and temperature. */
typedef struct alloy_logprob {
    int64_t id;
    float logprob;
} alloy_logprob;

/* One new token while it is made. */
typedef struct alloy_piece {
    int64_t output; /* whose it is: 0 .. prompts * num_return_sequences - 1 */
    int64_t id;
    /* what can be shown now: whole characters, nothing that may belong to a stop text; often empty. Until the callback
     * returns */
    const char *text;
    size_t text_size;    /* bytes */
    alloy_finish finish; /* not NONE with the last piece of an output, which brings what was held back */
} alloy_piece;

typedef struct alloy_prompt {
    const int64_t *ids; /* [count] */
    int64_t count;      /* at least 1 */
} alloy_prompt;

enum { ALLOY_MOST_RETURN_SEQUENCES = 1024 };

typedef struct alloy_generate_options {
    size_t size; /* sizeof(alloy_generate_options) */
    alloy_sampling sampling;
    int64_t max_new_tokens; /* of each output; 0: until the context is full */
    /* outputs of each prompt, which is computed once; 0: 1. At most ALLOY_MOST_RETURN_SEQUENCES */
    int64_t num_return_sequences;
    /* [stop_count] texts that end an output and are not part of its text. UTF-8, 1 to 1024 bytes, at most 64; a
     * tokenizer is needed */
    const char *const *stop;
    int64_t stop_count;
    bool ignore_eos;        /* goes on past end-of-sequence ids */
    const int64_t *eos_ids; /* [eos_count] ids that end an output; NULL: generation_config.json's, else the config's */
    int64_t eos_count;
    /* so many likeliest ids are kept at each step, and the chosen id's own; 0: none are. At most 1000 */
    int64_t logprobs;
    int64_t context; /* most tokens of a prompt and its output; 0: the model's */
    bool (*progress)(void *user, int64_t done,
                     int64_t tokens);                     /* while prompts are computed; may be NULL; false cancels */
    bool (*stream)(void *user, const alloy_piece *piece); /* each new token; may be NULL; false cancels all outputs */
    void *user;
} alloy_generate_options;

/* One finished output. */
typedef struct alloy_output {
    const int64_t *ids; /* [count] the new ids, an end-of-sequence id and those of a stop text included */
    int64_t count;
    /* without end-of-sequence, special tokens and the stop text; a NUL after it. "" without a tokenizer */
    const char *text;
    size_t text_size; /* bytes */
    alloy_finish finish;
    const float *logprobs;          /* [count] of the new ids; NULL unless asked for */
    const alloy_logprob *likeliest; /* [count, likeliest_count], the likeliest first; NULL unless asked for */
    int64_t likeliest_count;        /* `logprobs` of the options, or the vocabulary if that is smaller */
} alloy_output;

/* What was done for it, over all prompts and outputs. */
typedef struct alloy_usage {
    int64_t prompt_tokens;     /* of the prompts */
    int64_t cached_tokens;     /* of these, taken from a cache */
    int64_t computed_tokens;   /* of these, computed */
    int64_t completion_tokens; /* new ids */
    int64_t decode_tokens;     /* new ids that were fed back through the model in steps without tokens of prompts */
    int64_t decode_steps;      /* such steps: one serves all outputs */
    double prefill_seconds;    /* of steps that computed tokens of prompts */
    double decode_seconds;     /* of the others */
} alloy_usage;

typedef struct alloy_generation alloy_generation;

/* Continues `count` prompts as one batch: each output gets the tokens that it would get alone. `tokenizer` gives texts;
 * NULL: ids only. Errors: ARG (an empty prompt, contradictory options), RANGE (an option, or an id outside the
 * vocabulary; logits that are not finite are never made a token), CONTEXT (a prompt leaves no room for a new token),
 * NOMEM. `options` may be NULL. */
ALLOY_API alloy_status alloy_generate(alloy_generation **out, alloy_session *session, const alloy_tokenizer *tokenizer,
                                      const alloy_prompt *prompts, int64_t count,
                                      const alloy_generate_options *options);
ALLOY_API void alloy_generation_close(alloy_generation *generation);

/* Outputs 0 .. count - 1, those of the first prompt first; NULL outside. */
ALLOY_API int64_t alloy_generation_count(const alloy_generation *generation);
ALLOY_API const alloy_output *alloy_generation_output(const alloy_generation *generation, int64_t index);
ALLOY_API const alloy_usage *alloy_generation_usage(const alloy_generation *generation);

/* ---- Requests (experimental) ----------------------------------------------------------------------------------------
 *
 * An engine serves requests that come and go: each has its own settings, ends by itself, and fails alone. A step runs
 * what is waiting as one ragged batch: the newest id of each output, and tokens of new prompts, up to a chunk in all.
 * What a request gets is what it would get alone, to the bit.
 *
 *     alloy_engine_open(&engine, session, &(alloy_engine_options){.size = sizeof(alloy_engine_options)});
 *     alloy_engine_submit(&request, engine, &(alloy_prompt){ids, count}, &options);
 *     while (alloy_engine_live(engine) > 0) {
 *         alloy_engine_step(engine, &events, &count);
 *         for (int64_t i = 0; i < count; i++)
 *             take(&events[i]);
 *     }
 *     alloy_request_close(request);
 *     alloy_engine_close(engine);
 *
 * An engine and its requests are used by one thread at a time, and nothing else uses the session between the first
 * submit and the last step. After the first id of an output a step allocates nothing, except that lists of more than
 * 4,096 ids and texts grow by doubling. */

typedef struct alloy_engine alloy_engine;
typedef struct alloy_request alloy_request;

typedef struct alloy_engine_options {
    size_t size;                      /* sizeof(alloy_engine_options) */
    const alloy_tokenizer *tokenizer; /* gives texts; NULL: ids only. Must stay open */
} alloy_engine_options;

/* What a step did for a request. Until the engine's next call, or the request is closed. */
typedef struct alloy_event {
    alloy_request *request;
    void *user;          /* of the options that it was submitted with */
    alloy_piece piece;   /* a new token; piece.output counts from 0 in the request, and is -1 where it has failed */
    alloy_status status; /* not OK: the request has failed, and alloy_request_status says why */
} alloy_event;

/* UNSUPPORTED for a session whose backend is "fp64". `options` may be NULL. */
ALLOY_API alloy_status alloy_engine_open(alloy_engine **out, alloy_session *session,
                                         const alloy_engine_options *options);
ALLOY_API void alloy_engine_close(alloy_engine *engine); /* cancels what is not over; requests stay the caller's */

/* A new request, whose prompt's first tokens are computed in the next step. Ids, end-of-sequence ids and stop texts are
 * copied; progress and stream of the options are not called. The errors of alloy_generate; those that run are not
 * touched. `options` may be NULL. The request is the caller's, who closes it. */
ALLOY_API alloy_status alloy_engine_submit(alloy_request **out, alloy_engine *engine, const alloy_prompt *prompt,
                                           const alloy_generate_options *options);

/* One step; *events has *count of them: the new tokens, those of one request in the order of its outputs, and the
 * requests that failed. None where nothing is waiting. */
ALLOY_API void alloy_engine_step(alloy_engine *engine, const alloy_event **events, int64_t *count);

/* Ends a request now: its outputs are ALLOY_FINISH_CANCELLED, and keep what they have. Nothing where it is over. */
ALLOY_API void alloy_engine_cancel(alloy_engine *engine, alloy_request *request);

ALLOY_API int64_t alloy_engine_live(const alloy_engine *engine);             /* requests that are not over */
ALLOY_API const alloy_usage *alloy_engine_usage(const alloy_engine *engine); /* of all requests */

/* ALLOY_OK, or how it failed, with the thread's text set: RANGE (logits that are not finite), LIMIT (no memory for its
 * cache), NOMEM, IO. */
ALLOY_API alloy_status alloy_request_status(const alloy_request *request);
ALLOY_API int64_t alloy_request_count(const alloy_request *request); /* outputs */

/* An output as it is now, until the engine's next step; NULL outside 0 .. count - 1. */
ALLOY_API const alloy_output *alloy_request_output(alloy_request *request, int64_t index);
ALLOY_API const alloy_usage *alloy_request_usage(const alloy_request *request); /* seconds: of steps that it was in */
ALLOY_API void alloy_request_close(alloy_request *request); /* cancels it if it is not over; NULL is fine */

#ifdef __cplusplus
}
#endif

#include "alloy/roofline.h"

#endif
