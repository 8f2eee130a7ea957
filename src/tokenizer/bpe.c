/* Byte pair encoding (bpe.h): tables, the cache, symbols and short pieces. */
#include "tokenizer/bpe.h"

#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/utf8.h"
#include "tokenizer/byte_map.h"
#include "tokenizer/class_map.h"
#include "tokenizer/ids.h"

enum {
    SHORT = 64,              /* symbols of a short piece */
    CUT_BITS = 22,           /* of the table of cuts: 512 KiB */
    CUT_FROM = 16,           /* bytes of a piece worth cutting */
    CACHE_ENTRIES = 1 << 15, /* 2 MiB */
    CACHED_BYTES = 24,       /* of a piece in the cache, at most */
    CACHED_IDS = 9,          /* of its ids, at most */
};

/* A piece in the cache, one cache line. Every place of the table holds the last piece that hashed to it. */
struct cached {
    uint64_t key[3]; /* the piece's bytes, see cache_key */
    uint32_t ids[CACHED_IDS];
    uint8_t size;  /* bytes of the piece; 0: empty */
    uint8_t count; /* ids */
};
_Static_assert(sizeof(struct cached) == 64, "one cache line");

struct alloy_bpe_scratch {
    struct cached *cache; /* [CACHE_ENTRIES] */
    uint32_t *symbols;    /* [symbol_capacity] */
    size_t symbol_count, symbol_capacity;
    alloy_text spelled; /* a piece in byte characters; a symbol with prefix and suffix */
    alloy_text symbol;
    alloy_long_scratch *long_scratch;
};

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

/* Where the bit of two characters that stand side by side is, in the table of cuts. */
static inline size_t cut_bit(uint32_t left, uint32_t right)
{
    uint64_t pair = (uint64_t)left << 32 | right;
    return (size_t)(pair * 0x9E3779B97F4A7C15u >> (64 - CUT_BITS));
}

/* The id of left + right, whose text is in `scratch`. Files list merges in the order of the ids they make, so the id
 * after the last result is tried first. */
static uint32_t find_result(const alloy_bpe *bpe, const char *text, size_t size)
{
    const alloy_vocabulary *v = bpe->vocabulary;
    int64_t guess = bpe->merge_count > 0 ? (int64_t)bpe->merges[bpe->merge_count - 1].id : -1;
    for (int i = 0; i < 2 && guess >= 0 && guess + i < v->count; i++) {
        const alloy_vocabulary_token *token = &v->tokens[guess + i];
        if (token->flags & ALLOY_TOKEN_OF_MODEL && token->size == size &&
            memcmp(v->text.bytes + token->at, text, size) == 0)
            return (uint32_t)(guess + i);
    }
    return alloy_vocabulary_find(v, text, size);
}

static alloy_status fail_merge(const alloy_bpe *bpe, const char *what, const char *left, size_t left_size,
                               const char *right, size_t right_size)
{
    return alloy_fail(ALLOY_FORMAT, "merge %lld, \"%s\" and \"%s\": %s", (long long)bpe->merge_count,
                      alloy_printable(left, left_size), alloy_printable(right, right_size), what);
}

alloy_status alloy_bpe_add_merge(alloy_bpe *bpe, const char *left, size_t left_size, const char *right,
                                 size_t right_size)
{
    char text[512];
    size_t skip = bpe->prefix.size;
    alloy_merge merge = {alloy_vocabulary_find(bpe->vocabulary, left, left_size),
                         alloy_vocabulary_find(bpe->vocabulary, right, right_size), 0};
    if (merge.left == ALLOY_NO_TOKEN || merge.right == ALLOY_NO_TOKEN)
        return fail_merge(bpe, "not both are tokens of the vocabulary", left, left_size, right, right_size);
    if (left_size == 0 || right_size <= skip)
        return fail_merge(bpe, "one of them adds nothing", left, left_size, right, right_size);
    size_t size = left_size + right_size - skip;
    if (size > bpe->vocabulary->longest)
        return fail_merge(bpe, "the result is longer than any token", left, left_size, right, right_size);
    char *joined = size <= sizeof text ? text : alloy_memory_new(size, 1);
    if (!joined)
        return ALLOY_NOMEM;
    memcpy(joined, left, left_size);
    memcpy(joined + left_size, right + skip, right_size - skip);
    merge.id = find_result(bpe, joined, size);
    if (joined != text)
        alloy_memory_free(joined);
    if (merge.id == ALLOY_NO_TOKEN)
        return fail_merge(bpe, "the result is no token of the vocabulary", left, left_size, right, right_size);
    if (bpe->merge_count >= (int64_t)bpe->vocabulary->text.size)
        return alloy_fail(ALLOY_FORMAT, "more merges than there are ways to divide the tokens of the vocabulary");
    alloy_merge *grown = alloy_memory_grow(bpe->merges, bpe->merge_count, &bpe->merge_capacity, sizeof *grown);
    if (!grown)
        return ALLOY_NOMEM;
    bpe->merges = grown;
    grown[bpe->merge_count++] = merge;
    return ALLOY_OK;
}

/* The table of pairs; of two merges of the same pair the later one counts. */
static alloy_status make_slots(alloy_bpe *bpe)
{
    alloy_hash_key key = alloy_hash_key_new();
    bpe->seeds[0] = key.low;
    bpe->seeds[1] = key.high | 1;
    size_t count = 64;
    while (count / 8 * 5 < (size_t)bpe->merge_count)
        count *= 2;
    bpe->slots = alloy_memory_new(count, sizeof *bpe->slots);
    if (!bpe->slots)
        return ALLOY_NOMEM;
    bpe->slot_count = count;
    memset(bpe->slots, 0xFF, count * sizeof *bpe->slots);
    for (int64_t rank = 0; rank < bpe->merge_count; rank++) {
        const alloy_merge *merge = &bpe->merges[rank];
        *alloy_bpe_place(bpe, merge->left, merge->right) =
            (struct alloy_merge_slot){merge->left, merge->right, (uint32_t)rank, merge->id};
    }
    return ALLOY_OK;
}

static uint32_t last_code(const char *text, size_t size)
{
    size_t at = size - 1, length;
    while (at > 0 && ((uint8_t)text[at] & 0xC0) == 0x80)
        at--;
    return alloy_code_at((const uint8_t *)text + at, &length);
}

/* Which pairs of characters a merge can have at its seam. Others are never joined, wherever they stand: the two sides
 * of a place become one symbol only by a merge whose left part ends, and whose right part begins, with the symbols
 * there. The table may say yes too often. */
static alloy_status make_cuts(alloy_bpe *bpe)
{
    if (bpe->byte_level || bpe->ignore_merges || bpe->prefix.size > 0 || bpe->suffix.size > 0)
        return ALLOY_OK;
    bpe->cuts = alloy_memory_zeroed((size_t)1 << (CUT_BITS - 6), sizeof *bpe->cuts);
    if (!bpe->cuts)
        return ALLOY_NOMEM;
    const alloy_vocabulary *v = bpe->vocabulary;
    for (int64_t rank = 0; rank < bpe->merge_count; rank++) {
        const alloy_merge *merge = &bpe->merges[rank];
        const char *left = alloy_vocabulary_text(v, merge->left), *right = alloy_vocabulary_text(v, merge->right);
        size_t length;
        size_t bit =
            cut_bit(last_code(left, v->tokens[merge->left].size), alloy_code_at((const uint8_t *)right, &length));
        bpe->cuts[bit / 64] |= (uint64_t)1 << bit % 64;
    }
    return ALLOY_OK;
}

/* The ids of the 256 byte characters, or of <0x00>..<0xFF>; true when none is missing. */
static bool fill_byte_ids(alloy_bpe *bpe, bool characters)
{
    static const char digits[] = "0123456789ABCDEF";
    bool all = true;
    for (unsigned b = 0; b < 256; b++) {
        char text[6] = {'<', '0', 'x', digits[b >> 4], digits[b & 15], '>'};
        size_t size = characters ? alloy_utf8_put(alloy_byte_to_code((uint8_t)b), text) : sizeof text;
        bpe->byte_ids[b] = alloy_vocabulary_find(bpe->vocabulary, text, size);
        all &= bpe->byte_ids[b] != ALLOY_NO_TOKEN;
    }
    return all;
}

static void find_byte_ids(alloy_bpe *bpe)
{
    bool plain = bpe->prefix.size == 0 && bpe->suffix.size == 0;
    bpe->bytes_known = bpe->byte_level && plain && fill_byte_ids(bpe, true);
    if (!bpe->bytes_known)
        bpe->all_bytes = fill_byte_ids(bpe, false) && bpe->byte_fallback;
}

alloy_status alloy_bpe_finish(alloy_bpe *bpe)
{
    find_byte_ids(bpe);
    for (unsigned c = 0; c < 128; c++)
        bpe->ascii_ids[c] = alloy_vocabulary_find(bpe->vocabulary, &(char){(char)c}, 1);
    bpe->unknown_id = ALLOY_NO_TOKEN;
    if (bpe->has_unknown)
        bpe->unknown_id = alloy_vocabulary_find(bpe->vocabulary, alloy_text_get(&bpe->unknown), bpe->unknown.size);
    if (bpe->has_unknown && bpe->unknown_id == ALLOY_NO_TOKEN)
        return alloy_fail(ALLOY_FORMAT, "unk_token \"%s\" is no token of the vocabulary",
                          alloy_printable(alloy_text_get(&bpe->unknown), bpe->unknown.size));
    alloy_status status = make_slots(bpe);
    return status ? status : make_cuts(bpe);
}

void alloy_bpe_free(alloy_bpe *bpe)
{
    alloy_memory_free(bpe->merges);
    alloy_memory_free(bpe->slots);
    alloy_memory_free(bpe->cuts);
    alloy_text_free(&bpe->unknown);
    alloy_text_free(&bpe->prefix);
    alloy_text_free(&bpe->suffix);
    *bpe = (alloy_bpe){0};
}

/* ---- Scratch memory ---------------------------------------------------------------------------------------------- */

alloy_status alloy_bpe_scratch_open(alloy_bpe_scratch **out)
{
    alloy_bpe_scratch *s = *out = alloy_memory_zeroed(1, sizeof *s);
    if (!s)
        return ALLOY_NOMEM;
    s->cache = alloy_memory_zeroed(CACHE_ENTRIES, sizeof *s->cache);
    if (s->cache)
        return ALLOY_OK;
    alloy_bpe_scratch_close(s);
    *out = NULL;
    return ALLOY_NOMEM;
}

void alloy_bpe_scratch_close(alloy_bpe_scratch *s)
{
    if (!s)
        return;
    alloy_memory_free(s->cache);
    alloy_memory_free(s->symbols);
    alloy_text_free(&s->spelled);
    alloy_text_free(&s->symbol);
    alloy_long_scratch_close(s->long_scratch);
    alloy_memory_free(s);
}

static bool reserve_symbols(alloy_bpe_scratch *s, size_t more)
{
    size_t needed = s->symbol_count + more;
    if (needed <= s->symbol_capacity)
        return true;
    size_t capacity = needed + needed / 2 + SHORT;
    uint32_t *grown = alloy_memory_resize(s->symbols, capacity, sizeof *grown);
    if (!grown)
        return false;
    s->symbols = grown;
    s->symbol_capacity = capacity;
    return true;
}

static bool add_symbol(alloy_bpe_scratch *s, uint32_t id)
{
    if (!reserve_symbols(s, 1))
        return false;
    s->symbols[s->symbol_count++] = id;
    return true;
}

/* ---- Symbols ----------------------------------------------------------------------------------------------------- */

/* The text of the symbol that a character begins as, with prefix and suffix where it has them. */
static uint32_t symbol_id(const alloy_bpe *bpe, alloy_bpe_scratch *s, const char *text, size_t size, bool first,
                          bool last, const char **symbol, size_t *symbol_size)
{
    *symbol = text;
    *symbol_size = size;
    bool prefixed = !first && bpe->prefix.size > 0, suffixed = last && bpe->suffix.size > 0;
    if (!prefixed && !suffixed)
        return size == 1 ? bpe->ascii_ids[(uint8_t)text[0] & 0x7F] : alloy_vocabulary_find(bpe->vocabulary, text, size);
    alloy_text_clear(&s->symbol);
    if (prefixed)
        alloy_text_append(&s->symbol, bpe->prefix.bytes, bpe->prefix.size);
    alloy_text_append(&s->symbol, text, size);
    if (suffixed)
        alloy_text_append(&s->symbol, bpe->suffix.bytes, bpe->suffix.size);
    *symbol = alloy_text_get(&s->symbol);
    *symbol_size = s->symbol.size;
    return alloy_vocabulary_find(bpe->vocabulary, *symbol, *symbol_size);
}

/* Is the character at `at` the one before it again? What was found for that holds here too. */
static inline bool repeats(const char *piece, size_t at, size_t length)
{
    return at >= length && memcmp(piece + at, piece + at - length, length) == 0;
}

/* The byte tokens of a symbol, if it has one for each byte. */
static bool fall_back(const alloy_bpe *bpe, alloy_bpe_scratch *s, const char *symbol, size_t size, bool *memory)
{
    for (size_t i = 0; i < size; i++)
        if (bpe->byte_ids[(uint8_t)symbol[i]] == ALLOY_NO_TOKEN)
            return false;
    for (size_t i = 0; i < size; i++)
        *memory &= add_symbol(s, bpe->byte_ids[(uint8_t)symbol[i]]);
    return true;
}

/* The symbols of a piece of characters. An unknown token waits until a known one or the end, so that it can be fused;
 * byte tokens do not make it leave (as in `tokenizers`). A character for which there is nothing at all is dropped. */
static alloy_status add_symbols(const alloy_bpe *bpe, alloy_bpe_scratch *s, const char *piece, size_t size)
{
    bool waiting = false, memory = true, plain = bpe->prefix.size == 0 && bpe->suffix.size == 0;
    uint32_t id = ALLOY_NO_TOKEN;
    for (size_t at = 0, length; at < size && memory; at += length) {
        length = alloy_code_length((uint8_t)piece[at]);
        const char *symbol = piece + at;
        size_t symbol_size = length;
        if (!plain || id == ALLOY_NO_TOKEN || !repeats(piece, at, length))
            id = symbol_id(bpe, s, piece + at, length, at == 0, at + length == size, &symbol, &symbol_size);
        if (id != ALLOY_NO_TOKEN) {
            if (waiting)
                memory &= add_symbol(s, bpe->unknown_id);
            waiting = false;
            memory &= add_symbol(s, id);
        } else if (bpe->byte_fallback && fall_back(bpe, s, symbol, symbol_size, &memory)) {
            continue;
        } else if (bpe->has_unknown) {
            if (waiting && !bpe->fuse_unknown)
                memory &= add_symbol(s, bpe->unknown_id);
            waiting = true;
        }
    }
    if (waiting)
        memory &= add_symbol(s, bpe->unknown_id);
    return memory && !s->symbol.failed ? ALLOY_OK : ALLOY_NOMEM;
}

/* The symbols of a byte-level piece when every byte has one. */
static alloy_status add_byte_symbols(const alloy_bpe *bpe, alloy_bpe_scratch *s, const char *piece, size_t size)
{
    if (!reserve_symbols(s, size))
        return ALLOY_NOMEM;
    for (size_t i = 0; i < size; i++)
        s->symbols[s->symbol_count++] = bpe->byte_ids[(uint8_t)piece[i]];
    return ALLOY_OK;
}

/* ---- Merging short pieces ---------------------------------------------------------------------------------------- */

/* rank and result of a pair in one number, ordered by rank; the largest number where there is no merge. */
static inline uint64_t rank_and_id(const alloy_bpe *bpe, uint32_t left, uint32_t right)
{
    const struct alloy_merge_slot *merge = alloy_bpe_find(bpe, left, right);
    return merge ? (uint64_t)merge->rank << 32 | merge->id : UINT64_MAX;
}

/* Merges up to SHORT symbols and returns how many are left. */
static size_t merge_short(const alloy_bpe *bpe, uint32_t *symbols, size_t count)
{
    uint64_t pairs[SHORT];
    for (size_t i = 0; i + 1 < count; i++)
        pairs[i] = rank_and_id(bpe, symbols[i], symbols[i + 1]);
    while (count > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < count; i++)
            if (pairs[i] < pairs[best])
                best = i;
        if (pairs[best] == UINT64_MAX)
            break;
        symbols[best] = (uint32_t)pairs[best];
        count--;
        memmove(symbols + best + 1, symbols + best + 2, (count - best - 1) * sizeof *symbols);
        if (best + 1 < count) {
            memmove(pairs + best + 1, pairs + best + 2, (count - best - 2) * sizeof *pairs);
            pairs[best] = rank_and_id(bpe, symbols[best], symbols[best + 1]);
        }
        if (best > 0)
            pairs[best - 1] = rank_and_id(bpe, symbols[best - 1], symbols[best]);
    }
    return count;
}

/* ---- Pieces ------------------------------------------------------------------------------------------------------ */

/* A piece in byte characters, in scratch memory. */
static bool spell(alloy_bpe_scratch *s, const char **piece, size_t *size)
{
    alloy_text_clear(&s->spelled);
    if (!alloy_text_reserve(&s->spelled, 2 * *size))
        return false;
    for (size_t i = 0; i < *size; i++)
        s->spelled.size += alloy_utf8_put(alloy_byte_to_code((uint8_t)(*piece)[i]), s->spelled.bytes + s->spelled.size);
    *piece = s->spelled.bytes;
    *size = s->spelled.size;
    return true;
}

/* The symbols of a piece, merged, in scratch memory. */
static alloy_status merge_piece(const alloy_bpe *bpe, alloy_bpe_scratch *s, const char *piece, size_t size)
{
    const char *spelled = piece;
    size_t spelled_size = size;
    s->symbol_count = 0;
    if (bpe->byte_level && (bpe->ignore_merges || !bpe->bytes_known) && !spell(s, &spelled, &spelled_size))
        return ALLOY_NOMEM;
    if (bpe->ignore_merges && spelled_size <= bpe->vocabulary->longest) {
        uint32_t id = alloy_vocabulary_find(bpe->vocabulary, spelled, spelled_size);
        if (id != ALLOY_NO_TOKEN)
            return add_symbol(s, id) ? ALLOY_OK : ALLOY_NOMEM;
    }
    alloy_status status =
        bpe->bytes_known ? add_byte_symbols(bpe, s, piece, size) : add_symbols(bpe, s, spelled, spelled_size);
    if (status)
        return status;
    if (s->symbol_count > SHORT)
        return alloy_bpe_merge_long(bpe, &s->long_scratch, s->symbols, &s->symbol_count);
    s->symbol_count = merge_short(bpe, s->symbols, s->symbol_count);
    return ALLOY_OK;
}

static inline uint64_t load(const char *from, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, from, size);
    return word;
}

/* A piece of at most CACHED_BYTES bytes as three numbers, which with its size say all of it: parts that overlap cover
 * the bytes between 8, 16 and 24. Returns its place in the cache. */
static inline size_t cache_key(const char *piece, size_t size, uint64_t key[3])
{
    key[1] = key[2] = 0;
    if (size >= 8) {
        key[0] = load(piece, 8);
        key[1] = load(piece + size - 8, 8);
        if (size > 16)
            key[2] = load(piece + 8, 8);
    } else if (size >= 4) {
        key[0] = load(piece, 4) | load(piece + size - 4, 4) << 32;
    } else {
        key[0] = (uint64_t)(uint8_t)piece[0] | (uint64_t)(uint8_t)piece[size / 2] << 8 |
                 (uint64_t)(uint8_t)piece[size - 1] << 16;
    }
    uint64_t hash = key[0] * 0x9E3779B97F4A7C15u ^ (key[1] + size) * 0xC2B2AE3D27D4EB4Fu ^ key[2] * 0x165667B19E3779F9u;
    hash ^= hash >> 29;
    hash *= 0x9E3779B97F4A7C15u;
    return (size_t)(hash >> 32) & (CACHE_ENTRIES - 1);
}

static alloy_status append_symbols(const alloy_bpe_scratch *s, alloy_ids *ids)
{
    if (!alloy_ids_reserve(ids, (int64_t)s->symbol_count))
        return ALLOY_NOMEM;
    for (size_t i = 0; i < s->symbol_count; i++)
        ids->ids[ids->count++] = s->symbols[i];
    return ALLOY_OK;
}

static alloy_status encode_cached(const alloy_bpe *bpe, alloy_bpe_scratch *s, const char *piece, size_t size,
                                  alloy_ids *ids)
{
    uint64_t key[3];
    struct cached *cached = NULL;
    if (size <= CACHED_BYTES) {
        cached = &s->cache[cache_key(piece, size, key)];
        if (cached->size == size && cached->key[0] == key[0] && cached->key[1] == key[1] && cached->key[2] == key[2]) {
            if (!alloy_ids_reserve(ids, CACHED_IDS))
                return ALLOY_NOMEM;
            for (unsigned i = 0; i < cached->count; i++)
                ids->ids[ids->count + i] = cached->ids[i];
            ids->count += cached->count;
            return ALLOY_OK;
        }
    }
    alloy_status status = merge_piece(bpe, s, piece, size);
    if (status)
        return status;
    if (cached && s->symbol_count <= CACHED_IDS) {
        memcpy(cached->key, key, sizeof key);
        for (size_t i = 0; i < s->symbol_count; i++)
            cached->ids[i] = s->symbols[i];
        cached->size = (uint8_t)size;
        cached->count = (uint8_t)s->symbol_count;
    }
    return append_symbols(s, ids);
}

/* How a character's symbols begin and end, for the table of cuts; false where that is not known. */
static inline bool edges_of(const alloy_bpe *bpe, const char *text, size_t length, uint32_t *first, uint32_t *last)
{
    size_t unused;
    bool known = (length == 1 ? bpe->ascii_ids[(uint8_t)text[0]]
                              : alloy_vocabulary_find(bpe->vocabulary, text, length)) != ALLOY_NO_TOKEN;
    *first = *last = known ? alloy_code_at((const uint8_t *)text, &unused) : '<';
    if (!known)
        *last = '>';
    return known || bpe->all_bytes;
}

/* Encodes the parts of a piece that no merge can join. */
static alloy_status encode_in_parts(const alloy_bpe *bpe, alloy_bpe_scratch *s, const char *piece, size_t size,
                                    alloy_ids *ids)
{
    size_t start = 0;
    uint32_t first = 0, last = 0, last_before = 0;
    bool sure_before = false;
    for (size_t at = 0, length; at < size; at += length) {
        length = alloy_code_length((uint8_t)piece[at]);
        bool sure = repeats(piece, at, length) ? sure_before : edges_of(bpe, piece + at, length, &first, &last);
        if (sure && sure_before) {
            size_t bit = cut_bit(last_before, first);
            if (!(bpe->cuts[bit / 64] >> bit % 64 & 1)) {
                alloy_status status = encode_cached(bpe, s, piece + start, at - start, ids);
                if (status)
                    return status;
                start = at;
            }
        }
        sure_before = sure;
        last_before = last;
    }
    return encode_cached(bpe, s, piece + start, size - start, ids);
}

alloy_status alloy_bpe_encode(const alloy_bpe *bpe, alloy_bpe_scratch *scratch, const char *piece, size_t size,
                              alloy_ids *ids)
{
    if (bpe->cuts && size >= CUT_FROM)
        return encode_in_parts(bpe, scratch, piece, size, ids);
    return encode_cached(bpe, scratch, piece, size, ids);
}
