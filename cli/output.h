/* What the command prints. Results go to stdout, buffered here and checked: a full disk or a broken pipe is IO, with
 * the rest of the work stopped, and never lost in silence. Messages, progress and errors go to stderr.
 *
 * With --json stdout carries exactly one JSON document: the command's, or {"error": ...} where it failed. */
#ifndef ALLOY_CLI_OUTPUT_H
#define ALLOY_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloy/alloy.h"
#include "files/json_fields.h"

/* Before anything is opened or printed: a standard descriptor that is closed is taken, so that no file lands on it;
 * SIGPIPE becomes an error of writing. */
void alloy_cli_output_open(void);
void alloy_cli_output_set(bool json, bool quiet, bool verbose);

/* stdout, in three ways. For people: text in printable form (base/printable.h); the lines are the format's, a newline
 * in an argument is not one. Text of several lines, likewise printable. Results: bytes as they are; where stdout is a
 * terminal, what would act on it (controls but newline and tab, bytes that are no UTF-8) is shown as \xHH. */
void alloy_cli_print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void alloy_cli_print_lines(const char *text, size_t size);
void alloy_cli_write(const void *bytes, size_t size);

/* Something could not be printed for want of memory: as if it could not be written. */
void alloy_cli_lost(void);

/* Hands over what was printed; IO when any of it could not be written, then and from then on. */
alloy_status alloy_cli_flush(void);

/* The document of --json, an object: its fields are written between the two calls (json_fields.h). `indent` 0: in one
 * line. Printing ends the object, flushes, and frees. */
typedef struct alloy_cli_document {
    alloy_text text;
    alloy_json_writer writer;
} alloy_cli_document;
alloy_json_writer *alloy_cli_document_open(alloy_cli_document *document, int indent);
alloy_status alloy_cli_document_print(alloy_cli_document *document);

/* stderr, a printable line each: always (errors), unless -q, only with -v. */
void alloy_cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void alloy_cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void alloy_cli_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the process from inside of a signal handler, as alloy_cli_output_close would report a failure: the line on
 * stderr and, with --json, the error's document where nothing was written. `message` is printable. */
_Noreturn void alloy_cli_output_die(alloy_status status, const char *message);

/* Reports how the command ended and returns its exit code: the error's line on stderr and, with --json, the error's
 * document where nothing was printed. */
int alloy_cli_output_close(alloy_status status);

#endif
