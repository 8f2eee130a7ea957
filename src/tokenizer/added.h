/* Added tokens: texts that become one token wherever they stand, before anything else happens to the text around them.
 * added.c says what the `tokenizers` library does, and so what is done here. */
#ifndef ALLOY_TOKENIZER_ADDED_H
#define ALLOY_TOKENIZER_ADDED_H

#include "alloy/alloy.h"
#include "base/text.h"
#include "tokenizer/budget.h"
#include "tokenizer/code_set.h"

enum { ALLOY_ADDED_MOST_BYTES = 4096 }; /* of a token */

typedef struct alloy_added_token {
    uint32_t id;
    bool single_word; /* only where no word continues on either side */
    bool left_strip;  /* takes the white space before it along */
    bool right_strip; /* takes the white space after it along */
    bool special;
} alloy_added_token;

/* A set of tokens as a tree of their bytes, in which bytes between two branches are one node: a token adds at most two
 * nodes, however long it is. Node 0 is the root; every other one is reached by a byte and then has its label. */
typedef struct alloy_added_set {
    alloy_added_token *tokens; /* [token_count] */
    int64_t token_count, token_capacity;
    struct alloy_added_node {
        uint32_t label_at, label_size; /* in `labels` */
        int32_t token;                 /* index of the token that ends after the label; -1: none */
    } * nodes;                         /* [node_count] */
    int64_t node_count, node_capacity;
    alloy_text labels; /* the tokens' bytes, one after the other */
    struct alloy_added_edge {
        uint64_t from; /* node << 8 | byte, + 1; 0: empty */
        uint32_t to;
    } * edges;                     /* hash table */
    size_t edge_slots, edge_count; /* slots: a power of two */
    uint64_t seed;                 /* odd */
    uint32_t first[256];           /* the node after the root by byte; 0: none */
    int only_first;                /* the byte that all tokens begin with; -1: they differ; -2: no token */
    alloy_code_set word;           /* what words are made of; empty until a single_word token comes */
} alloy_added_set;                 /* alloy_added_set_open makes an empty one */

void alloy_added_set_open(alloy_added_set *set);
void alloy_added_set_close(alloy_added_set *set);

/* Adds a token by the text to look for: 1 to ALLOY_ADDED_MOST_BYTES bytes. Of two with the same text the first
 * counts. */
alloy_status alloy_added_set_add(alloy_added_set *set, const char *text, size_t size, const alloy_added_token *token);

/* Takes a stretch of text: `token` is NULL for text between tokens. A status other than OK ends the walk. */
typedef alloy_status alloy_stretch_function(void *user, const alloy_added_token *token, size_t start, size_t end);

/* Hands over the stretches of valid UTF-8 in their order. `skip_special`: special tokens are passed over as text. Where
 * many tokens are nearly met at each byte of the text, looking for them takes more steps than the budget has. */
alloy_status alloy_added_divide(const alloy_added_set *set, const char *text, size_t size, bool skip_special,
                                alloy_budget *budget, alloy_stretch_function *take, void *user);

#endif
