/* The canonical functions, exported (alloy/canonical.h). */
#include "alloy/canonical.h"

#include "kernels/cpu/generic/dot.h"
#include "kernels/cpu/generic/functions.h"
#include "kernels/math.h"

float alloy_canonical_dot(const float *a, const float *b, int64_t n)
{
    return alloy_dot(a, b, n);
}

float alloy_canonical_exp(float x)
{
    return alloy_exp(x);
}

float alloy_canonical_softplus(float x)
{
    return alloy_softplus(x);
}

float alloy_canonical_silu(float x)
{
    return alloy_silu(x);
}

double alloy_canonical_log(double x)
{
    return alloy_log64(x);
}
