/* Tokens and their ids: the model's vocabulary, and the tokens added to it.
 *
 * Texts of tokens lie in one buffer; a table by id finds them, and a hash table with a random key finds ids by text.
 * Memory follows the number and size of the tokens: an id is checked against the number of tokens before anything is
 * sized by it. */
#ifndef ALLOY_TOKENIZER_VOCABULARY_H
#define ALLOY_TOKENIZER_VOCABULARY_H

#include <stdbool.h>
#include <stdint.h>

#include "alloy/alloy.h"
#include "base/hash.h"
#include "base/text.h"

#define ALLOY_NO_TOKEN UINT32_MAX

enum {
    ALLOY_TOKEN_OF_MODEL = 1,
    ALLOY_TOKEN_ADDED = 2,
    ALLOY_TOKEN_SPECIAL = 4,
    ALLOY_TOKEN_SKIPPED = 8 /* decoding without special tokens leaves it out */
};                          /* flags of a token; 0: the id has no token */

typedef struct alloy_vocabulary_token {
    uint32_t at;   /* offset of its text in `text` */
    uint32_t size; /* bytes */
    uint32_t flags : 8;
    uint32_t shown : 24; /* index in `entries` of the text that it decodes to, + 1; 0: its own */
} alloy_vocabulary_token;

typedef struct alloy_vocabulary {
    alloy_text text;
    alloy_vocabulary_token *tokens; /* [count] by id */
    int64_t count, capacity;        /* one more than the largest id */
    int64_t model_count;            /* tokens of the model */
    size_t longest;                 /* bytes of the model's longest token */
    struct alloy_vocabulary_slot {
        uint32_t tag;   /* of the text's hash */
        uint32_t entry; /* id + 1; 0: empty */
    } * slots;
    size_t slot_count; /* a power of two; at most 5/8 are taken */
    size_t used;
    alloy_hash_key key;
    struct alloy_vocabulary_entry {
        uint32_t at, size, id;
    } * entries; /* [entry_count] the model's tokens while the vocabulary is read; later texts to decode to */
    int64_t entry_count, entry_capacity;
} alloy_vocabulary; /* {0} is empty */

void alloy_vocabulary_free(alloy_vocabulary *vocabulary);

/* Reading a model's vocabulary: add every token (texts must differ), then finish. `id` may be anything; FORMAT, naming
 * the token, where it cannot be one: below 0, above 2^32 - 2, taken already, or beyond twice the number of tokens plus
 * 65,536. */
alloy_status alloy_vocabulary_add(alloy_vocabulary *vocabulary, const char *text, size_t size, int64_t id);
alloy_status alloy_vocabulary_finish(alloy_vocabulary *vocabulary);

/* Adds a token that is not the model's, with an id that has none yet and is at most `count`. */
alloy_status alloy_vocabulary_place(alloy_vocabulary *vocabulary, const char *text, size_t size, uint32_t id);

/* Lets a token decode to another text than its own. */
alloy_status alloy_vocabulary_show(alloy_vocabulary *vocabulary, uint32_t id, const char *text, size_t size);

/* The id of a text, of the model's tokens only or of all; ALLOY_NO_TOKEN when there is none. */
uint32_t alloy_vocabulary_find(const alloy_vocabulary *vocabulary, const char *text, size_t size);
uint32_t alloy_vocabulary_find_any(const alloy_vocabulary *vocabulary, const char *text, size_t size);

/* Is there a token with this id, and is this its text? */
static inline bool alloy_vocabulary_has(const alloy_vocabulary *vocabulary, int64_t id)
{
    return id >= 0 && id < vocabulary->count && vocabulary->tokens[id].flags != 0;
}

static inline const char *alloy_vocabulary_text(const alloy_vocabulary *vocabulary, int64_t id)
{
    return vocabulary->text.bytes + vocabulary->tokens[id].at;
}

/* The text that a token decodes to. */
static inline const char *alloy_vocabulary_shown(const alloy_vocabulary *vocabulary, int64_t id, size_t *size)
{
    const alloy_vocabulary_token *token = &vocabulary->tokens[id];
    *size = token->shown ? vocabulary->entries[token->shown - 1].size : token->size;
    return vocabulary->text.bytes + (token->shown ? vocabulary->entries[token->shown - 1].at : token->at);
}

#endif
