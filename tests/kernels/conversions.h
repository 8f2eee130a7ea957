/* The rows of the table that convert, read, fill and copy memory, for test_tables.c. */
#ifndef ALLOY_TESTS_CONVERSIONS_H
#define ALLOY_TESTS_CONVERSIONS_H

#include "trial.h"

static inline void conversions(trial *t, bool widening)
{
    static const alloy_dtype dtypes[] = {ALLOY_F32, ALLOY_BF16, ALLOY_F16};
    for (int64_t n = 1; n <= 200; n += n < 70 ? 1 : 43)
        for (int d = 0; d < 3; d++) {
            int64_t bytes = n * (dtypes[d] == ALLOY_F32 ? 4 : 2);
            float *x = numbers(&t->source, t->kind, n);
            char *memory = malloc((size_t)bytes + 1), *narrow = memory + 1;
            t->plain->narrow(narrow, x, dtypes[d], n);
            outputs y = make_outputs(NULL, n);
            for (int run = 0; run < 2; run++) {
                if (widening)
                    table(t, run)->widen(output(&y, run), narrow, dtypes[d], n);
                else { /* to a byte that no number begins at, and back by plain C, which sees the bits through NaNs */
                    char *out = (char *)output(&y, run) - 3;
                    table(t, run)->narrow(out, x, dtypes[d], n);
                    float *back = same(x, n);
                    t->plain->widen(back, out, dtypes[d], n);
                    memset(out, 0x88, (size_t)bytes);
                    memcpy(output(&y, run), back, (size_t)n * sizeof(float));
                    free(back);
                }
            }
            compare_outputs(t, &y, alloy_dtype_name(dtypes[d]));
            free(x), free(memory);
        }
}

static inline void widen(trial *t)
{
    conversions(t, true);
}

/* A row of random bytes, all of which mean something, with scales of either dtype whose tiles end oddly. */
static inline void widen_row(trial *t)
{
    static const alloy_dtype dtypes[] = {ALLOY_F8_E4M3, ALLOY_F4};
    for (int64_t n = 2; n <= 300; n += n < 140 ? 2 : 38)
        for (int i = 0; i < 4; i++) {
            const int64_t bytes = n * alloy_dtype_bits(dtypes[i % 2]) / 8, columns = i % 2 ? 32 : 128;
            const int64_t count = (n + columns - 1) / columns, row = between(&t->source, 0, 5);
            unsigned char *x = malloc((size_t)bytes), exponents[2][10];
            float *factors = numbers(&t->source, t->kind, 2 * count);
            for (int64_t b = 0; b < bytes; b++)
                x[b] = (unsigned char)between(&t->source, 0, 255);
            for (int64_t b = 0; b < 20; b++)
                exponents[b / 10][b % 10] = (unsigned char)between(&t->source, 0, 255);
            alloy_scales scales = {factors, ALLOY_F32, 3, columns, count * (int64_t)sizeof *factors, .first = 0};
            if (i < 2)
                scales = (alloy_scales){exponents, ALLOY_F8_E8M0, 3, columns, 10, .first = 0};
            outputs y = make_outputs(NULL, n);
            for (int run = 0; run < 2; run++)
                table(t, run)->widen_row(output(&y, run), x, dtypes[i % 2], &scales, row, n);
            compare_outputs(t, &y, alloy_dtype_name(dtypes[i % 2]));
            free(x), free(factors);
        }
}

static inline void narrow(trial *t)
{
    conversions(t, false);
}

static inline void read_all(trial *t)
{
    for (int64_t n = 0; n <= 300; n += n < 140 ? 1 : 53) {
        float *x = numbers(&t->source, t->kind, n), result[2];
        for (int run = 0; run < 2; run++)
            result[run] = from_bits(table(t, run)->read(x, n));
        compare(t, &result[0], &result[1], 1, "read");
        free(x);
    }
}

static inline void fills_and_copies(trial *t, bool fill)
{
    char what[40];
    for (int64_t n = 0; n <= 300; n += n < 140 ? 1 : 53) {
        float *x = numbers(&t->source, t->kind, n), value = draw(&t->source, t->kind, 1);
        outputs o = make_outputs(NULL, n);
        for (int run = 0; run < 2; run++)
            fill ? table(t, run)->fill(output(&o, run), value, n) : table(t, run)->copy(output(&o, run), x, n);
        snprintf(what, sizeof what, "n=%lld", (long long)n);
        if (!fill)
            compare(t, x, output(&o, 0), n, what);
        compare_outputs(t, &o, what);
        free(x);
    }
}

static inline void fill(trial *t)
{
    fills_and_copies(t, true);
}

static inline void copy(trial *t)
{
    fills_and_copies(t, false);
}

static inline void all_finite(trial *t)
{
    for (int64_t n = 0; n < 130; n++) {
        float *x = numbers(&t->source, PLAIN, n), found[2];
        if (n && between(&t->source, 0, 1))
            x[between(&t->source, 0, n - 1)] = special(&t->source);
        for (int run = 0; run < 2; run++)
            found[run] = table(t, run)->all_finite(x, n);
        compare(t, &found[0], &found[1], 1, "the answer");
        free(x);
    }
}

#endif
