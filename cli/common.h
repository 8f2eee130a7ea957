/* What commands share once their flags are read: a model and a session as the common flags ask for, and lists of
 * ids. */
#ifndef ALLOY_CLI_COMMON_H
#define ALLOY_CLI_COMMON_H

#include "command.h"

/* Opens MODEL as the common flags say. From here on a page of it that cannot be read ends the command with a line that
 * says which (signals.h). */
alloy_status alloy_cli_open_model(alloy_model **model, const alloy_cli_common *common, const char *where);
void alloy_cli_close_model(alloy_model *model);

/* A session as --threads, --cpu and --kv-dtype ask for; chunk 0: the default. */
alloy_status alloy_cli_open_session(alloy_session **session, const alloy_model *model, const alloy_cli_common *common,
                                    int64_t chunk);
alloy_session_options alloy_cli_session_options(const alloy_cli_common *common);

/* The tokenizer of MODEL, or of a tokenizer.json. The file must lie where a model's files may lie. */
alloy_status alloy_cli_open_tokenizer(alloy_tokenizer **tokenizer, const alloy_cli_common *common, const char *where);

/* Loads what --plugin names. */
alloy_status alloy_cli_load_plugins(const alloy_cli_common *common);

/* Seconds on a clock that only goes forward. */
double alloy_cli_seconds(void);

#endif
