/* Names and their numbers: the i-th name added has number i. Adding and finding take constant time whatever the names
 * are (keyed hash, open addressing); names are bytes with a length and may hold NULs. Memory: the names' bytes and
 * about 30 bytes a name. */
#ifndef ALLOY_BASE_NAME_TABLE_H
#define ALLOY_BASE_NAME_TABLE_H

#include "alloy/alloy.h"
#include "base/hash.h"
#include "base/text.h"

typedef struct alloy_name_table {
    alloy_hash_key seed;
    alloy_text bytes; /* all names, each with a NUL after it */
    struct alloy_name_entry *entries;
    int64_t count, capacity; /* names; room in `entries` */
    struct alloy_name_slot *slots;
    size_t slot_count; /* a power of two, or 0; at most 3/4 of them are taken */
} alloy_name_table;    /* {0} is empty */

/* Adds a name and gives its number. ALLOY_FORMAT, the text not set, when it is there already (its number in *number);
 * ALLOY_NOMEM; ALLOY_LIMIT beyond 2^31 names. */
alloy_status alloy_name_table_add(alloy_name_table *table, const char *name, size_t size, int64_t *number);

/* The number of a name, -1 where it is not there. */
int64_t alloy_name_table_find(const alloy_name_table *table, const char *name, size_t size);

/* The bytes of a name, with a NUL after them. Valid until the next name is added. */
const char *alloy_name_table_get(const alloy_name_table *table, int64_t number, size_t *size);

void alloy_name_table_free(alloy_name_table *table);

#endif
