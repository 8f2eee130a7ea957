/* pre_norm: one stream; a module sees its norm, and its output is added. */
#include "modules/modules.h"

static int64_t streams(const alloy_config *config)
{
    (void)config;
    return 1;
}

static alloy_tensor *before(alloy_pass *p, const alloy_config *c, const void *weights, alloy_tensor *h,
                            alloy_tensor **carry)
{
    (void)p, (void)c, (void)weights, (void)carry;
    return h;
}

static alloy_tensor *after(alloy_pass *p, const alloy_config *c, const void *weights, alloy_tensor *h,
                           alloy_tensor *carry, alloy_tensor *y)
{
    (void)c, (void)weights, (void)carry;
    return alloy_add(p, h, y);
}

static alloy_tensor *begin(alloy_pass *p, const alloy_config *c, alloy_tensor *x)
{
    (void)p, (void)c;
    return x;
}

static alloy_tensor *end(alloy_pass *p, const alloy_config *c, const void *weights, alloy_tensor *h)
{
    (void)p, (void)c, (void)weights;
    return h;
}

const alloy_residual alloy_pre_norm = {
    .name = "pre_norm",
    .streams = streams,
    .begin = begin,
    .end = end,
    .before = before,
    .after = after,
};
