/* Philox4x32-10 (random.h). */
#include "base/random.h"

void alloy_random_4(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4])
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = (uint32_t)stream,
             c3 = (uint32_t)(stream >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53 * c0, b = (uint64_t)0xCD9E8D57 * c2;
        uint32_t next0 = (uint32_t)(b >> 32) ^ c1 ^ key0, next2 = (uint32_t)(a >> 32) ^ c3 ^ key1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        c0 = next0;
        c2 = next2;
        key0 += 0x9E3779B9;
        key1 += 0xBB67AE85;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

double alloy_random_uniform(uint64_t seed, uint64_t stream, uint64_t counter)
{
    uint32_t draw[4];
    alloy_random_4(seed, stream, counter, draw);
    return (double)(((uint64_t)draw[0] << 32 | draw[1]) >> 11) * 0x1p-53;
}
