/* The exact accounting against a run: models of each family compute a prompt, chunks behind it, decoded tokens and a
 * ragged batch with the generic kernels, whose innermost loops count (kernels/counted.h), and each op has done what its
 * count says: multiply-adds and operations, bytes of parameters that were read (of the experts that the run's own
 * routing chose), bytes of caches and states that were read and written. */
#include "support.h"

#include "alloy/extend.h"
#include "kernels/counted.h"
#include "engine/cache.h"
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

static void note_op(void *user, const char *name, const alloy_counted *counted)
{
    struct op *op = new_op(user, name);
    op->tensor = counted->flops[ALLOY_UNIT_TENSOR];
    op->vector = counted->flops[ALLOY_UNIT_VECTOR];
    op->parameters = counted->parameters_read;
    op->cache_read = counted->cache_read;
    op->cache_written = counted->cache_written;
}

/* [layers] experts of each that had tokens. */
struct routing {
    bool used[MOST_LAYERS][MOST_EXPERTS];
    int64_t read[MOST_LAYERS];
};

static void note_routing(void *user, int64_t layer, int64_t experts, int64_t count, const int32_t *chosen)
{
    struct routing *routing = user;
    assert_true(layer < MOST_LAYERS && experts <= MOST_EXPERTS);
    for (int64_t i = 0; i < count; i++) {
        routing->read[layer] += !routing->used[layer][chosen[i]];
        routing->used[layer][chosen[i]] = true;
    }
}

/* ---- What is counted --------------------------------------------------------------------------------------------- */

struct counting {
    const alloy_roofline_terms *terms;
    struct ops *ops;
};

static void note_count(void *user, const alloy_site *site, const alloy_args *call, const alloy_cost *cost)
{
    struct counting *c = user;
    alloy_work work = {0};
    if (!call)
        return;
    alloy_roofline_reduce(c->terms, site, call, cost, &work);
    struct op *op = new_op(c->ops, call->op->name);
    op->tensor = work.tensor_flops;
    op->vector = work.vector_flops;
    op->parameters = work.read[ALLOY_TRAFFIC_WEIGHTS] + work.read[ALLOY_TRAFFIC_ROUTER];
    for (int i = ALLOY_TRAFFIC_KV; i <= ALLOY_TRAFFIC_INDEXER; i++) {
        op->cache_read += work.read[i];
        op->cache_written += work.written[i];
    }
}

static void count_forward(struct ops *ops, const alloy_model *model, const alloy_roofline_sequences *batch,
                          int64_t count, const struct routing *routing, const char *kv_dtype)
{
    alloy_roofline_options options = {.sequences = batch,
                                      .sequences_count = count,
                                      .accounting = ALLOY_EXACT,
                                      .activation_dtype = "fp32",
                                      .kv_dtype = kv_dtype,
                                      .routing = ALLOY_ROUTING_GIVEN,
                                      .experts_read = routing->read,
                                      .delta = ALLOY_DELTA_STEP};
    alloy_roofline_terms terms;
    alloy_arena *arena = alloy_arena_new();
    assert_non_null(arena);
    expect_ok(alloy_roofline_resolve(&terms, model, &options, arena));
    struct counting counting = {&terms, ops};
    expect_ok(alloy_roofline_count(model, &terms, NULL, note_count, &counting));
    alloy_arena_free(arena);
}

/* ---- Comparing --------------------------------------------------------------------------------------------------- */

/* Where an op's run is not what it counts, and what is compared of it. */
enum { NO_VECTOR = 1, BOTH_UNITS = 2, NO_PARAMETERS = 4, IDLE_PARAMETERS = 8 };

static const struct {
    const char *op;
    int what;
    const char *why;
} exceptions[] = {
    {"compress", NO_VECTOR | IDLE_PARAMETERS,
     "divides a sum once, where a softmax divides each entry, and reads its bias also where no window closes"},
    {"choose_entries", NO_VECTOR, "finds the best entries by the digits of their scores"},
    {"route_by_id", NO_VECTOR | NO_PARAMETERS, "adds no bias, and reads the chosen rows of a router that counts whole"},
    {"hyper_collapse", NO_VECTOR, "adds the first product to zero"},
    {"hyper_expand", BOTH_UNITS, "makes the products of its matrices stream by stream"},
};

static int exception_of(const char *op)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (strcmp(op, exceptions[i].op) == 0)
            return exceptions[i].what;
    return 0;
}

static bool differs(const char *what, alloy_wide run, alloy_wide counted)
{
    if (run != counted)
        print_error("  %s: %lld in the run, %lld counted\n", what, (long long)run, (long long)counted);
    return run != counted;
}

/* `chosen`: an indexer has chosen what the op reads, and the count is of the most that it can be. */
static bool op_differs(const struct op *run, const struct op *counted, bool chosen)
{
    int except = exception_of(run->name);
    bool differ = false;
    if (except & BOTH_UNITS)
        differ |= differs("FLOPs", run->tensor + run->vector, counted->tensor + counted->vector);
    else
        differ |= differs("tensor FLOPs", run->tensor, counted->tensor);
    if (!(except & (BOTH_UNITS | NO_VECTOR)))
        differ |= differs("vector FLOPs", run->vector, counted->vector);
    bool idle = (except & IDLE_PARAMETERS) && counted->parameters == 0;
    if (!(except & NO_PARAMETERS) && !idle)
        differ |= differs("bytes of parameters", run->parameters, counted->parameters);
    if (!chosen || run->cache_read > counted->cache_read)
        differ |= differs("bytes of caches read", run->cache_read, counted->cache_read);
    return differ | differs("bytes of caches written", run->cache_written, counted->cache_written);
}

/* There is work, or nothing was counted. `fresh`: nothing is cached yet. */
static void expect_work(const struct ops *run, bool fresh)
{
    struct op sum = {0};
    for (int i = 0; i < run->count; i++) {
        sum.tensor += run->list[i].tensor;
        sum.vector += run->list[i].vector;
        sum.parameters += run->list[i].parameters;
        sum.cache_read += run->list[i].cache_read;
        sum.cache_written += run->list[i].cache_written;
    }
    assert_true(sum.tensor > 0 && sum.vector > 0 && sum.parameters > 0 && sum.cache_written > 0);
    assert_int_equal(sum.cache_read > 0, !fresh);
}

static void expect_same_ops(const struct ops *run, const struct ops *counted)
{
    int differences = 0;
    bool chosen = false;
    assert_int_equal(run->count, counted->count);
    for (int i = 0; i < run->count; i++) {
        expect_text(run->list[i].name, counted->list[i].name);
        bool attends = strcmp(run->list[i].name, "shared_kv_attention") == 0;
        if (op_differs(&run->list[i], &counted->list[i], chosen && attends)) {
            print_error("^ op %d, %s\n", i, run->list[i].name);
            differences++;
        }
        chosen = !attends && (chosen || strcmp(run->list[i].name, "choose_entries") == 0);
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
            size_t floats = (size_t)spec->part[i].width * (size_t)(store->capacity ? store->capacity : 1);
            bool rows = spec->part[i].kind == ALLOY_STATE_ROWS;
            alloy_counted_cache(store->data,
                                floats * (size_t)alloy_dtype_bits(rows ? cache->rows_dtype : ALLOY_F32) / 8);
        }
    }
}

/* Runs one forward of `count` sequences with so many tokens each, and expects of it what is counted. Ids differ: a row
 * of the embedding counts for each token. */
static void forward(alloy_session *session, alloy_cache **caches, const int64_t *tokens, int64_t count,
                    const char *kv_dtype)
{
    static struct ops run, counted;
    static struct routing routing;
    const alloy_model *model = alloy_session_model(session);
    int64_t ids[MOST_TOKENS], next = 0;
    alloy_sequence sequences[4];
    alloy_roofline_sequences batch[4];
    for (int64_t i = 0; i < count; i++) {
        sequences[i] = (alloy_sequence){caches[i], ids + next, tokens[i]};
        batch[i] = (alloy_roofline_sequences){1, tokens[i], alloy_cache_length(caches[i])};
        for (int64_t t = 0; t < tokens[i]; t++, next++)
            ids[next] = 1 + next * 3 % 200;
    }
    run.count = counted.count = 0;
    routing = (struct routing){0};
    alloy_counted_listener = note_op;
    alloy_counted_user = &run;
    float *logits = malloc((size_t)(count * alloy_model_vocab_size(model)) * sizeof *logits);
    expect_ok(alloy_forward(session, sequences, count, logits,
                            &(alloy_forward_options){.routed = note_routing, .user = &routing}));
    free(logits);
    alloy_counted_forward_ends();
    count_forward(&counted, model, batch, count, &routing, kv_dtype);
    expect_work(&run, batch[0].cached == 0);
    expect_same_ops(&run, &counted);
}

/* A prompt, a chunk, decoded tokens, a ragged batch; no chunk is longer than what a window keeps, which a run writes
 * whole. */
static void expect_run_counts(const char *folder, alloy_dtype kv, const char *kv_dtype)
{
    alloy_model *model;
    alloy_session *session;
    alloy_cache *caches[2];
    alloy_counted_forget();
    expect_ok(alloy_model_open(&model, folder, NULL));
    expect_ok(
        alloy_session_open(&session, model, &(alloy_session_options){.threads = 1, .cpu = "generic", .kv_dtype = kv}));
    for (int i = 0; i < 2; i++) {
        expect_ok(alloy_cache_open(&caches[i], session, CONTEXT));
        declare(caches[i], model);
    }
    static const int64_t alone[] = {1, 1, 13, 15, 1, 15, 9, 1};
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++)
        forward(session, caches, &alone[i], 1, kv_dtype);
    forward(session, caches, (const int64_t[]){1, 7}, 2, kv_dtype);
    forward(session, caches, (const int64_t[]){5, 1}, 2, kv_dtype);
    for (int i = 0; i < 2; i++)
        alloy_cache_close(caches[i]);
    alloy_session_close(session);
    alloy_model_close(model);
}

/* ---- Models ------------------------------------------------------------------------------------------------------ */

#define GOLDEN(name) ALLOY_SOURCE_DIR "/tests/golden/" name

static void qwen3(void **state)
{
    (void)state;
    expect_run_counts(GOLDEN("qwen3"), ALLOY_F32, "fp32");
    expect_run_counts(GOLDEN("qwen3"), ALLOY_BF16, "bf16");
}

static void qwen3_5(void **state)
{
    (void)state;
    expect_run_counts(GOLDEN("qwen3_5"), ALLOY_F32, "fp32");
}

static void qwen3_moe(void **state)
{
    (void)state;
    expect_run_counts(GOLDEN("qwen3_moe"), ALLOY_F32, "fp32");
}

static void llama(void **state)
{
    (void)state;
    expect_run_counts(GOLDEN("llama_linear_sharded"), ALLOY_F32, "fp32");
}

/* A model of new weights. */
static void expect_new_model_counts(const char *config, alloy_dtype dtype)
{
    char *folder = test_folder();
    alloy_config *c;
    expect_ok(alloy_config_open(&c, write_text(folder, "config.json", config)));
    expect_ok(alloy_model_init(c, NULL, folder, &(alloy_init_options){.seed = 1, .dtype = dtype}));
    alloy_config_close(c);
    expect_run_counts(folder, ALLOY_F32, "fp32");
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
    expect_run_counts(GOLDEN("dsv4"), ALLOY_F32, "fp32");
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
