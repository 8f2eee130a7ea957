/* Lists of slots: layers of other kinds than the built-in ones, as residuals that the test registers, against the same
 * layers put together by hand from ops, bit for bit; and which lists are refused. */
#include "engine/models.h"

#include "described.h"
#include "engine/cache.h"
#include "checkpoint/init.h"
#include "engine/lists.h"
#include "checkpoint/parameters.h"
#include "engine/session.h"

/* ---- By hand ----------------------------------------------------------------------------------------------------- */

/* A model and a pass on one sequence, for layers that are written out. */
struct hand {
    alloy_pass pass;
    const alloy_model *model;
    alloy_state states[LAYERS];
    alloy_state_block *blocks[LAYERS];
    int64_t layer;
};

struct search {
    const char *name;
    const alloy_weight *found;
};

static alloy_status look(void *user, const alloy_parameter *parameter)
{
    struct search *search = user;
    if (strcmp(parameter->name, search->name) == 0)
        search->found = parameter->weight;
    return ALLOY_OK;
}

/* The norm of x whose weight has this name in the layer. */
static alloy_tensor *norm(struct hand *hand, alloy_tensor *x, const char *part)
{
    char name[128];
    snprintf(name, sizeof name, "model.layers.%lld.%s.weight", (long long)hand->layer, part);
    struct search search = {.name = hand->layer < 0 ? part : name};
    expect_ok(alloy_parameters_bound(hand->model, look, &search));
    if (!search.found)
        fail_msg("no weight %s", search.name);
    return alloy_rms_norm(&hand->pass, x, search.found, EPS, false);
}

static alloy_tensor *mix(struct hand *hand, alloy_tensor *x)
{
    const alloy_model_layer *layer = &hand->model->layers[hand->layer];
    return layer->mixer->forward(&hand->pass, layer->mixer_shape, alloy_module_slot(layer, ALLOY_SLOT_MIXER)->weights,
                                 &hand->states[hand->layer], x);
}

static alloy_tensor *feed(struct hand *hand, alloy_tensor *x)
{
    const alloy_model_layer *layer = &hand->model->layers[hand->layer];
    return layer->ffn->forward(&hand->pass, layer->ffn_shape, alloy_module_slot(layer, ALLOY_SLOT_FFN)->weights, x);
}

static alloy_tensor *add(struct hand *hand, alloy_tensor *a, alloy_tensor *b)
{
    return alloy_add(&hand->pass, a, b);
}

typedef alloy_tensor *layer_by_hand(struct hand *hand, alloy_tensor *h);

/* ---- What the lists mean ----------------------------------------------------------------------------------- */

static alloy_tensor *norms_around(struct hand *hand, alloy_tensor *h)
{
    alloy_tensor *y = mix(hand, norm(hand, h, "input_layernorm"));
    h = add(hand, h, norm(hand, y, "post_attention_layernorm"));
    y = feed(hand, norm(hand, h, "pre_feedforward_layernorm"));
    return add(hand, h, norm(hand, y, "post_feedforward_layernorm"));
}

static alloy_tensor *norms_of_sums(struct hand *hand, alloy_tensor *h)
{
    h = add(hand, h, mix(hand, norm(hand, h, "input_layernorm")));
    h = hand->layer > 0 ? norm(hand, h, "mixer_sum_norm") : h;
    h = add(hand, h, feed(hand, norm(hand, h, "post_attention_layernorm")));
    return hand->layer > 0 ? norm(hand, h, "ffn_sum_norm") : h;
}

static alloy_tensor *modules_beside(struct hand *hand, alloy_tensor *h)
{
    alloy_tensor *x = norm(hand, h, "input_layernorm");
    return add(hand, h, add(hand, mix(hand, x), feed(hand, x)));
}

static alloy_tensor *modules_beside_with_norms(struct hand *hand, alloy_tensor *h)
{
    alloy_tensor *y = feed(hand, norm(hand, h, "ffn_norm"));
    return add(hand, h, add(hand, y, norm(hand, mix(hand, norm(hand, h, "input_layernorm")), "output_norm")));
}

static alloy_tensor *plain(struct hand *hand, alloy_tensor *h)
{
    h = add(hand, h, mix(hand, norm(hand, h, "input_layernorm")));
    return add(hand, h, feed(hand, norm(hand, h, "post_attention_layernorm")));
}

static layer_by_hand *const by_hand[LISTS] = {plain, norms_around, norms_of_sums, modules_beside,
                                              modules_beside_with_norms};

/* ---- The same bits ----------------------------------------------------------------------------------------------- */

/* A folder with random weights for the config, no norm of which is like another. */
static char *make_model(const char *text)
{
    alloy_config *config;
    struct model_copy copy;
    char *plain_folder = test_folder(), *folder = test_folder();
    uint32_t random = 1;
    expect_ok(alloy_config_parse(&config, "config.json", text, strlen(text)));
    expect_ok(alloy_model_init(config, NULL, plain_folder, &(alloy_init_options){.seed = 3, .dtype = ALLOY_F32}));
    begin_copy(&copy, plain_folder);
    for (int64_t i = 0; i < copy.count; i++) {
        alloy_saved_tensor *t = &copy.tensors[i];
        if (t->ndim != 1)
            continue;
        float *numbers = make(&copy, t->shape[0] * sizeof *numbers);
        for (uint64_t j = 0; j < t->shape[0]; j++)
            numbers[j] = 0.5f + (float)((random = random * 1664525u + 1013904223u) >> 8) / 16777216.0f;
        t->data = numbers;
    }
    end_copy(&copy, NULL, text, folder);
    alloy_config_close(config);
    remove_folder(plain_folder);
    return folder;
}

/* Logits of all tokens, [TOKENS, VOCAB]. */
static void run_by_hand(const alloy_model *model, const alloy_session *session, layer_by_hand *layer, int64_t *ids,
                        float *logits)
{
    alloy_cache *cache = open_cache(session);
    alloy_arena *arena = alloy_arena_new(), *tables = alloy_arena_new();
    alloy_span span = {.count = TOKENS, .repeat = 1};
    alloy_runs runs = {0};
    struct hand hand = {.pass = {.reading = ALLOY_READ_RUN,
                                 .arena = arena,
                                 .tables = tables,
                                 .tokens = TOKENS,
                                 .spans = &span,
                                 .span_count = 1,
                                 .backend = session->backend,
                                 .runs = &runs,
                                 .kernels = session->kernels,
                                 .team = &session->team},
                        .model = model};
    alloy_pass *p = &hand.pass;
    expect_ok(alloy_cache_reserve(cache, TOKENS));
    for (int i = 0; i < LAYERS; i++) {
        hand.blocks[i] = &cache->blocks[i];
        hand.states[i] = (alloy_state){model->layers[i].state, &hand.blocks[i], session->kv_dtype};
    }
    p->ids = alloy_tensor_over(p, ids, ALLOY_I64, 1, &p->tokens);
    alloy_tensor *h = alloy_embedding(p, model->embedding);
    for (hand.layer = 0; hand.layer < LAYERS; hand.layer++)
        h = layer(&hand, h);
    hand.layer = -1;
    assert_non_null(alloy_linear_into(p, norm(&hand, h, "model.norm.weight"), model->head, logits));
    expect_ok(p->status);
    alloy_arena_free(arena);
    alloy_arena_free(tables);
    alloy_cache_close(cache);
}

static void a_list_computes_what_its_layer_is_by_hand(void **state)
{
    (void)state;
    static float expected[TOKENS * VOCAB];
    float *before = NULL;
    int64_t ids[TOKENS];
    fill_ids(ids, TOKENS, 5);
    for (int i = 0; i < LISTS; i++) {
        char *folder = make_model(lists[i].config);
        alloy_model *model = open_model(folder);
        static const int64_t chunks[] = {512, 7, 1};
        for (int c = 0; c < 3; c++) {
            alloy_session *session = open_session(model, 1 + c, chunks[c], NULL);
            float *logits = logits_of(session, ids, TOKENS);
            if (c == 0)
                run_by_hand(model, session, by_hand[i], ids, expected);
            expect_same_bits(logits, expected, TOKENS * VOCAB, lists[i].residual.name);
            if (c == 0 && before)
                assert_memory_not_equal(logits, before, sizeof expected);
            free(c == 0 ? before : logits);
            before = c == 0 ? logits : before;
            alloy_session_close(session);
        }
        alloy_model_close(model);
        remove_folder(folder);
    }
    free(before);
}

/* ---- Lists that cannot run --------------------------------------------------------------------------------------- */

static const alloy_slot *told_list; /* what the residual "test_told" gives */

static const alloy_slot *tell_list(const void *shape, int64_t layer)
{
    (void)shape, (void)layer;
    return told_list;
}

static void expect_refused(const alloy_slot *list, const char *words)
{
    alloy_config *config;
    alloy_model *model;
    static const char text[] = RESIDUAL("test_told");
    told_list = list;
    expect_ok(alloy_config_parse(&config, "config.json", text, sizeof text - 1));
    expect_failure(alloy_model_describe(&model, config), ALLOY_ARG, "layer 0", "residual test_told", words);
    assert_null(model);
    alloy_config_close(config);
}

#define LIST(...) ((const alloy_slot[]){__VA_ARGS__, {ALLOY_SLOT_END, NULL}})
#define READ                                                                                                           \
    {                                                                                                                  \
        ALLOY_SLOT_READ, "read"                                                                                        \
    }
#define ONE(kind)                                                                                                      \
    {                                                                                                                  \
        ALLOY_SLOT_##kind, NULL                                                                                        \
    }

static void a_list_that_cannot_run_is_refused(void **state)
{
    (void)state;
    static const alloy_residual told = {.name = "test_told", .slots = tell_list};
    expect_ok(alloy_register_residual(&told));
    expect_refused(&(alloy_slot){ALLOY_SLOT_END, NULL}, "slot 0");
    expect_refused(LIST(ONE(MIXER)), "slot 0");                                 /* nothing in hand */
    expect_refused(LIST(READ, ONE(MIXER), ONE(FFN)), "slot 3");                 /* never added */
    expect_refused(LIST(READ, ONE(MIXER), READ, ONE(FFN), ONE(ADD)), "slot 2"); /* the mixer's output is lost */
    expect_refused(LIST(READ, ONE(MIXER), ONE(ADD)), "1 mixers and 0 FFNs");
    expect_refused(LIST(READ, ONE(MIXER), ONE(MIXER), ONE(FFN), ONE(ADD)), "2 mixers and 1 FFNs");
    expect_refused(LIST(ONE(READ), ONE(MIXER), ONE(FFN), ONE(ADD)), "slot 0 of its list, of kind 1, has no name");
    expect_refused(LIST(READ, ONE(NORM), ONE(MIXER), ONE(FFN), ONE(ADD)), "slot 1 of its list, of kind 2, has no name");
    expect_refused(LIST(READ, ONE(BESIDE), ONE(MIXER), ONE(FFN), ONE(ADD)), "slot 1");
    expect_refused(LIST(READ, {ALLOY_SLOT_NORM, "n"}, ONE(BESIDE), ONE(MIXER), ONE(FFN), ONE(ADD)), "slot 2");
    expect_refused(LIST(READ, ONE(MIXER), ONE(FFN), ONE(BESIDE), ONE(ADD)), "slot 4");
    expect_refused(LIST(READ, ONE(MIXER), ONE(FFN), ONE(BESIDE), READ, {ALLOY_SLOT_NORM, "n"}, ONE(ADD)), "slot 6");
    expect_refused(LIST(READ, ONE(MIXER), ONE(FFN), {ALLOY_SLOT_NORM_STREAM, "n"}, ONE(ADD)), "slot 3");
    expect_refused(LIST(READ, {99, "x"}), "slot 1");
    static alloy_slot endless[ALLOY_MOST_SLOTS + 2] = {READ};
    for (int i = 1; i < ALLOY_MOST_SLOTS + 2; i++)
        endless[i] = (alloy_slot){ALLOY_SLOT_NORM, "n"};
    expect_refused(endless, "more than 32 slots");
}

static void a_residual_is_registered_once_and_whole(void **state)
{
    (void)state;
    static alloy_residual mode = {.name = "mhc"};
    expect_failure(alloy_register_residual(&mode), ALLOY_ARG, "residual mhc", "exists");
    mode.name = NULL;
    expect_failure(alloy_register_residual(&mode), ALLOY_ARG, "(no name)");
    mode = *alloy_residual_by_name("mhc");
    mode.name = "test_halfway";
    mode.after = NULL;
    expect_failure(alloy_register_residual(&mode), ALLOY_ARG, "test_halfway", "after");
    mode = *alloy_residual_by_name("mhc");
    mode.name = "test_halfway";
    mode.weights_size = 0;
    expect_failure(alloy_register_residual(&mode), ALLOY_ARG, "test_halfway", "sizes");
    assert_null(alloy_residual_by_name("test_halfway"));
    assert_non_null(strstr(alloy_error(), "unknown residual mode \"test_halfway\""));
    assert_ptr_equal(alloy_residual_at(0), alloy_residual_by_name("pre_norm"));
    assert_null(alloy_residual_at(-1));
}

/* use_mhc decides where residual_mode names nothing else. */
static void a_config_chooses_its_residual(void **state)
{
    (void)state;
    static const struct {
        const char *config, *name, *warning;
    } cases[] = {{CONFIG(""), "pre_norm", NULL},
                 {CONFIG(", \"use_mhc\": true"), "mhc", NULL},
                 {CONFIG(", \"residual_mode\": null, \"use_mhc\": true"), "mhc", NULL},
                 {CONFIG(", \"residual_mode\": \"pre_norm\", \"use_mhc\": true"), "mhc", NULL},
                 {RESIDUAL("mhc"), "mhc", NULL},
                 {RESIDUAL("sandwich_norm"), "sandwich_norm", NULL},
                 {RESIDUAL("nobody's"), "pre_norm", "no residual \"nobody's\" is known: pre_norm is used"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct warnings warnings;
        collect_warnings(&warnings);
        struct described d = describe_text(cases[i].config);
        expect_text(alloy_residual_of(d.config)->name, cases[i].name);
        assert_int_equal(warnings.count, cases[i].warning ? 1 : 0);
        if (cases[i].warning)
            assert_non_null(strstr(warnings.text, cases[i].warning));
        forget(&d);
    }
    alloy_set_log(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_computes_what_its_layer_is_by_hand),
        cmocka_unit_test(a_list_that_cannot_run_is_refused),
        cmocka_unit_test(a_residual_is_registered_once_and_whole),
        cmocka_unit_test(a_config_chooses_its_residual),
    };
    return cmocka_run_group_tests(tests, register_lists, NULL);
}
