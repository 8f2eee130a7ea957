/* DeepSeek-V4 as a model: the three layouts of its files, tables and tensors that cannot be, and the same bits however
 * a sequence is cut, batched, copied, at lengths that pass every window. */
#include "engine/models.h"

#include "config/config.h"
#include "checkpoint/init.h"

#define CASE GOLDEN("dsv4") /* a window, HCA, CSA, CSA; experts by id and by score */

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static void expect_same_bits_with(const char *const *pairs)
{
    struct model_copy copy;
    char *folder = test_folder();
    begin_copy(&copy, CASE);
    rename_tensors(&copy, pairs);
    end_copy(&copy, CASE, NULL, folder);
    expect_same_model(folder, NULL, CASE);
    remove_folder(folder);
}

static void released_names_give_the_same_bits(void **state)
{
    (void)state;
    expect_same_bits_with(released_names);
}

static void names_in_memory_give_the_same_bits(void **state)
{
    (void)state;
    expect_same_bits_with(names_in_memory);
}

/* The family's config as an alloy config says the same, its weights where they are. */
static void a_config_saved_as_alloy_gives_the_same_bits(void **state)
{
    (void)state;
    struct model_copy copy;
    char *folder = test_folder();
    alloy_config *config;
    alloy_text text = {0};
    expect_ok(alloy_config_open(&config, CASE));
    expect_ok(alloy_config_to_json(config, &text));
    assert_non_null(strstr(text.bytes, "dsv4_csa_attention"));
    begin_copy(&copy, CASE);
    end_copy(&copy, CASE, text.bytes, folder);
    expect_same_model(folder, NULL, CASE);
    alloy_text_free(&text);
    alloy_config_close(config);
    remove_folder(folder);
}

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

static const char TABLE[] = "model.layers.0.ffn.gate.tid2eid";

/* The case with its table in I32 and one index changed. */
static void copy_with_index(struct model_copy *copy, int32_t index)
{
    begin_copy(copy, CASE);
    alloy_saved_tensor old = *tensor_in(copy, TABLE);
    assert_int_equal(old.dtype, ALLOY_I64);
    remove_tensor(copy, TABLE);
    alloy_saved_tensor *fresh = add_tensor(copy, TABLE, ALLOY_I32, 2, old.shape);
    int32_t *to = (int32_t *)(uintptr_t)fresh->data;
    for (uint64_t i = 0; i < old.shape[0] * old.shape[1]; i++) {
        int64_t wide;
        memcpy(&wide, (const char *)old.data + i * sizeof wide, sizeof wide);
        to[i] = (int32_t)wide;
    }
    if (index != 0)
        to[77] = index;
}

static void a_table_of_32_bits_gives_the_same_bits(void **state)
{
    (void)state;
    struct model_copy copy;
    char *folder = test_folder();
    copy_with_index(&copy, 0);
    end_copy(&copy, CASE, NULL, folder);
    expect_same_model(folder, NULL, CASE);
    remove_folder(folder);
}

static void a_table_that_names_no_expert_is_refused(void **state)
{
    (void)state;
    static const int32_t wrong[] = {8, -1, INT32_MAX};
    for (int i = 0; i < 3; i++) {
        struct model_copy copy;
        alloy_model *model;
        char *folder = test_folder();
        copy_with_index(&copy, wrong[i]);
        end_copy(&copy, CASE, NULL, folder);
        expect_failure(alloy_model_open(&model, folder, NULL), ALLOY_RANGE, TABLE, "place 77", "0 to 7");
        remove_folder(folder);
    }
}

static void a_table_of_numbers_is_refused(void **state)
{
    (void)state;
    struct model_copy copy;
    alloy_model *model;
    char *folder = test_folder();
    begin_copy(&copy, CASE);
    tensor_in(&copy, TABLE)->dtype = ALLOY_F64; /* as wide */
    end_copy(&copy, CASE, NULL, folder);
    expect_failure(alloy_model_open(&model, folder, NULL), ALLOY_FORMAT, TABLE, "F64", "I64 or I32");
    remove_folder(folder);
}

static void missing_parts_are_told_by_the_files_names(void **state)
{
    (void)state;
    static const char *const parts[] = {"model.layers.0.attn.attn_sink", "model.layers.2.attn.indexer.compressor.ape",
                                        "model.layers.1.hc_ffn_fn", "model.hc_head.hc_scale",
                                        "model.layers.3.ffn.experts.5.w2.weight"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct model_copy copy;
        alloy_model *model;
        char *folder = test_folder();
        begin_copy(&copy, CASE);
        remove_tensor(&copy, parts[i]);
        end_copy(&copy, CASE, NULL, folder);
        expect_failure(alloy_model_open(&model, folder, NULL), ALLOY_FORMAT, "1 missing", parts[i]);
        remove_folder(folder);
    }
}

/* ---- Fields ------------------------------------------------------------------------------------------------------ */

static void fields_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *field, *layer;
        alloy_status status;
        const char *words;
    } bad[] = {
        {"\"sliding_window\": 0", "sliding_attention", ALLOY_RANGE, "sliding_window"},
        {"\"sliding_window\": null", "sliding_attention", ALLOY_RANGE, "sliding_window"},
        {"\"o_groups\": 3", "sliding_attention", ALLOY_RANGE, "o_groups"},
        {"\"qk_rope_head_dim\": 34", "sliding_attention", ALLOY_RANGE, "qk_rope_head_dim"},
        {"\"index_head_dim\": 2", "compressed_sparse_attention", ALLOY_RANGE, "index_head_dim"},
        {"\"compress_rates\": {\"heavily_compressed_attention\": 8}", "compressed_sparse_attention", ALLOY_RANGE,
         "compress_rate_csa"},
        {"\"num_experts_per_tok\": 9", "sliding_attention", ALLOY_RANGE, "num_experts_per_tok"},
        {"\"scoring_func\": \"softmax\"", "sliding_attention", ALLOY_UNSUPPORTED, "scoring_func"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[1024];
        alloy_config *config;
        alloy_model *model;
        snprintf(text, sizeof text,
                 "{\"model_type\": \"deepseek_v4\", \"vocab_size\": 16, \"hidden_size\": 32, \"num_hidden_layers\": 1, "
                 "\"layer_types\": [\"%s\"], \"num_attention_heads\": 4, \"head_dim\": 32, \"q_lora_rank\": 8, "
                 "\"o_lora_rank\": 8, \"num_experts\": 8, \"index_topk\": 3, %s}",
                 bad[i].layer, bad[i].field);
        expect_ok(alloy_config_parse(&config, "config.json", text, strlen(text)));
        expect_failure(alloy_model_describe(&model, config), bad[i].status, "layer 0", bad[i].words);
        assert_null(model);
        alloy_config_close(config);
    }
}

/* ---- The same bits ----------------------------------------------------------------------------------------------- */

/* Logits of `count` tokens in forwards of `piece`, in a session of chunks that large. */
static float *in_pieces(const alloy_model *model, const int64_t *ids, int64_t count, int64_t piece)
{
    int64_t vocab = alloy_model_vocab_size(model);
    alloy_session *session = open_session(model, 2, piece, NULL);
    alloy_cache *cache = open_cache(session);
    float *logits = malloc((size_t)(count * vocab) * sizeof *logits);
    for (int64_t at = 0; at < count; at += piece)
        run_all(session, cache, ids + at, count - at < piece ? count - at : piece, logits + at * vocab);
    alloy_cache_close(cache);
    alloy_session_close(session);
    return logits;
}

static void expect_pieces(const alloy_model *model, const int64_t *ids, int64_t count, const int64_t *pieces, int n)
{
    float *whole = in_pieces(model, ids, count, count);
    for (int i = 0; i < n; i++) {
        char what[64];
        snprintf(what, sizeof what, "forwards of %lld tokens", (long long)pieces[i]);
        float *logits = in_pieces(model, ids, count, pieces[i]);
        expect_same_bits(logits, whole, count * alloy_model_vocab_size(model), what);
        free(logits);
    }
    free(whole);
}

static void pieces_do_not_matter(void **state)
{
    (void)state;
    static const int64_t pieces[] = {1, 3, 4, 5, 127, 128, 129};
    int64_t ids[300];
    fill_ids(ids, 300, 1);
    alloy_model *model = open_model(CASE);
    expect_pieces(model, ids, 300, pieces, 7);
    alloy_model_close(model);
}

/* A cache copied within open windows goes on as the original does; neighbours in a batch do not matter. */
static void copies_and_neighbours_go_on_alike(void **state)
{
    (void)state;
    int64_t ids[100];
    fill_ids(ids, 100, 2);
    alloy_model *model = open_model(CASE);
    alloy_session *session = open_session(model, 2, 64, NULL);
    int64_t vocab = alloy_model_vocab_size(model);
    float *whole = logits_of(session, ids, 100), *logits = malloc((size_t)(3 * vocab) * sizeof *logits);
    for (int64_t cut = 13; cut < 100; cut += 21) { /* in windows of 4 at 1, 2, 3, 0 */
        alloy_cache *caches[3] = {open_cache(session), NULL, open_cache(session)};
        expect_ok(alloy_forward(session, &(alloy_sequence){caches[0], ids, cut}, 1, logits, NULL));
        expect_ok(alloy_cache_copy(&caches[1], caches[0]));
        alloy_sequence batch[] = {
            {caches[0], ids + cut, 100 - cut}, {caches[2], ids, 100}, {caches[1], ids + cut, 100 - cut}};
        expect_ok(alloy_forward(session, batch, 3, logits, NULL));
        for (int i = 0; i < 3; i++) {
            expect_same_bits(logits + i * vocab, whole + 99 * vocab, vocab, "a copy, or a neighbour");
            alloy_cache_close(caches[i]);
        }
    }
    free(whole), free(logits);
    alloy_session_close(session);
    alloy_model_close(model);
}

/* 5,000 tokens through rates of 4 and 128, with fewer chosen entries than there are: drawn weights. */
static void long_sequences_do_not_depend_on_pieces(void **state)
{
    (void)state;
    static const char text[] =
        "{\"model_type\": \"deepseek_v4\", \"vocab_size\": 256, \"hidden_size\": 32, \"moe_intermediate_size\": 16, "
        "\"num_hidden_layers\": 3, \"layer_types\": [\"heavily_compressed_attention\", "
        "\"compressed_sparse_attention\", "
        "\"sliding_attention\"], \"num_attention_heads\": 2, \"head_dim\": 16, \"partial_rotary_factor\": 0.5, "
        "\"q_lora_rank\": 8, \"o_groups\": 2, \"o_lora_rank\": 8, \"index_n_heads\": 4, \"index_head_dim\": 16, "
        "\"index_topk\": 64, \"sliding_window\": 128, \"num_experts\": 4, \"num_experts_per_tok\": 2, "
        "\"max_position_embeddings\": 8192, \"initializer_range\": 0.3, \"dtype\": \"float32\"}";
    static const int64_t pieces[] = {129, 513};
    enum { LONG = 5000 };
    int64_t *ids = malloc(LONG * sizeof *ids);
    fill_ids(ids, LONG, 3);
    char *folder = test_folder();
    alloy_config *config;
    expect_ok(alloy_config_parse(&config, "config.json", text, strlen(text)));
    expect_ok(alloy_model_init(config, NULL, folder, &(alloy_init_options){.seed = 4}));
    write_text(folder, "config.json", text);
    alloy_model *model = open_model(folder);
    expect_pieces(model, ids, ALLOY_TEST_SANITIZED ? 700 : LONG, pieces, 2);
    alloy_model_close(model);
    alloy_config_close(config);
    remove_folder(folder);
    free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(released_names_give_the_same_bits),
        cmocka_unit_test(names_in_memory_give_the_same_bits),
        cmocka_unit_test(a_config_saved_as_alloy_gives_the_same_bits),
        cmocka_unit_test(a_table_of_32_bits_gives_the_same_bits),
        cmocka_unit_test(a_table_that_names_no_expert_is_refused),
        cmocka_unit_test(a_table_of_numbers_is_refused),
        cmocka_unit_test(missing_parts_are_told_by_the_files_names),
        cmocka_unit_test(fields_that_cannot_be_are_refused),
        cmocka_unit_test(pieces_do_not_matter),
        cmocka_unit_test(copies_and_neighbours_go_on_alike),
        cmocka_unit_test(long_sequences_do_not_depend_on_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
