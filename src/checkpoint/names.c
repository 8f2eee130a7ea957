/* Names of tensors in files (names.h): what is in front of a layer's part, and the parts by a table. */
#include "checkpoint/names.h"

#include <stdio.h>
#include <string.h>

struct renaming {
    const char *own, *theirs;
};

/* Beginnings of what follows "layers.N."; the first that fits counts. */
static const struct renaming in_layers[] = {
    {"input_layernorm.", "attn_norm."},
    {"post_attention_layernorm.", "ffn_norm."},
    {"attn_hc.", "hc_attn_"},
    {"ffn_hc.", "hc_ffn_"},
    {"self_attn.sinks", "attn.attn_sink"},
    {"self_attn.q_a_proj.", "attn.wq_a."},
    {"self_attn.q_a_norm.", "attn.q_norm."},
    {"self_attn.q_b_proj.", "attn.wq_b."},
    {"self_attn.kv_proj.", "attn.wkv."},
    {"self_attn.kv_norm.", "attn.norm."},
    {"self_attn.o_a_proj.", "attn.wo_a."},
    {"self_attn.o_b_proj.", "attn.wo_b."},
    {"self_attn.compressor.indexer.q_b_proj.", "attn.indexer.wq_b."},
    {"self_attn.compressor.indexer.scorer.", "attn.indexer."},
    {"self_attn.compressor.indexer.kv_proj.", "attn.indexer.compressor.wkv."},
    {"self_attn.compressor.indexer.gate_proj.", "attn.indexer.compressor.wgate."},
    {"self_attn.compressor.indexer.position_bias", "attn.indexer.compressor.ape"},
    {"self_attn.compressor.indexer.kv_norm.", "attn.indexer.compressor.norm."},
    {"self_attn.compressor.kv_proj.", "attn.compressor.wkv."},
    {"self_attn.compressor.gate_proj.", "attn.compressor.wgate."},
    {"self_attn.compressor.position_bias", "attn.compressor.ape"},
    {"self_attn.compressor.kv_norm.", "attn.compressor.norm."},
    {"mlp.gate.e_score_correction_bias", "ffn.gate.bias"},
    {"mlp.shared_experts.gate_proj.", "ffn.shared_experts.w1."},
    {"mlp.shared_experts.down_proj.", "ffn.shared_experts.w2."},
    {"mlp.shared_experts.up_proj.", "ffn.shared_experts.w3."},
    {"mlp.", "ffn."},
};

/* Behind the number of a routed expert. */
static const struct renaming in_experts[] = {
    {"gate_proj.", "w1."},
    {"down_proj.", "w2."},
    {"up_proj.", "w3."},
};

/* Outside the layers; release names, where they are NULL the own one without "model.". */
static const struct {
    const char *own, *deepseek_v4, *release;
} outside[] = {
    {"model.embed_tokens.weight", NULL, "embed.weight"}, {"lm_head.weight", "head.weight", "head.weight"},
    {"model.hc_head.hc_fn", NULL, "hc_head_fn"},         {"model.hc_head.hc_base", NULL, "hc_head_base"},
    {"model.hc_head.hc_scale", NULL, "hc_head_scale"},
};

static const char MODEL[] = "model.", LAYERS[] = "model.layers.", EXPERTS[] = "mlp.experts.",
                  RELEASED_NORM[] = "self_attn.kv_norm.";

static bool begins_with(const char *name, const char *beginning)
{
    return strncmp(name, beginning, strlen(beginning)) == 0;
}

alloy_naming alloy_naming_of(const alloy_weights *weights)
{
    if (alloy_weights_has(weights, "model.language_model.embed_tokens.weight"))
        return ALLOY_NAMING_WRAPPED;
    if (alloy_weights_has(weights, "layers.0.attn_norm.weight"))
        return ALLOY_NAMING_RELEASE;
    if (alloy_weights_has(weights, "model.layers.0.attn_norm.weight"))
        return ALLOY_NAMING_DEEPSEEK_V4;
    return ALLOY_NAMING_OWN;
}

alloy_naming alloy_naming_of_family(const char *model_type)
{
    return strcmp(model_type, "deepseek_v4") == 0 ? ALLOY_NAMING_DEEPSEEK_V4 : ALLOY_NAMING_OWN;
}

static const char *print(char *out, const char *a, int a_size, const char *b, const char *c)
{
    snprintf(out, ALLOY_LONGEST_NAME, "%.*s%s%s", a_size, a, b, c);
    return out;
}

/* `head`: "layers.N." with what is in front; `part`: what follows. */
static const char *rename_in_layer(alloy_naming naming, const char *head, int head_size, const char *part, char *out)
{
    if (naming == ALLOY_NAMING_RELEASE && begins_with(part, RELEASED_NORM))
        return print(out, head, head_size, "attn.kv_norm.", part + strlen(RELEASED_NORM));
    const char *projection = begins_with(part, EXPERTS) ? strchr(part + strlen(EXPERTS), '.') : NULL;
    for (size_t i = 0; projection && i < sizeof in_experts / sizeof *in_experts; i++)
        if (begins_with(projection + 1, in_experts[i].own)) {
            snprintf(out, ALLOY_LONGEST_NAME, "%.*sffn.%.*s%s%s", head_size, head, (int)(projection + 1 - part - 4),
                     part + 4, in_experts[i].theirs, projection + 1 + strlen(in_experts[i].own));
            return out;
        }
    for (size_t i = 0; i < sizeof in_layers / sizeof *in_layers; i++)
        if (begins_with(part, in_layers[i].own))
            return print(out, head, head_size, in_layers[i].theirs, part + strlen(in_layers[i].own));
    return print(out, head, head_size, part, "");
}

void alloy_name_in_model(int64_t layer, const char *attr_name, const char *name, char *out)
{
    if (layer < 0)
        snprintf(out, ALLOY_LONGEST_OWN_NAME, "%s%s.%s", MODEL, attr_name, name);
    else
        snprintf(out, ALLOY_LONGEST_OWN_NAME, "%s%lld.%s.%s", LAYERS, (long long)layer, attr_name, name);
}

const char *alloy_name_in_files(alloy_naming naming, const char *name, char *out)
{
    if (naming == ALLOY_NAMING_OWN)
        return name;
    if (naming == ALLOY_NAMING_WRAPPED)
        return begins_with(name, MODEL) ? print(out, "", 0, "model.language_model.", name + strlen(MODEL)) : name;
    bool release = naming == ALLOY_NAMING_RELEASE;
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        if (strcmp(name, outside[i].own) == 0)
            return release ? outside[i].release : outside[i].deepseek_v4 ? outside[i].deepseek_v4 : name;
    const char *head = release && begins_with(name, MODEL) ? name + strlen(MODEL) : name;
    const char *part = begins_with(name, LAYERS) ? strchr(name + strlen(LAYERS), '.') : NULL;
    return part ? rename_in_layer(naming, head, (int)(part + 1 - head), part + 1, out) : head;
}
