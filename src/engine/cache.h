/* The cache of one sequence: a state block a layer (ops/state.h), in the pool of its session, and the tokens that it
 * holds. */
#ifndef ALLOY_ENGINE_CACHE_H
#define ALLOY_ENGINE_CACHE_H

#include "checkpoint/model.h"

struct alloy_cache {
    const alloy_model *model;
    alloy_state_block *blocks; /* [layers] */
    alloy_pages *pages;        /* where rows lie; one owner of it */
    int64_t *ids;              /* [length] of its tokens */
    int64_t length, id_room;   /* tokens; that there is room for in `ids` */
    int64_t context;           /* most tokens */
    int64_t chunk;             /* most tokens of one forward: rings are made for it */
    alloy_dtype rows_dtype;    /* of keys and values */
};

/* Room for `length` tokens in all. */
alloy_status alloy_cache_reserve(alloy_cache *cache, int64_t length);

/* The tokens of a forward are in it now: there is room for them. */
void alloy_cache_push(alloy_cache *cache, const int64_t *ids, int64_t count);

/* Begins anew. */
void alloy_cache_clear(alloy_cache *cache);

#endif
