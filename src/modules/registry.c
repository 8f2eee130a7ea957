/* The registry: modules that are built in, one row each, and those that plug-ins add. Lookups may run beside each
 * other; adding is done before models are opened, under a lock. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/names.h"
#include "base/status.h"
#include "base/text.h"
#include "modules/modules.h"

extern const alloy_mixer alloy_qwen3_attention, alloy_qwen3_attention_sliding, alloy_llama_attention,
    alloy_llama_attention_sliding, alloy_qwen3_5_gdn, alloy_dsv4_sliding_attention, alloy_dsv4_hca_attention,
    alloy_dsv4_csa_attention;
extern const alloy_ffn alloy_qwen3_mlp, alloy_qwen3_moe, alloy_qwen3_5_moe, alloy_dsv4_moe, alloy_dsv4_hash_moe;
extern const alloy_residual alloy_pre_norm, alloy_mhc;

enum { MOST_MODULES = 256 };

static const alloy_mixer *mixers[MOST_MODULES] = {
    &alloy_qwen3_attention,    &alloy_qwen3_attention_sliding, &alloy_qwen3_5_gdn,
    &alloy_llama_attention,    &alloy_llama_attention_sliding, &alloy_dsv4_sliding_attention,
    &alloy_dsv4_hca_attention, &alloy_dsv4_csa_attention,
};

static const alloy_ffn *ffns[MOST_MODULES] = {
    &alloy_qwen3_mlp, &alloy_qwen3_moe, &alloy_qwen3_5_moe, &alloy_dsv4_moe, &alloy_dsv4_hash_moe,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

const alloy_mixer *alloy_mixer_at(int index)
{
    return index >= 0 && index < MOST_MODULES ? mixers[index] : NULL;
}

const alloy_ffn *alloy_ffn_at(int index)
{
    return index >= 0 && index < MOST_MODULES ? ffns[index] : NULL;
}

/* FORMAT: "unknown mixer "x"; did you mean "y"? Known: a, b, c". */
static void fail_unknown(const char *kind, const char *name, const char *const *known, size_t count)
{
    alloy_text list = {0};
    for (size_t i = 0; i < count; i++)
        alloy_text_format(&list, "%s%s", i ? ", " : "", known[i]);
    const char *nearest = alloy_nearest_name(name, known, count);
    alloy_fail(ALLOY_FORMAT, "unknown %s \"%s\"%s%s%s; known: %s", kind, alloy_printable(name, strlen(name)),
               nearest ? ", did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "", alloy_text_get(&list));
    alloy_text_free(&list);
}

const alloy_mixer *alloy_mixer_by_name(const char *name)
{
    const char *known[MOST_MODULES];
    size_t count = 0;
    for (; count < MOST_MODULES && mixers[count]; count++) {
        if (strcmp(mixers[count]->name, name) == 0)
            return mixers[count];
        known[count] = mixers[count]->name;
    }
    fail_unknown("layer type", name, known, count);
    return NULL;
}

const alloy_ffn *alloy_ffn_by_name(const char *name)
{
    const char *known[MOST_MODULES];
    size_t count = 0;
    for (; count < MOST_MODULES && ffns[count]; count++) {
        if (strcmp(ffns[count]->name, name) == 0)
            return ffns[count];
        known[count] = ffns[count]->name;
    }
    fail_unknown("ffn type", name, known, count);
    return NULL;
}

static alloy_status fail_incomplete(const char *kind, const char *name)
{
    return alloy_fail(ALLOY_ARG, "%s %s: name, attr_name, params, forward and weights_size are needed", kind,
                      name ? name : "(no name)");
}

alloy_status alloy_register_mixer(const alloy_mixer *mixer)
{
    if (!mixer->name || !mixer->attr_name || !mixer->params || !mixer->forward || mixer->weights_size == 0)
        return fail_incomplete("mixer", mixer->name);
    alloy_status status = ALLOY_OK;
    pthread_mutex_lock(&lock);
    int i = 0;
    for (; mixers[i] && !status; i++)
        if (strcmp(mixers[i]->name, mixer->name) == 0)
            status = alloy_fail(ALLOY_ARG, "mixer %s: a mixer of this name exists", mixer->name);
    if (!status && i == MOST_MODULES - 1)
        status = alloy_fail(ALLOY_LIMIT, "mixer %s: at most %d mixers", mixer->name, MOST_MODULES - 1);
    if (!status)
        mixers[i] = mixer;
    pthread_mutex_unlock(&lock);
    return status;
}

alloy_status alloy_register_ffn(const alloy_ffn *ffn)
{
    if (!ffn->name || !ffn->attr_name || !ffn->params || !ffn->forward || ffn->weights_size == 0)
        return fail_incomplete("ffn", ffn->name);
    alloy_status status = ALLOY_OK;
    pthread_mutex_lock(&lock);
    int i = 0;
    for (; ffns[i] && !status; i++)
        if (strcmp(ffns[i]->name, ffn->name) == 0)
            status = alloy_fail(ALLOY_ARG, "ffn %s: an ffn of this name exists", ffn->name);
    if (!status && i == MOST_MODULES - 1)
        status = alloy_fail(ALLOY_LIMIT, "ffn %s: at most %d ffns", ffn->name, MOST_MODULES - 1);
    if (!status)
        ffns[i] = ffn;
    pthread_mutex_unlock(&lock);
    return status;
}

const alloy_residual *alloy_residual_of(const alloy_config *config)
{
    return config->use_mhc ? &alloy_mhc : &alloy_pre_norm;
}

static alloy_status check_layer(const alloy_layer *layer)
{
    const alloy_mixer *mixer = alloy_mixer_by_name(layer->mixer);
    const alloy_ffn *ffn = mixer ? alloy_ffn_by_name(layer->ffn) : NULL;
    if (!ffn)
        return alloy_last_status();
    alloy_status status = mixer->check ? mixer->check(layer->mixer_config) : ALLOY_OK;
    return status ? status : ffn->check ? ffn->check(layer->ffn_config) : ALLOY_OK;
}

alloy_status alloy_modules_check(const alloy_config *config)
{
    for (int64_t i = 0; i < config->num_hidden_layers; i++) {
        alloy_status status = check_layer(&config->layers[i]);
        if (status) {
            char where[48];
            snprintf(where, sizeof where, "layer %lld", (long long)i);
            return alloy_fail_in(status, where);
        }
    }
    return ALLOY_OK;
}
