/* Alloy: what a model computes, kept, compared with what it should compute, and tried under every setting.
 *
 *     alloy_comparison *comparison;
 *     if (alloy_compare_reference(&comparison, session, "expected.safetensors", NULL) == ALLOY_OK)
 *         printf("%s\n", comparison->passed ? "pass" : "FAIL");
 *     alloy_comparison_close(comparison);
 *
 * Experimental: names and structs of this header may change in any version.
 *
 * Option structs begin with their size: `alloy_compare_options options = {.size = sizeof options};`. A caller that was
 * built with a smaller struct gets the defaults of the fields that it does not know. One that was built with a larger
 * struct is served while the fields that this library does not know are zero, else refused (ARG). NULL: all defaults.
 * Results are the library's memory, freed by their close function. */
#ifndef ALLOY_COMPARE_H
#define ALLOY_COMPARE_H

#include "alloy/alloy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Called while something long goes on: `done` of `total` steps of `what`, a constant string. */
typedef void alloy_progress_function(void *user, const char *what, int64_t done, int64_t total);

/* ---- Ids ----------------------------------------------------------------------------------------------------------
 *
 * A model computes something for any ids; these are for those who have none. */

/* Appends one. */
ALLOY_API alloy_status alloy_ids_push(alloy_ids *ids, int64_t id);

/* Appends `count` ids below `vocab_size`, drawn with (seed, stream): the same everywhere. */
ALLOY_API alloy_status alloy_ids_draw(alloy_ids *ids, int64_t count, int64_t vocab_size, uint64_t seed,
                                      uint64_t stream);

/* Appends those of the tensor input_ids, I64 or I32, of a safetensors file. FORMAT where there is none. */
ALLOY_API alloy_status alloy_ids_load(alloy_ids *ids, const char *path);

/* CONTEXT where the model takes fewer than `count`. */
ALLOY_API alloy_status alloy_ids_fit(int64_t count, const alloy_model *model);

/* ---- Captures -----------------------------------------------------------------------------------------------------
 *
 * What a model computes for a list of ids, kept whole. */

typedef struct alloy_capture_options {
    size_t size;                       /* sizeof (alloy_capture_options) */
    bool hidden;                       /* the output of every layer too */
    bool routing;                      /* how many tokens went to each expert */
    const char *what;                  /* for `progress`; NULL: "prefill" */
    alloy_progress_function *progress; /* may be NULL */
    void *user;
} alloy_capture_options;

/* Where a layer's tokens went. */
typedef struct alloy_captured_routing {
    int64_t experts;
    int64_t *tokens; /* [experts]; NULL: the layer does not route */
} alloy_captured_routing;

typedef struct alloy_capture {
    int64_t tokens, vocab_size;
    int64_t layers, width;           /* of hidden; floats a token: the hidden size times the streams of the residual */
    int64_t *ids;                    /* [tokens] */
    float *logits;                   /* [tokens, vocab_size] */
    float *hidden;                   /* [layers, tokens, width]; NULL unless asked for */
    alloy_captured_routing *routing; /* [layers]; NULL unless asked for */
} alloy_capture;

/* Runs `count` ids from an empty cache, a chunk of tokens at a time. ARG without ids; the rest as alloy_forward. */
ALLOY_API alloy_status alloy_capture_open(alloy_capture **out, alloy_session *session, const int64_t *ids,
                                          int64_t count, const alloy_capture_options *options);
ALLOY_API void alloy_capture_close(alloy_capture *capture);

/* Writes logits [tokens, vocab_size], input_ids [tokens] and hidden.0, hidden.1, ... as safetensors: a reference for
 * alloy_compare_reference. */
ALLOY_API alloy_status alloy_capture_write(const alloy_capture *capture, const char *path);

/* Writes {"LAYER": [tokens of each expert], ...} of the layers that route: what `alloy roofline --routing` reads. */
ALLOY_API alloy_status alloy_capture_write_routing(const alloy_capture *capture, const char *path);

/* ---- The oracle ---------------------------------------------------------------------------------------------------
 *
 * A model's numbers beside those that it would have in double precision, whatever it is composed of: the error of its
 * arithmetic, without a reference. Both runs take the same weights; FP8 and FP4 ones are what docs/files.md says. Where
 * a run chooses experts or entries, the run in double precision follows the other one, so that an error is never a
 * different choice; what it would have chosen is told.
 *
 * An op of a plug-in runs in F32 in both, on inputs rounded to it. */

/* Rows of one layer's output, or of the logits (layer -1): `computed` in F32, `right` in double precision. Rows come in
 * rising order within a layer; anything but ALLOY_OK stops with it. */
typedef alloy_status alloy_oracle_rows_function(void *user, int64_t layer, int64_t first, int64_t rows, int64_t width,
                                                const float *computed, const double *right);

/* A top-k that double precision would have chosen otherwise. */
typedef struct alloy_oracle_choice {
    const char *op; /* "route_softmax", "choose_entries", ... */
    int64_t layer, token;
    int64_t others; /* so many of the k */
    double gap; /* the best that it leaves out, less the worst that it takes in its place: what they are ranked by */
} alloy_oracle_choice;

typedef struct alloy_oracle_options {
    size_t size; /* sizeof(alloy_oracle_options) */
    alloy_oracle_rows_function *rows;
    bool hidden;                                                   /* layers too, not the logits alone */
    void (*choice)(void *user, const alloy_oracle_choice *choice); /* may be NULL */
    alloy_progress_function *progress;                             /* may be NULL; by `progress_user` */
    void *user, *progress_user;
} alloy_oracle_options;

/* Runs `ids` [count], one sequence, in `session` (of the backend "cpu") and in double precision. Memory: a chunk of
 * every layer's output where `hidden`, and of the logits, in both. */
ALLOY_API alloy_status alloy_oracle_run(alloy_session *session, const int64_t *ids, int64_t count,
                                        const alloy_oracle_options *options);

/* ---- Comparisons --------------------------------------------------------------------------------------------------
 *
 * docs/compare.md has the bounds and where they are from. */

/* How far rows of numbers are from the right ones. */
typedef struct alloy_distance {
    double error;            /* largest absolute difference; infinite where not_finite > 0 */
    double largest;          /* largest finite magnitude of the right numbers */
    int64_t not_finite;      /* pairs with a NaN or an infinity, but for the same infinity twice */
    int64_t token, element;  /* where the error is: of those pairs the first */
    double expected, actual; /* the numbers there */
} alloy_distance;

/* The likeliest token of each position; the lower id of two that are equally likely. NaN is no choice. */
typedef struct alloy_choices {
    int64_t positions, equal;
    int64_t first;            /* position of the first that differs; where there is one: */
    int64_t expected, actual; /* its ids, */
    double margin; /* and how far the right one's logit is ahead of the other's, in the right numbers; may be NaN */
    int64_t last;  /* the id chosen at the last position */
} alloy_choices;

/* One layer's output, or the logits. */
typedef struct alloy_compared {
    const char *mixer, *ffn; /* of the layer: names, which are the model's */
    alloy_distance distance;
    double relative; /* error / largest: 0 where both are, infinite where only the largest is */
    double theirs;   /* error of transformers' float32; NAN: not known */
    double bound;    /* error that passes */
    bool passed;
} alloy_compared;

typedef struct alloy_comparison {
    alloy_dtype dtype; /* what the reference was computed in; NONE: two models */
    int64_t tokens;
    alloy_compared *layers; /* [layer_count] those that are compared */
    int64_t layer_count;
    int64_t first_departure; /* the first layer that does not pass; layer_count: none */
    bool has_logits, has_greedy;
    alloy_compared logits;
    alloy_choices choices;                /* of the logits */
    int64_t greedy_count, greedy_equal;   /* ids of greedy decoding; those before the first that differs */
    bool ends_differ;                     /* logits and greedy ids are of different numbers of layers: not compared */
    int64_t layers_run, reference_layers; /* layers before the logits of each */
    bool has_others;                      /* the oracle's: */
    alloy_oracle_choice *others;          /* [other_count] choices that double precision would make otherwise */
    int64_t other_count;
    bool passed; /* all of it */
} alloy_comparison;

typedef struct alloy_compare_options {
    size_t size;      /* sizeof (alloy_compare_options) */
    double tolerance; /* two models: the largest difference that passes; the oracle: the largest error, if `judged` */
    bool no_mmap;     /* read the reference's file into memory instead of mapping it */
    alloy_progress_function *progress; /* may be NULL */
    void *user;
    bool judged; /* the oracle: false: whatever is finite passes, for how far float32 may be is not known */
} alloy_compare_options;

/* Compares with a file of reference tensors, as tests/golden has and script/reference writes: input_ids [T]; logits
 * [T, vocabulary], hidden.I [T, width] in F64, F32, BF16 or F16 and greedy [N], each optional; metadata dtype (what it
 * was computed in) and num_layers. NAME.json beside NAME.safetensors may tell the errors of transformers' own float32.
 * FORMAT for what is no reference, or of another shape than the model computes. */
ALLOY_API alloy_status alloy_compare_reference(alloy_comparison **out, alloy_session *session, const char *path,
                                               const alloy_compare_options *options);

/* Compares two models on the same ids, `other` as the reference, and how both go on greedily. */
ALLOY_API alloy_status alloy_compare_models(alloy_comparison **out, alloy_session *session, alloy_session *other,
                                            const int64_t *ids, int64_t count, const alloy_compare_options *options);

/* Compares a model with itself in double precision (above): every layer and the logits. */
ALLOY_API alloy_status alloy_compare_oracle(alloy_comparison **out, alloy_session *session, const int64_t *ids,
                                            int64_t count, const alloy_compare_options *options);

/* Have two models the shapes that alloy_compare_models needs? ARG where they have not. */
ALLOY_API alloy_status alloy_compare_check(const alloy_model *model, const alloy_model *other);

/* ALLOY_DIFFERENT where something did not pass; the text tells the first departure, with these names of the two. */
ALLOY_API alloy_status alloy_comparison_status(const alloy_comparison *comparison, const char *model,
                                               const char *reference);
ALLOY_API void alloy_comparison_close(alloy_comparison *comparison);

/* ---- The promise of identical bits ---------------------------------------------------------------------------------
 *
 * The logits of a list of ids, computed over and over: with several numbers of threads and sizes of chunks, alone and
 * between neighbours in a batch, without a cache, after a cached prefix and token by token, on every instruction set of
 * this machine. Settings are combined so that every two of them meet in a run. */

typedef struct alloy_verify_options {
    size_t size;                       /* sizeof (alloy_verify_options) */
    const char *cpu;                   /* try this instruction set only; NULL: all that this machine has */
    alloy_dtype kv_dtype;              /* as in alloy_session_options */
    uint64_t seed;                     /* of the neighbours' ids */
    alloy_progress_function *progress; /* may be NULL */
    void *user;
} alloy_verify_options;

/* One run, and whether its logits were those of the reference run by their bits. */
typedef struct alloy_verify_run {
    int threads, batch;
    int64_t chunk; /* 0: all tokens at once */
    const char *cache, *cpu;
    bool same;
    int64_t token, logit; /* the first that differs */
    float expected, actual;
} alloy_verify_run;

enum { ALLOY_VERIFY_RUNS = 64, ALLOY_VERIFY_LEVELS = 8 /* at most */ };

typedef struct alloy_verification {
    int64_t tokens;
    const char *reference_cpu; /* of the reference run: one thread, all tokens at once, alone, without a cache */
    alloy_verify_run runs[ALLOY_VERIFY_RUNS]; /* [run_count] */
    int run_count;
    const char *missing[ALLOY_VERIFY_LEVELS]; /* [missing_count] instruction sets that this machine or build lacks */
    int missing_count;
    int first_difference; /* the first run that differs; run_count: none */
} alloy_verification;

ALLOY_API alloy_status alloy_verify(alloy_verification **out, const alloy_model *model, const int64_t *ids,
                                    int64_t count, const alloy_verify_options *options);

/* ALLOY_DIFFERENT where a run differs; the text tells the first. */
ALLOY_API alloy_status alloy_verification_status(const alloy_verification *verification);
ALLOY_API void alloy_verification_close(alloy_verification *verification);

#ifdef __cplusplus
}
#endif

#endif
