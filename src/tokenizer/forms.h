/* Unicode's normal forms (annex 15) as the `tokenizers` library knows them: its tables are of Unicode 9, so characters
 * that were assigned later are inert here: they neither decompose, nor compose, nor are reordered. What older
 * characters do has never changed since.
 *
 * Most text is in NFC already, and characters that NFC leaves alone are told by one table look-up and copied. */
#ifndef ALLOY_TOKENIZER_FORMS_H
#define ALLOY_TOKENIZER_FORMS_H

#include "alloy/alloy.h"
#include "base/text.h"
#include "tokenizer/budget.h"
#include "tokenizer/class_map.h"

typedef enum alloy_form { ALLOY_NFC, ALLOY_NFD, ALLOY_NFKC, ALLOY_NFKD } alloy_form;

/* Which characters a form may change. */
typedef struct alloy_form_map {
    alloy_class_map map;
    /* by class: 0 left alone, 1 may change, 2 inert (left alone, and never in reach of what may change) */
    uint8_t kind[256];
} alloy_form_map;

alloy_status alloy_form_map_open(alloy_form_map *map, alloy_form form);
void alloy_form_map_close(alloy_form_map *map);

/* Scratch memory that serves one text after the other. */
typedef struct alloy_form_scratch {
    int32_t *codes, *sorted; /* [capacity] each */
    size_t capacity;
} alloy_form_scratch;

void alloy_form_scratch_free(alloy_form_scratch *scratch);

/* Appends the normal form of valid UTF-8 to `out`. Linear in `size`, however many marks stand in a row. Charges the
 * budget for looking characters up; the caller charges for what was written. */
alloy_status alloy_form_apply(const alloy_form_map *map, alloy_form form, alloy_form_scratch *scratch, const char *text,
                              size_t size, alloy_budget *budget, alloy_text *out);

#endif
