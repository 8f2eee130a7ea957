/* Alloy's canonical functions, one number at a time: the same bits on every machine, whichever libm it has
 * (docs/numerics.md). For ops of plug-ins (extend.h), and for whatever turns logits into choices. Compile with
 * -ffp-contract=off. */
#ifndef ALLOY_CANONICAL_H
#define ALLOY_CANONICAL_H

#include "alloy/alloy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sum of a[i] * b[i]: 16 accumulators from +0, lane i mod 16, fused multiply-add; then lanes 8, 4, 2, 1 apart. */
ALLOY_API float alloy_canonical_dot(const float *a, const float *b, int64_t n);

/* Polynomials; exp(-infinity) is +0, overflow is infinite, NaN stays NaN. */
ALLOY_API float alloy_canonical_exp(float x);
ALLOY_API float alloy_canonical_softplus(float x); /* log(1 + exp(x)) */
ALLOY_API float alloy_canonical_silu(float x);     /* x / (1 + exp(-x)) */

/* Natural logarithm, fp64: for log-probabilities. */
ALLOY_API double alloy_canonical_log(double x);

#ifdef __cplusplus
}
#endif

#endif
