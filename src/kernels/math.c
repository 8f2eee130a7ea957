/* exp, log, pow, sin and cos in fp64 (math.h), from the textbook series on reduced arguments. A "double-double" is an
 * unevaluated sum high + low with |low| <= ulp(high) / 2: about 106 bits. No operation here may be contracted or
 * reordered. */
#include "kernels/math.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct pair {
    double high, low;
} pair;

static const double ln2_high = 0x1.62e42fefa2p-1; /* 40 bits: k * ln2_high is exact for |k| < 2^13 */
static const double ln2_low = 0x1.9ef35793c7673p-41;
static const double log2e = 0x1.71547652b82fep+0;

/* a + b exactly (Knuth); a * b exactly, but for results near the ends of the range (Dekker, Veltkamp). */
static pair two_sum(double a, double b)
{
    double sum = a + b, part = sum - a;
    return (pair){sum, (a - (sum - part)) + (b - part)};
}

static pair split(double a)
{
    double c = 0x1p27 * a + a, high = c - (c - a);
    return (pair){high, a - high};
}

static pair two_product(double a, double b)
{
    pair x = split(a), y = split(b);
    double product = a * b;
    return (pair){product, ((x.high * y.high - product) + x.high * y.low + x.low * y.high) + x.low * y.low};
}

static pair multiply(pair a, pair b)
{
    pair p = two_product(a.high, b.high);
    return two_sum(p.high, p.low + (a.high * b.low + a.low * b.high));
}

static pair add(pair a, pair b)
{
    pair s = two_sum(a.high, b.high);
    return two_sum(s.high, s.low + (a.low + b.low));
}

/* exp(high + low): = 2^k exp(r), |r| <= ln 2 / 2, by the series to r^14 / 14!; the first terms keep their rounding
 * errors. */
static double exp_pair(double high, double low)
{
    if (high != high || high > 710)
        return high + (high > 710 ? INFINITY : 0);
    if (high < -746)
        return 0;
    double k = floor(high * log2e + 0.5);
    pair r = two_sum(high - k * ln2_high, low - k * ln2_low);
    double q = 0;
    for (int i = 14; i >= 3; i--) /* r^3/3! + ..., over r^2: from the smallest term */
        q = (q + 1) * r.high / i;
    pair square = two_product(r.high, r.high);
    double rest = r.low + r.low * r.high + 0.5 * square.low + 0.5 * square.high * q;
    pair sum = two_sum(1, r.high);
    pair all = two_sum(sum.high, 0.5 * square.high);
    return ldexp(all.high + (all.low + sum.low + rest), (int)k);
}

/* log x for 0 < x < infinity: x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt 2]; s = f / (2 + f); log(1 + f) = 2 (s + s^3/3
 * + s^5/5 + ...). s and the first two terms are double-doubles, the rest is below 2^-12 of the result. */
static pair log_pair(double x)
{
    int k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    k += (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffff) | (uint64_t)1023 << 52;
    memcpy(&x, &bits, sizeof x);
    if (x > 0x1.6a09e667f3bcdp+0) {
        x *= 0.5;
        k++;
    }
    double f = x - 1;
    pair below = two_sum(2, f);
    double s = f / below.high;
    pair back = two_product(s, below.high);
    pair ratio = two_sum(s, ((f - back.high) - back.low - s * below.low) / below.high);

    pair square = multiply(ratio, ratio);
    pair cube = multiply(multiply(square, ratio), (pair){0x1.5555555555555p-2, 0x1.5555555555555p-56});
    double z = square.high, series = 0;
    for (int i = 25; i >= 5; i -= 2)
        series = series * z + 1.0 / i;
    series *= z * z * ratio.high;
    pair sum = add(add(ratio, cube), (pair){series, 0});
    sum = (pair){2 * sum.high, 2 * sum.low};
    return add((pair){k * ln2_high, 0}, add((pair){k * ln2_low, 0}, sum));
}

double alloy_exp64(double x)
{
    return exp_pair(x, 0);
}

double alloy_log64(double x)
{
    if (!(x > 0))
        return x == 0 ? -INFINITY : NAN;
    return x == INFINITY ? x : log_pair(x).high;
}

double alloy_pow64(double x, double y)
{
    if (x != x || y != y || !(x > 0))
        return NAN;
    if (x == INFINITY)
        return exp_pair(y == 0 ? 0 : y * INFINITY, 0);
    pair log = log_pair(x);
    pair power = two_product(log.high, y);
    if (!(fabs(power.high) < 800)) /* overflows, underflows or is x = 1 to an infinite power */
        return log.high == 0 ? 1 : exp_pair(power.high, 0);
    return exp_pair(power.high, power.low + log.low * y);
}

/* sin and cos of r + low, |r| <= pi/4: the series to r^19 and r^18. */
static pair sin_cos_reduced(double r, double low)
{
    double z = r * r, sin = 0, cos = 0;
    for (int i = 18; i >= 2; i -= 2) {
        sin = (1 + sin) * -z / (double)(i * (i + 1));
        cos = (1 + cos) * -z / (double)((i - 1) * i);
    }
    pair one = two_sum(1, cos);
    return (pair){r + (r * sin + low * (1 - 0.5 * z)), one.high + (one.low - r * low)};
}

void alloy_sin_cos64(double x, double *sin, double *cos)
{
    static const double half_pi_1 = 0x1.921fb54442d18p+0, half_pi_2 = 0x1.1a62633145c07p-54,
                        two_over_pi = 0x1.45f306dc9c883p-1;
    if (!(fabs(x) <= 0x1p40)) {
        *sin = *cos = NAN;
        return;
    }
    double n = floor(x * two_over_pi + 0.5);
    pair first = two_product(n, half_pi_1), second = two_product(n, half_pi_2);
    pair r =
        two_sum(x - first.high, -first.low); /* the difference is exact: both lie within a factor of two, or n is 0 */
    r = add(r, (pair){-second.high, -second.low});
    pair both = sin_cos_reduced(r.high, r.low);
    int quarter = (int)(n - 4 * floor(n / 4));
    *sin = quarter == 0 ? both.high : quarter == 1 ? both.low : quarter == 2 ? -both.high : -both.low;
    *cos = quarter == 0 ? both.low : quarter == 1 ? -both.high : quarter == 2 ? -both.low : both.high;
}
