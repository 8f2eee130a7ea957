/* Lists of slots, built-in ones and others that families have, for tests. */
#ifndef ALLOY_TESTS_LISTS_H
#define ALLOY_TESTS_LISTS_H

#include "support.h"

#include "alloy/extend.h"
#include "modules/modules.h"

enum { LAYERS = 3, HIDDEN = 48, VOCAB = 256, TOKENS = 70 };

#define EPS 1e-5
#define CONFIG(residual)                                                                                               \
    "{\"model_type\": \"alloy\", \"vocab_size\": 256, \"hidden_size\": 48, \"layer_types\": {\"pattern\": "            \
    "[\"qwen3_attention\"], \"repeat\": 3}, \"ffn_types\": {\"pattern\": [\"qwen3_mlp\"], \"repeat\": 3}, "            \
    "\"intermediate_size\": 80, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 16, "            \
    "\"max_position_embeddings\": 256, \"rms_norm_eps\": 1e-5, \"initializer_range\": 0.1, \"dtype\": "                \
    "\"float32\"" residual "}"
#define RESIDUAL(name) CONFIG(", \"residual_mode\": \"" name "\"")

/* Keel's: norms before the modules and of the sums; the first layer is plain. */
static const alloy_slot of_sums[] = {{ALLOY_SLOT_READ, "attn_hc"},
                                     {ALLOY_SLOT_NORM, "input_layernorm"},
                                     {ALLOY_SLOT_MIXER, NULL},
                                     {ALLOY_SLOT_ADD, NULL},
                                     {ALLOY_SLOT_NORM_STREAM, "mixer_sum_norm"},
                                     {ALLOY_SLOT_READ, "ffn_hc"},
                                     {ALLOY_SLOT_NORM, "post_attention_layernorm"},
                                     {ALLOY_SLOT_FFN, NULL},
                                     {ALLOY_SLOT_ADD, NULL},
                                     {ALLOY_SLOT_NORM_STREAM, "ffn_sum_norm"},
                                     {ALLOY_SLOT_END, NULL}};

static inline const alloy_slot *plain_then_of_sums(const void *shape, int64_t layer)
{
    return layer > 0 ? of_sums : alloy_slots_of(alloy_residual_by_name("pre_norm"), shape, layer);
}

/* Both modules beside each other, behind one norm. */
static const alloy_slot beside[] = {{ALLOY_SLOT_READ, "attn_hc"}, {ALLOY_SLOT_NORM, "input_layernorm"},
                                    {ALLOY_SLOT_MIXER, NULL},     {ALLOY_SLOT_BESIDE, NULL},
                                    {ALLOY_SLOT_FFN, NULL},       {ALLOY_SLOT_ADD, NULL},
                                    {ALLOY_SLOT_END, NULL}};

/* Beside each other, each behind a norm of its own, the FFN first. */
static const alloy_slot beside_norms[] = {{ALLOY_SLOT_READ, "ffn_hc"},  {ALLOY_SLOT_NORM, "ffn_norm"},
                                          {ALLOY_SLOT_FFN, NULL},       {ALLOY_SLOT_BESIDE, NULL},
                                          {ALLOY_SLOT_READ, "attn_hc"}, {ALLOY_SLOT_NORM, "input_layernorm"},
                                          {ALLOY_SLOT_MIXER, NULL},     {ALLOY_SLOT_NORM, "output_norm"},
                                          {ALLOY_SLOT_ADD, NULL},       {ALLOY_SLOT_END, NULL}};

#define ALWAYS(list)                                                                                                   \
    static inline const alloy_slot *always_##list(const void *shape, int64_t layer)                                    \
    {                                                                                                                  \
        (void)shape, (void)layer;                                                                                      \
        return list;                                                                                                   \
    }
ALWAYS(beside)
ALWAYS(beside_norms)

/* Three layers of each; those without a list are built in. */
static const struct {
    alloy_residual residual;
    const char *config;
    int norms, sums; /* of a row, that the layers have */
} lists[] = {
    {{.name = "pre_norm"}, CONFIG(""), 2 * 3, 2 * 3},
    {{.name = "sandwich_norm"}, RESIDUAL("sandwich_norm"), 4 * 3, 2 * 3},
    {{.name = "test_of_sums", .slots = plain_then_of_sums}, RESIDUAL("test_of_sums"), 2 + 4 * 2, 2 * 3},
    {{.name = "test_beside", .slots = always_beside}, RESIDUAL("test_beside"), 1 * 3, 2 * 3},
    {{.name = "test_beside_norms", .slots = always_beside_norms}, RESIDUAL("test_beside_norms"), 3 * 3, 2 * 3},
};
enum { LISTS = sizeof lists / sizeof *lists };

static inline int register_lists(void **state)
{
    (void)state;
    for (int i = 0; i < LISTS; i++)
        if (lists[i].residual.slots)
            expect_ok(alloy_register_residual(&lists[i].residual));
    return 0;
}

#endif
