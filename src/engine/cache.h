/* The cache of one sequence: a state block a layer (ops/state.h), and how many tokens it holds. */
#ifndef ALLOY_ENGINE_CACHE_H
#define ALLOY_ENGINE_CACHE_H

#include "checkpoint/model.h"

struct alloy_cache {
    const alloy_model *model;
    alloy_state_block *blocks; /* [layers] */
    int64_t length;            /* tokens */
    int64_t context;           /* most tokens */
    int64_t chunk;             /* most tokens of one forward: rings are made for it */
    alloy_dtype rows_dtype;    /* of keys and values */
};

/* Room for `length` tokens in all. */
alloy_status alloy_cache_reserve(alloy_cache *cache, int64_t length);

/* Begins anew; keeps the memory. */
void alloy_cache_clear(alloy_cache *cache);

#endif
