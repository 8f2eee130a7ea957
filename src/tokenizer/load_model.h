/* Reads the model of a tokenizer.json. */
#ifndef ALLOY_TOKENIZER_LOAD_MODEL_H
#define ALLOY_TOKENIZER_LOAD_MODEL_H

#include "files/json.h"
#include "tokenizer/tokenizer.h"

/* Takes the value of "model", which must be of type BPE: vocabulary, merges and options; alloy_bpe_finish is left to
 * do. Failures are the reader's. */
void alloy_load_model(alloy_json *json, alloy_vocabulary *vocabulary, alloy_bpe *bpe);

#endif
