/* Opening a model and a session as the common flags say. */
#ifndef ALLOY_CLI_RUN_H
#define ALLOY_CLI_RUN_H

#include "command.h"

typedef struct alloy_cli_run {
    alloy_model *model;
    alloy_session *session;
} alloy_cli_run;

alloy_load_options alloy_cli_load_options(const alloy_cli_common *common);
alloy_session_options alloy_cli_session_options(const alloy_cli_common *common);

alloy_status alloy_cli_open_model(alloy_model **out, const alloy_cli_common *common, const char *where);

/* chunk 0: the default. On failure nothing is open. */
alloy_status alloy_cli_open(alloy_cli_run *run, const alloy_cli_common *common, const char *where, int64_t chunk);
void alloy_cli_close(alloy_cli_run *run);

/* Ids from a flag's text, "1,2,3"; or from a file: a JSON list, a safetensors file with `input_ids`, or whole numbers between white space or commas. The
 * caller frees *ids with alloy_memory_free. FORMAT, RANGE, IO. */
alloy_status alloy_cli_ids_of_text(const char *text, size_t size, const char *name, int64_t **ids, int64_t *count);
alloy_status alloy_cli_ids_of_file(const char *path, int64_t **ids, int64_t *count);

/* The files of this model are mapped: when the system cannot give a page of one (it was cut short, or its disk fails), the process ends with the IO code and
 * a line that names the file and the offset, instead of a signal. NULL: no model. */
void alloy_cli_watch_files(const alloy_model *model);

#endif
