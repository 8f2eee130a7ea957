/* The 16 numbers of F4 times each scale in F8_E8M0, as floats: for a scale's byte, the upper bytes of all, then the
 * bytes below; the two lowest bytes are zero. Products are rounded once: none needs more than the bits of a bf16. */
#ifndef ALLOY_KERNELS_CPU_AVX2_F4_TABLE_H
#define ALLOY_KERNELS_CPU_AVX2_F4_TABLE_H

#include <stdint.h>

/* The upper 16 bits of 2^(e - 127) * 2^x * (1 + m / 2): NaN for e = 255, infinite from 2^128 on, denormal below
 * 2^-126. */
#define F4_WORD(e, x, m)                                                                                               \
    ((e) == 255        ? 0x7fc0                                                                                        \
     : (e) + (x) > 254 ? 0x7f80                                                                                        \
     : (e) + (x) > 0   ? (((e) + (x)) << 7 | (m) << 6)                                                                 \
                       : (0x80 | (m) << 6) >> ((e) + (x) > 0 ? 0 : 1 - (e) - (x)))

/* The bytes TAKE of the words of one sign: 0, 0.5, 1, 1.5, 2, 3, 4, 6. */
#define F4_BYTES(e, TAKE)                                                                                              \
    TAKE((e) == 255 ? 0x7fc0 : 0), TAKE(F4_WORD(e, -1, 0)), TAKE(F4_WORD(e, 0, 0)), TAKE(F4_WORD(e, 0, 1)),            \
        TAKE(F4_WORD(e, 1, 0)), TAKE(F4_WORD(e, 1, 1)), TAKE(F4_WORD(e, 2, 0)), TAKE(F4_WORD(e, 2, 1))

#define F4_UPPER(word) (word) >> 8
#define F4_UPPER_NEGATIVE(word) ((word) >> 8 | 0x80)
#define F4_LOWER(word) ((word)&0xff)

#define F4_ROW(e)                                                                                                      \
    {                                                                                                                  \
        F4_BYTES(e, F4_UPPER), F4_BYTES(e, F4_UPPER_NEGATIVE), F4_BYTES(e, F4_LOWER), F4_BYTES(e, F4_LOWER)            \
    }
#define F4_ROWS_4(e) F4_ROW(e), F4_ROW((e) + 1), F4_ROW((e) + 2), F4_ROW((e) + 3)
#define F4_ROWS_16(e) F4_ROWS_4(e), F4_ROWS_4((e) + 4), F4_ROWS_4((e) + 8), F4_ROWS_4((e) + 12)
#define F4_ROWS_64(e) F4_ROWS_16(e), F4_ROWS_16((e) + 16), F4_ROWS_16((e) + 32), F4_ROWS_16((e) + 48)

static const uint8_t f4_scaled[256][32] = {F4_ROWS_64(0), F4_ROWS_64(64), F4_ROWS_64(128), F4_ROWS_64(192)};

#endif
