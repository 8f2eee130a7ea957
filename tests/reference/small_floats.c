/* For small_floats.py: what each table of kernels makes of numbers of 8 and 4 bits.
 *
 *     small_floats tables                    the names of the tables that this processor runs, one a line
 *     small_floats TABLE widen DTYPE         reads codes, a byte each (F4: two a byte); writes floats
 *     small_floats TABLE narrow DTYPE        reads floats; writes codes
 *     small_floats TABLE scale DTYPE SCALES  reads codes; writes them as floats with each of the scales that follow on
 *                                            stdin behind them: 256, in the dtype SCALES
 * DTYPE is F8_E4M3, F8_E8M0 or F4. Codes that are widened or scaled are 256 bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"

enum { CODES = 256, BYTES = 256 };

static int list_tables(void)
{
    for (int i = 0; i < alloy_kernels_count(); i++)
        if (alloy_kernels_get(alloy_kernels_name(i)))
            puts(alloy_kernels_name(i));
    return 0;
}

static alloy_dtype dtype_of(const char *name)
{
    return alloy_dtype_by_name(name, strlen(name));
}

static int widen(const alloy_kernels *kernels, alloy_dtype dtype)
{
    static uint8_t codes[BYTES];
    static float numbers[2 * CODES];
    size_t count = BYTES * 8 / (size_t)alloy_dtype_bits(dtype);
    if (fread(codes, 1, BYTES, stdin) != BYTES)
        return 1;
    kernels->widen(numbers, codes, dtype, (int64_t)count);
    return fwrite(numbers, sizeof *numbers, count, stdout) != count;
}

static int narrow(const alloy_kernels *kernels, alloy_dtype dtype)
{
    static float numbers[1 << 16];
    static uint8_t codes[1 << 16];
    for (size_t count; (count = fread(numbers, sizeof *numbers, sizeof numbers / sizeof *numbers, stdin)) > 0;) {
        size_t bytes = count * (size_t)alloy_dtype_bits(dtype) / 8;
        kernels->narrow(codes, numbers, dtype, (int64_t)count);
        if (fwrite(codes, 1, bytes, stdout) != bytes)
            return 1;
    }
    return 0;
}

static int scale(const alloy_kernels *kernels, alloy_dtype dtype, alloy_dtype scale_dtype)
{
    static uint8_t codes[BYTES], factors[4 * CODES];
    static float numbers[2 * CODES];
    size_t count = BYTES * 8 / (size_t)alloy_dtype_bits(dtype), size = (size_t)alloy_dtype_bits(scale_dtype) / 8;
    if (fread(codes, 1, BYTES, stdin) != BYTES || fread(factors, size, CODES, stdin) != CODES)
        return 1;
    const alloy_scales scales = {factors, scale_dtype, 1, (int64_t)count, (int64_t)size, 0};
    for (int64_t row = 0; row < CODES; row++) {
        kernels->widen_row(numbers, codes, dtype, &scales, row, (int64_t)count);
        if (fwrite(numbers, sizeof *numbers, count, stdout) != count)
            return 1;
    }
    return 0;
}

int main(int count, char **words)
{
    if (count == 2 && strcmp(words[1], "tables") == 0)
        return list_tables();
    const alloy_kernels *kernels = count > 3 ? alloy_kernels_get(words[1]) : NULL;
    if (!kernels)
        return 1;
    if (strcmp(words[2], "widen") == 0)
        return widen(kernels, dtype_of(words[3]));
    if (strcmp(words[2], "narrow") == 0)
        return narrow(kernels, dtype_of(words[3]));
    return count == 5 ? scale(kernels, dtype_of(words[3]), dtype_of(words[4])) : 1;
}
