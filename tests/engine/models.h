/* What the tests of the engine share: the reference cases as models with sessions, runs of them, and copies of them
 * that differ in some tensors. */
#ifndef ALLOY_TESTS_MODELS_H
#define ALLOY_TESTS_MODELS_H

#include "support.h"

#include "alloy/alloy.h"
#include "files/safetensors.h"

#define GOLDEN(name) ALLOY_SOURCE_DIR "/tests/golden/" name

/* From the names of save_pretrained to those that transformers has in memory. */
static const char *const names_in_memory[] = {".hc_attn_",
                                              ".attn_hc.",
                                              ".hc_ffn_",
                                              ".ffn_hc.",
                                              ".attn_norm.",
                                              ".input_layernorm.",
                                              ".ffn_norm.",
                                              ".post_attention_layernorm.",
                                              ".attn.indexer.compressor.",
                                              ".attn.compressor.indexer.",
                                              ".attn.indexer.weights_proj.",
                                              ".attn.compressor.indexer.scorer.weights_proj.",
                                              ".attn.indexer.",
                                              ".attn.compressor.indexer.",
                                              ".attn.",
                                              ".self_attn.",
                                              ".ffn.",
                                              ".mlp.",
                                              ".attn_sink",
                                              ".sinks",
                                              ".ape",
                                              ".position_bias",
                                              ".wq_a.",
                                              ".q_a_proj.",
                                              ".wq_b.",
                                              ".q_b_proj.",
                                              ".wkv.",
                                              ".kv_proj.",
                                              ".wgate.",
                                              ".gate_proj.",
                                              ".wo_a.",
                                              ".o_a_proj.",
                                              ".wo_b.",
                                              ".o_b_proj.",
                                              ".q_norm.",
                                              ".q_a_norm.",
                                              ".norm.",
                                              ".kv_norm.",
                                              ".gate.bias",
                                              ".gate.e_score_correction_bias",
                                              ".w1.",
                                              ".gate_proj.",
                                              ".w2.",
                                              ".down_proj.",
                                              ".w3.",
                                              ".up_proj.",
                                              "model.kv_norm.",
                                              "model.norm.",
                                              "head.",
                                              "lm_head.",
                                              NULL};

/* From the names of save_pretrained to DeepSeek's own. */
static const char *const released_names[] = {
    "model.embed_tokens.", "embed.", "model.hc_head.hc_", "hc_head_", "model.", "", ".attn.norm.",
    ".attn.kv_norm.",      NULL};

static inline alloy_model *open_model(const char *folder)
{
    alloy_model *model;
    expect_ok(alloy_model_open(&model, folder, NULL));
    return model;
}

static inline alloy_session *open_session(const alloy_model *model, int threads, int64_t chunk, const char *cpu)
{
    alloy_session *session;
    expect_ok(
        alloy_session_open(&session, model,
                           &(alloy_session_options){
                               .size = sizeof(alloy_session_options), .threads = threads, .chunk = chunk, .cpu = cpu}));
    return session;
}

static inline alloy_cache *open_cache(const alloy_session *session)
{
    alloy_cache *cache;
    expect_ok(alloy_cache_open(&cache, session, 0));
    return cache;
}

/* Ids that look random, of a vocabulary of at least 256. */
static inline void fill_ids(int64_t *ids, int64_t count, uint32_t seed)
{
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        ids[i] = seed >> 24;
    }
}

/* Logits [count, vocab] of `ids` behind what the cache holds. */
static inline void run_all(alloy_session *session, alloy_cache *cache, const int64_t *ids, int64_t count, float *logits)
{
    expect_ok(
        alloy_forward(session, &(alloy_sequence){cache, ids, count}, 1, logits,
                      &(alloy_forward_options){.size = sizeof(alloy_forward_options), .logits = ALLOY_LOGITS_ALL}));
}

/* The same on an empty cache; free() the result. */
static inline float *logits_of(alloy_session *session, const int64_t *ids, int64_t count)
{
    float *logits = malloc((size_t)(count * alloy_model_vocab_size(alloy_session_model(session))) * sizeof *logits);
    assert_non_null(logits);
    alloy_cache *cache = open_cache(session);
    run_all(session, cache, ids, count, logits);
    alloy_cache_close(cache);
    return logits;
}

/* Logits of the last of `count` tokens, in a session of its own on a model just opened; free() the result. */
static inline float *last_logits(const char *folder, const alloy_load_options *options, const int64_t *ids,
                                 int64_t count)
{
    alloy_model *model;
    expect_ok(alloy_model_open(&model, folder, options));
    float *logits = malloc((size_t)alloy_model_vocab_size(model) * sizeof *logits);
    assert_non_null(logits);
    alloy_session *session = open_session(model, 1, 0, NULL);
    alloy_cache *cache = open_cache(session);
    expect_ok(alloy_forward(session, &(alloy_sequence){cache, ids, count}, 1, logits, NULL));
    alloy_cache_close(cache);
    alloy_session_close(session);
    alloy_model_close(model);
    return logits;
}

/* Bits are equal; the first number that is not is printed. */
static inline void expect_same_bits(const float *actual, const float *expected, int64_t count, const char *what)
{
    for (int64_t i = 0; i < count; i++)
        if (memcmp(&actual[i], &expected[i], sizeof *actual) != 0)
            fail_msg("%s: number %lld is %.9g (%a), expected %.9g (%a)", what, (long long)i, (double)actual[i],
                     (double)actual[i], (double)expected[i], (double)expected[i]);
}

/* Logits of `folder` are those of `reference`, a golden case, bit for bit. */
static inline void expect_same_model(const char *folder, const alloy_load_options *options, const char *reference)
{
    enum { TOKENS_OF_EACH = 40, VOCAB_OF_EACH = 256 };
    int64_t ids[TOKENS_OF_EACH];
    fill_ids(ids, TOKENS_OF_EACH, 9);
    float *logits = last_logits(folder, options, ids, TOKENS_OF_EACH),
          *expected = last_logits(reference, NULL, ids, TOKENS_OF_EACH);
    expect_same_bits(logits, expected, VOCAB_OF_EACH, folder);
    free(logits);
    free(expected);
}

/* A model's tensors, to be changed and written elsewhere. Data is the source file's until changed. */
enum { MOST_TENSORS = 1024 };

struct model_copy {
    alloy_safetensors source;
    alloy_saved_tensor tensors[MOST_TENSORS];
    int64_t count;
    void *made[MOST_TENSORS]; /* names and data that are the copy's own */
    int made_count;
};

static inline void *make(struct model_copy *copy, size_t size)
{
    assert_true(copy->made_count < MOST_TENSORS);
    return copy->made[copy->made_count++] = calloc(size ? size : 1, 1);
}

/* Of a folder with one model.safetensors. */
static inline void begin_copy(struct model_copy *copy, const char *folder)
{
    memset(copy, 0, sizeof *copy);
    expect_ok(alloy_safetensors_open(&copy->source, path_in(folder, "model.safetensors"), true));
    assert_true(copy->source.count < MOST_TENSORS);
    for (int64_t i = 0; i < copy->source.count; i++) {
        const alloy_stored_tensor *t = &copy->source.tensors[i];
        alloy_saved_tensor *saved = &copy->tensors[copy->count++];
        *saved = (alloy_saved_tensor){.name = t->name, .dtype = t->dtype, .ndim = t->ndim, .data = t->data};
        memcpy(saved->shape, t->shape, sizeof saved->shape);
    }
}

static inline alloy_saved_tensor *tensor_in(struct model_copy *copy, const char *name)
{
    for (int64_t i = 0; i < copy->count; i++)
        if (strcmp(copy->tensors[i].name, name) == 0)
            return &copy->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static inline void remove_tensor(struct model_copy *copy, const char *name)
{
    alloy_saved_tensor *removed = tensor_in(copy, name);
    *removed = copy->tensors[--copy->count];
}

static inline alloy_saved_tensor *add_tensor(struct model_copy *copy, const char *name, alloy_dtype dtype, int ndim,
                                             const uint64_t *shape)
{
    assert_true(copy->count < MOST_TENSORS);
    alloy_saved_tensor *t = &copy->tensors[copy->count++];
    size_t elements = 1;
    for (int i = 0; i < ndim; i++)
        elements *= (size_t)shape[i];
    char *own_name = make(copy, strlen(name) + 1);
    strcpy(own_name, name);
    *t = (alloy_saved_tensor){.name = own_name,
                              .dtype = dtype,
                              .ndim = ndim,
                              .data = make(copy, elements * (size_t)alloy_dtype_bits(dtype) / 8)};
    memcpy(t->shape, shape, (size_t)ndim * sizeof *shape);
    return t;
}

/* Text in place of another, in the order of the pairs; ends with NULL. */
static inline void rename_tensors(struct model_copy *copy, const char *const *pairs)
{
    for (int64_t i = 0; i < copy->count; i++) {
        char name[256], changed[256];
        snprintf(name, sizeof name, "%s", copy->tensors[i].name);
        for (const char *const *pair = pairs; *pair; pair += 2) {
            char *at = strstr(name, pair[0]);
            if (!at || (pair[0][0] != '.' && at != name))
                continue;
            snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - name), name, pair[1], at + strlen(pair[0]));
            memcpy(name, changed, sizeof name);
        }
        char *own = make(copy, strlen(name) + 1);
        copy->tensors[i].name = strcpy(own, name);
    }
}

/* Writes the copy with `config` (a whole config.json; NULL: that of the folder `from`) and forgets it. */
static inline void end_copy(struct model_copy *copy, const char *from, const char *config, const char *folder)
{
    expect_ok(alloy_safetensors_write_model(folder, copy->tensors, copy->count, 0));
    if (config) {
        write_text(folder, "config.json", config);
    } else {
        size_t size;
        char *text = read_whole(path_in(from, "config.json"), &size);
        write_file(folder, "config.json", text, size);
        free(text);
    }
    for (int i = 0; i < copy->made_count; i++)
        free(copy->made[i]);
    alloy_safetensors_close(&copy->source);
}

/* GOLDEN("qwen3_5") as the text of a multimodal model: under its names, with a tensor of what else such a model has. */
static inline void write_multimodal(const char *folder)
{
    struct model_copy copy;
    size_t size;
    begin_copy(&copy, GOLDEN("qwen3_5"));
    for (int64_t i = 0; i < copy.count; i++) {
        if (strncmp(copy.tensors[i].name, "model.", 6) != 0)
            continue;
        char *name = make(&copy, strlen(copy.tensors[i].name) + 32);
        sprintf(name, "model.language_model.%s", copy.tensors[i].name + 6);
        copy.tensors[i].name = name;
    }
    add_tensor(&copy, "model.visual.pos_embed.weight", ALLOY_F32, 1, (uint64_t[]){4});
    char *text = read_whole(path_in(GOLDEN("qwen3_5"), "config.json"), &size);
    char *config = malloc(size + 128);
    assert_non_null(config);
    sprintf(config, "{\"model_type\": \"qwen3_5\", \"vision_config\": {\"depth\": 1}, \"text_config\": %s}", text);
    end_copy(&copy, GOLDEN("qwen3_5"), config, folder);
    free(text);
    free(config);
}

#endif
