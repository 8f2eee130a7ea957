/* The list of a layer's slots (extend.h): which list a layer has, and what makes one sound. */
#include "base/status.h"
#include "modules/modules.h"

/* The list of most families: a norm before each module. */
static const alloy_slot norms_before[] = {
    {ALLOY_SLOT_READ, "attn_hc"}, {ALLOY_SLOT_NORM, "input_layernorm"},
    {ALLOY_SLOT_MIXER, NULL},     {ALLOY_SLOT_ADD, NULL},
    {ALLOY_SLOT_READ, "ffn_hc"},  {ALLOY_SLOT_NORM, "post_attention_layernorm"},
    {ALLOY_SLOT_FFN, NULL},       {ALLOY_SLOT_ADD, NULL},
    {ALLOY_SLOT_END, NULL},
};

int64_t alloy_residual_streams(const alloy_residual *residual, const void *shape)
{
    return residual->streams ? residual->streams(shape) : 1;
}

const alloy_slot *alloy_slots_of(const alloy_residual *residual, const void *shape, int64_t layer)
{
    return residual->slots ? residual->slots(shape, layer) : norms_before;
}

#define A(kind) (1u << ALLOY_SLOT_##kind)
enum { X = A(READ) | A(NORM) | A(MIXER) | A(FFN), MODULE = A(MIXER) | A(FFN), SUM = A(ADD) | A(NORM_STREAM) };

/* What each kind may stand after; END: at the beginning. */
static const unsigned may_follow[] = {
    [ALLOY_SLOT_END] = SUM,
    [ALLOY_SLOT_READ] = A(END) | SUM | A(BESIDE),
    [ALLOY_SLOT_NORM] = X | A(BESIDE),
    [ALLOY_SLOT_MIXER] = X | A(BESIDE),
    [ALLOY_SLOT_FFN] = X | A(BESIDE),
    [ALLOY_SLOT_BESIDE] = MODULE | A(NORM),
    [ALLOY_SLOT_ADD] = MODULE | A(NORM),
    [ALLOY_SLOT_NORM_STREAM] = A(ADD),
};

/* Has the kind parameters under the slot's name? */
static const unsigned named = A(READ) | A(NORM) | A(NORM_STREAM);

static alloy_status fail_at(const alloy_residual *residual, int at, const alloy_slot *slot, const char *what)
{
    return alloy_fail(ALLOY_ARG, "residual %s: slot %d of its list, of kind %d, %s", residual->name, at,
                      (int)slot->kind, what);
}

alloy_status alloy_slots_check(const alloy_residual *residual, const alloy_slot *slots)
{
    alloy_slot_kind before = ALLOY_SLOT_END;
    bool module = false; /* since the last READ */
    int mixers = 0, ffns = 0;
    for (int i = 0; i <= ALLOY_MOST_SLOTS; i++) {
        const alloy_slot *slot = &slots[i];
        unsigned kind = slot->kind <= ALLOY_SLOT_NORM_STREAM ? 1u << slot->kind : 0;
        if (!kind || !(may_follow[slot->kind] & 1u << before) || ((kind & (A(BESIDE) | A(ADD))) && !module))
            return fail_at(residual, i, slot, "cannot stand there");
        if ((kind & named) && !slot->name)
            return fail_at(residual, i, slot, "has no name");
        mixers += slot->kind == ALLOY_SLOT_MIXER;
        ffns += slot->kind == ALLOY_SLOT_FFN;
        if (slot->kind == ALLOY_SLOT_END)
            return mixers == 1 && ffns == 1
                       ? ALLOY_OK
                       : alloy_fail(ALLOY_ARG, "residual %s: its list has %d mixers and %d FFNs, expected one of each",
                                    residual->name, mixers, ffns);
        module = (kind & MODULE) || (module && slot->kind != ALLOY_SLOT_READ);
        before = slot->kind;
    }
    return alloy_fail(ALLOY_ARG, "residual %s: its list has more than %d slots", residual->name, ALLOY_MOST_SLOTS);
}

alloy_slot_kind alloy_slot_module(const alloy_slot *slots, int at)
{
    int i = at;
    while (!(1u << slots[i].kind & (MODULE | A(ADD) | A(END))) && (i == at || slots[i].kind != ALLOY_SLOT_READ))
        i++;
    while (i > 0 && !(1u << slots[i].kind & MODULE))
        i--;
    return slots[i].kind;
}
