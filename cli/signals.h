/* Signals of the command; the library installs no handlers.
 *
 * SIGBUS: a page of a mapped file could not be read (the file was cut, the disk failed). The handler says which file
 * and byte (base/mapping.h knows all that are mapped), in whatever thread it happened, and ends the process with the
 * exit code of IO. SIGXFSZ is ignored: the write that passed the limit of file
 * sizes fails. SIGINT (Ctrl-C): asks to stop; the command ends what it
 * prints and exits with 130. A second one ends at once. */
#ifndef ALLOY_CLI_SIGNALS_H
#define ALLOY_CLI_SIGNALS_H

#include <stdbool.h>

enum { ALLOY_CLI_INTERRUPTED = 130 }; /* exit code: 128 + SIGINT, as shells have it */

void alloy_cli_signals_open(void);

/* From here on Ctrl-C asks to stop instead of ending the process; was it pressed? */
void alloy_cli_catch_interrupt(void);
bool alloy_cli_interrupted(void);

#endif
