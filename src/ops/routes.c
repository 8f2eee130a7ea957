/* What routers share (routes.h). */
#include "ops/routes.h"

alloy_routes alloy_route(alloy_pass *p, const alloy_op *op, alloy_args args, int64_t experts, int64_t per_token)
{
    int64_t tokens = args.in[0]->shape[0], shape[] = {tokens, per_token};
    alloy_routes none = {.experts = experts}, routes = {.experts = experts, .distinct = (double)tokens};
    args.out[0] = routes.expert = alloy_tensor_of(p, ALLOY_I32, 2, shape);
    args.out[1] = routes.weight = alloy_tensor_new(p, 2, shape);
    return routes.expert && routes.weight && alloy_apply(p, op, &args) ? routes : none;
}
