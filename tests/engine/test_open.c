/* Opening a model: what is refused and in which words, what is not, how little memory it takes; and that the same
 * weights give the same bits however they are read and stored. */
#include "engine/models.h"

#include <math.h>
#include <signal.h>

#include "alloy/extend.h"
#include "attacks/spoiled_model.h"

enum { TOKENS = 40, VOCAB = 256, WIDTH = 64 };

/* Opens a copy of `model` that is spoiled. */
static alloy_status open_spoiled(alloy_model **out, const char *model, const struct spoil *spoil,
                                 const alloy_load_options *options)
{
    char *folder = test_folder();
    spoil_model(folder, model, spoil);
    alloy_status status = alloy_model_open(out, folder, options);
    remove_folder(folder); /* what is mapped stays readable */
    return status;
}

/* ---- S20: numbers that are none ---------------------------------------------------------------------------------- */

/* Opening a mapped model reads no weight, so it cannot tell, and one that was read warns; the forward tells which
 * weight is to blame, and leaves no cache that looks filled. */
static void expect_not_finite(const char *folder, const char *name, float value)
{
    alloy_model *model;
    struct warnings warnings;
    char found[256];
    snprintf(found, sizeof found, "%s at [0", isnan(value) ? "NaN" : value > 0 ? "hold infinity" : "-infinity");
    collect_warnings(&warnings);
    expect_ok(open_spoiled(&model, folder, &(struct spoil){.fill = name, .value = value},
                           &(alloy_load_options){.size = sizeof(alloy_load_options), .no_mmap = true}));
    alloy_model_close(model);
    alloy_set_log(NULL, NULL);
    assert_int_equal(warnings.count, 1);
    assert_true(strstr(warnings.text, name) && strstr(warnings.text, found));

    collect_warnings(&warnings);
    expect_ok(open_spoiled(&model, folder, &(struct spoil){.fill = name, .value = value}, NULL));
    alloy_set_log(NULL, NULL);
    assert_int_equal(warnings.count, 0);
    alloy_session *session = open_session(model, 1, 0, NULL);
    alloy_cache *cache = open_cache(session);
    int64_t ids[5] = {3, 1, 4, 1, 5};
    float logits[VOCAB];
    expect_failure(alloy_forward(session, &(alloy_sequence){cache, ids, 5}, 1, logits, NULL), ALLOY_RANGE, "not finite",
                   found, name);
    assert_int_equal(alloy_cache_length(cache), 0);
    alloy_cache_close(cache);
    alloy_session_close(session);
    alloy_model_close(model);
}

static void s20_weights_that_are_not_finite_load_and_stop_the_forward(void **state)
{
    (void)state;
    static const char *const names[] = {
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.1.self_attn.v_proj.weight",
        "model.layers.2.mlp.down_proj.weight",
        "model.layers.3.post_attention_layernorm.weight",
        "model.norm.weight",
        "lm_head.weight",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        expect_not_finite(GOLDEN("qwen3"), names[i], NAN);
        expect_not_finite(GOLDEN("qwen3"), names[i], INFINITY);
    }
    expect_not_finite(GOLDEN("qwen3_5"), "model.layers.0.linear_attn.A_log", NAN);
    expect_not_finite(GOLDEN("qwen3_5"), "model.layers.1.linear_attn.conv1d.weight", -INFINITY);
}

static void s20_a_router_that_is_not_finite_stops_the_forward(void **state)
{
    (void)state;
    expect_not_finite(GOLDEN("qwen3_moe"), "model.layers.2.mlp.gate.weight", NAN);
    expect_not_finite(GOLDEN("qwen3_moe"), "model.layers.2.mlp.gate.weight", INFINITY);
}

static alloy_status forward_of(const char *folder, bool no_mmap)
{
    alloy_model *model;
    expect_ok(alloy_model_open(&model, folder,
                               &(alloy_load_options){.size = sizeof(alloy_load_options), .no_mmap = no_mmap}));
    alloy_session *session = open_session(model, 1, 0, NULL);
    alloy_cache *cache = open_cache(session);
    float logits[VOCAB];
    alloy_status status = alloy_forward(session, &(alloy_sequence){cache, (int64_t[]){17}, 1}, 1, logits, NULL);
    alloy_cache_close(cache);
    alloy_session_close(session);
    alloy_model_close(model);
    return status;
}

/* The forward of a copy of `tensor`'s model whose element `element` of `tensor` is `value`. */
static alloy_status forward_with(const char *tensor, size_t element, float value)
{
    char *folder = test_folder();
    struct model_copy copy;
    begin_copy(&copy, GOLDEN("qwen3"));
    const alloy_stored_tensor *stored = alloy_safetensors_find(&copy.source, tensor, strlen(tensor));
    assert_int_equal(stored->dtype, ALLOY_F32);
    uint8_t *data = make(&copy, stored->bytes);
    memcpy(data, stored->data, stored->bytes);
    memcpy(data + 4 * element, &value, 4);
    tensor_in(&copy, tensor)->data = data;
    end_copy(&copy, GOLDEN("qwen3"), NULL, folder);
    alloy_status status = forward_of(folder, false);
    remove_folder(folder);
    return status;
}

static void s20_the_one_bad_element_is_named(void **state)
{
    (void)state;
    expect_failure(forward_with("lm_head.weight", 200 * WIDTH + 63, NAN), ALLOY_RANGE, "a logit is not finite",
                   "NaN at [200, 63] of lm_head.weight");
    expect_failure(forward_with("model.norm.weight", 5, -INFINITY), ALLOY_RANGE,
                   "-infinity at [5] of model.norm.weight");
    expect_ok(forward_with("model.embed_tokens.weight", 18 * WIDTH, NAN)); /* a row that nobody asked for */
}

static void s20_sound_weights_whose_numbers_overflow_are_told(void **state)
{
    (void)state;
    char *folder = test_folder();
    struct warnings warnings;
    spoil_model(folder, GOLDEN("qwen3"), &(struct spoil){.fill = "lm_head.weight", .value = 3e38f});
    collect_warnings(&warnings);
    for (int no_mmap = 0; no_mmap < 2; no_mmap++)
        expect_failure(forward_of(folder, no_mmap), ALLOY_RANGE, folder, "a logit is not finite", "every weight is",
                       "overflow fp32");
    alloy_set_log(NULL, NULL);
    assert_int_equal(warnings.count, 0);
    remove_folder(folder);
}

/* ---- S21: dtypes ------------------------------------------------------------------------------------------------- */

static void s21_dtypes_that_are_unsupported_are_named(void **state)
{
    (void)state;
    static const alloy_dtype dtypes[] = {ALLOY_F8_E5M2, ALLOY_F4, ALLOY_F6_E2M3, ALLOY_U8, ALLOY_F64};
    static const char name[] = "model.layers.1.mlp.up_proj.weight";
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++) {
        alloy_model *model;
        expect_failure(open_spoiled(&model, GOLDEN("qwen3"), &(struct spoil){.retype = name, .dtype = dtypes[i]}, NULL),
                       ALLOY_FORMAT, name, alloy_dtype_name(dtypes[i]), "unsupported", "BF16", "F8_E4M3");
        assert_null(model);
    }
}

/* ---- S22 and S23: tensors that do not fit ------------------------------------------------------------------------ */

static void s22_a_tensor_of_another_shape_is_told_with_both_shapes(void **state)
{
    (void)state;
    alloy_model *model;
    expect_failure(open_spoiled(&model, GOLDEN("qwen3"),
                                &(struct spoil){.reshape = "model.layers.2.self_attn.k_proj.weight"}, NULL),
                   ALLOY_FORMAT, "model.layers.2.self_attn.k_proj.weight", "F32 [31, 64]", "[32, 64]");
    assert_null(model);
    expect_failure(open_spoiled(&model, GOLDEN("qwen3_5"),
                                &(struct spoil){.reshape = "model.layers.0.linear_attn.conv1d.weight"}, NULL),
                   ALLOY_FORMAT, "model.layers.0.linear_attn.conv1d.weight", "F32 [159, 1, 4]", "[160, 1, 4]");
}

static void s23_a_missing_tensor_is_named(void **state)
{
    (void)state;
    static const char *const names[] = {"model.layers.3.self_attn.q_norm.weight", "model.norm.weight",
                                        "model.embed_tokens.weight", "lm_head.weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        alloy_model *model;
        expect_failure(open_spoiled(&model, GOLDEN("qwen3"), &(struct spoil){.remove = names[i]}, NULL), ALLOY_FORMAT,
                       "1 missing tensors", names[i]);
        assert_null(model);
    }
    alloy_model *model;
    expect_failure(open_spoiled(&model, GOLDEN("qwen3_moe"),
                                &(struct spoil){.remove = "model.layers.0.mlp.experts.7.up_proj.weight"}, NULL),
                   ALLOY_FORMAT, "1 missing tensors", "model.layers.0.mlp.experts.7.up_proj.weight");
}

static void s23_one_message_has_what_is_missing_and_what_is_left_over(void **state)
{
    (void)state;
    struct spoil spoil = {.rename = "model.layers.0.mlp.up_proj.weight", .to = "model.layers.0.mlp.upward.weight"};
    alloy_model *model;
    expect_failure(open_spoiled(&model, GOLDEN("qwen3"), &spoil, NULL), ALLOY_FORMAT,
                   "1 missing tensors: model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.upward.weight");
    expect_failure(open_spoiled(&model, GOLDEN("qwen3"), &spoil,
                                &(alloy_load_options){.size = sizeof(alloy_load_options), .allow_unused = true}),
                   ALLOY_FORMAT, "1 missing tensors: model.layers.0.mlp.up_proj.weight");
}

static void s23_a_left_over_tensor_is_an_error_unless_allowed(void **state)
{
    (void)state;
    struct spoil spoil = {.add = "model.layers.0.self_attn.extra.weight"};
    struct warnings warnings;
    alloy_model *model;
    expect_failure(open_spoiled(&model, GOLDEN("qwen3"), &spoil, NULL), ALLOY_FORMAT, "nothing uses", spoil.add,
                   "--allow-unused");
    assert_null(model);
    collect_warnings(&warnings);
    expect_ok(open_spoiled(&model, GOLDEN("qwen3"), &spoil,
                           &(alloy_load_options){.size = sizeof(alloy_load_options), .allow_unused = true}));
    alloy_set_log(NULL, NULL);
    assert_int_equal(warnings.count, 1);
    assert_non_null(strstr(warnings.text, spoil.add));
    alloy_model_close(model);
}

static void s23_layers_that_the_config_does_not_have_are_left_over(void **state)
{
    (void)state;
    alloy_model *model;
    expect_failure(
        open_spoiled(&model, GOLDEN("qwen3"), &(struct spoil){.add = "model.layers.4.input_layernorm.weight"}, NULL),
        ALLOY_FORMAT, "nothing uses", "model.layers.4.input_layernorm.weight");
}

static void s23_what_no_text_model_uses_is_passed_over(void **state)
{
    (void)state;
    static const char *const names[] = {"mtp.fc.weight", "model.visual.blocks.0.attn.qkv.weight",
                                        "model.layers.0.self_attn.rotary_emb.inv_freq"};
    struct warnings warnings;
    collect_warnings(&warnings);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        alloy_model *model;
        expect_ok(open_spoiled(&model, GOLDEN("qwen3"), &(struct spoil){.add = names[i]}, NULL));
        alloy_model_close(model);
    }
    alloy_set_log(NULL, NULL);
    expect_text(warnings.text, "");
}

/* ---- X5 to X8: shards ------------------------------------------------------------------------------------------- */

enum { SHARDS = 10 };

static void shard_in(char out[512], const char *folder, int shard)
{
    snprintf(out, 512, "%s/model-%05d-of-%05d.safetensors", folder, shard, SHARDS);
}

static void copy_file(const char *from, const char *folder, const char *name, size_t cut)
{
    size_t size;
    char *bytes = read_whole(from, &size);
    write_file(folder, name, bytes, size - cut);
    free(bytes);
}

/* A copy of the sharded case whose shard `to` is what shard `from` holds, `cut` bytes shorter. */
static char *sharded_copy(int to, int from, size_t cut)
{
    char *folder = test_folder(), path[512], name[512];
    static const char *const names[] = {"config.json", "model.safetensors.index.json"};
    for (int i = 0; i < 2; i++)
        copy_file(path_in(GOLDEN("llama_linear_sharded"), names[i]), folder, names[i], 0);
    for (int i = 1; i <= SHARDS; i++) {
        shard_in(path, GOLDEN("llama_linear_sharded"), i == to ? from : i);
        shard_in(name, "", i);
        copy_file(path, folder, name + 1, i == to ? cut : 0);
    }
    return folder;
}

static void expect_no_part_of_a_model(char *folder, alloy_status expected, const char *shard, const char *word)
{
    alloy_model *model;
    struct refusal refusal = begin_refusal(8 << 20);
    alloy_status status = alloy_model_open(&model, folder, NULL);
    end_refusal(&refusal, shard);
    expect_failure(status, expected, folder, shard, word);
    assert_null(model);
    remove_folder(folder);
}

static void x5_a_missing_shard_is_named(void **state)
{
    (void)state;
    char *folder = sharded_copy(0, 0, 0), path[512];
    shard_in(path, folder, 7);
    assert_int_equal(unlink(path), 0);
    expect_no_part_of_a_model(folder, ALLOY_IO, "model-00007-of-00010", "No such file");
}

static void x6_a_truncated_shard_is_named(void **state)
{
    (void)state;
    expect_no_part_of_a_model(sharded_copy(4, 4, 1), ALLOY_FORMAT, "model-00004-of-00010", "truncated");
}

static void x7_x8_tensors_in_the_wrong_shard_or_in_two_are_named(void **state)
{
    (void)state; /* the tensors of shard 2 are in shard 9 too, and those of 9 nowhere */
    expect_no_part_of_a_model(sharded_copy(9, 2, 0), ALLOY_FORMAT, "model-00009-of-00010", "places in model-00002");
}

/* ---- F4: a file that is cut while it is mapped ------------------------------------------------------------------- */

/* Each forward looks again, so that a page that is gone is an error and no signal; the library handles none itself. */
static void f4_a_forward_checks_the_files_again(void **state)
{
    (void)state;
    char *folder = sharded_copy(0, 0, 0), path[512];
    int64_t ids[3] = {1, 2, 3};
    float logits[VOCAB];
    struct sigaction before, after;
    assert_int_equal(sigaction(SIGBUS, NULL, &before), 0); /* the test library's */
    alloy_model *model = open_model(folder);
    alloy_session *session = open_session(model, 1, 0, NULL);
    alloy_cache *cache = open_cache(session);
    expect_ok(alloy_forward(session, &(alloy_sequence){cache, ids, 3}, 1, logits, NULL));
    shard_in(path, folder, 5);
    assert_int_equal(truncate(path, 4096), 0);
    expect_failure(alloy_forward(session, &(alloy_sequence){cache, ids, 3}, 1, logits, NULL), ALLOY_IO,
                   "model-00005-of-00010", "4096 bytes", "changed");
    assert_int_equal(alloy_cache_length(cache), 3);
    assert_int_equal(sigaction(SIGBUS, NULL, &after), 0);
    assert_ptr_equal(after.sa_sigaction, before.sa_sigaction);
    alloy_cache_close(cache);
    alloy_session_close(session);
    alloy_model_close(model);
    remove_folder(folder);
}

/* ---- The same weights, read and stored otherwise ----------------------------------------------------------------- */

/* The format promises no alignment: a header one byte longer puts every tensor at an odd address. */
static void s17_unaligned_weights_give_the_bits_of_aligned_ones(void **state)
{
    (void)state;
    static const char *const cases[] = {GOLDEN("qwen3"), GOLDEN("qwen3_5"), GOLDEN("qwen3_moe")};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = test_folder();
        size_t size, header;
        char *bytes = read_whole(path_in(cases[i], "model.safetensors"), &size), *longer = malloc(size + 1);
        assert_non_null(longer);
        header = (size_t)(unsigned char)bytes[0] | (size_t)(unsigned char)bytes[1] << 8 |
                 (size_t)(unsigned char)bytes[2] << 16;
        memcpy(longer, bytes, 8 + header);
        longer[8 + header] = ' ';
        memcpy(longer + 8 + header + 1, bytes + 8 + header, size - 8 - header);
        header++;
        for (int b = 0; b < 3; b++)
            longer[b] = (char)(header >> 8 * b);
        write_file(folder, "model.safetensors", longer, size + 1);
        copy_file(path_in(cases[i], "config.json"), folder, "config.json", 0);
        expect_same_model(folder, NULL, cases[i]);
        free(bytes);
        free(longer);
        remove_folder(folder);
    }
}

static void weights_read_into_memory_give_the_bits_of_mapped_ones(void **state)
{
    (void)state;
    static const char *const cases[] = {GOLDEN("qwen3"), GOLDEN("qwen3_5"), GOLDEN("qwen3_moe"),
                                        GOLDEN("llama_linear_sharded")};
    for (int i = 0; i < 4; i++)
        expect_same_model(cases[i], &(alloy_load_options){.size = sizeof(alloy_load_options), .no_mmap = true},
                          cases[i]);
}

/* Copies expert `e`'s matrix into its place in a stacked tensor, and takes it out of the model. */
static void stack(struct model_copy *copy, int layer, int e, const char *part, void *place)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%d.%s.weight", layer, e, part);
    const alloy_saved_tensor *t = tensor_in(copy, name);
    memcpy(place, t->data, (size_t)(t->shape[0] * t->shape[1]) * sizeof(float));
    remove_tensor(copy, name);
}

static void stack_experts(struct model_copy *copy, int layer)
{
    enum { EXPERTS = 8, INNER = 48 };
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.mlp.experts.gate_up_proj", layer);
    float *gate_up =
        (float *)(uintptr_t)add_tensor(copy, name, ALLOY_F32, 3, (uint64_t[]){EXPERTS, (uint64_t)2 * INNER, WIDTH})
            ->data;
    snprintf(name, sizeof name, "model.layers.%d.mlp.experts.down_proj", layer);
    float *down = (float *)(uintptr_t)add_tensor(copy, name, ALLOY_F32, 3, (uint64_t[]){EXPERTS, WIDTH, INNER})->data;
    for (int e = 0; e < EXPERTS; e++) {
        stack(copy, layer, e, "gate_proj", gate_up + e * 2 * INNER * WIDTH);
        stack(copy, layer, e, "up_proj", gate_up + (e * 2 + 1) * INNER * WIDTH);
        stack(copy, layer, e, "down_proj", down + e * WIDTH * INNER);
    }
}

static void stacked_experts_give_the_bits_of_experts_one_by_one(void **state)
{
    (void)state;
    static const int layers[] = {0, 2, 3}; /* layer 1 has a dense feed-forward */
    struct model_copy copy;
    char *folder = test_folder();
    begin_copy(&copy, GOLDEN("qwen3_moe"));
    for (int i = 0; i < 3; i++)
        stack_experts(&copy, layers[i]);
    end_copy(&copy, GOLDEN("qwen3_moe"), NULL, folder);
    expect_same_model(folder, NULL, GOLDEN("qwen3_moe"));
    remove_folder(folder);
}

/* A tied model without a head is the same as one whose head is a copy of its embedding. */
static void s23_a_tied_head_may_be_absent(void **state)
{
    (void)state;
    char *config = changed_config(GOLDEN("qwen3"), "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
    char *tied = test_folder(), *untied = test_folder();
    struct model_copy copy;
    begin_copy(&copy, GOLDEN("qwen3"));
    remove_tensor(&copy, "lm_head.weight");
    end_copy(&copy, GOLDEN("qwen3"), config, tied);
    begin_copy(&copy, GOLDEN("qwen3"));
    tensor_in(&copy, "lm_head.weight")->data = tensor_in(&copy, "model.embed_tokens.weight")->data;
    end_copy(&copy, GOLDEN("qwen3"), NULL, untied);
    expect_same_model(tied, NULL, untied);
    remove_folder(untied);
    remove_folder(tied);
    free(config);
}

/* ---- Layers ------------------------------------------------------------------------------------------------------ */

struct seen {
    int64_t layers;
    float hidden[4][WIDTH]; /* of the last token */
};

static void see_last(void *user, int64_t layer, int64_t sequence, int64_t first, int64_t rows, int64_t width,
                     const float *hidden)
{
    (void)sequence, (void)first;
    struct seen *seen = user;
    assert_int_equal(width, WIDTH);
    assert_true(layer < 4);
    seen->layers++;
    memcpy(seen->hidden[layer], hidden + (rows - 1) * width, sizeof seen->hidden[layer]);
}

static void see_layers(const alloy_load_options *options, struct seen *seen, int64_t layers)
{
    alloy_model *model;
    int64_t ids[TOKENS];
    fill_ids(ids, TOKENS, 4);
    expect_ok(alloy_model_open(&model, GOLDEN("qwen3"), options));
    assert_int_equal(alloy_config_num_layers(alloy_model_config(model)), layers);
    alloy_session *session = open_session(model, 1, 0, NULL);
    alloy_cache *cache = open_cache(session);
    memset(seen, 0, sizeof *seen);
    float logits[VOCAB];
    expect_ok(alloy_forward(
        session, &(alloy_sequence){cache, ids, TOKENS}, 1, logits,
        &(alloy_forward_options){.size = sizeof(alloy_forward_options), .hidden = see_last, .user = seen}));
    alloy_cache_close(cache);
    alloy_session_close(session);
    alloy_model_close(model);
}

static void the_first_layers_can_run_alone(void **state)
{
    (void)state;
    struct seen all, first;
    see_layers(NULL, &all, 4);
    assert_int_equal(all.layers, 4);
    for (int64_t layers = 1; layers <= 4; layers++) {
        see_layers(&(alloy_load_options){.size = sizeof(alloy_load_options), .num_layers = layers}, &first, layers);
        assert_int_equal(first.layers, layers);
        expect_same_bits(&first.hidden[0][0], &all.hidden[0][0], layers * WIDTH, "hidden states of the first layers");
    }
    static const int64_t bad[] = {-1, 5, INT64_MAX};
    for (int i = 0; i < 3; i++) {
        alloy_model *model;
        expect_failure(
            alloy_model_open(&model, GOLDEN("qwen3"),
                             &(alloy_load_options){.size = sizeof(alloy_load_options), .num_layers = bad[i]}),
            ALLOY_RANGE, "num_layers", "4 layers");
        assert_null(model);
    }
}

/* ---- The first layers of a checkpoint that is here in part ------------------------------------------------------- */

/* In the sharded case layer i ends in shard 2 * i + 3; the final norm is in the 9th, the head in the 10th. */
static bool is_needed(int shard, int64_t layers)
{
    return shard <= 2 * layers + 1 || shard >= 9;
}

static void remove_shard(const char *folder, int shard)
{
    char path[512];
    shard_in(path, folder, shard);
    assert_int_equal(unlink(path), 0);
}

static void expect_same_first_layers(const char *folder, const char *whole, int64_t layers)
{
    int64_t ids[TOKENS];
    alloy_load_options options = {.size = sizeof options, .num_layers = layers};
    fill_ids(ids, TOKENS, 3);
    float *logits = last_logits(folder, &options, ids, TOKENS), *expected = last_logits(whole, &options, ids, TOKENS);
    expect_same_bits(logits, expected, VOCAB, "logits of the first layers");
    free(logits);
    free(expected);
}

static void shards_of_later_layers_may_be_absent(void **state)
{
    (void)state;
    for (int64_t layers = 1; layers <= 4; layers++) {
        char *folder = sharded_copy(0, 0, 0);
        alloy_model *model;
        for (int i = 1; i <= SHARDS; i++)
            if (!is_needed(i, layers))
                remove_shard(folder, i);
        expect_same_first_layers(folder, GOLDEN("llama_linear_sharded"), layers);
        if (layers < 3) /* more layers than are here */
            expect_failure(
                alloy_model_open(&model, folder,
                                 &(alloy_load_options){.size = sizeof(alloy_load_options), .num_layers = layers + 1}),
                ALLOY_IO, folder, layers == 1 ? "model-00005-of-00010" : "model-00007-of-00010");
        remove_folder(folder);
    }
}

static void a_shard_that_the_first_layers_need_is_named(void **state)
{
    (void)state;
    for (int i = 1; i <= SHARDS; i++) {
        char *folder = sharded_copy(0, 0, 0), name[32];
        alloy_model *model;
        if (!is_needed(i, 2)) {
            remove_folder(folder);
            continue;
        }
        remove_shard(folder, i);
        snprintf(name, sizeof name, "model-%05d-of-00010", i);
        expect_failure(alloy_model_open(&model, folder,
                                        &(alloy_load_options){.size = sizeof(alloy_load_options), .num_layers = 2}),
                       ALLOY_IO, folder, name, "No such file");
        assert_null(model);
        remove_folder(folder);
    }
}

/* The index of a tied model has no head, and so no shard of it. */
static void a_tied_head_needs_no_shard_of_its_own(void **state)
{
    (void)state;
    static const char row[] = "\"lm_head.weight\": \"model-00010-of-00010.safetensors\",",
                      index[] = "model.safetensors.index.json";
    char *folder = sharded_copy(0, 0, 0), *whole = sharded_copy(0, 0, 0);
    char *config = changed_config(GOLDEN("llama_linear_sharded"), "\"tie_word_embeddings\": false",
                                  "\"tie_word_embeddings\": true");
    size_t size;
    char *text = read_whole(path_in(folder, index), &size), *at = strstr(text, row);
    assert_non_null(at);
    memset(at, ' ', sizeof row - 1);
    char *const folders[] = {folder, whole};
    for (int i = 0; i < 2; i++) {
        write_text(folders[i], "config.json", config);
        write_file(folders[i], index, text, size);
    }
    for (int i = 4; i <= SHARDS; i++)
        if (i != 9)
            remove_shard(folder, i);
    expect_same_first_layers(folder, whole, 1);
    free(text);
    free(config);
    remove_folder(folder);
    remove_folder(whole);
}

static void a_single_file_may_hold_the_first_layers_only(void **state)
{
    (void)state;
    static const char *const cases[] = {GOLDEN("qwen3"), GOLDEN("qwen3_5"), GOLDEN("qwen3_moe"), GOLDEN("dsv4")};
    static const char layer_names[] = "model.layers.";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = test_folder();
        struct model_copy copy;
        alloy_model *model;
        begin_copy(&copy, cases[i]);
        for (int64_t t = copy.count - 1; t >= 0; t--) {
            const char *name = copy.tensors[t].name;
            size_t head = sizeof layer_names - 1;
            if (strncmp(name, layer_names, head) == 0 && name[head] >= '2')
                remove_tensor(&copy, name);
        }
        end_copy(&copy, cases[i], NULL, folder);
        expect_same_first_layers(folder, cases[i], 1);
        expect_same_first_layers(folder, cases[i], 2);
        expect_failure(alloy_model_open(&model, folder,
                                        &(alloy_load_options){.size = sizeof(alloy_load_options), .num_layers = 3}),
                       ALLOY_FORMAT, "missing tensors", "layers.2.");
        remove_folder(folder);
    }
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* Bytes of this process in memory, mapped files included. */
static size_t resident_bytes(void)
{
    size_t pages = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%zu %zu", &pages, &resident), 2);
    fclose(statm);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static size_t growth_by_opening(const char *folder, const alloy_load_options *options)
{
    alloy_model *model;
    size_t before = resident_bytes();
    expect_ok(alloy_model_open(&model, folder, options));
    size_t after = resident_bytes();
    alloy_model_close(model);
    return after > before ? after - before : 0;
}

static void opening_takes_hardly_any_memory(void **state)
{
    (void)state;
    enum { MIB = 1 << 20, ROWS = 64 * MIB / 4 / WIDTH };
    char text[64], *folder = test_folder();
    snprintf(text, sizeof text, "\"vocab_size\": %d", ROWS);
    char *config = changed_config(GOLDEN("qwen3"), "\"vocab_size\": 256", text);
    struct model_copy copy;
    begin_copy(&copy, GOLDEN("qwen3"));
    remove_tensor(&copy, "model.embed_tokens.weight");
    remove_tensor(&copy, "lm_head.weight");
    add_tensor(&copy, "model.embed_tokens.weight", ALLOY_F32, 2, (uint64_t[]){ROWS, WIDTH});
    add_tensor(&copy, "lm_head.weight", ALLOY_F32, 2, (uint64_t[]){ROWS, WIDTH});
    end_copy(&copy, GOLDEN("qwen3"), config, folder);
    size_t mapped = growth_by_opening(folder, NULL);
    size_t copied =
        growth_by_opening(folder, &(alloy_load_options){.size = sizeof(alloy_load_options), .no_mmap = true});
    print_message("  128 MiB of weights: %zu KiB in memory when mapped, %zu MiB when read\n", mapped / 1024,
                  copied / MIB);
    if (!ALLOY_TEST_SANITIZED) {
        assert_true(mapped < 2 * MIB);
        assert_true(copied > 100 * (size_t)MIB); /* so the measure sees what is there */
    }
    free(config);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s20_weights_that_are_not_finite_load_and_stop_the_forward),
        cmocka_unit_test(s20_a_router_that_is_not_finite_stops_the_forward),
        cmocka_unit_test(s20_the_one_bad_element_is_named),
        cmocka_unit_test(s20_sound_weights_whose_numbers_overflow_are_told),
        cmocka_unit_test(s21_dtypes_that_are_unsupported_are_named),
        cmocka_unit_test(s22_a_tensor_of_another_shape_is_told_with_both_shapes),
        cmocka_unit_test(s23_a_missing_tensor_is_named),
        cmocka_unit_test(s23_one_message_has_what_is_missing_and_what_is_left_over),
        cmocka_unit_test(s23_a_left_over_tensor_is_an_error_unless_allowed),
        cmocka_unit_test(s23_layers_that_the_config_does_not_have_are_left_over),
        cmocka_unit_test(s23_what_no_text_model_uses_is_passed_over),
        cmocka_unit_test(x5_a_missing_shard_is_named),
        cmocka_unit_test(x6_a_truncated_shard_is_named),
        cmocka_unit_test(x7_x8_tensors_in_the_wrong_shard_or_in_two_are_named),
        cmocka_unit_test(f4_a_forward_checks_the_files_again),
        cmocka_unit_test(s17_unaligned_weights_give_the_bits_of_aligned_ones),
        cmocka_unit_test(weights_read_into_memory_give_the_bits_of_mapped_ones),
        cmocka_unit_test(stacked_experts_give_the_bits_of_experts_one_by_one),
        cmocka_unit_test(s23_a_tied_head_may_be_absent),
        cmocka_unit_test(the_first_layers_can_run_alone),
        cmocka_unit_test(shards_of_later_layers_may_be_absent),
        cmocka_unit_test(a_shard_that_the_first_layers_need_is_named),
        cmocka_unit_test(a_tied_head_needs_no_shard_of_its_own),
        cmocka_unit_test(a_single_file_may_hold_the_first_layers_only),
        cmocka_unit_test(opening_takes_hardly_any_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
