/* Names and their numbers (name_table.h): linear probing over (hash, number), so that a probe reads no name unless its
 * hash is equal. */
#include "base/name_table.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"

enum { FIRST_SLOTS = 64, MOST_NAMES = INT32_MAX };

struct alloy_name_entry {
    size_t at; /* offset in the table's bytes */
    uint32_t size;
    uint32_t hash;
};

struct alloy_name_slot {
    uint32_t hash;
    uint32_t entry; /* number plus 1; 0: empty */
};

static bool is_name(const alloy_name_table *table, const struct alloy_name_slot *slot, uint32_t hash, const char *name,
                    size_t size)
{
    if (slot->hash != hash)
        return false;
    const struct alloy_name_entry *entry = &table->entries[slot->entry - 1];
    return entry->size == size && (size == 0 || memcmp(table->bytes.bytes + entry->at, name, size) == 0);
}

/* The slot of a name, or the empty one where it would go. */
static struct alloy_name_slot *probe(const alloy_name_table *table, uint32_t hash, const char *name, size_t size)
{
    size_t i = hash & (table->slot_count - 1);
    while (table->slots[i].entry && !is_name(table, &table->slots[i], hash, name, size))
        i = (i + 1) & (table->slot_count - 1);
    return &table->slots[i];
}

static bool grow_slots(alloy_name_table *table)
{
    size_t count = table->slot_count ? table->slot_count * 2 : FIRST_SLOTS;
    struct alloy_name_slot *slots = alloy_memory_zeroed(count, sizeof *slots);
    if (!slots)
        return false;
    for (int64_t number = 0; number < table->count; number++) {
        size_t i = table->entries[number].hash & (count - 1);
        while (slots[i].entry)
            i = (i + 1) & (count - 1);
        slots[i] = (struct alloy_name_slot){table->entries[number].hash, (uint32_t)number + 1};
    }
    alloy_memory_free(table->slots);
    table->slots = slots;
    table->slot_count = count;
    return true;
}

/* Room for one more name of `size` bytes. */
static alloy_status make_room(alloy_name_table *table, size_t size)
{
    if (table->count >= MOST_NAMES || size > UINT32_MAX)
        return alloy_fail(ALLOY_LIMIT, "more than %d names, or a name of %zu bytes", MOST_NAMES, size);
    if (table->slot_count == 0)
        table->seed = alloy_hash_key_new();
    if ((size_t)table->count >= table->slot_count / 4 * 3 && !grow_slots(table))
        return ALLOY_NOMEM;
    struct alloy_name_entry *entries =
        alloy_memory_grow(table->entries, table->count, &table->capacity, sizeof *entries);
    if (!entries)
        return ALLOY_NOMEM;
    table->entries = entries;
    return alloy_text_reserve(&table->bytes, size + 1) ? ALLOY_OK : ALLOY_NOMEM;
}

alloy_status alloy_name_table_add(alloy_name_table *table, const char *name, size_t size, int64_t *number)
{
    alloy_status status = make_room(table, size);
    if (status)
        return status;
    uint32_t hash = (uint32_t)alloy_hash(&table->seed, name, size);
    struct alloy_name_slot *slot = probe(table, hash, name, size);
    if (slot->entry) {
        *number = (int64_t)slot->entry - 1;
        return ALLOY_FORMAT;
    }
    *number = table->count;
    table->entries[table->count] = (struct alloy_name_entry){table->bytes.size, (uint32_t)size, hash};
    alloy_text_append(&table->bytes, name, size);
    alloy_text_char(&table->bytes, 0);
    table->count++;
    *slot = (struct alloy_name_slot){hash, (uint32_t)table->count};
    return ALLOY_OK;
}

int64_t alloy_name_table_find(const alloy_name_table *table, const char *name, size_t size)
{
    if (table->count == 0)
        return -1;
    return (int64_t)probe(table, (uint32_t)alloy_hash(&table->seed, name, size), name, size)->entry - 1;
}

const char *alloy_name_table_get(const alloy_name_table *table, int64_t number, size_t *size)
{
    const struct alloy_name_entry *entry = &table->entries[number];
    if (size)
        *size = entry->size;
    return table->bytes.bytes + entry->at;
}

void alloy_name_table_free(alloy_name_table *table)
{
    alloy_text_free(&table->bytes);
    alloy_memory_free(table->entries);
    alloy_memory_free(table->slots);
    *table = (alloy_name_table){0};
}
