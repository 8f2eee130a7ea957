/* The kernel table: what a backend for a processor implements. Modules call ops, ops call this table; no file outside
 * src/kernels/cpu/NAME includes an intrinsic. The generic table is plain C and is the definition; an instruction set's
 * table takes generic rows where it has none of its own. Every table gives the same bits (docs/numerics.md); the
 * comment at each row is the contract.
 *
 * Words of the contracts (dot, column sum, exp, sigmoid, softplus, silu) are those of alloy/vector.h, and:
 *   max           passes over a NaN; a zero is +0 where it is kept (so the order of comparisons cannot show).
 *
 * Pointers to float need only the alignment of float; weights need none. Strides are in elements unless they say bytes.
 * Outputs do not overlap inputs unless a row says that they may. Kernels never fail, never allocate and use one thread:
 * ops divide the work. */
#ifndef ALLOY_KERNELS_KERNELS_H
#define ALLOY_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloy/alloy.h"
#include "alloy/vector.h"

enum { ALLOY_ATTENTION_BLOCK = 64 }; /* keys of a block */

/* y[t * y_stride + r] = (dot(x row t, w row r) + bias[r]) * scale for t < n, r < rows. Fastest as jobs of all tokens
 * and about 128 rows for up to 8 tokens, 64 to 128 rows, a multiple of 4, for more. */
typedef struct alloy_linear_job {
    float *y;
    int64_t y_stride;
    const float *x; /* [n, k] */
    int64_t x_stride;
    int64_t n;           /* tokens, at least 1 */
    int64_t k;           /* elements of a dot, at least 1 */
    const void *w;       /* [rows, k] of dtype, widened exactly */
    alloy_dtype dtype;   /* F32, BF16, F16, F8_E4M3 or F4 */
    int64_t w_stride;    /* bytes between rows */
    alloy_scales scales; /* of F8_E4M3 and F4; `first` is that of w's first row */
    int64_t rows;        /* at least 1 */
    const float *bias;   /* [rows] or NULL */
    float scale;         /* 1: exact, no step */
} alloy_linear_job;

/* One block of at most 64 keys for `rows` queries that share them (the heads of a group, and tokens of a tile). For
 * query row i, with the keys from[i] <= j < to[i] of the block visible (none visible: the row is left alone):
 *   s_j = dot(q_i, k_j) * scale; m' = max(m_i, visible s); c = exp(m_i - m'); p_j = exp(s_j - m'), +0 for a key that is
 *   not visible; l_i = fma(l_i, c, dot(p, 1)) over the block's 64 places; o_i = o_i * c; then o_i = fma(p_j, v_j, o_i)
 *   over the visible j, rising; m_i = m'.
 * A key that no row sees is not read. A key span begins with m = -infinity, l = 0, o = 0 (exp(-infinity) is +0). */
typedef struct alloy_attention_block {
    const float *q; /* [rows, d] */
    int64_t q_stride;
    int64_t rows;   /* 1..64 */
    const float *k; /* [64, d], the block's first key */
    int64_t k_stride;
    const float *v; /* [64, dv] */
    int64_t v_stride;
    const int32_t *from, *to; /* [rows] places within the block, 0..64 */
    int64_t d, dv;
    float scale;
    float *m, *l; /* [rows] */
    float *o;     /* [rows, dv] */
    int64_t o_stride;
} alloy_attention_block;

/* Rows of a window that a compressor closes: row i of kv and gate is `stride` after the one before, of bias
 * `bias_stride`. */
typedef struct alloy_compress_segment {
    const float *kv, *gate, *bias;
    int64_t stride, bias_stride;
    int64_t count; /* rows */
} alloy_compress_segment;

typedef struct alloy_kernels {
    const char *name;    /* "generic", "avx2", "avx512" */
    alloy_vector vector; /* the rows that ops of plug-ins may call too, with their contracts */

    /* ---- Dots ---- */

    /* See the job. `scratch`: ALLOY_SCRATCH_BYTES (base/threads.h) of the worker's own. */
    void (*linear)(const alloy_linear_job *job, void *scratch);

    /* For each of `rows` rows of d: r = 1 / sqrt(dot(x, x) / d + eps); y = (x * r) * w; w NULL: y = x * r. y may be x.
     * (arXiv:1910.07467, eq. 4) */
    void (*rms_norm)(float *y, const float *x, const float *w, int64_t rows, int64_t d, float eps);

    /* For each row: r = 1 / sqrt(dot(x, x) + eps); y = (x * r) * scale. y may be x. */
    void (*l2_norm)(float *y, const float *x, int64_t rows, int64_t d, float eps, float scale);

    /* For each row: m = max x; p = exp(x - m); y = p / dot(p, 1). y may be x. */
    void (*softmax)(float *y, const float *x, int64_t rows, int64_t d);

    /* See the job. `scratch` as for linear. */
    void (*attention_block)(const alloy_attention_block *block, void *scratch);

    /* y[e] = dot(w, max(0, s[.][e])) over heads, for e < entries; s [heads, entries] with rows s_stride apart. */
    void (*index_scores)(float *y, const float *s, int64_t s_stride, const float *w, int64_t heads, int64_t entries);

    /* ---- Column sums ---- */

    /* For each channel, over the slots j of all segments, in order: s_j = gate_j + bias_j; m = max s; p_j = exp(s_j -
     * m); y = (column sum of p_j * kv_j) / (column sum of p_j * 1). */
    void (*compress)(float *y, const alloy_compress_segment *segments, int count, int64_t channels);

    /* The weights of one token's hyper-connection: pre [n], post [n], comb [n, n] from mixes, base (alike) and scale
     * [3].
     *   pre = sigmoid(fma(mix, scale[0], base)) + eps; post = sigmoid(fma(mix, scale[1], base)) * 2
     *   comb = softmax over each row of fma(mix, scale[2], base), + eps; comb / (sums of columns + eps); then, one time
     *   less than iterations, comb / (sums of rows + eps), comb / (sums of columns + eps); these are column sums.
     * iterations 0: pre alone, of n mixes. n <= 64. */
    void (*hyper_weights)(float *y, const float *mixes, const float *base, const float *scale, int64_t n,
                          int64_t iterations, float eps);

    /* Merges the key span (m2, l2, o2) into (m, l, o), row by row: m' = max(m, m2); c = exp(m - m'), c2 = exp(m2 - m');
     * l = fma(l2, c2, l * c); o = fma(o2, c2, o * c); m = m'. Both m -infinity: left alone. o, o2 [rows, dv],
     * contiguous. */
    void (*attention_merge)(float *m, float *l, float *o, const float *m2, const float *l2, const float *o2,
                            int64_t rows, int64_t dv);

    /* y row = o row * (1 / l). */
    void (*attention_finish)(float *y, int64_t y_stride, const float *l, const float *o, int64_t rows, int64_t dv);

    /* ---- One element at a time; y may be any of the inputs ---- */

    void (*sqrt_softplus)(float *y, const float *x, int64_t n); /* sqrt(softplus(x)) */
    /* silu(min(gate, limit)) * min(max(x, -limit), limit) */
    void (*clamped_swiglu)(float *y, const float *x, const float *gate, float limit, int64_t n);

    /* Rotates halves of the leading 2 * half channels of each of `heads` heads of d; the rest is copied. y may be x.
     * y[i] = fma(x[i], cos[i], -(x[i + half] * sin[i])); y[i + half] = fma(x[i + half], cos[i], x[i] * sin[i]).
     * (arXiv:2104.09864, eq. 34) */
    void (*rotary)(float *y, const float *x, int64_t heads, int64_t d, int64_t half, const float *cos,
                   const float *sin);

    /* Rotates pairs of the trailing `channels`, an even number, of each of `heads` heads of d; the rest is copied. y
     * may be x. Channel c of them: y[c] = fma(x[c], cos[c], x[c ^ 1] * sin[c]). */
    void (*rotary_pairs)(float *y, const float *x, int64_t heads, int64_t d, int64_t channels, const float *cos,
                         const float *sin);

    /* ---- Conversions ---- */

    /* Widens exactly from F32, BF16, F16 (unaligned), F8_E4M3, F8_E8M0 and F4 (two a byte, the low half first), each
     * element its own value. */
    void (*widen)(float *y, const void *x, alloy_dtype dtype, int64_t n);

    /* Row `row`, [n] at x, of a weight of any dtype that linear takes, each element with its scale. */
    void (*widen_row)(float *y, const void *x, alloy_dtype dtype, const alloy_scales *scales, int64_t row, int64_t n);

    /* Narrows to F32, BF16, F16, F8_E4M3, F4: to nearest even. NaN stays NaN (quiet), of F4 it becomes -0. What is too
     * large becomes infinite in BF16 and F16, NaN in F8_E4M3 (beyond 464; 448 is its largest number) and 6 in F4. To
     * F8_E8M0, of x >= 0: the smallest power of two that is at least x, within 2^-127 to 2^127; it suits a scale, since
     * what is divided by it does not grow too large. n is even for F4. */
    void (*narrow)(void *y, const float *x, alloy_dtype dtype, int64_t n);

    /* Are all of them finite? */
    bool (*all_finite)(const float *x, int64_t n);

    /* ---- Memory ----
     *
     * Reading and writing with as little besides as there can be, to measure what memory and caches give. Each works on
     * the four quarters of its arrays side by side, as linear reads weights: one stream alone does not make memory
     * busy. */

    /* The exclusive or of the bits of all n. */
    uint32_t (*read)(const float *x, int64_t n);
    void (*fill)(float *y, float value, int64_t n);    /* y[i] = value */
    void (*copy)(float *y, const float *x, int64_t n); /* y[i] = x[i], its bits */
} alloy_kernels;

/* The best table this processor runs, or the one named ("generic", "avx2", "avx512"); NULL name: the best. NULL with
 * the thread's text set: an unknown name (ARG), or one that this build or this processor lacks (UNSUPPORTED). */
const alloy_kernels *alloy_kernels_get(const char *name);

/* The same; ALLOY_CPU from the environment, where it is set and not empty, stands for a NULL name. */
const alloy_kernels *alloy_kernels_wanted(const char *name);

/* Names of all tables, best last, and whether this build and processor have them: for verify, tests and benchmarks. */
int alloy_kernels_count(void);
const char *alloy_kernels_name(int index);

#endif
