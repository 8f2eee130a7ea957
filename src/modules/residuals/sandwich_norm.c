/* sandwich_norm: one stream, a norm before each module and one of its output (arXiv:2105.13290; Gemma-3's layer):
 * h = h + norm(module(norm(h))). post_attention_layernorm is here the norm of the mixer's output, where in pre_norm it
 * is the one before the FFN. */
#include "modules/modules.h"

static const alloy_slot *slots(const void *shape, int64_t layer)
{
    static const alloy_slot list[] = {
        {ALLOY_SLOT_READ, "attn_hc"},
        {ALLOY_SLOT_NORM, "input_layernorm"},
        {ALLOY_SLOT_MIXER, NULL},
        {ALLOY_SLOT_NORM, "post_attention_layernorm"},
        {ALLOY_SLOT_ADD, NULL},
        {ALLOY_SLOT_READ, "ffn_hc"},
        {ALLOY_SLOT_NORM, "pre_feedforward_layernorm"},
        {ALLOY_SLOT_FFN, NULL},
        {ALLOY_SLOT_NORM, "post_feedforward_layernorm"},
        {ALLOY_SLOT_ADD, NULL},
        {ALLOY_SLOT_END, NULL},
    };
    (void)shape, (void)layer;
    return list;
}

const alloy_residual alloy_sandwich_norm = {
    .name = "sandwich_norm",
    .summary = "h = h + norm(module(norm(h))), in one stream",
    .slots = slots,
};
