/* The exact accounting against a run: models of each family compute a prompt, chunks behind it, decoded tokens and a
 * ragged batch on a backend that counts in its innermost loops (counting.h), and each op has done what its count says:
 * multiply-adds and operations, bytes of parameters that were read (of the experts that the run's own routing chose),
 * elements of caches and states that were read and written. That the loops are those of the op is seen from the logits:
 * the backend fp64 has the same. */
#include "counting/counting.h"
#include "support.h"

#include <math.h>

#include "alloy/extend.h"
#include "engine/cache.h"
#include "engine/session.h"
#include "checkpoint/init.h"
#include "checkpoint/model.h"
#include "roofline/analysis.h"

enum { MOST_OPS = 4096, MOST_LAYERS = 16, MOST_EXPERTS = 64, MOST_TOKENS = 64, CONTEXT = 128 };

struct op {
    char name[32];
    alloy_wide tensor, vector, parameters, cache_read, cache_written;
};

struct ops {
    struct op list[MOST_OPS];
    int count;
};

static struct op *new_op(struct ops *ops, const char *name)
{
    assert_true(ops->count < MOST_OPS);
    struct op *op = &ops->list[ops->count++];
    *op = (struct op){0};
    snprintf(op->name, sizeof op->name, "%s", name);
    return op;
}

/* ---- What ran ---------------------------------------------------------------------------------------------------- */

static struct ops run, counted;

static void note_op(const char *name, const struct counting *done)
{
    struct op *op = new_op(&run, name);
    op->tensor = done->tensor;
    op->vector = done->vector;
    op->parameters = done->parameters_read;
    op->cache_read = done->cache_read;
    op->cache_written = done->cache_written;
}

/* [layers] experts of each that had tokens. */
struct routing {
    bool used[MOST_LAYERS][MOST_EXPERTS];
    int64_t read[MOST_LAYERS];
};

static struct routing routing;

static void note_routing(void *user, const alloy_args *a)
{
    (void)user;
    int64_t layer = a->pass->site.layer;
    for (int64_t i = 0; a->op == &alloy_op_experts && i < alloy_tensor_size(a->in[1]); i++) {
        int32_t expert = alloy_i32(a->in[1])[i];
        assert_true(layer < MOST_LAYERS && expert < MOST_EXPERTS);
        routing.read[layer] += !routing.used[layer][expert];
        routing.used[layer][expert] = true;
    }
}

/* ---- What is counted --------------------------------------------------------------------------------------------- */

static void note_count(void *user, const alloy_site *site, const alloy_args *call, const alloy_cost *cost)
{
    alloy_work work = {0};
    if (!call)
        return;
    alloy_roofline_reduce(user, site, call, cost, &work);
    struct op *op = new_op(&counted, call->op->name);
    op->tensor = cost->tensor_flops;
    op->vector = cost->vector_flops;
    op->parameters = alloy_wide_of(work.read[ALLOY_TRAFFIC_WEIGHTS]) + alloy_wide_of(work.read[ALLOY_TRAFFIC_ROUTER]);
    for (int i = 0; i < cost->caches; i++) {
        op->cache_read += cost->cache[i].read;
        op->cache_written += cost->cache[i].written;
    }
}

static void count_forward(const alloy_model *model, const alloy_roofline_sequences *batch, int64_t count)
{
    alloy_roofline_options options = {.size = sizeof options,
                                      .sequences = batch,
                                      .sequences_count = count,
                                      .accounting = ALLOY_EXACT,
                                      .routing = ALLOY_ROUTING_GIVEN,
                                      .experts_read = routing.read,
                                      .delta = ALLOY_DELTA_STEP};
    alloy_roofline_terms terms;
    alloy_arena *arena = alloy_arena_new();
    assert_non_null(arena);
    expect_ok(alloy_roofline_resolve(&terms, model, &options, arena));
    expect_ok(alloy_roofline_count(model, &terms, NULL, note_count, &terms));
    alloy_arena_free(arena);
}

/* ---- Comparing --------------------------------------------------------------------------------------------------- */

static bool differs(const char *what, alloy_wide did, alloy_wide says)
{
    if (did != says)
        print_error("  %s: %lld in the run, %lld counted\n", what, (long long)did, (long long)says);
    return did != says;
}

/* `chosen`: an indexer has chosen what the op reads, and the count is of the most that it can be. A router by id counts
 * as its kin do, a bias for each score and the whole of its weight: the loops read the rows of chosen experts. */
static bool op_differs(const struct op *did, const struct op *says, bool chosen)
{
    bool by_id = strcmp(did->name, "route_by_id") == 0;
    bool differ = differs("tensor FLOPs", did->tensor, says->tensor);
    differ |= by_id ? did->vector >= says->vector : differs("vector FLOPs", did->vector, says->vector);
    differ |=
        by_id ? did->parameters >= says->parameters : differs("bytes of parameters", did->parameters, says->parameters);
    if (!chosen || did->cache_read > says->cache_read)
        differ |= differs("elements of caches read", did->cache_read, says->cache_read);
    return differ | differs("elements of caches written", did->cache_written, says->cache_written);
}

/* There is work, or nothing was counted. `fresh`: nothing is cached yet. */
static void expect_some_work(bool fresh)
{
    struct op sum = {0};
    for (int i = 0; i < run.count; i++) {
        sum.tensor += run.list[i].tensor;
        sum.vector += run.list[i].vector;
        sum.parameters += run.list[i].parameters;
        sum.cache_read += run.list[i].cache_read;
        sum.cache_written += run.list[i].cache_written;
    }
    assert_true(sum.tensor > 0 && sum.vector > 0 && sum.parameters > 0 && sum.cache_written > 0);
    assert_int_equal(sum.cache_read > 0, !fresh);
}

static void expect_same_ops(void)
{
    int differences = 0;
    bool chosen = false;
    assert_int_equal(run.count, counted.count);
    for (int i = 0; i < run.count; i++) {
        expect_text(run.list[i].name, counted.list[i].name);
        bool attends = strcmp(run.list[i].name, "shared_kv_attention") == 0;
        if (op_differs(&run.list[i], &counted.list[i], chosen && attends)) {
            print_error("^ op %d, %s\n", i, run.list[i].name);
            differences++;
        }
        chosen = !attends && (chosen || strcmp(run.list[i].name, "choose_entries") == 0);
    }
    assert_int_equal(differences, 0);
}

/* ---- Forwards ---------------------------------------------------------------------------------------------------- */

/* Caches get all their memory first, so that it does not move. */
static void declare(alloy_cache *cache, const alloy_model *model)
{
    expect_ok(alloy_cache_reserve(cache, CONTEXT));
    for (int64_t l = 0; l < model->config.num_hidden_layers; l++) {
        const alloy_state_spec *spec = model->layers[l].state;
        for (int i = 0; i < spec->count; i++) {
            const alloy_state_store *store = &cache->blocks[l].store[i];
            size_t row = (size_t)spec->part[i].width * sizeof(double);
            for (int64_t at = 0; store->pages && at < store->capacity; at += ALLOY_ATTENTION_BLOCK)
                counting_cache(alloy_store_row(store, at, (int64_t)row), ALLOY_ATTENTION_BLOCK * row);
            if (store->data)
                counting_cache(store->data, (size_t)(store->capacity ? store->capacity : 1) * row);
        }
    }
}

/* The two backends, and a cache of each for each sequence. */
struct pair {
    alloy_model *model;
    alloy_session *session[2]; /* counting, fp64 */
    alloy_cache *caches[2][2];
};

/* Runs one forward of `count` sequences with so many tokens each, and expects of it what is counted. Ids differ: a row
 * of the embedding counts for each token. */
static void forward(struct pair *pair, const int64_t *tokens, int64_t count)
{
    int64_t ids[MOST_TOKENS], next = 0, vocabulary = alloy_model_vocab_size(pair->model);
    alloy_sequence sequences[2][4];
    alloy_roofline_sequences batch[4];
    for (int64_t i = 0; i < count; i++) {
        for (int b = 0; b < 2; b++)
            sequences[b][i] = (alloy_sequence){pair->caches[b][i], ids + next, tokens[i]};
        batch[i] = (alloy_roofline_sequences){1, tokens[i], alloy_cache_length(pair->caches[0][i])};
        for (int64_t t = 0; t < tokens[i]; t++, next++)
            ids[next] = 1 + next * 3 % 200;
    }
    run.count = counted.count = 0;
    routing = (struct routing){0};
    counting_listener = note_op;
    double *logits[2];
    for (int b = 0; b < 2; b++) {
        logits[b] = malloc((size_t)(count * vocabulary) * sizeof **logits);
        alloy_forward_options options = {.size = sizeof options, .logits_f64 = logits[b]};
        expect_ok(alloy_forward(pair->session[b], sequences[b], count, NULL, &options));
    }
    counting_forward_ends();
    count_forward(pair->model, batch, count);
    expect_some_work(batch[0].cached == 0);
    expect_same_ops();
    for (int64_t i = 0; i < count * vocabulary; i++)
        assert_true(fabs(logits[0][i] - logits[1][i]) <= 1e-9 * (1 + fabs(logits[1][i])));
    free(logits[0]);
    free(logits[1]);
}

/* A prompt, a chunk, decoded tokens, a ragged batch; no chunk is longer than what a window keeps, which a run writes
 * whole. */
static void expect_run_counts(const char *folder)
{
    struct pair pair;
    alloy_session_options options = {.size = sizeof options, .threads = 1, .backend = "fp64"};
    counting_forget();
    expect_ok(alloy_model_open(&pair.model, folder, NULL));
    for (int b = 0; b < 2; b++) {
        expect_ok(alloy_session_open(&pair.session[b], pair.model, &options));
        for (int i = 0; i < 2; i++)
            expect_ok(alloy_cache_open(&pair.caches[b][i], pair.session[b], CONTEXT));
    }
    pair.session[0]->backend = &counting_backend;
    pair.session[0]->observe = note_routing;
    for (int i = 0; i < 2; i++)
        declare(pair.caches[0][i], pair.model);
    static const int64_t alone[] = {1, 1, 13, 15, 1, 15, 9, 1};
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++)
        forward(&pair, &alone[i], 1);
    forward(&pair, (const int64_t[]){1, 7}, 2);
    forward(&pair, (const int64_t[]){5, 1}, 2);
    for (int b = 0; b < 2; b++) {
        for (int i = 0; i < 2; i++)
            alloy_cache_close(pair.caches[b][i]);
        alloy_session_close(pair.session[b]);
    }
    alloy_model_close(pair.model);
}

/* ---- Models ------------------------------------------------------------------------------------------------------ */

#define GOLDEN(name) ALLOY_SOURCE_DIR "/tests/golden/" name

static void qwen3(void **state)
{
    (void)state;
    expect_run_counts(GOLDEN("qwen3"));
}

static void qwen3_5(void **state)
{
    (void)state;
    expect_run_counts(GOLDEN("qwen3_5"));
}

static void qwen3_moe(void **state)
{
    (void)state;
    expect_run_counts(GOLDEN("qwen3_moe"));
}

static void llama(void **state)
{
    (void)state;
    expect_run_counts(GOLDEN("llama_linear_sharded"));
}

/* A model of new weights. */
static void expect_new_model_counts(const char *config, alloy_dtype dtype)
{
    char *folder = test_folder();
    alloy_config *c;
    expect_ok(alloy_config_open(&c, write_text(folder, "config.json", config)));
    expect_ok(alloy_model_init(c, NULL, folder, &(alloy_init_options){.seed = 1, .dtype = dtype}));
    alloy_config_close(c);
    expect_run_counts(folder);
    remove_folder(folder);
}

/* Windows of 16, gates, biases, tied head, shared experts; weights in bf16. */
static const char mixed[] =
    "{\"model_type\": \"alloy\", \"vocab_size\": 301, \"hidden_size\": 36, \"max_position_embeddings\": 256, "
    "\"layer_types\": [\"qwen3_attention_sliding\", \"qwen3_5_gdn\", \"llama_attention_sliding\", "
    "\"qwen3_attention\"], \"ffn_types\": [\"qwen3_5_moe\", \"qwen3_mlp\", \"qwen3_moe\", \"qwen3_5_moe\"], "
    "\"num_attention_heads\": 6, \"num_key_value_heads\": 3, \"head_dim\": 10, \"sliding_window\": 16, "
    "\"attention_bias\": true, \"mlp_bias\": true, \"attn_output_gate\": true, \"tie_word_embeddings\": true, "
    "\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 10000.0, \"partial_rotary_factor\": 0.4}, "
    "\"linear_num_key_heads\": 2, \"linear_num_value_heads\": 6, \"linear_key_head_dim\": 7, "
    "\"linear_value_head_dim\": 11, \"linear_conv_kernel_dim\": 5, \"intermediate_size\": 29, \"num_experts\": 7, "
    "\"num_experts_per_tok\": 3, \"moe_intermediate_size\": 13, \"shared_expert_intermediate_size\": 17, "
    "\"norm_topk_prob\": true%s}";

static void mixed_modules(void **state)
{
    (void)state;
    char text[2048];
    snprintf(text, sizeof text, mixed, "");
    expect_new_model_counts(text, ALLOY_BF16);
}

/* DeepSeek-V4's experts within hyper-connections. */
static void hyper_connections_and_v4_experts(void **state)
{
    (void)state;
    expect_new_model_counts(
        "{\"model_type\": \"alloy\", \"vocab_size\": 301, \"hidden_size\": 36, \"max_position_embeddings\": 256, "
        "\"layer_types\": [\"qwen3_attention\", \"qwen3_5_gdn\"], \"ffn_types\": [\"dsv4_hash_moe\", \"dsv4_moe\"], "
        "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 10, \"use_mhc\": true, \"hc_mult\": 3, "
        "\"hc_sinkhorn_iters\": 4, \"linear_num_key_heads\": 2, \"linear_num_value_heads\": 4, "
        "\"linear_key_head_dim\": 7, \"linear_value_head_dim\": 11, \"linear_conv_kernel_dim\": 3, "
        "\"num_experts\": 7, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 13, \"scoring_func\": "
        "\"sqrtsoftplus\", \"routed_scaling_factor\": 1.5, \"swiglu_limit\": 7.0}",
        ALLOY_BF16);
}

static void dsv4(void **state)
{
    (void)state;
    expect_run_counts(GOLDEN("dsv4"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qwen3),
        cmocka_unit_test(qwen3_5),
        cmocka_unit_test(qwen3_moe),
        cmocka_unit_test(llama),
        cmocka_unit_test(dsv4),
        cmocka_unit_test(mixed_modules),
        cmocka_unit_test(hyper_connections_and_v4_experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
