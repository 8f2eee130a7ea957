/* Tokens and their ids (vocabulary.h). */
#include "tokenizer/vocabulary.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"

enum { SPARE_IDS = 65536 };

void alloy_vocabulary_free(alloy_vocabulary *vocabulary)
{
    alloy_text_free(&vocabulary->text);
    alloy_memory_free(vocabulary->tokens);
    alloy_memory_free(vocabulary->slots);
    alloy_memory_free(vocabulary->entries);
    *vocabulary = (alloy_vocabulary){0};
}

/* Appends a text and an entry for it. */
static alloy_status add_entry(alloy_vocabulary *vocabulary, const char *text, size_t size, uint32_t id)
{
    struct alloy_vocabulary_entry *grown =
        alloy_memory_grow(vocabulary->entries, vocabulary->entry_count, &vocabulary->entry_capacity, sizeof *grown);
    if (!grown)
        return ALLOY_NOMEM;
    vocabulary->entries = grown;
    size_t at = vocabulary->text.size;
    alloy_text_append(&vocabulary->text, text, size);
    if (vocabulary->text.failed || vocabulary->text.size > UINT32_MAX)
        return alloy_fail(ALLOY_NOMEM, "out of memory: the texts of the vocabulary");
    grown[vocabulary->entry_count++] = (struct alloy_vocabulary_entry){(uint32_t)at, (uint32_t)size, id};
    return ALLOY_OK;
}

alloy_status alloy_vocabulary_add(alloy_vocabulary *vocabulary, const char *text, size_t size, int64_t id)
{
    if (id < 0 || id >= (int64_t)ALLOY_NO_TOKEN)
        return alloy_fail(ALLOY_FORMAT, "token \"%s\": id %lld is outside 0..4294967294", alloy_printable(text, size),
                          (long long)id);
    if (size > vocabulary->longest)
        vocabulary->longest = size;
    return add_entry(vocabulary, text, size, (uint32_t)id);
}

/* Puts a token into the hash table, which has room. */
static void insert(alloy_vocabulary *vocabulary, uint32_t id)
{
    const alloy_vocabulary_token *token = &vocabulary->tokens[id];
    uint64_t hash = alloy_hash(&vocabulary->key, vocabulary->text.bytes + token->at, token->size);
    size_t slot = (size_t)hash & (vocabulary->slot_count - 1);
    while (vocabulary->slots[slot].entry != 0)
        slot = (slot + 1) & (vocabulary->slot_count - 1);
    vocabulary->slots[slot] = (struct alloy_vocabulary_slot){(uint32_t)(hash >> 32), id + 1};
    vocabulary->used++;
}

/* Makes room in the hash table for `count` tokens. */
static alloy_status size_table(alloy_vocabulary *vocabulary, size_t count)
{
    size_t slots = 64;
    while (slots / 8 * 5 < count)
        slots *= 2;
    if (slots <= vocabulary->slot_count)
        return ALLOY_OK;
    struct alloy_vocabulary_slot *table = alloy_memory_zeroed(slots, sizeof *table);
    if (!table)
        return ALLOY_NOMEM;
    alloy_memory_free(vocabulary->slots);
    vocabulary->slots = table;
    vocabulary->slot_count = slots;
    vocabulary->used = 0;
    for (int64_t id = 0; id < vocabulary->count; id++)
        if (vocabulary->tokens[id].flags != 0)
            insert(vocabulary, (uint32_t)id);
    return ALLOY_OK;
}

/* The token table, from the entries. */
static alloy_status place_tokens(alloy_vocabulary *vocabulary)
{
    int64_t most = 2 * vocabulary->entry_count + SPARE_IDS;
    for (int64_t i = 0; i < vocabulary->entry_count; i++) {
        const struct alloy_vocabulary_entry *entry = &vocabulary->entries[i];
        if (entry->id >= most)
            return alloy_fail(ALLOY_FORMAT, "token \"%s\": id %u is far beyond the number of tokens, %lld",
                              alloy_printable(vocabulary->text.bytes + entry->at, entry->size), entry->id,
                              (long long)vocabulary->entry_count);
        if (entry->id >= vocabulary->count)
            vocabulary->count = entry->id + 1;
    }
    vocabulary->capacity = vocabulary->count;
    vocabulary->tokens = alloy_memory_zeroed((size_t)vocabulary->count, sizeof *vocabulary->tokens);
    if (!vocabulary->tokens)
        return ALLOY_NOMEM;
    for (int64_t i = 0; i < vocabulary->entry_count; i++) {
        const struct alloy_vocabulary_entry *entry = &vocabulary->entries[i];
        alloy_vocabulary_token *token = &vocabulary->tokens[entry->id];
        const char *text = vocabulary->text.bytes;
        if (token->flags != 0)
            return alloy_fail(ALLOY_FORMAT, "tokens \"%s\" and \"%s\" have the same id %u",
                              alloy_printable(text + token->at, token->size),
                              alloy_printable(text + entry->at, entry->size), entry->id);
        *token = (alloy_vocabulary_token){entry->at, entry->size, ALLOY_TOKEN_OF_MODEL, 0};
    }
    return ALLOY_OK;
}

alloy_status alloy_vocabulary_finish(alloy_vocabulary *vocabulary)
{
    alloy_status status = alloy_text_reserve(&vocabulary->text, 1) ? place_tokens(vocabulary) : ALLOY_NOMEM;
    vocabulary->key = alloy_hash_key_new();
    vocabulary->model_count = vocabulary->entry_count;
    alloy_memory_free(vocabulary->entries);
    vocabulary->entries = NULL;
    vocabulary->entry_count = vocabulary->entry_capacity = 0;
    return status ? status : size_table(vocabulary, (size_t)vocabulary->model_count);
}

alloy_status alloy_vocabulary_place(alloy_vocabulary *vocabulary, const char *text, size_t size, uint32_t id)
{
    alloy_vocabulary_token *grown =
        alloy_memory_grow(vocabulary->tokens, vocabulary->count, &vocabulary->capacity, sizeof *vocabulary->tokens);
    if (!grown)
        return ALLOY_NOMEM;
    vocabulary->tokens = grown;
    alloy_status status = size_table(vocabulary, vocabulary->used + 1);
    if (status)
        return status;
    size_t at = vocabulary->text.size;
    alloy_text_append(&vocabulary->text, text, size);
    if (vocabulary->text.failed || vocabulary->text.size > UINT32_MAX)
        return alloy_fail(ALLOY_NOMEM, "out of memory: the texts of the vocabulary");
    if (id == vocabulary->count)
        vocabulary->count++;
    grown[id] = (alloy_vocabulary_token){(uint32_t)at, (uint32_t)size, ALLOY_TOKEN_ADDED, 0};
    insert(vocabulary, id);
    return ALLOY_OK;
}

alloy_status alloy_vocabulary_show(alloy_vocabulary *vocabulary, uint32_t id, const char *text, size_t size)
{
    if (vocabulary->entry_count >= (1 << 24) - 1)
        return alloy_fail(ALLOY_LIMIT, "too many added tokens are changed by the normalizer");
    alloy_status status = add_entry(vocabulary, text, size, id);
    if (!status)
        vocabulary->tokens[id].shown = (uint32_t)vocabulary->entry_count & 0xFFFFFF;
    return status;
}

uint32_t alloy_vocabulary_find_any(const alloy_vocabulary *vocabulary, const char *text, size_t size)
{
    if (vocabulary->slot_count == 0)
        return ALLOY_NO_TOKEN;
    uint64_t hash = alloy_hash(&vocabulary->key, text, size);
    size_t slot = (size_t)hash & (vocabulary->slot_count - 1);
    for (; vocabulary->slots[slot].entry != 0; slot = (slot + 1) & (vocabulary->slot_count - 1)) {
        if (vocabulary->slots[slot].tag != (uint32_t)(hash >> 32))
            continue;
        uint32_t id = vocabulary->slots[slot].entry - 1;
        const alloy_vocabulary_token *token = &vocabulary->tokens[id];
        if (token->size == size && memcmp(vocabulary->text.bytes + token->at, text, size) == 0)
            return id;
    }
    return ALLOY_NO_TOKEN;
}

uint32_t alloy_vocabulary_find(const alloy_vocabulary *vocabulary, const char *text, size_t size)
{
    uint32_t id = alloy_vocabulary_find_any(vocabulary, text, size);
    return id != ALLOY_NO_TOKEN && vocabulary->tokens[id].flags & ALLOY_TOKEN_OF_MODEL ? id : ALLOY_NO_TOKEN;
}
