/* Figures of what surrounds the modules (embedding, norms, head), worked out by hand, and what follows from figures on
 * a chip: times, bottlenecks, tokens/s, energy, price.
 *
 * Of the tables: hidden 128, vocabulary 256, one layer, bf16. The head has 128*256 weights. */
#include "roofline/cases.h"

#include <math.h>

#define FIELDS ", \"num_attention_heads\": 8, \"num_key_value_heads\": 2, \"head_dim\": 32, \"intermediate_size\": 64"
#define PLAIN ONE_LAYER(128, "llama_attention", "qwen3_mlp", FIELDS)
#define TIED ONE_LAYER(128, "llama_attention", "qwen3_mlp", FIELDS ", \"tie_word_embeddings\": true")
#define BIASED ONE_LAYER(128, "llama_attention", "qwen3_mlp", FIELDS ", \"attention_bias\": true")

static const struct figures_case cases[] = {
    /* ---- Classic ---- */
    {"classic: a linear of 128 -> 256 on 64 rows, as the head", PLAIN, "lm_head", CLASSIC(AT(64, 0)),
     .expected = {.tensor_flops = 2 * 64 * 128 * 256,
                  .read = {[WEIGHTS] = 128 * 256 * 2, [ACTIVATIONS] = 64 * 128 * 2},
                  .written = {[LOGITS] = 64 * 256 * 2}},
     .flops = 4194304, .bytes = 114688},
    {"classic: a tied head is read again", TIED, "lm_head", CLASSIC(AT(1, 5)),
     .expected = {.tensor_flops = 2 * 128 * 256,
                  .read = {[WEIGHTS] = 128 * 256 * 2, [ACTIVATIONS] = 128 * 2},
                  .written = {[LOGITS] = 256 * 2}}},
    {"classic: the embedding reads rows and writes them", PLAIN, "embedding", CLASSIC(AT(64, 0)),
     .expected = {.read = {[WEIGHTS] = 64 * 128 * 2}, .written = {[ACTIVATIONS] = 64 * 128 * 2}}},
    {"classic: the final norm, 4 an element", PLAIN, "final_norm", CLASSIC(BATCH(2, 32, 0)),
     .expected = {.tensor_flops = 4 * 64 * 128,
                  .read = {[WEIGHTS] = 128 * 2, [ACTIVATIONS] = 64 * 128 * 2},
                  .written = {[ACTIVATIONS] = 64 * 128 * 2}}},
    {"classic: fp32 is 4 bytes everywhere", PLAIN, "lm_head",
     CLASSIC(AT(64, 0), .weight_dtype = "fp32", .activation_dtype = "fp32"),
     .expected = {.tensor_flops = 2 * 64 * 128 * 256,
                  .read = {[WEIGHTS] = 128 * 256 * 4, [ACTIVATIONS] = 64 * 128 * 4},
                  .written = {[LOGITS] = 64 * 256 * 4}}},

    /* ---- Exact ---- */
    {"exact: the embedding reads ids of 8 bytes too", PLAIN, "embedding", EXACT(AT(64, 0)),
     .expected = {.read = {[WEIGHTS] = 64 * 128 * 2, [ACTIVATIONS] = 64 * 8},
                  .written = {[ACTIVATIONS] = 64 * 128 * 2}}},
    /* before the mixer a norm; before the FFN a sum and a norm: stream and output are read, stream and x written */
    {"exact: the norms of a layer", PLAIN, "norm", EXACT(AT(64, 0)),
     .expected = {.vector_flops = 4 * 64 * 128 + 5 * 64 * 128,
                  .read = {[WEIGHTS] = 2 * 128 * 2, [ACTIVATIONS] = (1 + 2) * 64 * 128 * 2},
                  .written = {[ACTIVATIONS] = (1 + 2) * 64 * 128 * 2}}},
    {"exact: the final sum and norm are of the last token, and only x is written", PLAIN, "final_norm",
     EXACT(AT(64, 0)),
     .expected = {.vector_flops = 5 * 128,
                  .read = {[WEIGHTS] = 128 * 2, [ACTIVATIONS] = 2 * 128 * 2},
                  .written = {[ACTIVATIONS] = 128 * 2}}},
    {"exact: the head is on the last token", PLAIN, "lm_head", EXACT(AT(64, 0)),
     .expected = {.tensor_flops = 2 * 128 * 256,
                  .read = {[WEIGHTS] = 128 * 256 * 2, [ACTIVATIONS] = 128 * 2},
                  .written = {[LOGITS] = 256 * 2}}},
    {"exact: the head on the last tokens of a ragged batch", PLAIN, "lm_head", EXACT(RAGGED({1, 64, 0}, {4, 1, 9})),
     .expected = {.tensor_flops = 2 * 5 * 128 * 256,
                  .read = {[WEIGHTS] = 128 * 256 * 2, [ACTIVATIONS] = 5 * 128 * 2},
                  .written = {[LOGITS] = 5 * 256 * 2}}},
    {"exact: logits of every token", PLAIN, "lm_head", EXACT(AT(64, 0), .all_logits = true),
     .expected = {.tensor_flops = 2 * 64 * 128 * 256,
                  .read = {[WEIGHTS] = 128 * 256 * 2, [ACTIVATIONS] = 64 * 128 * 2},
                  .written = {[LOGITS] = 64 * 256 * 2}}},
    {"exact: logits of every token need the final norm of every token", PLAIN, "final_norm",
     EXACT(AT(64, 0), .all_logits = true),
     .expected = {.vector_flops = 5 * 64 * 128,
                  .read = {[WEIGHTS] = 128 * 2, [ACTIVATIONS] = 2 * 64 * 128 * 2},
                  .written = {[ACTIVATIONS] = 64 * 128 * 2}}},
    {"exact: a tied head reads the table", TIED, "lm_head", EXACT(AT(1, 5)),
     .expected = {.tensor_flops = 2 * 128 * 256,
                  .read = {[WEIGHTS] = 128 * 256 * 2, [ACTIVATIONS] = 128 * 2},
                  .written = {[LOGITS] = 256 * 2}}},
    /* [256, 128] is 2 tiles of 128 x 128 */
    {"exact: a head in fp8 with scales", PLAIN, "lm_head", EXACT(AT(1, 5), .weight_dtype = "fp8"),
     .expected = {.tensor_flops = 2 * 128 * 256,
                  .read = {[WEIGHTS] = 128 * 256 + 2 * 4, [ACTIVATIONS] = 128 * 2},
                  .written = {[LOGITS] = 256 * 2}}},
};

/* ---- One op ------------------------------------------------------------------------------------------------------ */

/* q of 8 heads of 32 from a stream of 128, on 64 rows. */
static void a_linear_with_a_bias(void **state)
{
    (void)state;
    struct described d = describe_text(BIASED);
    alloy_roofline_options options = CLASSIC(AT(64, 0), .ops = true);
    alloy_roofline *r;
    expect_ok(alloy_roofline_open(&r, d.model, &options));
    int64_t rows = alloy_roofline_row_count(r, ALLOY_LEVEL_OPS), found = 0;
    for (int64_t i = 0; i < rows; i++) {
        alloy_roofline_row row = alloy_roofline_row_at(r, ALLOY_LEVEL_OPS, i);
        if (!row.weight || !strstr(row.weight, "q_proj.weight"))
            continue;
        found++;
        expect_text(row.op, "linear");
        expect_count(row.work->tensor_flops, 4194304 + 64 * 256, "FLOPs of q_proj");
        expect_count(row.work->read[WEIGHTS], (128 * 256 + 256) * 2, "bytes of q_proj");
    }
    assert_int_equal(found, 1);
    alloy_roofline_close(r);
    forget(&d);
}

/* ---- Times ------------------------------------------------------------------------------------------------------- */

static void expect_near(double actual, double expected, const char *what)
{
    if (!is_near(actual, expected, 1e-12 * fabs(expected)))
        fail_msg("%s: %.17g, expected %.17g", what, actual, expected);
}

static alloy_roofline *open_on(const struct described *d, alloy_roofline_options options)
{
    alloy_roofline *r;
    expect_ok(alloy_roofline_open(&r, d->model, &options));
    return r;
}

/* The head above: 4,194,304 FLOPs and 114,688 bytes. */
static void a_time_is_the_longer_of_two(void **state)
{
    (void)state;
    struct described d = describe_text(PLAIN);
    alloy_roofline *r = open_on(&d, (alloy_roofline_options)CLASSIC(AT(64, 0)));
    alloy_work head = work_of_row(r, "lm_head");
    struct {
        double peak, bandwidth, seconds;
        const char *bottleneck;
    } chips[] = {
        {4194304e3, 114688e2, 1e-2, "memory"}, /* 1 ms and 10 ms */
        {4194304e1, 114688e3, 1e-1, "compute"},
        {4194304e2, 114688e2, 1e-2, "compute"}, /* as long: compute */
    };
    for (size_t i = 0; i < sizeof chips / sizeof *chips; i++) {
        alloy_chip chip = {
            .name = "mine", .memory_bandwidth = chips[i].bandwidth, .peak[ALLOY_PEAK_BF16] = chips[i].peak};
        alloy_roofline_time time;
        expect_ok(alloy_roofline_time_on(r, &head, &chip, NULL, &time));
        expect_near(time.seconds, chips[i].seconds, "seconds");
        expect_near(time.tensor, 4194304 / chips[i].peak, "seconds of compute");
        expect_near(time.memory, 114688 / chips[i].bandwidth, "seconds of memory");
        expect_text(time.bottleneck, chips[i].bottleneck);
    }
    alloy_roofline_close(r);
    forget(&d);
}

/* A chip of one FLOP/s and one byte/s: seconds are FLOPs and bytes. Classic, one decoded token after nothing:
 *   embedding            0 FLOPs, 128*2 + 128*2 bytes
 *   llama_attention      2*(128*256 + 2*128*64 + 256*128) + 4*8*32 FLOPs; (81920 + 128 + 128 + 128) * 2 bytes
 *   qwen3_mlp            6*128*64 + 5*64; (3*128*64 + 128 + 128) * 2
 *   final norm           4*128; (128 + 128 + 128) * 2
 *   head                 2*128*256; (128*256 + 128 + 256) * 2 */
static void three_bounds(void **state)
{
    (void)state;
    struct described d = describe_text(PLAIN);
    alloy_roofline *r = open_on(&d, (alloy_roofline_options)CLASSIC(AT(1, 0)));
    alloy_chip chip = {.name = "mine",
                       .memory_bandwidth = 1,
                       .peak[ALLOY_PEAK_BF16] = 1,
                       .peak[ALLOY_PEAK_FP8] = 4,
                       .power = 500,
                       .price_per_hour = 7.2};
    enum { LINEARS = 128 * 256 + 2 * 128 * 64 + 256 * 128 };
    double flops[] = {0, 2 * LINEARS + 4 * 8 * 32, 6 * 128 * 64 + 5 * 64, 4 * 128, 2 * 128 * 256};
    double bytes[] = {2 * 128 * 2, (LINEARS + 2 * 128 + 2 * 64) * 2, (3 * 128 * 64 + 2 * 128) * 2, 3 * 128 * 2,
                      (128 * 256 + 128 + 256) * 2};
    double all_flops = 0, all_bytes = 0, per_module = 0;
    for (int i = 0; i < 5; i++) {
        all_flops += flops[i];
        all_bytes += bytes[i];
        per_module += fmax(flops[i], bytes[i]);
    }
    alloy_roofline_bounds bounds;
    expect_ok(alloy_roofline_on(r, &chip, NULL, &bounds));
    expect_near(bounds.overlap.seconds, fmax(all_flops, all_bytes), "overlap");
    expect_near(bounds.per_module, per_module, "per module");
    expect_near(bounds.serial, all_flops + all_bytes, "serial");
    expect_near(bounds.tokens_per_second, 1 / fmax(all_flops, all_bytes), "tokens/s");
    expect_near(bounds.joules_per_token, 500 * fmax(all_flops, all_bytes), "J a token");
    expect_near(bounds.price_per_token, 0.002 * fmax(all_flops, all_bytes), "price a token");
    expect_ok(alloy_roofline_on(r, &chip, "fp8", &bounds)); /* four times as fast */
    expect_near(bounds.overlap.tensor, all_flops / 4, "compute in fp8");
    alloy_roofline_close(r);
    forget(&d);
}

/* Exact: 5 * 128 FLOPs of the final norm at 1 FLOP/s of the vector unit, where all else is fast. */
static void the_vector_unit_may_be_the_bottleneck(void **state)
{
    (void)state;
    struct described d = describe_text(PLAIN);
    alloy_roofline *r = open_on(&d, (alloy_roofline_options)EXACT(AT(1, 0)));
    alloy_work norm = work_of_row(r, "final_norm");
    alloy_chip chip = {
        .name = "mine", .memory_bandwidth = 1e12, .peak[ALLOY_PEAK_BF16] = 1e12, .vector_peak[ALLOY_PEAK_BF16] = 1};
    alloy_roofline_time time;
    expect_ok(alloy_roofline_time_on(r, &norm, &chip, NULL, &time));
    expect_near(time.seconds, 5 * 128, "seconds");
    expect_text(time.bottleneck, "vector");
    alloy_roofline_close(r);
    forget(&d);
}

/* The comparison of three devices, on the hybrid of 16 layers. */
static void published_times_of_three_devices(void **state)
{
    (void)state;
    static const alloy_chip mine = {
        .name = "my-device",
        .memory_bandwidth = 8e12,
        .peak = {[ALLOY_PEAK_BF16] = 2250e12, [ALLOY_PEAK_FP32] = 80e12, [ALLOY_PEAK_FP8] = 4500e12}};
    const alloy_chip *chips[] = {alloy_chip_by_name("H100"), alloy_chip_by_name("Ascend910C"), &mine};
    static const char *const expected[3][3] = {
        {"10.30 ms (compute)", "1.26 ms (compute)", "702 us (memory)"},
        {"13.43 ms (compute)", "1.65 ms (compute)", "735 us (memory)"},
        {"4.53 ms (compute)", "0.55 ms (compute)", "294 us (memory)"},
    };
    static const int64_t points[3][2] = {{4096, 0}, {512, 2048}, {1, 4096}};
    struct described d = describe_file(ALLOY_SOURCE_DIR "/examples/configs/readme.json");
    for (int p = 0; p < 3; p++) {
        alloy_roofline *r = open_on(&d, (alloy_roofline_options)CLASSIC(AT(points[p][0], points[p][1])));
        for (int c = 0; c < 3; c++) {
            alloy_roofline_bounds bounds;
            char text[64];
            expect_ok(alloy_roofline_on(r, chips[c], NULL, &bounds));
            double us = bounds.overlap.seconds * 1e6;
            snprintf(text, sizeof text, p == 2 ? "%.0f us (%s)" : "%.2f ms (%s)", p == 2 ? us : us / 1e3,
                     bounds.overlap.bottleneck);
            expect_text(text, expected[c][p]);
        }
        const alloy_work *total = alloy_roofline_total(r);
        double bytes = alloy_count_double(alloy_count_add(alloy_work_read(total), alloy_work_written(total)));
        char text[64];
        snprintf(text, sizeof text, "AI = %.1f", alloy_count_double(total->tensor_flops) / bytes);
        if (p == 0)
            expect_text(text, "AI = 2703.7");
        alloy_roofline_close(r);
    }
    forget(&d);
}

int main(void)
{
    const struct CMUnitTest others[] = {
        cmocka_unit_test(a_linear_with_a_bias),
        cmocka_unit_test(a_time_is_the_longer_of_two),
        cmocka_unit_test(three_bounds),
        cmocka_unit_test(the_vector_unit_may_be_the_bottleneck),
        cmocka_unit_test(published_times_of_three_devices),
    };
    return run_figures(cases, sizeof cases / sizeof *cases, others, sizeof others / sizeof *others);
}
