/* Appending to the caller's list of ids (alloy_ids, alloy.h). */
#ifndef ALLOY_TOKENIZER_IDS_H
#define ALLOY_TOKENIZER_IDS_H

#include "alloy/alloy.h"

/* Room for `more` ids after those that are there; false when memory is short. */
bool alloy_ids_reserve(alloy_ids *ids, int64_t more);

static inline bool alloy_ids_add(alloy_ids *ids, int64_t id)
{
    if (ids->count == ids->capacity && !alloy_ids_reserve(ids, 1))
        return false;
    ids->ids[ids->count++] = id;
    return true;
}

#endif
