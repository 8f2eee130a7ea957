/* What routers share: the experts that each token goes to (alloy_routes) are their ops' out[0], the weights out[1]. In
 * count: how many there are, not which. */
#ifndef ALLOY_OPS_ROUTES_H
#define ALLOY_OPS_ROUTES_H

#include "ops/pass.h"

/* Applies a router's op to `args`, whose outputs it makes. After a failure the tensors are NULL. */
alloy_routes alloy_route(alloy_pass *p, const alloy_op *op, alloy_args args, int64_t experts, int64_t per_token);

#endif
