/* A bar on stderr while something long goes on, when stderr is a terminal and -q was not given (output.h
 * decides); else nothing is printed. */
#ifndef ALLOY_CLI_PROGRESS_H
#define ALLOY_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Whether a bar is shown at all; not before this is called. */
void alloy_cli_progress_show(bool show);

/* Shows or moves the bar: "prefill [#######       ]  50%  256/512 tokens". Redrawn ten times a second at most. */
void alloy_cli_progress(const char *label, const char *unit, int64_t done, int64_t total);

/* The same as an alloy_progress_function; `unit` is what is counted. */
void alloy_cli_progress_of(void *unit, const char *label, int64_t done, int64_t total);

/* Takes the bar away; called before anything else is printed there. */
void alloy_cli_progress_clear(void);
void alloy_cli_progress_die(void); /* the same from inside of a signal handler, where nothing follows */

#endif
