/* Byte pair encoding: a piece begins as one symbol a character (or byte), and of all neighbouring symbols that a merge
 * joins, those of the lowest rank, leftmost first, are joined until none is left.
 *
 * Three ways to the same ids: pieces seen before come from a cache; short pieces search the lowest rank each time; long
 * ones keep a queue (bpe_long.c). Before that, a piece of characters is cut wherever no merge can ever join the two
 * sides, so that texts which no pre-tokenizer cuts (Llama-2, Gemma) become words too. */
#ifndef ALLOY_TOKENIZER_BPE_H
#define ALLOY_TOKENIZER_BPE_H

#include "alloy/alloy.h"
#include "tokenizer/vocabulary.h"

/* A merge: `left` followed by `right` becomes `id`. Its rank is its place in the list. */
typedef struct alloy_merge {
    uint32_t left, right, id;
} alloy_merge;

typedef struct alloy_bpe {
    const alloy_vocabulary *vocabulary;
    alloy_merge *merges; /* [merge_count] by rank */
    int64_t merge_count, merge_capacity;
    struct alloy_merge_slot {
        uint32_t left, right, rank, id; /* left ALLOY_NO_TOKEN: empty */
    } * slots;
    size_t slot_count; /* a power of two */
    uint64_t seeds[2]; /* of the hash of pairs; the second is odd */

    bool byte_level;    /* pieces are raw bytes, and the vocabulary is spelled with byte characters (byte_map.h) */
    bool bytes_known;   /* byte_level: each byte has its token */
    bool ignore_merges; /* a piece that is a token stays whole */
    bool byte_fallback; /* characters without a token become the tokens <0x00>..<0xFF> of their bytes */
    bool fuse_unknown;  /* neighbouring unknown characters are one unknown token */
    bool has_unknown;
    alloy_text unknown; /* the text of the unknown token */
    alloy_text prefix;  /* of symbols that do not begin a piece (continuing_subword_prefix) */
    alloy_text suffix;  /* of the symbol that ends a piece (end_of_word_suffix) */

    uint32_t unknown_id;     /* ALLOY_NO_TOKEN: there is none */
    uint32_t byte_ids[256];  /* of the byte characters if bytes_known, else of <0x00>..<0xFF> */
    uint32_t ascii_ids[128]; /* of the single characters */
    bool all_bytes;          /* byte_fallback: each of the 256 has its token */
    uint64_t *cuts;          /* bits: can a merge join a symbol ending and one beginning so? NULL: pieces are not cut */
} alloy_bpe;

/* Merges are added in the order of their rank, when the vocabulary is finished. FORMAT where a part or the result is no
 * token, or a part adds nothing (so that merges only ever lengthen). */
alloy_status alloy_bpe_add_merge(alloy_bpe *bpe, const char *left, size_t left_size, const char *right,
                                 size_t right_size);

/* All is added and set: makes the tables. */
alloy_status alloy_bpe_finish(alloy_bpe *bpe);
void alloy_bpe_free(alloy_bpe *bpe);

typedef struct alloy_bpe_scratch alloy_bpe_scratch; /* memory and the cache of one thread */

alloy_status alloy_bpe_scratch_open(alloy_bpe_scratch **out);
void alloy_bpe_scratch_close(alloy_bpe_scratch *scratch);

/* Appends the ids of a piece (valid UTF-8, not empty). */
alloy_status alloy_bpe_encode(const alloy_bpe *bpe, alloy_bpe_scratch *scratch, const char *piece, size_t size,
                              alloy_ids *ids);

/* ---- For bpe_long.c ---------------------------------------------------------------------------------------------- */

/* Where the merge of two neighbours is in the table, or the empty place where it would be. */
static inline struct alloy_merge_slot *alloy_bpe_place(const alloy_bpe *bpe, uint32_t left, uint32_t right)
{
    uint64_t hash = (((uint64_t)left << 32 | right) ^ bpe->seeds[0]) * bpe->seeds[1];
    hash ^= hash >> 32;
    hash *= 0x9E3779B97F4A7C15u;
    size_t mask = bpe->slot_count - 1, slot = (size_t)(hash >> 32) & mask;
    for (;; slot = (slot + 1) & mask) {
        struct alloy_merge_slot *found = &bpe->slots[slot];
        if ((found->left == left && found->right == right) || found->left == ALLOY_NO_TOKEN)
            return found;
    }
}

/* The merge of two neighbours; NULL: none. */
static inline const struct alloy_merge_slot *alloy_bpe_find(const alloy_bpe *bpe, uint32_t left, uint32_t right)
{
    const struct alloy_merge_slot *found = alloy_bpe_place(bpe, left, right);
    return found->left == ALLOY_NO_TOKEN ? NULL : found;
}

typedef struct alloy_long_scratch alloy_long_scratch; /* {0} to begin with, NULL pointer to none yet */
void alloy_long_scratch_close(alloy_long_scratch *scratch);

/* Merges symbols[0..*count) in place, in time O(n log n) at worst and O(n) as texts are; makes *scratch when it is
 * NULL. */
alloy_status alloy_bpe_merge_long(const alloy_bpe *bpe, alloy_long_scratch **scratch, uint32_t *symbols, size_t *count);

#endif
