/* What `alloy generate` prints of a generation. */
#ifndef ALLOY_CLI_GENERATED_H
#define ALLOY_CLI_GENERATED_H

#include "alloy/alloy.h"

/* The JSON document: outputs, usage, speed. `tokenizer` may be NULL. */
alloy_status alloy_cli_generation_json(const alloy_generation *generation, const alloy_model *model,
                                       const alloy_tokenizer *tokenizer);

/* What people read: the outputs (unless their text was streamed already), and log-probabilities where they were
 * kept. */
void alloy_cli_generation_text(const alloy_generation *generation, const alloy_tokenizer *tokenizer, bool streamed);

/* The last line, on stderr: tokens, tokens a second of prefill and decode, bytes read per token. */
void alloy_cli_generation_line(const alloy_generation *generation, const alloy_model *model);

#endif
