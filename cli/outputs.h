/* The files that a run writes, checked before anything is opened or computed. Which flags name files that are read and
 * which name some that are written, the tables of the commands say (alloy_cli_use in args.h), so a new flag is checked
 * by its row; the rules are the library's (base/file_write.h, base/file_set.h, files/folder_write.h). */
#ifndef ALLOY_CLI_OUTPUTS_H
#define ALLOY_CLI_OUTPUTS_H

#include "command.h"

/* IO or ARG where an output cannot be written, is another output too, or is a file that the run reads: of the model, of
 * the flags, of the standard streams. */
alloy_status alloy_cli_check_outputs(const alloy_cli_command *command, const void *options);

/* After a run that failed: readers that wait at a FIFO get its end. */
void alloy_cli_release_readers(const alloy_cli_command *command, const void *options);

/* Where the library writes what a flag names: "-" is standard output. What was printed goes out first. */
const char *alloy_cli_output_path(const char *value);

#endif
