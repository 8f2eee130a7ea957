/* Lists of token ids as people and programs give them: "1,2,3", words between white space, a JSON list, {"ids": [...]},
 * or a safetensors file with `input_ids`. Values are any 64-bit integers: what a model knows is checked where they are
 * fed. */
#ifndef ALLOY_CLI_IDS_H
#define ALLOY_CLI_IDS_H

#include "alloy/compare.h"
#include "base/text.h"

/* Appends. ARG (a flag) or FORMAT (a file) for what is no list; `where` names it in the message. RANGE for numbers
 * beyond 64 bits. */
alloy_status alloy_cli_ids_parse(alloy_ids *ids, const char *text, size_t size, const char *where, alloy_status wrong);

/* From a file; "-" is standard input. */
alloy_status alloy_cli_ids_read(alloy_ids *ids, const char *path);

/* Does a path end like the name of a safetensors file? */
bool alloy_cli_is_safetensors(const char *path);

/* Does a regular file stand at this path, through links? */
bool alloy_cli_is_file(const char *path);

/* Everything that standard input holds. */
alloy_status alloy_cli_read_stdin(alloy_text *text);

/* A whole file, or standard input for "-". */
alloy_status alloy_cli_read_file(alloy_text *text, const char *path);

#endif
