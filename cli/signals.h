/* Signals of the command; the library installs no handlers.
 *
 * SIGBUS: a page of a mapped file could not be read (the file was cut, the disk failed). The handler says which file
 * and byte, and ends the process with the exit code of IO. SIGXFSZ is ignored: the write that passed the limit of file
 * sizes fails. SIGINT (Ctrl-C): asks to stop; the command ends what it
 * prints and exits with 130. A second one ends at once. */
#ifndef ALLOY_CLI_SIGNALS_H
#define ALLOY_CLI_SIGNALS_H

#include <stdbool.h>

#include "alloy/alloy.h"
#include "base/file.h"

enum { ALLOY_CLI_INTERRUPTED = 130 }; /* exit code: 128 + SIGINT, as shells have it */

void alloy_cli_signals_open(void);

/* Models whose files a SIGBUS is looked up in: at most two at a time, as compare has. */
void alloy_cli_watch_model(const alloy_model *model);
void alloy_cli_forget_model(const alloy_model *model);

/* The same for one file that is mapped beside them; NULL: none any more. */
void alloy_cli_watch_file(const alloy_file *file);

/* From here on Ctrl-C asks to stop instead of ending the process; was it pressed? */
void alloy_cli_catch_interrupt(void);
bool alloy_cli_interrupted(void);

#endif
