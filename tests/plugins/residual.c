/* A plug-in's residual, "gated_sum": h = h + y * sigmoid(h . gate + bias), with norms before each module and after the
 * mixer. */
#include <alloy/extend.h>
#include <stddef.h>

struct weights {
    const alloy_weight *gate, *bias;
};

static const alloy_slot list[] = {
    {ALLOY_SLOT_READ, "mixer_gate"},
    {ALLOY_SLOT_NORM, "input_layernorm"},
    {ALLOY_SLOT_MIXER, NULL},
    {ALLOY_SLOT_NORM, "mixer_output_norm"},
    {ALLOY_SLOT_ADD, NULL},
    {ALLOY_SLOT_READ, "ffn_gate"},
    {ALLOY_SLOT_NORM, "pre_feedforward_norm"},
    {ALLOY_SLOT_FFN, NULL},
    {ALLOY_SLOT_ADD, NULL},
    {ALLOY_SLOT_END, NULL},
};

struct shape {
    int64_t hidden_size;
};

static const alloy_field fields[] = {ALLOY_FIELD(struct shape, hidden_size, INTEGER), {0}};

static const alloy_slot *slots(const void *shape, int64_t layer)
{
    (void)shape;
    (void)layer;
    return list;
}

static alloy_status check(void *shape)
{
    const struct shape *s = shape;
    return alloy_config_require("hidden_size", s->hidden_size, 8, 1024);
}

static void params(alloy_params *p, const void *shape)
{
    const struct shape *s = shape;
    alloy_param_linear(p, "gate.weight", offsetof(struct weights, gate), 1, s->hidden_size);
    alloy_param(p, "gate.bias", offsetof(struct weights, bias), ALLOY_SHAPE(1), ALLOY_INIT_ONES | ALLOY_KEEPS_F32);
}

static alloy_tensor *before(alloy_pass *p, const void *shape, const void *weights, alloy_tensor *h,
                            alloy_tensor **carry)
{
    const struct weights *w = weights;
    (void)shape;
    *carry = alloy_linear(p, h, w->gate, w->bias);
    return h;
}

static alloy_tensor *after(alloy_pass *p, const void *shape, const void *weights, alloy_tensor *h, alloy_tensor *carry,
                           alloy_tensor *y)
{
    (void)shape;
    (void)weights;
    return alloy_add(p, h, alloy_mul_sigmoid(p, y, carry));
}

static const alloy_residual gated_sum = {
    .name = "gated_sum",
    .summary = "h = h + y * sigmoid(h . gate)",
    .weights_size = sizeof(struct weights),
    .fields = fields,
    .shape_size = sizeof(struct shape),
    .check = check,
    .slots = slots,
    .params = params,
    .before = before,
    .after = after,
};

ALLOY_PLUGIN("residual")
{
    return alloy_register_residual(&gated_sum);
}
