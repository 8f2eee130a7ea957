/* Rotary positions: widths and frequencies (ops.h). */
#include "ops/ops.h"

#include <math.h>

#include "kernels/math.h"

static const double PI = 3.14159265358979323846;

int64_t alloy_rotary_width(const alloy_rope *rope, int64_t head_dim)
{
    return (int64_t)((double)head_dim * rope->partial_rotary_factor);
}

int64_t alloy_rotary_channels(const alloy_rope *rope, int64_t head_dim)
{
    return (alloy_rotary_width(rope, head_dim) + 1) / 2 * 2;
}

static double clamp(double x, double least, double most)
{
    return x < least ? least : x > most ? most : x;
}

/* The channel pair that turns `rotations` times within the original context (arXiv:2309.00071, section 3.2). */
static double pair_of_rotations(const alloy_rope *rope, int64_t width, double rotations)
{
    double wavelengths = (double)rope->original_max_position_embeddings / (rotations * 2 * PI);
    return (double)width * alloy_log64(wavelengths) / (2 * alloy_log64(rope->theta));
}

static void yarn(const alloy_rope *rope, int64_t width, double *f)
{
    double low = pair_of_rotations(rope, width, rope->beta_fast),
           high = pair_of_rotations(rope, width, rope->beta_slow);
    if (rope->truncate) {
        low = floor(low);
        high = -floor(-high);
    }
    low = low < 0 ? 0 : low;
    high = high > (double)(width - 1) ? (double)(width - 1) : high;
    if (low == high)
        high += 0.001;
    for (int64_t i = 0; i < (width + 1) / 2; i++) {
        double keep = 1 - clamp(((double)i - low) / (high - low), 0, 1);
        f[i] = f[i] / rope->factor * (1 - keep) + f[i] * keep;
    }
}

static double yarn_scale(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * alloy_log64(factor) + 1;
}

static double yarn_attention_factor(const alloy_rope *rope)
{
    if (rope->attention_factor > 0)
        return rope->attention_factor;
    if (rope->mscale > 0 && rope->mscale_all_dim > 0)
        return yarn_scale(rope->factor, rope->mscale) / yarn_scale(rope->factor, rope->mscale_all_dim);
    return yarn_scale(rope->factor, 1);
}

static void llama3(const alloy_rope *rope, int64_t half, double *f)
{
    double context = (double)rope->original_max_position_embeddings;
    for (int64_t i = 0; i < half; i++) {
        double wavelength = 2 * PI / f[i];
        if (wavelength < context / rope->high_freq_factor)
            continue;
        double slow = f[i] / rope->factor;
        double keep = (context / wavelength - rope->low_freq_factor) / (rope->high_freq_factor - rope->low_freq_factor);
        f[i] = wavelength > context / rope->low_freq_factor ? slow : (1 - keep) * slow + keep * f[i];
    }
}

double alloy_rotary_frequencies(const alloy_rope *rope, int64_t width, double *out)
{
    int64_t half = (width + 1) / 2;
    for (int64_t i = 0; i < half; i++)
        out[i] = 1 / alloy_pow64(rope->theta, (double)(2 * i) / (double)width);
    switch (rope->type) {
    case ALLOY_ROPE_DEFAULT:
        return 1;
    case ALLOY_ROPE_LINEAR:
        for (int64_t i = 0; i < half; i++)
            out[i] /= rope->factor;
        return 1;
    case ALLOY_ROPE_YARN:
        yarn(rope, width, out);
        return yarn_attention_factor(rope);
    case ALLOY_ROPE_LLAMA3:
        llama3(rope, half, out);
        return 1;
    }
    return 1;
}
