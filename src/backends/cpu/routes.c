/* What routers share (routes.h). */
#include "backends/cpu/routes.h"

void alloy_sort_experts(int32_t *chosen, int64_t k)
{
    for (int64_t i = 1; i < k; i++)
        for (int64_t j = i; j > 0 && chosen[j] < chosen[j - 1]; j--) {
            int32_t other = chosen[j];
            chosen[j] = chosen[j - 1];
            chosen[j - 1] = other;
        }
}

/* Insertion into a short sorted list: k is small. */
void alloy_choose_experts(const float *ranks, int64_t experts, int64_t k, int32_t *chosen)
{
    int64_t have = 0;
    for (int64_t e = 0; e < experts; e++) {
        int64_t at = have;
        while (at > 0 && ranks[e] > ranks[chosen[at - 1]])
            at--;
        if (at == k)
            continue;
        have += have < k;
        for (int64_t i = have - 1; i > at; i--)
            chosen[i] = chosen[i - 1];
        chosen[at] = (int32_t)e;
    }
    alloy_sort_experts(chosen, k);
}

void alloy_divide_by_sum(float *weight, int64_t k, float eps, float *ones)
{
    for (int64_t i = 0; i < k; i++)
        ones[i] = 1;
    float sum = alloy_canonical_dot(weight, ones, k) + eps;
    for (int64_t i = 0; i < k; i++)
        weight[i] = weight[i] / sum;
}
