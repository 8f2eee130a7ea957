/* The count reading: a forward's work and traffic from lengths alone, against figures worked out by hand, and against
 * what holds for every model. */
#include "engine/counts.h"

#include "checkpoint/parameters.h"

#define ONE_LAYER(hidden, mixer, more)                                                                                 \
    "{\"model_type\": \"alloy\", \"vocab_size\": 256, \"hidden_size\": " #hidden ", \"layer_types\": [\"" mixer        \
    "\"], \"ffn_types\": [\"qwen3_mlp\"], \"intermediate_size\": 256, \"num_attention_heads\": 4, "                    \
    "\"num_key_value_heads\": 2, \"head_dim\": 8" more "}"

/* ---- By hand ----------------------------------------------------------------------------------------------------- */

/* Where 8 tokens see 3 each at most, the pairs are 1 + 2 + 3 * 6. */
static void a_window_counts_pairs(void **state)
{
    (void)state;
    struct totals full = count_site(ONE_LAYER(32, "qwen3_attention", ""), ALLOY_SITE_MIXER, 8, 0);
    struct totals sliding =
        count_site(ONE_LAYER(32, "qwen3_attention_sliding", ", \"sliding_window\": 3"), ALLOY_SITE_MIXER, 8, 0);
    expect_number(full.tensor - sliding.tensor, 4 * 4 * 8 * (36 - 21), "tensor FLOPs of pairs that are not seen");
    expect_number(sliding.state_written, 2 * 2 * 8 * 2 * ELEMENT, "bytes written: window - 1 rows");
    struct totals later =
        count_site(ONE_LAYER(32, "qwen3_attention_sliding", ", \"sliding_window\": 3"), ALLOY_SITE_MIXER, 1, 100);
    expect_number(later.state_read, 2 * 2 * 8 * 2 * ELEMENT, "bytes read behind 100: window - 1 rows");
}

/* ---- A whole model ----------------------------------------------------------------------------------------------- */

static struct described describe_readme(void)
{
    size_t size;
    char *text = read_whole(ALLOY_SOURCE_DIR "/examples/configs/readme.json", &size);
    struct described d = describe_text(text);
    free(text);
    return d;
}

static void a_hybrid_of_16_layers_counts_exactly(void **state)
{
    (void)state;
    static const struct {
        int64_t fresh, past, tensor, read, written;
    } points[] = {
        {4096, 0, 9360441868288, 3933460992, 1640483328},
        {512, 2048, 1174565552128, 2545560064, 216517120},
        {1, 4096, 2456911872, 2353011208, 13490688},
    };
    struct described d = describe_readme();
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        struct totals sum = {0};
        count_into(&sum, d.model, points[i].fresh, points[i].past, false);
        expect_number(sum.tensor, points[i].tensor, "tensor FLOPs");
        expect_number(sum.ids + (alloy_wide)sum.weight_bytes + sum.state_read + sum.between_read, points[i].read,
                      "bytes read");
        expect_number(sum.state_written + sum.between_written, points[i].written, "bytes written");
    }
    forget(&d);
}

static void keep_delta_steps(void *user, const alloy_site *site, const alloy_args *call, const alloy_cost *cost)
{
    if (call && strcmp(call->op->name, "delta_rule") == 0)
        add_record(user, site, call, cost);
}

static void a_decoded_token_takes_delta_steps(void **state)
{
    (void)state;
    struct described d = describe_readme();
    struct totals sum = {0};
    alloy_span span = {.count = 1, .past = 4096, .repeat = 1};
    alloy_count_request request = {.spans = &span, .span_count = 1};
    expect_ok(alloy_model_count(d.model, &request, keep_delta_steps, &sum));
    expect_number(sum.vector, 22069248, "vector FLOPs of delta steps");
    expect_number(sum.tensor, 0, "tensor FLOPs of delta steps");
    forget(&d);
}

/* ---- What holds for every model ---------------------------------------------------------------------------------- */

static struct totals count_layers(const char *mixer, const char *ffn, int layers, int64_t fresh, int64_t past)
{
    char text[2048];
    snprintf(text, sizeof text,
             "{\"model_type\": \"alloy\", \"vocab_size\": 512, \"hidden_size\": 64, \"layer_types\": {\"pattern\": "
             "[\"%s\"], \"repeat\": %d}, \"ffn_types\": {\"pattern\": [\"%s\"], \"repeat\": %d}, "
             "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 16, \"sliding_window\": 32, "
             "\"linear_num_key_heads\": 2, \"linear_num_value_heads\": 4, \"linear_key_head_dim\": 16, "
             "\"linear_value_head_dim\": 16, \"linear_conv_kernel_dim\": 4, \"intermediate_size\": 96, "
             "\"num_experts\": 8, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 48, "
             "\"shared_expert_intermediate_size\": 32, \"q_lora_rank\": 24, \"qk_rope_head_dim\": 8, \"o_groups\": 2, "
             "\"o_lora_rank\": 8, \"index_n_heads\": 2, \"index_head_dim\": 8, \"index_topk\": 4, "
             "\"compress_rate_csa\": 4, \"compress_rate_hca\": 8, \"scoring_func\": \"sqrtsoftplus\"}",
             mixer, layers, ffn, layers);
    struct totals sum = {0};
    struct described d = describe_text(text);
    count_into(&sum, d.model, fresh, past, false);
    forget(&d);
    return sum;
}

static void counts_grow_linearly_with_layers(void **state)
{
    (void)state;
    for (int m = 0; alloy_mixer_at(m); m++)
        for (int f = 0; alloy_ffn_at(f); f++) {
            struct totals sum[3];
            for (int i = 0; i < 3; i++)
                sum[i] = count_layers(alloy_mixer_at(m)->name, alloy_ffn_at(f)->name, 1 + 3 * i, 100, 50);
            assert_true(sum[1].ops > sum[0].ops && sum[1].tensor > sum[0].tensor && sum[1].vector > sum[0].vector);
            expect_number(sum[2].ops - sum[1].ops, sum[1].ops - sum[0].ops, "ops");
            expect_number(sum[2].tensor - sum[1].tensor, (int64_t)(sum[1].tensor - sum[0].tensor), "tensor FLOPs");
            expect_number(sum[2].vector - sum[1].vector, (int64_t)(sum[1].vector - sum[0].vector), "vector FLOPs");
            assert_float_equal(sum[2].weights - sum[1].weights, sum[1].weights - sum[0].weights, 1e-3);
        }
}

static alloy_status add_elements(void *user, const alloy_parameter *parameter)
{
    int64_t elements = 1;
    for (int i = 0; i < parameter->ndim; i++)
        elements *= parameter->shape[i];
    *(int64_t *)user += elements;
    return ALLOY_OK;
}

/* Of the embedding a row; tied, the table is read as the head. */
static void a_decoded_token_reads_every_weight_of_a_dense_model(void **state)
{
    (void)state;
    static const char *const more[] = {"", ", \"tie_word_embeddings\": true",
                                       ", \"attention_bias\": true, \"mlp_bias\": true"};
    static const char *const mixers[] = {"qwen3_attention", "llama_attention", "qwen3_5_gdn"};
    for (int m = 0; m < 3; m++)
        for (int i = 0; i < 3; i++) {
            char text[1024];
            snprintf(text, sizeof text,
                     "{\"model_type\": \"alloy\", \"vocab_size\": 512, \"hidden_size\": 64, \"layer_types\": [\"%s\", "
                     "\"%s\"], \"ffn_types\": [\"qwen3_mlp\", \"qwen3_mlp\"], \"num_attention_heads\": 4, "
                     "\"num_key_value_heads\": 2, \"head_dim\": 16, \"linear_num_key_heads\": 2, "
                     "\"linear_num_value_heads\": 4, \"linear_key_head_dim\": 16, \"linear_value_head_dim\": 16, "
                     "\"linear_conv_kernel_dim\": 4, \"intermediate_size\": 96%s}",
                     mixers[m], mixers[m], more[i]);
            struct described d = describe_text(text);
            struct totals sum = {0};
            int64_t parameters = 0;
            count_into(&sum, d.model, 1, 7, false);
            expect_ok(alloy_parameters(d.model, add_elements, &parameters));
            expect_count(sum.weights, i == 1 ? parameters + 64 : parameters - 512 * 64 + 64, text);
            forget(&d);
        }
}

static void equal_sequences_count_as_often_as_they_are(void **state)
{
    (void)state;
    struct described d = describe_readme();
    struct totals repeated = {0}, apart = {0};
    alloy_span once[3] = {{.count = 70, .past = 9, .repeat = 1}}, thrice = {.count = 70, .past = 9, .repeat = 3};
    once[1] = once[2] = once[0];
    expect_ok(
        alloy_model_count(d.model, &(alloy_count_request){.spans = &thrice, .span_count = 1}, add_record, &repeated));
    expect_ok(alloy_model_count(d.model, &(alloy_count_request){.spans = once, .span_count = 3}, add_record, &apart));
    expect_number(repeated.tensor, (int64_t)apart.tensor, "tensor FLOPs");
    expect_number(repeated.vector, (int64_t)apart.vector, "vector FLOPs");
    expect_number(repeated.state_read, (int64_t)apart.state_read, "bytes of state read");
    expect_number(repeated.state_written, (int64_t)apart.state_written, "bytes of state written");
    expect_count(repeated.weights, (int64_t)apart.weights, "weights");
    forget(&d);
}

static double all_of_them(void *user, int64_t layer, int64_t experts, int64_t per_token, int64_t tokens,
                          double distinct)
{
    assert_int_equal(layer, 0);
    assert_int_equal(per_token, 2);
    assert_int_equal(tokens, 5);
    assert_true(distinct == 5);
    (*(int *)user)++;
    return (double)experts;
}

/* Experts read: even routing as a formula, or whoever knows better. One expert has 3 * 48 * 64 weights. */
static void experts_are_read_as_routing_expects(void **state)
{
    (void)state;
    struct totals one = count_layers("qwen3_attention", "qwen3_moe", 1, 1, 0),
                  five = count_layers("qwen3_attention", "qwen3_moe", 1, 5, 0);
    double expert = 3 * 48 * 64, kept = 0.75 * 0.75 * 0.75 * 0.75 * 0.75;
    assert_float_equal((five.weights - one.weights - 4 * 64) / expert, 8 * (1 - kept) - 2, 1e-9);
    struct described d = describe_text(
        "{\"model_type\": \"alloy\", \"vocab_size\": 512, \"hidden_size\": 64, \"layer_types\": [\"qwen3_attention\"], "
        "\"ffn_types\": [\"qwen3_moe\"], \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 16, "
        "\"num_experts\": 8, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 48}");
    struct totals told = {0};
    int calls = 0;
    alloy_span span = {.count = 5, .repeat = 1};
    alloy_count_request request = {
        .spans = &span, .span_count = 1, .model = {.experts_read = all_of_them, .user = &calls}};
    expect_ok(alloy_model_count(d.model, &request, add_record, &told));
    assert_int_equal(calls, 1);
    assert_float_equal(told.weights - five.weights, expert * 8 * kept, 1e-6);
    forget(&d);
}

/* ---- What is refused, and what is large -------------------------------------------------------------------------- */

static void batches_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const alloy_span bad[] = {{.count = 0, .repeat = 1},
                                     {.count = -1, .repeat = 1},
                                     {.count = 1, .past = -1, .repeat = 1},
                                     {.count = 1, .repeat = 0}};
    struct described d = describe_readme();
    struct totals sum = {0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_failure(
            alloy_model_count(d.model, &(alloy_count_request){.spans = &bad[i], .span_count = 1}, add_record, &sum),
            ALLOY_RANGE, "sequences");
    alloy_span huge = {.count = INT64_MAX / 2, .repeat = 3};
    expect_failure(
        alloy_model_count(d.model, &(alloy_count_request){.spans = &huge, .span_count = 1}, add_record, &sum),
        ALLOY_LIMIT, "2^40 new tokens");
    alloy_span quadratic = {.count = INT64_C(1) << 38, .repeat = 1},
               long_past = {.count = 1, .past = INT64_MAX, .repeat = 1};
    expect_failure(
        alloy_model_count(d.model, &(alloy_count_request){.spans = &quadratic, .span_count = 1}, add_record, &sum),
        ALLOY_LIMIT, "2^75 pairs");
    expect_failure(
        alloy_model_count(d.model, &(alloy_count_request){.spans = &long_past, .span_count = 1}, add_record, &sum),
        ALLOY_LIMIT, "2^75 pairs");
    assert_int_equal(sum.ops, 0);
    forget(&d);
}

/* 2^36 tokens: pairs of tokens alone pass 2^63, and the sums are still exact. */
static void work_beyond_63_bits_is_exact(void **state)
{
    (void)state;
    struct totals sum = {.only = ALLOY_SITE_MIXER, .filtered = true};
    struct described d = describe_text(ONE_LAYER(32, "qwen3_attention", ""));
    count_into(&sum, d.model, INT64_C(1) << 36, 0, false);
    alloy_wide n = (alloy_wide)1 << 36, linears = n * 2 * (3 * 32 * 32), pairs = n * (n + 1) / 2;
    assert_true(sum.tensor == linears + 4 * 4 * 8 * pairs);
    forget(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_counts_pairs),
        cmocka_unit_test(a_hybrid_of_16_layers_counts_exactly),
        cmocka_unit_test(a_decoded_token_takes_delta_steps),
        cmocka_unit_test(counts_grow_linearly_with_layers),
        cmocka_unit_test(a_decoded_token_reads_every_weight_of_a_dense_model),
        cmocka_unit_test(equal_sequences_count_as_often_as_they_are),
        cmocka_unit_test(experts_are_read_as_routing_expects),
        cmocka_unit_test(batches_that_cannot_be_are_refused),
        cmocka_unit_test(work_beyond_63_bits_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
