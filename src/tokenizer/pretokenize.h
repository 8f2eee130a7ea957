/* Pre-tokenizers: how normalized text is cut into the pieces that the model sees one by one.
 *
 * Each is a few primitive steps in a row: ByteLevel is a prefix, a split and the change to byte characters; Metaspace
 * is a replacement, a prefix and a split; Digits and Punctuation are splits. A piece passes all steps before the next
 * is cut, so nothing but the pieces under way is kept. */
#ifndef ALLOY_TOKENIZER_PRETOKENIZE_H
#define ALLOY_TOKENIZER_PRETOKENIZE_H

#include "alloy/alloy.h"
#include "base/text.h"
#include "tokenizer/pattern.h"

enum { ALLOY_MOST_PRETOKENIZER_STEPS = 32 };

typedef enum alloy_pretokenizer_kind {
    ALLOY_PRETOKENIZE_SPLIT,
    ALLOY_PRETOKENIZE_PREFIX,  /* `content` before what does not begin with it */
    ALLOY_PRETOKENIZE_REPLACE, /* spaces by `content` */
    ALLOY_PRETOKENIZE_BYTES,   /* every byte by the character that stands for it (byte_map.h) */
    ALLOY_PRETOKENIZE_LENGTH,  /* pieces of `length` characters */
} alloy_pretokenizer_kind;

/* What becomes of the matches of a split's pattern. */
typedef enum alloy_split_behavior {
    ALLOY_SPLIT_REMOVED,
    ALLOY_SPLIT_ISOLATED,
    ALLOY_SPLIT_MERGED_WITH_PREVIOUS,
    ALLOY_SPLIT_MERGED_WITH_NEXT,
    ALLOY_SPLIT_CONTIGUOUS, /* neighbouring matches are one piece */
} alloy_split_behavior;

typedef struct alloy_pretokenizer_step {
    alloy_pretokenizer_kind kind;
    alloy_pattern pattern;         /* SPLIT */
    alloy_split_behavior behavior; /* SPLIT */
    bool invert;                   /* SPLIT: what lies between matches takes their part */
    bool first_only;               /* PREFIX: only where the text begins */
    int64_t length;                /* LENGTH: characters, at least 1 */
    alloy_text content;            /* PREFIX, REPLACE */
} alloy_pretokenizer_step;

typedef struct alloy_pretokenizer {
    alloy_pretokenizer_step *steps; /* [count]; none: text is one piece */
    int64_t count, capacity;
} alloy_pretokenizer;

void alloy_pretokenizer_close(alloy_pretokenizer *pretokenizer);

/* Takes a piece; a status other than OK ends the walk. */
typedef alloy_status alloy_piece_function(void *user, const char *piece, size_t size);

/* What one walk needs: zeroed at first, kept from walk to walk. */
typedef struct alloy_pretokenizer_scratch {
    struct {
        alloy_pattern_scan scan;
        alloy_text text;
    } steps[ALLOY_MOST_PRETOKENIZER_STEPS];
    alloy_budget *budget;
    alloy_piece_function *take;
    void *user;
} alloy_pretokenizer_scratch;

void alloy_pretokenizer_scratch_free(alloy_pretokenizer_scratch *scratch);

/* Cuts valid UTF-8 and hands every piece that is not empty to scratch->take; LIMIT where scratch->budget ends.
 * `origin`: how many of the first bytes come from the first character of the user's text; a piece that begins with one
 * of them is a first one. */
alloy_status alloy_pretokenize(const alloy_pretokenizer *pretokenizer, alloy_pretokenizer_scratch *scratch,
                               const char *text, size_t size, size_t origin);

#endif
