/* Decoders: from the texts of tokens to text, as they come.
 *
 * A decoder is a chain of stages. What runs between them are tokens' texts in chunks; `begins` says that a chunk begins
 * a token. Fuse and ByteLevel make one token of all, so that what stands after them sees one long token in many
 * chunks, and each stage keeps back only what later chunks can still change. Decoding at once is the same chain, so the
 * two cannot differ. */
#ifndef ALLOY_TOKENIZER_DECODE_H
#define ALLOY_TOKENIZER_DECODE_H

#include "alloy/alloy.h"
#include "base/text.h"
#include "tokenizer/budget.h"
#include "tokenizer/pattern.h"

enum { ALLOY_MOST_DECODER_STAGES = 32 };

typedef enum alloy_decoder_kind {
    ALLOY_DECODE_BYTE_LEVEL,    /* byte characters to bytes, all as one token; bytes that are no text become U+FFFD */
    ALLOY_DECODE_BYTE_FALLBACK, /* runs of tokens <0x00>..<0xFF> to their characters, or one U+FFFD a byte */
    ALLOY_DECODE_FUSE,          /* all tokens as one */
    ALLOY_DECODE_STRIP,         /* `content` off the ends of each token: at most `start` and `stop` times */
    ALLOY_DECODE_REPLACE,       /* matches by `content` */
    ALLOY_DECODE_METASPACE,     /* `content` by a space; in the first token by nothing, if `drop_first` */
    ALLOY_DECODE_JOIN,          /* a space between tokens: what stands for no decoder at all */
} alloy_decoder_kind;

typedef struct alloy_decoder_stage {
    alloy_decoder_kind kind;
    bool fused;            /* all that comes in is one token */
    int64_t start, stop;   /* STRIP */
    alloy_pattern pattern; /* REPLACE */
    alloy_text content;    /* STRIP, METASPACE: one character; REPLACE: any text */
    bool drop_first;       /* METASPACE */
    uint32_t *borders;     /* REPLACE, fused: [pattern.size], see replace_fused */
} alloy_decoder_stage;

typedef struct alloy_decoder_chain {
    alloy_decoder_stage *stages; /* [count] */
    int64_t count, capacity;
} alloy_decoder_chain;

void alloy_decoder_chain_close(alloy_decoder_chain *chain);

/* Checks a chain that is complete and marks its fused stages. FORMAT for an order that makes no sense to decode piece
 * by piece. */
alloy_status alloy_decoder_chain_finish(alloy_decoder_chain *chain);

/* What a walk through the chain has kept back. {0} at the start of a text; memory stays from text to text. */
typedef struct alloy_decoder_run {
    struct {
        alloy_text kept; /* bytes that wait for what follows */
        alloy_text made; /* scratch */
        int64_t seen;    /* STRIP: characters taken off the front; METASPACE, JOIN: tokens */
        int64_t held;    /* fused STRIP: characters at the end that may be taken off; fused REPLACE: bytes of a match */
        alloy_pattern_scan scan;
    } stages[ALLOY_MOST_DECODER_STAGES];
    alloy_budget budget; /* of all tokens so far */
    bool begun;          /* a token has come */
    alloy_text out;      /* what has become certain */
} alloy_decoder_run;

void alloy_decoder_run_free(alloy_decoder_run *run);

/* A token comes in, appending to run->out. LIMIT where the budget of all tokens together ends. */
alloy_status alloy_decoder_run_push(const alloy_decoder_chain *chain, alloy_decoder_run *run, const char *token,
                                    size_t size);

/* No more tokens: what was kept back goes out too, and the run is at the start again. */
alloy_status alloy_decoder_run_finish(const alloy_decoder_chain *chain, alloy_decoder_run *run);

#endif
