/* Alloy's roofline: how fast can a model be, on this chip, and how close is this machine to it. Part of alloy.h, which
 * includes it and has its conventions (errors, ownership, threads, option structs).
 *
 *   Chips                      what a processor can do at most: built in, from a file, made by the caller
 *   This machine               the processor that the program runs on, measured
 *   The roofline               what a forward has to compute and to move, and how long that takes at least
 *   Predicted beside measured  a forward that is run and timed beside its bound */
#ifndef ALLOY_ROOFLINE_H
#define ALLOY_ROOFLINE_H

#include "alloy/alloy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Chips ----------------------------------------------------------------------------------------------------------
 *
 * What a processor can do at most, for the roofline: built in (`alloy roofline --list` shows all with their sources),
 * read from a file, or filled in by the caller, whose alloy_chip is as good as ours:
 *
 *     alloy_chip mine = {.name = "my-device", .memory_bandwidth = 8e12, .peak[ALLOY_PEAK_BF16] = 2250e12};
 *
 * Rates are 1 to 1e24 a second, other figures at most 1e24; times on a chip with others are refused (RANGE). */

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

/* The built-in chips, from 0; NULL after the last. */
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
    size_t size;     /* sizeof(alloy_host_options) */
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

/* The folder of that file, freed with alloy_free: $XDG_CACHE_HOME/alloy, or below ~/.cache; NULL where there is neither
 * to name, and where memory is short. */
ALLOY_API char *alloy_host_folder(void);

/* ---- The roofline ---------------------------------------------------------------------------------------------------
 *
 * What a forward has to compute and to move, from a config and lengths alone: the model's own forward read in *count*
 * (extend.h). docs/roofline.md has the conventions of both accountings and their formulas.
 *
 *     alloy_roofline_sequences decode = {.count = 1, .tokens = 1, .cached = 4096};
 *     alloy_roofline_options options = {.size = sizeof options, .sequences = &decode, .sequences_count = 1};
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

/* `count` sequences that each bring `tokens` new tokens after `cached`. */
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
 * does it (STEP), or as engines on accelerators do it (AUTO): chunks where a sequence brings more than 64 tokens, else
 * steps. */
typedef enum alloy_delta { ALLOY_DELTA_AUTO, ALLOY_DELTA_CHUNK, ALLOY_DELTA_STEP } alloy_delta;

enum { ALLOY_MOST_ZIPF = 10 };

typedef struct alloy_roofline_options {
    size_t size;                               /* sizeof(alloy_roofline_options) */
    const alloy_roofline_sequences *sequences; /* [sequences_count] */
    int64_t sequences_count;
    alloy_accounting accounting;
    /* "int4" "int8" "fp4" "fp8" "fp16" "bf16" "fp32" "fp64" (and f16, f32, f64). NULL: of activations the config's
     * dtype; of weights the files', else the config's; of keys and values as activations; of indexer keys as these */
    const char *weight_dtype, *activation_dtype, *kv_dtype, *indexer_dtype;
    alloy_routing routing;
    double zipf;                 /* 0..ALLOY_MOST_ZIPF */
    const int64_t *experts_read; /* GIVEN: [layers] different experts that the layer's tokens went to */
    alloy_delta delta;
    bool all_logits; /* the head on every token; else on the last of each sequence. Classic: always every token */
    bool op_fusion;  /* tensors inside modules touch memory too (an engine of one kernel an op); exact only */
    bool ops;        /* keep each op as a row: level 4 */
} alloy_roofline_options;

/* The format of one of these names; ARG that lists them for an unknown one. `what` is named in the text
 * ("kv_dtype"). */
ALLOY_API alloy_status alloy_format_by_name(const char *what, const char *name, alloy_peak *out);

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
    int64_t module;     /* levels 3 and 4: index of the module's row at level 3; else -1 */
    const char *op;     /* level 4: "linear"; else NULL */
    const char *weight; /* level 4: the parameter's name, of the first layer that is like this one; else NULL */
    const alloy_work *work;
} alloy_roofline_row;

typedef struct alloy_roofline alloy_roofline;

/* Counts a forward. The model may be described only; no weight is touched. ARG: no sequences, an unknown dtype;
 * RANGE: lengths that cannot be; LIMIT: more than 2^40 new tokens, or 2^75 pairs of a new token and
 * one it might see. The model must stay open. One thread at a time. */
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

/* `page`: tokens a page of the cache; 0: 1. LIMIT: more than 2^40 cached and new tokens, or 2^75 pairs of them. */
ALLOY_API alloy_status alloy_roofline_needs(const alloy_model *model, const alloy_roofline_options *options,
                                            int64_t page, alloy_roofline_memory *out);

/* What fits into `bytes`: the most sequences like the first of options.sequences, and the most cached tokens of one
 * such sequence (0: none fits; at most 2^36). */
ALLOY_API alloy_status alloy_roofline_fits(const alloy_model *model, const alloy_roofline_options *options,
                                           int64_t page, double bytes, int64_t *batch, int64_t *context);

/* The formulas of the rows that `module` names (a row's name, or "" for all): each line one op of one layer that is
 * counted, with its numbers put in. Lines go to `line`. */
ALLOY_API alloy_status alloy_roofline_explain(const alloy_model *model, const alloy_roofline_options *options,
                                              const char *module, void (*line)(void *user, const char *text),
                                              void *user);

/* ---- Predicted beside measured -----------------------------------------------------------------------------------
 *
 * A model's forward on this machine, run and timed kind of module by kind of module, beside its bound. */

typedef struct alloy_measured_row {
    const char *kind, *name; /* as in alloy_roofline_row; the last row is the total */
    int64_t modules;
    const alloy_work *work;
    double bound;           /* seconds a forward that no engine on this machine can be faster than */
    double measured;        /* seconds; the median of the runs */
    double efficiency;      /* bound / measured */
    const char *bottleneck; /* of the bound */
    bool fault;             /* measured more than 5 % below the bound: the machine's model is wrong here */
} alloy_measured_row;

/* The machine between the runs. */
typedef struct alloy_measured_machine {
    double memory_bandwidth, compute;   /* medians: bytes/s that are read, FLOP/s of the linear kernel */
    double memory_share, compute_share; /* of what it gave when the host was measured; the bounds are scaled by these */
} alloy_measured_machine;

typedef struct alloy_measure_options {
    size_t size;                                              /* sizeof(alloy_measure_options) */
    int64_t tokens, cached;                                   /* of the forward; tokens at most the session's chunk */
    int64_t runs;                                             /* 0: 5 */
    bool (*progress)(void *user, int64_t done, int64_t runs); /* may be NULL; false stops with ARG */
    void *user;
} alloy_measure_options;

typedef struct alloy_measurement alloy_measurement;

/* Runs it; the session's model must stay open. `host`: alloy_host_measure with the session's threads and cpu. */
ALLOY_API alloy_status alloy_roofline_measure(alloy_measurement **out, alloy_session *session, const alloy_host *host,
                                              const alloy_measure_options *options);
ALLOY_API void alloy_measurement_close(alloy_measurement *measurement);
ALLOY_API const alloy_measured_row *alloy_measurement_rows(const alloy_measurement *measurement, int64_t *count);
ALLOY_API alloy_measured_machine alloy_measurement_machine(const alloy_measurement *measurement);

#ifdef __cplusplus
}
#endif

#endif
