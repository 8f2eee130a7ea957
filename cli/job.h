/* What a command works on: opened as its flags ask before it runs, closed after it, whatever happened in between. */
#ifndef ALLOY_CLI_JOB_H
#define ALLOY_CLI_JOB_H

#include "base/text.h"
#include "command.h"

struct alloy_cli_job {
    const void *options;            /* the command's struct */
    const alloy_cli_common *common; /* what it begins with */
    alloy_text text;                /* input that the command's `read` took */
    alloy_ids ids;
    alloy_config *config;       /* NULL but for a model without weights, which it must outlive */
    alloy_tokenizer *tokenizer; /* these as the command's `opens` says, else NULL; what a command puts here is closed */
    alloy_model *model;
    alloy_session *session;
};

/* Reads the input, opens, runs, flushes stdout, closes. */
alloy_status alloy_cli_run(const alloy_cli_command *command, const void *options);

/* ---- The ids of --ids, --ids-file, --tokens and --seed ----------------------------------------------------------- */

/* Into job->ids: none where neither flag is given; ARG for both, or for an empty list. A command's `read`. */
alloy_status alloy_cli_read_ids(alloy_cli_job *job);
bool alloy_cli_has_ids(const alloy_cli_job *job);

/* Where none were given, draws --tokens of the model's vocabulary with --seed; not more than `most` unless --tokens
 * says so. */
alloy_status alloy_cli_draw_ids(alloy_cli_job *job, int64_t most);

/* ---- Opening by hand: a second model, another session ------------------------------------------------------------ */

/* Opens MODEL as the common flags say. */
alloy_status alloy_cli_open_model(alloy_model **model, const alloy_cli_common *common, const char *where);

/* A session as --threads, --cpu, --kv-dtype and --chunk ask for. */
alloy_session_options alloy_cli_session_options(const alloy_cli_common *common);
alloy_status alloy_cli_open_session(alloy_session **session, const alloy_model *model, const alloy_cli_common *common);

/* The tokenizer of MODEL, or of a tokenizer.json; of a folder that is open. */
alloy_status alloy_cli_open_tokenizer(alloy_tokenizer **tokenizer, const alloy_cli_common *common, const char *where);
alloy_status alloy_cli_open_tokenizer_in(alloy_tokenizer **tokenizer, const alloy_model_files *files);

#endif
