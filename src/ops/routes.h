/* The experts that each token goes to. In count: how many there are, not which. */
#ifndef ALLOY_OPS_ROUTES_H
#define ALLOY_OPS_ROUTES_H

#include "ops/pass.h"

struct alloy_routes {
    int64_t tokens, experts, per_token;
    double distinct; /* in count: tokens that are expected to differ in where they go */
    int32_t *expert; /* [tokens, per_token], rising within a token; NULL in count */
    float *weight;   /* [tokens, per_token] */
};

/* Routes with room for run; NULL and the pass failed when memory is short. */
alloy_routes *alloy_routes_new(alloy_pass *p, int64_t tokens, int64_t experts, int64_t per_token);

/* The k largest of `ranks`, ties to the lower expert, in rising expert number. */
void alloy_choose_experts(const float *ranks, int64_t experts, int64_t k, int32_t *chosen);

void alloy_sort_experts(int32_t *chosen, int64_t k);

/* Each weight over (the sum of the k, in rising expert number, + eps). `ones`: room for k. */
void alloy_divide_by_sum(float *weight, int64_t k, float eps, float *ones);

#endif
