/* Flags of a command line, declared in tables: name, type, range, help. One parser and one help writer serve all
 * commands.
 *
 * What is accepted: --name VALUE, --name=VALUE, -n VALUE, -nVALUE, switches together (-qv), `--` before words that
 * begin with a dash. What is refused, always with ARG and the way out: unknown names (the nearest one is told), a flag
 * given twice, a missing or an empty number, a number with anything after it, a number out of its range, a value for a
 * switch. A word that is itself a flag is no value: `-p --json` has forgotten something; `--prompt=--json` means it.
 * Numbers are read the same in every locale. */
#ifndef ALLOY_CLI_ARGS_H
#define ALLOY_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloy/alloy.h"

typedef struct alloy_cli_integer {
    int64_t value;
    bool given;
} alloy_cli_integer;

typedef struct alloy_cli_number {
    double value;
    bool given;
} alloy_cli_number;

enum { ALLOY_CLI_MOST_TEXTS = 64, ALLOY_CLI_MOST_FLAGS = 96 /* of a command */ };

typedef struct alloy_cli_texts {
    const char *items[ALLOY_CLI_MOST_TEXTS];
    int64_t count;
} alloy_cli_texts;

typedef enum alloy_cli_kind {
    ALLOY_CLI_SWITCH,  /* bool */
    ALLOY_CLI_INTEGER, /* alloy_cli_integer */
    ALLOY_CLI_NUMBER,  /* alloy_cli_number */
    ALLOY_CLI_SIZE,    /* alloy_cli_integer, in bytes: 1500, 800K, 64M, 4G, 1T (1024 each), at least 1 */
    ALLOY_CLI_TEXT,    /* const char * */
    ALLOY_CLI_TEXTS,   /* alloy_cli_texts: the flag may be repeated */
    ALLOY_CLI_CHOICE,  /* const char *: one of `choices` */
    /* const char *: the value may be left out, and is "" then. It is what stands after '=', or the next word where
     * that is no flag and all places have been given: `alloy roofline MODEL --explain norm`. */
    ALLOY_CLI_OPTIONAL,
} alloy_cli_kind;

/* What the run does with the file or folder that a value names. All that are written are checked against all that are
 * read, before anything is opened (outputs.h). */
typedef enum alloy_cli_use {
    ALLOY_CLI_NO_FILE,       /* the value names none */
    ALLOY_CLI_READS,         /* a file or a folder, or some between commas; words that name none may stand among them */
    ALLOY_CLI_WRITES,        /* a file; "-" is standard output */
    ALLOY_CLI_WRITES_FOLDER, /* a model's folder */
} alloy_cli_use;

typedef struct alloy_cli_option {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    alloy_cli_kind kind;
    alloy_cli_use use;
    size_t offset;       /* of its field in the command's options */
    const char *value;   /* what a value is called in the help: "N", "FILE" */
    double least, most;  /* of a number, ends included */
    const char *choices; /* "f32 bf16 f16" */
    const char *help;    /* a sentence or two; says the default */
} alloy_cli_option;

/* A word without a dash, in order. */
typedef struct alloy_cli_place {
    const char *name; /* "MODEL" */
    size_t offset;    /* of its const char * */
    bool optional;
    alloy_cli_use use;
    const char *help;
} alloy_cli_place;

#endif
