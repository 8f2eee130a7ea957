/* What a tokenizer.json may cost. The file and the text may both come from strangers, so each call carries a budget
 * that is a linear function of its input, and every component charges it for what it does.
 *
 *   steps   One for each byte that a component reads or writes, more where a byte costs more. Steps are charged for the
 *           characters that are looked at, not for what is found in them.
 *   growth  Bytes that components add to the text, one after the other. What a later one takes away is not given back.
 *
 * So no text in a call is ever larger than 65 times its input plus 1 MiB, and a call that would take more ends with
 * ALLOY_LIMIT. What a component does besides, an amount that is fixed for each piece, each token and each of its at
 * most 32 steps, is not charged. */
#ifndef ALLOY_TOKENIZER_BUDGET_H
#define ALLOY_TOKENIZER_BUDGET_H

#include <stddef.h>
#include <stdint.h>

#include "alloy/alloy.h"

typedef struct alloy_budget {
    uint64_t steps;  /* left */
    uint64_t growth; /* bytes left */
} alloy_budget;      /* {0} allows nothing */

/* The budget of a call with `size` bytes of input. */
void alloy_budget_open(alloy_budget *budget, size_t size);

/* Input of `size` more bytes has come: a streaming decoder's tokens, one by one. */
void alloy_budget_extend(alloy_budget *budget, size_t size);

/* LIMIT; `part` names what ran out of it: "decoder", "a regular expression". */
alloy_status alloy_budget_fail_steps(const char *part);

static inline alloy_status alloy_budget_charge(alloy_budget *budget, uint64_t steps, const char *part)
{
    if (steps > budget->steps)
        return alloy_budget_fail_steps(part);
    budget->steps -= steps;
    return ALLOY_OK;
}

/* May `from` bytes become `to`? Asked before memory is taken for them; nothing is charged. */
alloy_status alloy_budget_allows(const alloy_budget *budget, size_t from, size_t to, const char *part);

/* `from` bytes have become `to`: charges the growth. */
alloy_status alloy_budget_grow(alloy_budget *budget, size_t from, size_t to, const char *part);

#endif
