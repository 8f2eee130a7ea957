/* How routers rank and weigh, in fp32. */
#ifndef ALLOY_BACKENDS_CPU_ROUTES_H
#define ALLOY_BACKENDS_CPU_ROUTES_H

#include "backends/cpu/cpu.h"

/* The k largest of `ranks`, ties to the lower expert, in rising expert number. */
void alloy_choose_experts(const float *ranks, int64_t experts, int64_t k, int32_t *chosen);

void alloy_sort_experts(int32_t *chosen, int64_t k);

/* Each weight over (the sum of the k, in rising expert number, + eps). `ones`: room for k. */
void alloy_divide_by_sum(float *weight, int64_t k, float eps, float *ones);

#endif
