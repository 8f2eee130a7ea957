/* Alloy: composes, runs and analyses hybrid transformers.
 *
 * This header is the manual for those who use models. Those who write mixers, FFNs or ops read extend.h too.
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
 *              once open. A session, a cache or a decoder belongs to one thread at a time.
 *   Numbers    In the default arithmetic the same model and tokens give the same bits, whatever the batch, the chunk
 *              size, the number of threads and the instruction set (docs/numerics.md).
 *   Text       UTF-8, with a length; it may hold NULs. Paths and names are NUL-terminated.
 *   Versions   Option structs begin zeroed: `alloy_load_options options = {0};`. Zero means the default of every
 *              field. */
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
    ALLOY_ARG = 2,          /* a call or command line that cannot be meant */
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

/* What happened in the calling thread's last failed call, in one line without a newline; "" before any. Valid until the
 * thread's next failure. Kept with the thread and not with an object, so that one place serves failures before an
 * object exists too. */
ALLOY_API const char *alloy_error(void);

/* "OK", "ARG", ... */
ALLOY_API const char *alloy_status_name(alloy_status status);

/* "0.1.0" */
ALLOY_API const char *alloy_version(void);

/* Warnings (a vocabulary larger than the embedding, an ignored auto_map, ...) go to this function, one line each
 * without a newline; NULL, the default, drops them. Process-wide; set it before other calls. `user` is handed back. */
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

/* Operations and bytes pass 2^63 (ten trillion parameters times a million tokens). */
__extension__ typedef __int128 alloy_count;

/* ---- Configs ----------------------------------------------------------------------------------------------------- */

/* What a model is: its fields, constant once parsed, are in extend.h. Alloy reads its own configs (model_type "alloy":
 * any mixer and FFN at any depth) and those of qwen3, qwen3_moe, qwen3_next, qwen3_5, qwen3_5_moe, llama, qwen2 and
 * mistral as transformers 4 and 5 write them, each with its family's defaults and rules. */
typedef struct alloy_config alloy_config;

/* Reads a config.json, or that of a folder. Unknown model_type, rope or activation, a quantised model, JSON that is not
 * sound: FORMAT; a number that is none or outside its range: RANGE; more than 4 MiB: LIMIT; what is known and not
 * implemented: UNSUPPORTED. The text names line, column and key. Fields that would name code or addresses (auto_map,
 * ...) are ignored with one warning. */
ALLOY_API alloy_status alloy_config_open(alloy_config **out, const char *where);

/* The same from `size` bytes, which are copied; `name` stands for the file in messages. */
ALLOY_API alloy_status alloy_config_parse(alloy_config **out, const char *name, const void *bytes, size_t size);
ALLOY_API void alloy_config_close(alloy_config *config);

/* Writes a file that reads back as the same config, of model_type "alloy" whatever it came from: fields grouped by
 * module, unknown ones kept. What stood at `path` stays until the new file is whole. ARG for a layer's view, and for
 * the first layers that a model was opened with. */
ALLOY_API alloy_status alloy_config_write(const alloy_config *config, const char *path);

/* ---- Models ------------------------------------------------------------------------------------------------------ */

typedef struct alloy_model alloy_model; /* a config and its weights, in place */

typedef struct alloy_load_options {
    int64_t num_layers;   /* run only the first so many layers; 0: all */
    bool no_mmap;         /* read weights into memory instead of mapping the files (safe against files that change) */
    bool allow_unused;    /* tensors that nothing uses are a warning, not an error */
    bool follow_symlinks; /* follow links that leave the model's folder and its Hub cache */
} alloy_load_options;

/* Opens a model: `where` is a folder with config.json and *.safetensors (with an index or without), or "user/name" in
 * the Hub's cache (HF_HUB_CACHE, HF_HOME, or ~/.cache/huggingface; never the network). Weights are used where the file
 * holds them; memory is touched when a forward reads it. Missing, left-over or misshapen tensors are FORMAT and name
 * all of them; so is one of a dtype that is unsupported (not F32, BF16 or F16). Weights that are NaN or infinite stop
 * the forward, not the opening, which does not read them; with no_mmap, which does, they are a warning. `options` may
 * be NULL. */
ALLOY_API alloy_status alloy_model_open(alloy_model **out, const char *where, const alloy_load_options *options);
ALLOY_API void alloy_model_close(alloy_model *model);

ALLOY_API const alloy_config *alloy_model_config(const alloy_model *model);
ALLOY_API const char *alloy_model_folder(const alloy_model *model); /* the folder that it was opened from */
ALLOY_API int64_t alloy_model_vocab_size(const alloy_model *model);
ALLOY_API int64_t alloy_model_context(const alloy_model *model); /* max_position_embeddings, tokens */

/* Bytes of weights that one decoded token reads when routing picks `num_experts_per_tok` experts a layer. */
ALLOY_API uint64_t alloy_model_bytes_per_token(const alloy_model *model);

/* ---- Sessions and caches ----------------------------------------------------------------------------------------- */

typedef struct alloy_session alloy_session; /* threads, kernels and scratch memory to run a model with */
typedef struct alloy_cache alloy_cache;     /* the state of one sequence: keys and values, recurrent matrices, ... */

typedef struct alloy_session_options {
    int threads; /* 0: one a processor */
    /* "generic", "avx2", "avx512"; NULL: ALLOY_CPU from the environment, else the best this processor has */
    const char *cpu;
    int64_t chunk;        /* most tokens of one forward; longer batches are divided. 0: 512 */
    alloy_dtype kv_dtype; /* of keys and values in caches: F32 (also 0), BF16 or F16, rounded once when appended */
} alloy_session_options;

ALLOY_API alloy_status alloy_session_open(alloy_session **out, const alloy_model *model,
                                          const alloy_session_options *options);
ALLOY_API void alloy_session_close(alloy_session *session);
ALLOY_API const alloy_model *alloy_session_model(const alloy_session *session);
ALLOY_API const char *alloy_session_cpu(const alloy_session *session); /* "avx2" */
ALLOY_API int alloy_session_threads(const alloy_session *session);

/* An empty cache that grows as it is used; at most `context` tokens (0: the model's context). LIMIT, with the bytes,
 * when this machine has not the memory for a context that was asked for, and from a forward when a cache would outgrow
 * it: a model may claim any context, and only what is used counts. */
ALLOY_API alloy_status alloy_cache_open(alloy_cache **out, const alloy_session *session, int64_t context);
ALLOY_API void alloy_cache_close(alloy_cache *cache);
ALLOY_API int64_t alloy_cache_length(const alloy_cache *cache); /* tokens in it */
ALLOY_API uint64_t alloy_cache_bytes(const alloy_cache *cache); /* memory that it holds now */
ALLOY_API alloy_status alloy_cache_copy(alloy_cache **out, const alloy_cache *cache);

/* Cuts a cache back to its first `length` tokens. Only full keys and values can be cut in place; ALLOY_UNSUPPORTED when
 * a layer keeps a window or a recurrent state and length is neither 0 nor the cache's own, and nothing is changed then:
 * compute the prefix again. */
ALLOY_API alloy_status alloy_cache_truncate(alloy_cache *cache, int64_t length);

/* One sequence of a forward: `count` new tokens (at least 1) behind what its cache holds. */
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

typedef struct alloy_forward_options {
    alloy_logits_rows logits;
    alloy_hidden_function *hidden; /* may be NULL */
    /* after each chunk; may be NULL; false stops with ALLOY_OK at `done` tokens */
    bool (*progress)(void *user, int64_t done, int64_t tokens);
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

/* The text of ids, with a NUL behind its *size bytes; free it with alloy_free. Ids that have no token (a model's logits
 * may be wider than its vocabulary) have no text; RANGE for those below 0 or above 2^32 - 1. `skip_special`: special
 * tokens have none. `size` may be NULL. */
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
 *     alloy_generate_options options = {.max_new_tokens = 64};
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

/* Why an output ended. */
typedef enum alloy_finish {
    ALLOY_FINISH_NONE = 0,  /* it has not */
    ALLOY_FINISH_STOP,      /* an end-of-sequence id or a stop text */
    ALLOY_FINISH_LENGTH,    /* max_new_tokens, or the context is full */
    ALLOY_FINISH_CANCELLED, /* a callback returned false */
} alloy_finish;

/* "stop", "length", "cancelled"; "" for none. */
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

typedef struct alloy_generate_options {
    alloy_sampling sampling;
    int64_t max_new_tokens;       /* of each output; 0: until the context is full */
    int64_t num_return_sequences; /* outputs of each prompt, which is computed once; 0: 1. At most 1024 */
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
    /* without end-of-sequence, special tokens and the stop text; a NUL behind it. "" without a tokenizer */
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
    int64_t decode_tokens;     /* new ids that were fed back through the model */
    int64_t decode_steps;      /* forwards that this took: one serves all outputs */
    double prefill_seconds;
    double decode_seconds;
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

/* ---- Chips ----------------------------------------------------------------------------------------------------------
 *
 * What a processor can do at most, for the roofline: built in (`alloy roofline --list` shows all with their sources),
 * read from a file, or filled in by the caller, whose alloy_chip is as good as ours:
 *
 *     alloy_chip mine = {.name = "my-device", .memory_bandwidth = 8e12, .peak[ALLOY_PEAK_BF16] = 2250e12}; */

/* The type of the operands of a product; each has its own peak. */
typedef enum alloy_peak {
    ALLOY_PEAK_INT4,
    ALLOY_PEAK_INT8,
    ALLOY_PEAK_FP4,
    ALLOY_PEAK_FP8,
    ALLOY_PEAK_FP16,
    ALLOY_PEAK_BF16,
    ALLOY_PEAK_FP32,
    ALLOY_PEAK_FP64,
    ALLOY_PEAK_COUNT
} alloy_peak;

typedef struct alloy_chip {
    const char *name;
    const char *const *aliases;           /* other names of built-in chips, ends with NULL; or NULL: none */
    const char *vendor, *source, *notes;  /* `source`: where the figures are from. NULL: nothing is said */
    double peak[ALLOY_PEAK_COUNT];        /* of the tensor unit, dense, FLOP/s; 0: not known */
    double vector_peak[ALLOY_PEAK_COUNT]; /* of the vector unit, FLOP/s; 0: not known */
    bool fp32_is_vector;                  /* the tensor unit has no fp32: peak[FP32] is the vector unit's */
    double memory_bandwidth;              /* bytes/s */
    double memory;                        /* bytes; 0: not known */
    double link_bandwidth;                /* to other chips, bytes/s each way; 0: not known */
    double power;                         /* at most, W; 0: not known */
    double price_per_hour;                /* in any currency; 0: not known */
    double cache;                         /* last-level cache, bytes; 0: not modelled */
    double cache_bandwidth;               /* bytes/s; 0 where `cache` is */
} alloy_chip;

/* "int4" ... "fp64" */
ALLOY_API const char *alloy_peak_name(alloy_peak peak);

/* The built-in chips, from 0; NULL behind the last. */
ALLOY_API const alloy_chip *alloy_chip_at(int index);

/* The built-in chip of this name or alias; case, '-', '_' and spaces do not matter ("h100" is H100-SXM5). NULL where
 * there is none: an ARG that names the nearest. */
ALLOY_API const alloy_chip *alloy_chip_by_name(const char *name);

/* Reads a chip from a JSON file, in absolute units (bytes, bytes/s, FLOP/s, W):
 *
 *     {"name": "my-device", "memory_bandwidth": 8e12, "memory": 192e9, "link": 900e9,
 *      "peaks": {"bf16": 2250e12, "fp8": 4500e12}, "vector_peaks": {"bf16": 80e12},
 *      "power": 1000, "price_per_hour": 3.5}
 *
 * name, memory_bandwidth and a peak are required; "vendor", "source", "notes", "fp32_is_vector", "cache" and
 * "cache_bandwidth" are read too. FORMAT: JSON that is not sound, an unknown, missing or repeated key; RANGE: a number
 * outside its range; LIMIT: more than 1 MiB. The text names line, column and key. */
ALLOY_API alloy_status alloy_chip_open(alloy_chip **out, const char *path);

/* The same from `size` bytes; `name` stands for the file in messages. */
ALLOY_API alloy_status alloy_chip_parse(alloy_chip **out, const char *name, const void *bytes, size_t size);

/* Of one that was opened or parsed. */
ALLOY_API void alloy_chip_close(alloy_chip *chip);

/* What a dtype of files is computed as; ALLOY_PEAK_COUNT where units do not multiply it. */
ALLOY_API alloy_peak alloy_peak_of_dtype(alloy_dtype dtype);

/* The tensor unit's peak for operands of this kind, FLOP/s. ARG where it has none: the text names those it has. */
ALLOY_API alloy_status alloy_chip_peak(const alloy_chip *chip, alloy_peak peak, double *flops);

/* The vector unit's: vector_peak of this kind; else, where fp32_is_vector, the fp32 peak; else alloy_chip_peak. */
ALLOY_API alloy_status alloy_chip_vector_peak(const alloy_chip *chip, alloy_peak peak, double *flops);

/* ---- The roofline ---------------------------------------------------------------------------------------------------
 *
 * What a forward has to compute and to move, from a config and lengths alone: the model's own forward read in *count*
 * (extend.h). docs/roofline.md has the conventions of both accountings and their formulas.
 *
 *     alloy_roofline_sequences decode = {.count = 1, .tokens = 1, .cached = 4096};
 *     alloy_roofline_options options = {.sequences = &decode, .sequences_count = 1};
 *     alloy_roofline_bounds bounds;
 *     if (alloy_model_describe(&model, config) || alloy_roofline_open(&roofline, model, &options) ||
 *         alloy_roofline_on(roofline, alloy_chip_by_name("H100"), NULL, &bounds))
 *         fprintf(stderr, "%s\n", alloy_error());
 *     printf("%g tokens/s at most\n", bounds.tokens_per_second); */

/* A model without weights, for alloy_roofline_open: shapes as the config says, dtypes the config's. It borrows the
 * config, which must stay open. Everything of a model but running it works. */
ALLOY_API alloy_status alloy_model_describe(alloy_model **out, const alloy_config *config);

typedef enum alloy_accounting {
    ALLOY_CLASSIC, /* simple published conventions: figures can be compared with those of other tools */
    ALLOY_EXACT,   /* what a good kernel has to do and to move: what measurements are compared with */
} alloy_accounting;

/* `count` sequences that each bring `tokens` new tokens behind `cached`. */
typedef struct alloy_roofline_sequences {
    int64_t count, tokens, cached; /* at least 1, 1, 0 */
} alloy_roofline_sequences;

/* How many different experts a layer reads, in ALLOY_EXACT. */
typedef enum alloy_routing {
    ALLOY_ROUTING_EVEN,  /* every expert is as likely: expected number */
    ALLOY_ROUTING_WORST, /* as many as there can be */
    ALLOY_ROUTING_BEST,  /* every token goes to the same experts */
    ALLOY_ROUTING_ZIPF,  /* the e-th likeliest is chosen in proportion to e^-zipf: expected number */
    ALLOY_ROUTING_GIVEN, /* `experts_read` of a run */
} alloy_routing;

/* How the delta rule is counted in ALLOY_EXACT: as products of chunks of 64 (CHUNK), step by step as Alloy's own engine
 * does it (STEP), or as engines on accelerators do it: chunks where a sequence brings more than 64 tokens, else steps. */
typedef enum alloy_delta { ALLOY_DELTA_AUTO, ALLOY_DELTA_CHUNK, ALLOY_DELTA_STEP } alloy_delta;

typedef struct alloy_roofline_options {
    const alloy_roofline_sequences *sequences; /* [sequences_count] */
    int64_t sequences_count;
    alloy_accounting accounting;
    /* "int4" "int8" "fp4" "fp8" "fp16" "bf16" "fp32" "fp64" (and f16, f32, f64). NULL: of activations the config's
     * dtype; of weights the files', else as activations; of keys and values as activations; of indexer keys as these */
    const char *weight_dtype, *activation_dtype, *kv_dtype, *indexer_dtype;
    alloy_routing routing;
    double zipf;                 /* 0.0..10.0 */
    const int64_t *experts_read; /* GIVEN: [layers] different experts that the layer's tokens went to */
    alloy_delta delta;
    bool all_logits; /* the head on every token; else on the last of each sequence. Classic: always every token */
    bool op_fusion;  /* tensors inside modules touch memory too (an engine of one kernel an op); exact only */
    bool ops;        /* keep each op as a row: level 4 */
} alloy_roofline_options;

/* What traffic is made of. */
typedef enum alloy_traffic {
    ALLOY_TRAFFIC_WEIGHTS,
    ALLOY_TRAFFIC_ACTIVATIONS,
    ALLOY_TRAFFIC_KV,
    ALLOY_TRAFFIC_STATE, /* recurrent matrices, convolution tails, open windows */
    ALLOY_TRAFFIC_INDEXER,
    ALLOY_TRAFFIC_LOGITS,
    ALLOY_TRAFFIC_ROUTER, /* weights of routers */
    ALLOY_TRAFFIC_COUNT
} alloy_traffic;

/* "weights", "activations", ... */
ALLOY_API const char *alloy_traffic_name(alloy_traffic traffic);

typedef struct alloy_work {
    alloy_count tensor_flops; /* matrix products, 2 a multiply-add; classic: everything */
    alloy_count vector_flops; /* the rest, 1 an operation; classic: 0 */
    alloy_count read[ALLOY_TRAFFIC_COUNT], written[ALLOY_TRAFFIC_COUNT]; /* bytes */
} alloy_work;

ALLOY_API alloy_count alloy_work_read(const alloy_work *work);    /* bytes, of all kinds */
ALLOY_API alloy_count alloy_work_written(const alloy_work *work); /* bytes */
ALLOY_API void alloy_work_add(alloy_work *sum, const alloy_work *work, int64_t times);

typedef enum alloy_roofline_level {
    ALLOY_LEVEL_TOTAL = 1,
    ALLOY_LEVEL_KINDS = 2,   /* mixers by name, FFNs by name, embedding, head, ... */
    ALLOY_LEVEL_MODULES = 3, /* every module of every layer */
    ALLOY_LEVEL_OPS = 4,     /* the ops inside (needs options.ops) */
} alloy_roofline_level;

typedef struct alloy_roofline_row {
    const char *kind;   /* "embedding", "mixer", "ffn", "norm", "residual", "head"; "total" */
    const char *name;   /* the module's in the registry; "embedding", "norm", "final_norm", "lm_head", "hc_attn" ... */
    int64_t layer;      /* -1: outside the layers, or of several */
    int64_t modules;    /* how many it sums */
    const char *op;     /* level 4: "linear"; else NULL */
    const char *weight; /* level 4: the parameter's name, of the first layer that is like this one; else NULL */
    const alloy_work *work;
} alloy_roofline_row;

typedef struct alloy_roofline alloy_roofline;

/* Counts a forward. The model may be described only; no weight is touched. ARG: no sequences, a dtype that is none;
 * RANGE: lengths that cannot be; LIMIT: more than 2^63 tokens. The model must stay open. One thread at a time. */
ALLOY_API alloy_status alloy_roofline_open(alloy_roofline **out, const alloy_model *model,
                                           const alloy_roofline_options *options);
ALLOY_API void alloy_roofline_close(alloy_roofline *roofline);

ALLOY_API const alloy_work *alloy_roofline_total(const alloy_roofline *roofline);
ALLOY_API int64_t alloy_roofline_tokens(const alloy_roofline *roofline); /* new tokens of all sequences */
ALLOY_API int64_t alloy_roofline_ops(const alloy_roofline *roofline);    /* ops of the forward */

/* Rows of a level, in the order of the forward (kinds: of their first module). Rows of a level sum to the total. Rows
 * of level 4 are there only with options.ops. */
ALLOY_API int64_t alloy_roofline_row_count(const alloy_roofline *roofline, alloy_roofline_level level);
ALLOY_API alloy_roofline_row alloy_roofline_row_at(const alloy_roofline *roofline, alloy_roofline_level level,
                                                   int64_t index);

/* Times on a chip. */
typedef struct alloy_roofline_time {
    double tensor, vector, memory; /* seconds, each unit for itself */
    double seconds;                /* the largest of them */
    const char *bottleneck;        /* "compute" (also where both take as long), "vector" (exact), "memory" */
} alloy_roofline_time;

typedef struct alloy_roofline_bounds {
    alloy_roofline_time overlap; /* all units busy at once: the bound */
    double per_module;           /* seconds; units overlap inside modules only */
    double serial;               /* seconds; nothing overlaps */
    double tokens_per_second;    /* new tokens, at the overlap bound */
    double joules_per_token;     /* at the chip's power; 0: not known */
    double price_per_token;      /* at the chip's price; 0: not known */
} alloy_roofline_bounds;

/* `compute_dtype`: as the dtypes above; NULL: that of the activations. ARG where the chip has no peak for it: the text
 * names those it has. */
ALLOY_API alloy_status alloy_roofline_on(const alloy_roofline *roofline, const alloy_chip *chip,
                                         const char *compute_dtype, alloy_roofline_bounds *out);

/* The times of one row's work. */
ALLOY_API alloy_status alloy_roofline_time_on(const alloy_roofline *roofline, const alloy_work *work,
                                              const alloy_chip *chip, const char *compute_dtype,
                                              alloy_roofline_time *out);

/* Memory that a forward needs, bytes. */
typedef struct alloy_roofline_memory {
    alloy_count weights; /* tied ones once */
    alloy_count cache;   /* keys, values, entries at the end of the forward (of a window its last tokens but one) */
    alloy_count allocated_cache; /* the same in whole pages of `page` tokens */
    alloy_count state;           /* recurrent matrices, convolution tails, open windows */
    alloy_count activations;     /* the largest module's tensors */
    alloy_count logits;
    alloy_count total; /* with allocated_cache */
} alloy_roofline_memory;

/* `page`: tokens a page of the cache; 0: 1. */
ALLOY_API alloy_status alloy_roofline_needs(const alloy_model *model, const alloy_roofline_options *options,
                                            int64_t page, alloy_roofline_memory *out);

/* What fits into `bytes`: the most sequences like the first of options.sequences, and the most cached tokens of one
 * such sequence (0: none fits; at most 2^40). By bisection. */
ALLOY_API alloy_status alloy_roofline_fits(const alloy_model *model, const alloy_roofline_options *options,
                                           int64_t page, double bytes, int64_t *batch, int64_t *context);

/* The formulas behind the rows that `module` names (a row's name, or "" for all): each line one op of one layer that is
 * counted, with its numbers put in. Lines go to `line`. */
ALLOY_API alloy_status alloy_roofline_explain(const alloy_model *model, const alloy_roofline_options *options,
                                              const char *module, void (*line)(void *user, const char *text),
                                              void *user);

/* ---- This machine -------------------------------------------------------------------------------------------------
 *
 * The processor that the program runs on as a chip, by measuring it with Alloy's own kernels: two to ten seconds the
 * first time, after that from a file in the user's cache folder ($XDG_CACHE_HOME/alloy, else ~/.cache/alloy).
 *
 *     alloy_host host;
 *     if (alloy_host_measure(&host, NULL) == ALLOY_OK)
 *         printf("%.1f GB/s\n", host.chip.memory_bandwidth * 1e-9); */

enum { ALLOY_HOST_LEVELS = 5, ALLOY_HOST_POINTS = 24 };

/* What a level of cache, or memory, gives to all threads together: medians of several readings, bytes/s. */
typedef struct alloy_host_level {
    int64_t level;      /* 1: the nearest cache, 2, ...; 0: memory */
    double size;        /* of all instances that the threads use; of memory: installed. bytes */
    double working_set; /* that it was measured with, bytes */
    double read, write;
    double copy; /* bytes that are read and bytes that are written */
} alloy_host_level;

typedef struct alloy_host_point {
    double working_set; /* of all threads, bytes */
    double read;        /* bytes/s */
} alloy_host_point;

typedef struct alloy_host {
    char processor[96]; /* its name */
    char cpu[16];       /* instruction set of the kernels: "avx2" */
    int threads;
    int64_t measured; /* when, seconds since 1970 */
    bool from_file;   /* measured then, not now */
    bool busy;        /* other programs kept readings from being sound: figures may be too low */
    alloy_host_level levels[ALLOY_HOST_LEVELS]; /* [level_count] caches, the nearest first, then memory */
    int level_count;
    alloy_host_point points[ALLOY_HOST_POINTS]; /* [point_count] rising working sets: the levels as they show */
    int point_count;
    double elementwise; /* fused multiply-adds of rows in the nearest cache, FLOP/s */
    /* "host". Peaks are those of linear layers with weights of the dtype, which lie in a cache; the vector unit is the
     * unit that runs them. Bandwidths are the largest of read, write and copy, and `cache` the last level's size. So no
     * kernel passes them, however it mixes its work. */
    alloy_chip chip;
} alloy_host;

typedef struct alloy_host_options {
    int threads;     /* as in alloy_session_options */
    const char *cpu; /* likewise */
    bool refresh;    /* measure again, whatever the file has */
    /* called while it measures, with the share of its time that is over, 0..1; may be NULL */
    void (*progress)(void *user, double done);
    void *user;
} alloy_host_options;

/* Takes the figures from the file if it has them for this processor, instruction set, number of threads and version,
 * else measures and writes the file. A file that is not as it was written is never used: a warning, and it is measured
 * again; one that cannot be written is a warning. Errors: ARG or UNSUPPORTED (cpu), RANGE (threads), NOMEM. `options`
 * may be NULL. */
ALLOY_API alloy_status alloy_host_measure(alloy_host *host, const alloy_host_options *options);

#ifdef __cplusplus
}
#endif

#endif
