/* A command of `alloy`: one file a command, each ending in one const struct that says what it takes, how it is
 * explained and what it runs.
 *
 * The options of a command are a struct that begins with alloy_cli_common; the tables say which flag sets which field
 * (args.h). A new command is a new file and one row in main.c. */
#ifndef ALLOY_CLI_COMMAND_H
#define ALLOY_CLI_COMMAND_H

#include "args.h"

/* Flags that every command takes, and those of opening a model. */
typedef struct alloy_cli_common {
    bool help, json, quiet, verbose;
    alloy_cli_integer threads;
    const char *cpu;      /* NULL: the best */
    const char *math;     /* "canonical" */
    const char *kv_dtype; /* "f32" */
    alloy_cli_texts plugins;
    alloy_cli_integer num_layers;
    bool no_mmap, allow_unused, follow_symlinks;
} alloy_cli_common;

typedef struct alloy_cli_command {
    const char *name;
    const char *summary;  /* half a line for `alloy --help` */
    const char *about;    /* what it does, for its own help: a paragraph or two */
    const char *examples; /* lines as they would be typed, each with a remark */
    const alloy_cli_place *places;
    size_t place_count;
    const alloy_cli_option *options; /* its own */
    size_t option_count;
    bool opens_model;     /* takes the flags of opening one */
    const void *defaults; /* [options_size] or NULL: all zero */
    size_t options_size;
    alloy_status (*run)(const void *options);
} alloy_cli_command;

enum { ALLOY_CLI_OPTIONS_ROOM = 4096 }; /* bytes, for any command's options */

/* The flags of alloy_cli_common, and how many; those of opening a model come last and count only for commands that open
 * one. */
extern const alloy_cli_option alloy_cli_common_options[];
size_t alloy_cli_common_option_count(const alloy_cli_command *command);

extern const alloy_cli_command alloy_cli_compare, alloy_cli_detokenize, alloy_cli_generate, alloy_cli_info,
    alloy_cli_init, alloy_cli_logits, alloy_cli_modules, alloy_cli_tokenize, alloy_cli_verify;

/* Reads a command line (without "alloy" and the command's name) into `options`, which has the defaults afterwards where
 * nothing was given. --help ends the reading at once. */
alloy_status alloy_cli_read(const alloy_cli_command *command, void *options, int count, char *const *arguments);

/* Prints a command's help. */
void alloy_cli_help(const alloy_cli_command *command);

#endif
