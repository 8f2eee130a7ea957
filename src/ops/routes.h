/* What routers share: the experts that each token goes to (alloy_routes), out[0] and out[1] of their ops, and how they
 * are ranked. In count: how many there are, not which. */
#ifndef ALLOY_OPS_ROUTES_H
#define ALLOY_OPS_ROUTES_H

#include "ops/pass.h"

/* Applies a router's op to `args`, whose outputs it makes. After a failure the tensors are NULL. */
alloy_routes alloy_route(alloy_pass *p, const alloy_op *op, alloy_args args, int64_t experts, int64_t per_token);

/* The k largest of `ranks`, ties to the lower expert, in rising expert number. */
void alloy_choose_experts(const float *ranks, int64_t experts, int64_t k, int32_t *chosen);

void alloy_sort_experts(int32_t *chosen, int64_t k);

/* Each weight over (the sum of the k, in rising expert number, + eps). `ones`: room for k. */
void alloy_divide_by_sum(float *weight, int64_t k, float eps, float *ones);

#endif
