/* A command of `alloy`: one file a command, each ending in one const struct that says what it takes, how it is
 * explained, what is opened for it and what it runs.
 *
 * The options of a command are a struct that begins with alloy_cli_common; the tables say which flag sets which field
 * (args.h). What the struct `opens` is opened before `run` and closed after it (job.h), so a command's file holds only
 * what is its own. A new command is a new file, a declaration below and a row in main.c. */
#ifndef ALLOY_CLI_COMMAND_H
#define ALLOY_CLI_COMMAND_H

#include "args.h"

/* What several commands take: flags of every command, then those that some have. */
typedef struct alloy_cli_common {
    bool help, json, quiet, verbose;
    alloy_cli_integer threads;
    const char *cpu;      /* NULL: the best */
    const char *math;     /* "canonical" */
    const char *kv_dtype; /* NULL: f32 */
    alloy_cli_texts plugins;
    /* of commands that open a model */
    const char *model; /* MODEL, as it was given */
    alloy_cli_integer num_layers;
    bool no_mmap, allow_unused, follow_symlinks;
    alloy_cli_integer weight_memory; /* bytes; 0: no limit */
    bool force;                      /* of commands that write a model */
    /* of commands whose tables have the rows below */
    const char *ids, *ids_file;
    alloy_cli_integer tokens, seed; /* ids to draw */
    alloy_cli_integer chunk;
} alloy_cli_common;

/* What is opened before a command runs; each brings what its line says. */
typedef enum alloy_cli_opens {
    ALLOY_CLI_NOTHING,
    ALLOY_CLI_TOKENIZER,       /* of MODEL, a folder or a tokenizer.json */
    ALLOY_CLI_CONFIG,          /* a model without weights, from a config.json or the folder that holds one */
    ALLOY_CLI_MODEL_OR_CONFIG, /* a model; without weights where MODEL has none */
    ALLOY_CLI_MODEL,           /* a model with its weights */
    ALLOY_CLI_SESSION,         /* that, and a session on it */
} alloy_cli_opens;

typedef struct alloy_cli_job alloy_cli_job; /* job.h */

typedef struct alloy_cli_command {
    const char *name;
    const char *summary;           /* half a line for `alloy --help` */
    const char *about;             /* what it does, for its own help: a paragraph or two */
    const char *examples;          /* lines as they would be typed, each with a remark */
    const alloy_cli_place *places; /* ends with {0}; NULL: none */
    const alloy_cli_option *flags; /* its own; ends with {0}; NULL: none */
    const void *defaults;          /* [options_size] or NULL: all zero */
    size_t options_size;
    alloy_cli_opens opens;
    alloy_status (*read)(alloy_cli_job *job); /* takes the input before anything is opened; may be NULL */
    alloy_status (*run)(alloy_cli_job *job);
} alloy_cli_command;

enum { ALLOY_CLI_OPTIONS_ROOM = 4096 }; /* bytes, for any command's options */

extern const alloy_cli_command alloy_cli_compare, alloy_cli_convert, alloy_cli_detokenize, alloy_cli_generate,
    alloy_cli_info, alloy_cli_init, alloy_cli_logits, alloy_cli_modules, alloy_cli_roofline, alloy_cli_tokenize,
    alloy_cli_verify;

/* ---- Rows of tables that several commands have ------------------------------------------------------------------- */

#define ALLOY_CLI_COMMON(field) offsetof(alloy_cli_common, field)

/* The place of commands that open a model. */
#define ALLOY_CLI_MODEL_PLACE(what)                                                                                    \
    {                                                                                                                  \
        .name = "MODEL", .offset = ALLOY_CLI_COMMON(model), .use = ALLOY_CLI_READS, .help = (what)                     \
    }
#define ALLOY_CLI_MODEL_HELP "a folder, or user/name in the Hub's cache"

#define ALLOY_CLI_IDS_FLAG(what)                                                                                       \
    {                                                                                                                  \
        .name = "ids", .kind = ALLOY_CLI_TEXT, .offset = ALLOY_CLI_COMMON(ids), .value = "1,2,3", .help = (what)       \
    }

/* Read by alloy_cli_read_ids. */
#define ALLOY_CLI_IDS_FLAGS                                                                                            \
    ALLOY_CLI_IDS_FLAG("the ids"),                                                                                     \
    {                                                                                                                  \
        .name = "ids-file", .letter = 'f', .kind = ALLOY_CLI_TEXT, .use = ALLOY_CLI_READS,                             \
        .offset = ALLOY_CLI_COMMON(ids_file), .value = "FILE",                                                         \
        .help = "a JSON list, whole numbers between white space or commas, or a safetensors file with input_ids; - "   \
                "for standard input"                                                                                   \
    }

/* How ids are drawn where none are given: alloy_cli_draw_ids. */
#define ALLOY_CLI_DRAW_FLAGS                                                                                           \
    {.name = "tokens",                                                                                                 \
     .letter = 'n',                                                                                                    \
     .kind = ALLOY_CLI_INTEGER,                                                                                        \
     .offset = ALLOY_CLI_COMMON(tokens),                                                                               \
     .value = "N",                                                                                                     \
     .least = 1,                                                                                                       \
     .most = 1 << 20,                                                                                                  \
     .help = "how many ids are drawn where none are given (default: 200, which crosses blocks and chunks)"},           \
    {                                                                                                                  \
        .name = "seed", .kind = ALLOY_CLI_INTEGER, .offset = ALLOY_CLI_COMMON(seed), .value = "N", .most = 0x1p63,     \
        .help = "of drawn ids (default: 0)"                                                                            \
    }

#define ALLOY_CLI_CHUNK_FLAG                                                                                           \
    {                                                                                                                  \
        .name = "chunk", .kind = ALLOY_CLI_INTEGER, .offset = ALLOY_CLI_COMMON(chunk), .value = "N", .least = 1,       \
        .most = 1 << 20, .help = "most tokens of a forward (default: 512); results do not depend on it"                \
    }

/* Of commands that write a model: `place` of the folder's name, and of an alloy_cli_integer. */
#define ALLOY_CLI_OUT_FOLDER_FLAGS(place)                                                                              \
    {.name = "out",                                                                                                    \
     .letter = 'o',                                                                                                    \
     .kind = ALLOY_CLI_TEXT,                                                                                           \
     .use = ALLOY_CLI_WRITES_FOLDER,                                                                                   \
     .offset = (place),                                                                                                \
     .value = "FOLDER",                                                                                                \
     .help = "the folder to write; it is made where it is missing"},                                                   \
    {                                                                                                                  \
        .name = "force", .kind = ALLOY_CLI_SWITCH, .offset = ALLOY_CLI_COMMON(force),                                  \
        .help = "replace the model that the folder holds; other files in it stay"                                      \
    }
#define ALLOY_CLI_SHARD_SIZE_FLAG(place)                                                                               \
    {                                                                                                                  \
        .name = "max-shard-size", .kind = ALLOY_CLI_INTEGER, .offset = (place), .value = "BYTES", .least = 1,          \
        .most = 9e15, .help = "larger models are written as shards of at most so many (default: 5000000000)"           \
    }

/* The dtype that a choice among f32 bf16 f16 fp8 fp4 names; NULL: none. */
alloy_dtype alloy_cli_dtype(const char *name);

/* ---- Reading and explaining -------------------------------------------------------------------------------------- */

enum { ALLOY_CLI_MOST_COMMANDS = 64 };

/* All commands; `alloy_cli_command_count` of them. */
extern const alloy_cli_command *const alloy_cli_commands[];
extern const int alloy_cli_command_count;

/* The flags of every command, and those of commands that open a model or its config; both end with {0}. */
extern const alloy_cli_option alloy_cli_every_flags[], alloy_cli_model_flags[];
bool alloy_cli_takes_model_flags(const alloy_cli_command *command);

/* Reads a command line (without "alloy" and the command's name) into `options`, which has the defaults afterwards where
 * nothing was given. --help ends the reading at once. */
alloy_status alloy_cli_read(const alloy_cli_command *command, void *options, int count, char *const *arguments);

/* Prints a command's help. */
void alloy_cli_help(const alloy_cli_command *command);

#endif
