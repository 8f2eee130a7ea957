/* The entries that each token sees of those that a compressor closed, chosen by the indexer. In count: at most how
 * many, not which. */
#ifndef ALLOY_OPS_CHOSEN_H
#define ALLOY_OPS_CHOSEN_H

#include "ops/pass.h"

struct alloy_chosen {
    int64_t most;   /* entries of a token */
    int32_t *entry; /* [tokens, most], rising within a token; NULL in count */
    int32_t *count; /* [tokens] of them */
};

#endif
