/* Duplicate keys (json_keys.h).
 *
 * One stack holds the keys of all open objects, outer ones first; one table with linear probing finds them by (depth,
 * key). Only one object is open at a depth, so the depth stands for the object. Keys leave in the reverse order of
 * their coming, when their object ends, so emptying a slot is enough: no probe that is still of use went past it.
 * Growing puts the keys back in the order of the stack, which keeps that true. So a document of n keys costs O(n)
 * whatever its shape, and memory follows the keys of the open objects alone.
 *
 * A key is kept by its place in the text (documents are below 4 GiB). Keys with escapes are compared by what they
 * mean. */
#include "files/json_keys.h"

#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/utf8.h"

enum { FIRST_SLOTS = 64 };

struct entry {
    uint32_t at;   /* offset of the key in the text */
    uint32_t size; /* bytes */
    uint32_t hash;
    uint32_t slot; /* where the table holds it */
};

struct slot {
    uint32_t hash;
    uint32_t entry; /* index of the entry plus 1; 0: empty */
};

struct alloy_json_keys {
    const char *text;
    alloy_hash_key seed;
    struct entry *entries;
    int64_t count, capacity; /* entries */
    struct slot *slots;
    size_t slot_count;                   /* a power of two; at most 3/4 of them are taken */
    int64_t first[ALLOY_JSON_DEPTH + 1]; /* by depth: entries of the objects outside of it */
    alloy_text decoded[2];
};

alloy_json_keys *alloy_json_keys_new(const char *text)
{
    alloy_json_keys *keys = alloy_memory_zeroed(1, sizeof *keys);
    if (!keys)
        return NULL;
    keys->text = text;
    keys->seed = alloy_hash_key_new();
    keys->slot_count = FIRST_SLOTS;
    keys->slots = alloy_memory_zeroed(FIRST_SLOTS, sizeof *keys->slots);
    if (keys->slots)
        return keys;
    alloy_memory_free(keys);
    return NULL;
}

void alloy_json_keys_free(alloy_json_keys *keys)
{
    if (!keys)
        return;
    alloy_memory_free(keys->entries);
    alloy_memory_free(keys->slots);
    alloy_text_free(&keys->decoded[0]);
    alloy_text_free(&keys->decoded[1]);
    alloy_memory_free(keys);
}

void alloy_json_keys_begin(alloy_json_keys *keys, int depth)
{
    keys->first[depth] = keys->count;
}

void alloy_json_keys_end(alloy_json_keys *keys, int depth)
{
    while (keys->count > keys->first[depth])
        keys->slots[keys->entries[--keys->count].slot].entry = 0;
}

/* Puts an entry into the first empty slot of its probe. */
static void place(alloy_json_keys *keys, int64_t index)
{
    struct entry *entry = &keys->entries[index];
    size_t slot = entry->hash & (keys->slot_count - 1);
    while (keys->slots[slot].entry)
        slot = (slot + 1) & (keys->slot_count - 1);
    keys->slots[slot] = (struct slot){entry->hash, (uint32_t)index + 1};
    entry->slot = (uint32_t)slot;
}

/* Room for one more key. */
static bool make_room(alloy_json_keys *keys)
{
    struct entry *entries = alloy_memory_grow(keys->entries, keys->count, &keys->capacity, sizeof *entries);
    if (!entries)
        return false;
    keys->entries = entries;
    if ((size_t)keys->count < keys->slot_count / 4 * 3)
        return true;
    struct slot *slots = alloy_memory_zeroed(keys->slot_count * 2, sizeof *slots);
    if (!slots)
        return false;
    alloy_memory_free(keys->slots);
    keys->slots = slots;
    keys->slot_count *= 2;
    for (int64_t i = 0; i < keys->count; i++)
        place(keys, i);
    return true;
}

/* The bytes that a key means: its own, or decoded into `buffer`. False when memory is short. */
static bool decode(alloy_json_string_view *key, alloy_text *buffer)
{
    if (!key->escaped)
        return true;
    alloy_text_clear(buffer);
    if (alloy_json_unescape(key, buffer))
        return false;
    *key = (alloy_json_string_view){alloy_text_get(buffer), buffer->size, false};
    return true;
}

static alloy_json_string_view key_of(const alloy_json_keys *keys, const struct entry *entry)
{
    const char *bytes = keys->text + entry->at;
    return (alloy_json_string_view){bytes, entry->size, memchr(bytes, '\\', entry->size) != NULL};
}

bool alloy_json_keys_last(const alloy_json_keys *keys, int depth, alloy_json_string_view *key)
{
    if (!keys || keys->count == keys->first[depth])
        return false;
    *key = key_of(keys, &keys->entries[keys->count - 1]);
    return true;
}

alloy_status alloy_json_keys_add(alloy_json_keys *keys, const alloy_json_string_view *key, int depth)
{
    alloy_json_string_view added = *key;
    if (!make_room(keys) || !decode(&added, &keys->decoded[0]))
        return ALLOY_NOMEM;
    uint32_t hash = (uint32_t)alloy_hash(&keys->seed, added.bytes, added.size) ^ (uint32_t)depth * 0x9E3779B1u;
    size_t slot = hash & (keys->slot_count - 1);
    for (; keys->slots[slot].entry; slot = (slot + 1) & (keys->slot_count - 1)) {
        int64_t index = (int64_t)keys->slots[slot].entry - 1;
        if (keys->slots[slot].hash != hash || index < keys->first[depth])
            continue;
        alloy_json_string_view other = key_of(keys, &keys->entries[index]);
        if (!decode(&other, &keys->decoded[1]))
            return ALLOY_NOMEM;
        if (other.size == added.size && memcmp(other.bytes, added.bytes, added.size) == 0)
            return ALLOY_FORMAT;
    }
    keys->entries[keys->count] =
        (struct entry){(uint32_t)(key->bytes - keys->text), (uint32_t)key->size, hash, (uint32_t)slot};
    keys->slots[slot] = (struct slot){hash, (uint32_t)keys->count + 1};
    keys->count++;
    return ALLOY_OK;
}
