/* What a tokenizer.json may cost (budget.h). */
#include "tokenizer/budget.h"

#include "base/status.h"

/* A step takes from a fraction of a nanosecond to a few, so what is fixed is spent in well under a second. Honest
 * tokenizers take 5 to 60 steps a byte, and add less than two bytes to one. */
enum { STEPS = 1 << 26, STEPS_A_BYTE = 512, GROWTH = 1 << 20, GROWTH_A_BYTE = 64 };

void alloy_budget_open(alloy_budget *budget, size_t size)
{
    *budget = (alloy_budget){STEPS, GROWTH};
    alloy_budget_extend(budget, size);
}

void alloy_budget_extend(alloy_budget *budget, size_t size)
{
    const uint64_t most = UINT64_MAX / 2; /* inputs are far smaller, but a stream may be long */
    if (budget->steps < most)
        budget->steps += STEPS_A_BYTE * (uint64_t)size;
    if (budget->growth < most)
        budget->growth += GROWTH_A_BYTE * (uint64_t)size;
}

alloy_status alloy_budget_fail_steps(const char *part)
{
    return alloy_fail(ALLOY_LIMIT, "%s of the tokenizer needs more steps on this text than are allowed", part);
}

alloy_status alloy_budget_allows(const alloy_budget *budget, size_t from, size_t to, const char *part)
{
    if (to <= from || to - from <= budget->growth)
        return ALLOY_OK;
    return alloy_fail(ALLOY_LIMIT, "%s of the tokenizer makes this text longer than %d times its size and 1 MiB", part,
                      GROWTH_A_BYTE + 1);
}

alloy_status alloy_budget_grow(alloy_budget *budget, size_t from, size_t to, const char *part)
{
    alloy_status status = alloy_budget_allows(budget, from, to, part);
    if (!status && to > from)
        budget->growth -= to - from;
    return status;
}
