/* SwiGLU feed-forward (swiglu.h). */
#include "modules/swiglu.h"

#include <stddef.h>

#define AT(field) (offset + offsetof(struct alloy_swiglu_weights, field))

void alloy_swiglu_params(alloy_params *p, bool shared_expert, size_t offset, int64_t hidden, int64_t intermediate,
                         bool bias)
{
    alloy_param_linear(p, shared_expert ? "shared_expert.gate_proj.weight" : "gate_proj.weight", AT(gate), intermediate,
                       hidden);
    alloy_param_linear(p, shared_expert ? "shared_expert.up_proj.weight" : "up_proj.weight", AT(up), intermediate,
                       hidden);
    alloy_param_linear(p, shared_expert ? "shared_expert.down_proj.weight" : "down_proj.weight", AT(down), hidden,
                       intermediate);
    if (!bias)
        return;
    alloy_param(p, "gate_proj.bias", AT(gate_bias), ALLOY_SHAPE(intermediate), ALLOY_INIT_ZEROS);
    alloy_param(p, "up_proj.bias", AT(up_bias), ALLOY_SHAPE(intermediate), ALLOY_INIT_ZEROS);
    alloy_param(p, "down_proj.bias", AT(down_bias), ALLOY_SHAPE(hidden), ALLOY_INIT_ZEROS);
}

alloy_tensor *alloy_swiglu_forward(alloy_pass *p, const struct alloy_swiglu_weights *w, alloy_tensor *x, double limit)
{
    alloy_tensor *gate = alloy_linear(p, x, w->gate, w->gate_bias);
    alloy_tensor *up = alloy_linear(p, x, w->up, w->up_bias);
    return alloy_linear(p, alloy_swiglu_clamped(p, gate, up, limit), w->down, w->down_bias);
}
