/* Vector functions for the ops of plug-ins: rows of the table that the built-in ops call, of the instruction set that
 * the pass runs on. Every instruction set gives the same bits (docs/numerics.md); the comment at each row says which.
 *
 *     const alloy_vector *v = alloy_pass_vector(args->pass);
 *     v->add_scaled(y, 0.5f, x, n);
 *
 * The table begins with its size: rows are only added, at its end, and one is there if it lies within `size`. A row's
 * arguments never change.
 *
 * Words of the contracts (all arithmetic IEEE fp32, round to nearest even, denormals kept; each named step rounds
 * once):
 *   dot(a, b)     sum along the contiguous axis: 16 accumulators from +0, lane k mod 16, rising k, acc = fma(a[k],
 *                 b[k], acc); a missing tail element counts as fma(+0, +0, acc); then lanes i += i+8, i += i+4, i +=
 *                 i+2, i += i+1.
 *   column sum    one chain per output from +0, rising index, fused multiply-add.
 *   exp, sigmoid, softplus, silu   alloy/canonical.h's polynomials, the same operations in the same order everywhere.
 *
 * Pointers need only the alignment of float; strides are in elements. Outputs do not overlap inputs unless a row says
 * that they may. The functions never fail, never allocate and use one thread: alloy_pass_parallel divides the work. */
#ifndef ALLOY_VECTOR_H
#define ALLOY_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The gated delta rule for one value head and a block of its value columns, token by token (arXiv:2412.06464, eq. 10).
 * For each token t and column c, over key index i:
 *   S[i][c] = S[i][c] * decay[t]
 *   r = sum S[i][c] * k[t][i];  u = (v[t][c] - r) * beta[t]
 *   S[i][c] = fma(k[t][i], u, S[i][c])
 *   y[t][c] = sum S[i][c] * q[t][i]
 * where a sum runs in 4 chains of fused multiply-adds from +0 (key index mod 4, rising), then (0 + 2) + (1 + 3). */
typedef struct alloy_delta_job {
    float *state; /* [keys, columns] of the block */
    int64_t state_stride;
    int64_t keys, columns;
    int64_t tokens;
    const float *q, *k; /* [tokens, keys] */
    int64_t q_stride, k_stride;
    const float *v; /* [tokens, columns] of the block */
    int64_t v_stride;
    const float *decay, *beta; /* [tokens], elements apart: */
    int64_t decay_stride, beta_stride;
    float *y; /* [tokens, columns] of the block */
    int64_t y_stride;
} alloy_delta_job;

typedef struct alloy_vector {
    size_t size; /* of the library's struct, bytes */

    /* y[r] = dot(x, w[r]) for r < rows; x [n], w [rows, n] with rows w_stride apart. */
    void (*dots)(float *y, const float *x, const float *w, int64_t w_stride, int64_t rows, int64_t n);

    /* s[r][i] = fma(s[r][i], decay, a[r] * x[i]) for r < rows; s [rows, n] with rows s_stride apart. A recurrent state
     * decays and takes an outer product; of the two products the small one is rounded. */
    void (*decay_add_outer)(float *s, int64_t s_stride, float decay, const float *a, const float *x, int64_t rows,
                            int64_t n);

    /* See the job, which never grows. */
    void (*delta_rule)(const alloy_delta_job *job);

    /* y[c] = column sum over j < taps, rising, of w[j * channels + c] * x[j][c]. */
    void (*conv1d)(float *y, const float *const *x, const float *w, int64_t taps, int64_t channels);

    /* y[i] = fma(a, x[i], y[i]) */
    void (*add_scaled)(float *y, float a, const float *x, int64_t n);

    /* One element at a time; y may be any of the inputs. */
    void (*add)(float *y, const float *a, const float *b, int64_t n);      /* a + b */
    void (*multiply)(float *y, const float *a, const float *b, int64_t n); /* a * b */
    void (*silu)(float *y, const float *x, int64_t n);                     /* x * sigmoid(x) */
    void (*sigmoid)(float *y, const float *x, int64_t n);                  /* 1 / (1 + exp(-x)) */
    void (*exp)(float *y, const float *x, int64_t n);
    void (*multiply_silu)(float *y, const float *x, const float *gate, int64_t n);    /* silu(gate) * x */
    void (*multiply_sigmoid)(float *y, const float *x, const float *gate, int64_t n); /* x * sigmoid(gate) */
} alloy_vector;

#ifdef __cplusplus
}
#endif

#endif
