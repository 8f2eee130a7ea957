/* Changed copies of bytes, drawn from a seed: what a fuzzer does, in small and the same everywhere. */
#ifndef ALLOY_TESTS_FUZZ_CHANGES_H
#define ALLOY_TESTS_FUZZ_CHANGES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

struct changes {
    uint64_t seed, stream, counter;
    const char *const *pieces; /* [piece_count] that are put in: what breaks the parser */
    size_t piece_count;
    size_t most; /* bytes that a copy may have */
};

static inline uint32_t draw(struct changes *c, size_t below)
{
    uint32_t words[4];
    alloy_random_4(c->seed, c->stream, c->counter++, words);
    return below ? (uint32_t)(words[0] % below) : 0;
}

static inline size_t insert(struct changes *c, uint8_t *bytes, size_t size, const void *piece, size_t length)
{
    size_t at = draw(c, size + 1);
    if (size + length > c->most)
        return size;
    memmove(bytes + at + length, bytes + at, size - at);
    memcpy(bytes + at, piece, length);
    return size + length;
}

/* One change; returns the new size. */
static inline size_t change(struct changes *c, uint8_t *bytes, size_t size)
{
    size_t at = draw(c, size + 1), length = 1 + draw(c, draw(c, 2) ? 8 : 24);
    const char *piece = c->pieces[draw(c, c->piece_count)];
    uint8_t copy[24];
    length = length < size - at ? length : size - at;
    switch (draw(c, 6)) {
    case 0: /* a bit */
        if (at < size)
            bytes[at] ^= (uint8_t)(1u << draw(c, 8));
        return size;
    case 1: /* a byte */
        if (at < size)
            bytes[at] = (uint8_t)draw(c, 256);
        return size;
    case 2: /* taken out */
        memmove(bytes + at, bytes + at + length, size - at - length);
        return size - length;
    case 3: /* cut short */
        return draw(c, 4) ? size : at;
    case 4: /* a part again elsewhere */
        memcpy(copy, bytes + at, length);
        return insert(c, bytes, size, copy, length);
    default:
        return insert(c, bytes, size, piece, strlen(piece));
    }
}

static inline size_t change_some(struct changes *c, uint8_t *bytes, size_t size)
{
    for (uint32_t changes = 1 + draw(c, 4); changes > 0; changes--)
        size = change(c, bytes, size);
    return size;
}

/* Gives a target exactly the bytes that are its own: a copy of the right size lets the sanitizers see one more. */
static inline void try_bytes(void (*target)(const uint8_t *, size_t), const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact)
        abort();
    memcpy(exact, bytes, size);
    target(exact, size);
    free(exact);
}

#endif
