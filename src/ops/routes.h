/* The experts that each token goes to. In count: how many there are, not which. */
#ifndef ALLOY_OPS_ROUTES_H
#define ALLOY_OPS_ROUTES_H

#include "ops/pass.h"

struct alloy_routes {
    int64_t tokens, experts, per_token;
    int32_t *expert; /* [tokens, per_token], rising within a token; NULL in count */
    float *weight;   /* [tokens, per_token] */
};

#endif
