/* What the tokenizer knows of Unicode: tables that script/unicode writes, in the versions that the `tokenizers` library
 * was built with. The libraries of the machine would know other characters, and ids would differ from machine to
 * machine.
 *
 * Version 16: the classes of regular expressions (Oniguruma's). 17: Digits and Lowercase (Rust's). 8: Punctuation. 9:
 * normal forms, to which characters that came later are inert. */
#ifndef ALLOY_TOKENIZER_UNICODE_H
#define ALLOY_TOKENIZER_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum { ALLOY_UNICODE_END = 0x110000 };

/* General categories, in the order of the table. */
typedef enum alloy_unicode_category {
    ALLOY_CN,
    ALLOY_LU,
    ALLOY_LL,
    ALLOY_LT,
    ALLOY_LM,
    ALLOY_LO,
    ALLOY_MN,
    ALLOY_MC,
    ALLOY_ME,
    ALLOY_ND,
    ALLOY_NL,
    ALLOY_NO,
    ALLOY_PC,
    ALLOY_PD,
    ALLOY_PS,
    ALLOY_PE,
    ALLOY_PI,
    ALLOY_PF,
    ALLOY_PO,
    ALLOY_SM,
    ALLOY_SC,
    ALLOY_SK,
    ALLOY_SO,
    ALLOY_ZS,
    ALLOY_ZL,
    ALLOY_ZP,
    ALLOY_CC,
    ALLOY_CF,
    ALLOY_CS,
    ALLOY_CO,
    ALLOY_CATEGORY_COUNT
} alloy_unicode_category;

/* A set of code points by its edges: [edges[0], edges[1]) is in, [edges[1], edges[2]) is out, and so on. */
typedef struct alloy_unicode_list {
    const uint32_t *edges;
    size_t count; /* even */
} alloy_unicode_list;

/* not a set: where runs of a category begin, code * 32 + category */
extern const alloy_unicode_list alloy_unicode_categories;

extern const alloy_unicode_list alloy_unicode_white_space;   /* White_Space: \s */
extern const alloy_unicode_list alloy_unicode_word_symbols;  /* Alphabetic and neither letter, mark nor letter number */
extern const alloy_unicode_list alloy_unicode_join_control;  /* Join_Control */
extern const alloy_unicode_list alloy_unicode_numbers_17;    /* N, of Unicode 17 */
extern const alloy_unicode_list alloy_unicode_punctuation_8; /* P, of Unicode 8 */
extern const alloy_unicode_list alloy_unicode_unassigned_9;  /* Cn, of Unicode 9 */
/* what NFC may change, reorder or join to what stands before */
extern const alloy_unicode_list alloy_unicode_nfc_active;

/* Scripts (not script extensions). */
extern const alloy_unicode_list alloy_unicode_arabic, alloy_unicode_cyrillic, alloy_unicode_devanagari,
    alloy_unicode_greek, alloy_unicode_han, alloy_unicode_hangul, alloy_unicode_hebrew, alloy_unicode_hiragana,
    alloy_unicode_katakana, alloy_unicode_latin, alloy_unicode_thai;

/* Characters first, first + step, ..., last have their small letters `delta` further on. */
typedef struct alloy_unicode_lower_run {
    uint32_t first, last, step;
    int32_t delta;
} alloy_unicode_lower_run;

extern const alloy_unicode_lower_run alloy_unicode_lower_runs[];
extern const size_t alloy_unicode_lower_run_count;

#endif
