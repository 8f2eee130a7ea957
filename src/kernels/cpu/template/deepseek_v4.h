/* What only DeepSeek-V4's modules need (kernels.h), over vectors of channels or entries. */
#ifndef ALLOY_KERNELS_CPU_TEMPLATE_DEEPSEEK_V4_H
#define ALLOY_KERNELS_CPU_TEMPLATE_DEEPSEEK_V4_H

/* WIDTH floats from p, or the first `count` < WIDTH of them. */
ALLOY_INLINE vec v_load_some(const float *p, int64_t count)
{
    return count < WIDTH ? v_load_first(p, count) : v_load(p);
}

ALLOY_INLINE void v_store_some(float *p, vec x, int64_t count)
{
    if (count < WIDTH)
        v_store_first(p, x, count);
    else
        v_store(p, x);
}

/* Channels c .. of row i. */
ALLOY_INLINE vec v_shifted_gate(const alloy_compress_segment *s, int64_t i, int64_t c, int64_t count)
{
    return v_add(v_load_some(s->gate + i * s->stride + c, count), v_load_some(s->bias + i * s->bias_stride + c, count));
}

static void compress(float *y, const alloy_compress_segment *segments, int count, int64_t channels)
{
    for (int64_t c = 0; c < channels; c += WIDTH) {
        vec m = v_set(-INFINITY), total = v_set(0), sum = v_set(0);
        for (int n = 0; n < count; n++)
            for (int64_t i = 0; i < segments[n].count; i++)
                m = v_max(m, v_shifted_gate(&segments[n], i, c, channels - c));
        m = v_add(m, v_set(0));
        for (int n = 0; n < count; n++)
            for (int64_t i = 0; i < segments[n].count; i++) {
                vec p = v_exp(v_sub(v_shifted_gate(&segments[n], i, c, channels - c), m));
                total = v_fma(p, v_set(1), total);
                sum = v_fma(p, v_load_some(segments[n].kv + i * segments[n].stride + c, channels - c), sum);
            }
        v_store_some(y + c, v_div(sum, total), channels - c);
    }
}

static void index_scores(float *y, const float *s, int64_t s_stride, const float *w, int64_t heads, int64_t entries)
{
    for (int64_t e = 0; e < entries; e += WIDTH) {
        vec lanes[16];
        for (int i = 0; i < 16; i++)
            lanes[i] = v_set(0);
        for (int64_t h = 0; h < heads; h++) {
            vec dot = v_max(v_load_some(s + h * s_stride + e, entries - e), v_set(0));
            lanes[h % 16] = v_fma(v_set(w[h]), dot, lanes[h % 16]);
        }
        for (int64_t h = heads; h % 16 != 0; h++) /* a missing head is fma(0, 0, lane) */
            lanes[h % 16] = v_fma(v_set(0), v_set(0), lanes[h % 16]);
        for (int half = 8; half >= 1; half /= 2)
            for (int i = 0; i < half; i++)
                lanes[i] = v_add(lanes[i], lanes[i + half]);
        v_store_some(y + e, lanes[0], entries - e);
    }
}

static void clamped_swiglu(float *y, const float *x, const float *gate, float limit, int64_t n)
{
    vec high = v_set(limit), low = v_set(-limit);
    for (int64_t i = 0; i < n; i += WIDTH) {
        vec up = v_min(v_max(v_load_some(x + i, n - i), low), high);
        v_store_some(y + i, v_mul(v_silu(v_min(v_load_some(gate + i, n - i), high)), up), n - i);
    }
}

static void rotary_pairs(float *y, const float *x, int64_t heads, int64_t d, int64_t channels, const float *cosines,
                         const float *sines)
{
    for (int64_t head = 0; head < heads; head++, x += d, y += d) {
        int64_t first = d - channels;
        if (y != x)
            memcpy(y, x, (size_t)first * sizeof *y);
        for (int64_t c = 0; c < channels; c += WIDTH) {
            int64_t left = channels - c;
            vec a = v_load_some(x + first + c, left);
            vec turned = v_mul(v_swap_pairs(a), v_load_some(sines + c, left));
            v_store_some(y + first + c, v_fma(a, v_load_some(cosines + c, left), turned), left);
        }
    }
}

#endif
