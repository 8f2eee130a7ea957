/* The list of families, and what several of them share (families.h). */
#include "config/families/families.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/names.h"
#include "base/status.h"

static const alloy_family *const families[] = {
    &alloy_family_alloy,
    &alloy_family_qwen3,
    &alloy_family_qwen3_moe,
    &alloy_family_qwen3_next,
    &alloy_family_qwen3_5,
    &alloy_family_qwen3_5_text,
    &alloy_family_qwen3_5_moe,
    &alloy_family_qwen3_5_moe_text,
    &alloy_family_llama,
    &alloy_family_qwen2,
    &alloy_family_mistral,
    &alloy_family_deepseek_v4,
    NULL,
};

enum { MOST_FAMILIES = sizeof families / sizeof families[0] };

static alloy_status unknown_family(const char *model_type)
{
    const char *names[MOST_FAMILIES];
    char listed[256];
    size_t used = 0, count = 0;
    for (; families[count] && used < sizeof listed; count++) {
        names[count] = families[count]->model_type;
        used += (size_t)snprintf(listed + used, sizeof listed - used, "%s%s", count ? ", " : "", names[count]);
    }
    const char *nearest = alloy_nearest_name(model_type, names, count);
    return alloy_fail(ALLOY_FORMAT, "model_type \"%s\" is unknown, expected one of: %s%s%s%s",
                      alloy_printable(model_type, strlen(model_type)), listed, nearest ? "; did you mean \"" : "",
                      nearest ? nearest : "", nearest ? "\"?" : "");
}

alloy_status alloy_family_find(const alloy_family **out, const char *model_type)
{
    for (int i = 0; families[i]; i++) {
        if (strcmp(families[i]->model_type, model_type) == 0) {
            *out = families[i];
            return ALLOY_OK;
        }
    }
    return unknown_family(model_type);
}

/* ---- What several families share --------------------------------------------------------------------------------- */

void alloy_drop_unused_window(alloy_source *source)
{
    if (!source->use_sliding_window)
        alloy_source_clear(source, "sliding_window");
}

static int compare_layers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

bool alloy_layer_is_sparse(const alloy_source *source, int64_t layer)
{
    const alloy_integers *dense = &source->mlp_only_layers;
    if (alloy_source_integer(source, "num_experts") == 0 || (layer + 1) % source->decoder_sparse_step != 0)
        return false;
    return dense->count == 0 || !bsearch(&layer, dense->items, (size_t)dense->count, sizeof layer, compare_layers);
}

const char *const alloy_hybrid_mixers[] = {"full_attention", "qwen3_attention", "linear_attention", "qwen3_5_gdn",
                                           NULL};

const char *alloy_hybrid_mixer_at(const alloy_source *source, int64_t layer)
{
    return (layer + 1) % source->full_attention_interval ? "qwen3_5_gdn" : "qwen3_attention";
}

void alloy_set_hybrid(alloy_source *source)
{
    alloy_source_set(source, "attn_output_gate", true);
    alloy_source_set(source, "rms_norm_unit_offset", true);
}

void alloy_warn_if_unused(const alloy_config_reader *reader, const alloy_source *source, const char *key)
{
    const struct alloy_config_extra *extra = source->config.extra;
    for (int64_t i = 0; i < extra->count; i++)
        if (alloy_json_key_is(&extra->fields[i].key, key) && extra->fields[i].value.bytes[0] != 'n')
            alloy_warn("%s: ignored: %s (%s has no such field)", alloy_printable(reader->name, strlen(reader->name)),
                       key, reader->family->model_type);
}
