/* SipHash-1-3 (hash.h): one round a word, three at the end. */
#include "base/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

alloy_hash_key alloy_hash_key_new(void)
{
    alloy_hash_key key;
    ssize_t n;
    do
        n = getrandom(&key, sizeof key, 0);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof key)
        return key;
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (alloy_hash_key){(uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 32, (uint64_t)(uintptr_t)&key};
}

static inline uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static inline uint64_t little_endian(uint64_t word)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(word);
#else
    return word;
#endif
}

uint64_t alloy_hash(const alloy_hash_key *key, const void *bytes, size_t size)
{
    uint64_t v[4] = {key->low ^ 0x736f6d6570736575, key->high ^ 0x646f72616e646f6d, key->low ^ 0x6c7967656e657261,
                     key->high ^ 0x7465646279746573};
    const uint8_t *from = bytes;
    uint64_t word;
    size_t left = size;
    for (; left >= 8; left -= 8, from += 8) {
        memcpy(&word, from, 8);
        word = little_endian(word);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)size << 56;
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)from[i] << 8 * i;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
