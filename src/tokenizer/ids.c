/* Lists of ids (ids.h). */
#include "tokenizer/ids.h"

#include "base/memory.h"

bool alloy_ids_reserve(alloy_ids *ids, int64_t more)
{
    if (more <= ids->capacity - ids->count)
        return true;
    int64_t capacity = ids->capacity + ids->capacity / 2 + 16;
    if (capacity - ids->count < more)
        capacity = ids->count + more;
    int64_t *grown = alloy_memory_resize(ids->ids, (size_t)capacity, sizeof *grown);
    if (!grown)
        return false;
    ids->ids = grown;
    ids->capacity = capacity;
    return true;
}

void alloy_ids_free(alloy_ids *ids)
{
    if (!ids)
        return;
    alloy_memory_free(ids->ids);
    *ids = (alloy_ids){0};
}
