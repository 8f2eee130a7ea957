/* Normalizers: what is done to text before it is cut into pieces. A chain of steps, each from text to text. */
#ifndef ALLOY_TOKENIZER_NORMALIZE_H
#define ALLOY_TOKENIZER_NORMALIZE_H

#include "alloy/alloy.h"
#include "base/text.h"
#include "tokenizer/forms.h"
#include "tokenizer/pattern.h"

typedef enum alloy_normalizer_kind {
    ALLOY_NORMALIZE_FORM,    /* NFC, NFD, NFKC, NFKD */
    ALLOY_NORMALIZE_STRIP,   /* white space at the ends */
    ALLOY_NORMALIZE_REPLACE, /* every match by `content` */
    ALLOY_NORMALIZE_PREPEND, /* `content` before text that is not empty */
    ALLOY_NORMALIZE_LOWERCASE,
} alloy_normalizer_kind;

typedef struct alloy_normalizer_step {
    alloy_normalizer_kind kind;
    alloy_form form;
    alloy_form_map form_map;
    bool left, right;      /* STRIP: which ends */
    alloy_pattern pattern; /* REPLACE */
    alloy_text content;    /* REPLACE, PREPEND */
} alloy_normalizer_step;

typedef struct alloy_normalizer {
    alloy_normalizer_step *steps; /* [count]; none: text stays as it is */
    int64_t count, capacity;
} alloy_normalizer;

void alloy_normalizer_close(alloy_normalizer *normalizer);

typedef struct alloy_normalizer_scratch {
    alloy_text text[2]; /* the steps write to one and the other by turns */
    alloy_pattern_scan scan;
    alloy_form_scratch forms;
} alloy_normalizer_scratch;

void alloy_normalizer_scratch_free(alloy_normalizer_scratch *scratch);

/* The normalized form of valid UTF-8; *out is `text` itself or lies in `scratch`. *origin (NULL: not wanted) is the
 * number of leading bytes that come from the first character of the user's text: of `text` on entry, of *out on
 * return. LIMIT where the budget ends. */
alloy_status alloy_normalize(const alloy_normalizer *normalizer, alloy_normalizer_scratch *scratch, const char *text,
                             size_t size, alloy_budget *budget, size_t *origin, const char **out, size_t *out_size);

#endif
