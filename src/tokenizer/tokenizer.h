/* A tokenizer as it lies in memory: the parts of tokenizer.json in the order in which text passes them.
 *
 *   text -> added tokens (as it stands) -> normalizer -> added tokens (normalized) -> pre-tokenizer -> model ->
 *   post-processor -> ids
 *   ids  -> tokens -> decoder -> text
 *
 * All of it is constant once open. What encoding needs besides, scratch memory and the cache of pieces, is an encoder;
 * finished ones wait in a pool for the next call, of whatever thread. */
#ifndef ALLOY_TOKENIZER_TOKENIZER_H
#define ALLOY_TOKENIZER_TOKENIZER_H

#include <pthread.h>

#include "alloy/alloy.h"
#include "files/model_files.h"
#include "tokenizer/added.h"
#include "tokenizer/bpe.h"
#include "tokenizer/decode.h"
#include "tokenizer/normalize.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/vocabulary.h"

enum { ALLOY_POOLED_ENCODERS = 8 };

/* What the post-processor puts around a text. */
typedef struct alloy_post_processor {
    alloy_ids before, after;
} alloy_post_processor;

typedef struct alloy_encoder alloy_encoder; /* tokenizer.c */

struct alloy_tokenizer {
    alloy_vocabulary vocabulary;
    alloy_added_set added;            /* looked for in the text as it stands */
    alloy_added_set added_normalized; /* looked for in normalized text */
    alloy_normalizer normalizer;
    alloy_pretokenizer pretokenizer; /* without a last step to byte characters: bpe.byte_level */
    alloy_bpe bpe;
    alloy_post_processor post_processor;
    alloy_decoder_chain decoder;
    pthread_mutex_t lock; /* of the pool */
    alloy_encoder *pool[ALLOY_POOLED_ENCODERS];
    int pooled;
};

/* Reads a tokenizer.json into *tokenizer, whose sets are open and which is otherwise zero; `name` is for messages. */
alloy_status alloy_tokenizer_load(alloy_tokenizer *tokenizer, const char *name, const char *text, size_t size);

/* ---- For load.c: the parts, each in its own file. `json` is the part's value, which is not null, as text. -------- */

typedef struct alloy_part {
    const char *name; /* "tokenizer.json: pre_tokenizer" */
    const char *json; /* [size] */
    size_t size;
    alloy_budget *budget; /* of opening the file */
} alloy_part;

alloy_status alloy_load_normalizer(alloy_normalizer *normalizer, alloy_part part);
alloy_status alloy_load_pretokenizer(alloy_pretokenizer *pretokenizer, alloy_part part);
alloy_status alloy_load_decoder(alloy_decoder_chain *decoder, alloy_part part);
alloy_status alloy_load_post_processor(alloy_post_processor *post_processor, alloy_part part);
alloy_status alloy_check_truncation(alloy_part part);
alloy_status alloy_check_padding(alloy_part part);

#endif
