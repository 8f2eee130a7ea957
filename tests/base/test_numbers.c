/* Checked arithmetic, random numbers, hashing, medians: against values from elsewhere. */
#include "support.h"

#include <math.h>

#include "base/checked.h"
#include "base/hash.h"
#include "base/median.h"
#include "base/random.h"

static void sums_and_products_that_do_not_fit_are_told(void **state)
{
    (void)state;
    size_t size = 7;
    assert_true(alloy_size_add(SIZE_MAX - 1, 1, &size) && size == SIZE_MAX);
    assert_false(alloy_size_add(SIZE_MAX, 1, &size));
    assert_true(alloy_size_multiply((size_t)1 << 32, ((size_t)1 << 32) - 1, &size));
    assert_false(alloy_size_multiply((size_t)1 << 32, (size_t)1 << 32, &size));
    assert_true(alloy_size_multiply(0, SIZE_MAX, &size) && size == 0);
    size = 7;
    assert_false(alloy_size_multiply(SIZE_MAX / 2 + 1, 2, &size));
    assert_int_equal(size, 7); /* left alone */

    int64_t number = 7;
    assert_true(alloy_int64_add(INT64_MAX, INT64_MIN, &number) && number == -1);
    assert_false(alloy_int64_add(INT64_MAX, 1, &number));
    assert_false(alloy_int64_add(INT64_MIN, -1, &number));
    assert_true(alloy_int64_multiply(INT64_MIN, 1, &number) && number == INT64_MIN);
    number = 7;
    assert_false(alloy_int64_multiply(INT64_MIN, -1, &number));
    assert_int_equal(number, 7);

    assert_true(alloy_size_round_up(0, 64, &size) && size == 0);
    assert_true(alloy_size_round_up(1, 64, &size) && size == 64);
    assert_true(alloy_size_round_up(64, 64, &size) && size == 64);
    assert_false(alloy_size_round_up(SIZE_MAX - 62, 64, &size));
}

/* Known answers of Philox4x32-10, from the authors' Random123 (kat_vectors): counter words, key words, result. */
static void philox_gives_its_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed, stream, counter;
        uint32_t expected[4];
    } cases[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t out[4];
        alloy_random_4(cases[i].seed, cases[i].stream, cases[i].counter, out);
        for (int j = 0; j < 4; j++)
            assert_int_equal(out[j], cases[i].expected[j]);
    }
}

static void uniform_draws_lie_in_the_unit_interval(void **state)
{
    (void)state;
    double sum = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        double draw = alloy_random_uniform(1, 2, i);
        assert_true(draw >= 0 && draw < 1 && draw * 0x1p53 == (double)(uint64_t)(draw * 0x1p53));
        sum += draw;
    }
    assert_true(sum / 100000 > 0.495 && sum / 100000 < 0.505);
}

/* A second SipHash, straight from its definition: for every length, and every place in a word, the two must agree. */
static uint64_t rotated(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static void plain_round(uint64_t *a, uint64_t *b, uint64_t *c, uint64_t *d)
{
    *a += *b, *b = rotated(*b, 13), *b ^= *a, *a = rotated(*a, 32);
    *c += *d, *d = rotated(*d, 16), *d ^= *c;
    *a += *d, *d = rotated(*d, 21), *d ^= *a;
    *c += *b, *b = rotated(*b, 17), *b ^= *c, *c = rotated(*c, 32);
}

static uint64_t plain_siphash(uint64_t low, uint64_t high, const uint8_t *bytes, size_t size, int rounds,
                              int last_rounds)
{
    uint64_t a = low ^ 0x736f6d6570736575, b = high ^ 0x646f72616e646f6d, c = low ^ 0x6c7967656e657261,
             d = high ^ 0x7465646279746573;
    for (size_t word = 0; word <= size / 8; word++) {
        uint64_t m = 0;
        for (size_t i = 0; i < 8; i++) {
            size_t at = word * 8 + i;
            uint8_t byte = at < size ? bytes[at] : i == 7 ? (uint8_t)size : 0;
            m |= (uint64_t)byte << 8 * i;
        }
        d ^= m;
        for (int i = 0; i < rounds; i++)
            plain_round(&a, &b, &c, &d);
        a ^= m;
    }
    c ^= 0xff;
    for (int i = 0; i < last_rounds; i++)
        plain_round(&a, &b, &c, &d);
    return a ^ b ^ c ^ d;
}

static void the_hash_is_siphash_1_3(void **state)
{
    (void)state;
    uint8_t bytes[65];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    alloy_hash_key key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    /* The definition above is right: the paper's own example (appendix A) of SipHash-2-4, bytes 0 to 14 under the key 0
     * to 15. */
    assert_true(plain_siphash(key.low, key.high, bytes, 15, 2, 4) == 0xa129ca6149be45e5);
    for (size_t size = 0; size <= sizeof bytes; size++)
        assert_true(alloy_hash(&key, bytes, size) == plain_siphash(key.low, key.high, bytes, size, 1, 3));
    for (size_t place = 0; place < 8; place++)
        assert_true(alloy_hash(&key, bytes + place, 40) == plain_siphash(key.low, key.high, bytes + place, 40, 1, 3));
}

static void keys_differ_from_one_to_the_next(void **state)
{
    (void)state;
    alloy_hash_key a = alloy_hash_key_new(), b = alloy_hash_key_new();
    assert_true(a.low != b.low && a.high != b.high);
}

static void the_median_is_the_middle_of_what_is_sorted(void **state)
{
    (void)state;
    static const struct {
        double values[5], median;
        int64_t count;
    } cases[] = {
        {{0}, 0, 0},       {{7}, 7, 1},          {{3, -1}, 1, 2},
        {{5, 1, 4}, 4, 3}, {{9, 1, 2, 4}, 3, 4}, {{2, 2, -HUGE_VAL, 2, HUGE_VAL}, 2, 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double values[5], median;
        memcpy(values, cases[i].values, sizeof values);
        median = alloy_median(values, cases[i].count);
        if (median != cases[i].median)
            fail_msg("case %zu: the median is %g, expected %g", i, median, cases[i].median);
        for (int64_t j = 1; j < cases[i].count; j++)
            assert_true(values[j - 1] <= values[j]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_products_that_do_not_fit_are_told),
        cmocka_unit_test(philox_gives_its_known_answers),
        cmocka_unit_test(uniform_draws_lie_in_the_unit_interval),
        cmocka_unit_test(the_hash_is_siphash_1_3),
        cmocka_unit_test(keys_differ_from_one_to_the_next),
        cmocka_unit_test(the_median_is_the_middle_of_what_is_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
