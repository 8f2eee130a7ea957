/* The analysis of a forward: the figures of a 16-layer hybrid in both accountings, rows that sum to the total at every
 * level, equal layers that are counted once, memory and what fits. */
#include "support.h"

#include "alloy/extend.h"
#include "base/count.h"

struct described {
    alloy_config *config;
    alloy_model *model;
};

static struct described describe(const char *path)
{
    struct described d;
    expect_ok(alloy_config_open(&d.config, path));
    expect_ok(alloy_model_describe(&d.model, d.config));
    return d;
}

static void forget(struct described *d)
{
    alloy_model_close(d->model);
    alloy_config_close(d->config);
}

static alloy_roofline *analyse(const alloy_model *model, alloy_roofline_options options, int64_t tokens, int64_t cached)
{
    alloy_roofline *r;
    alloy_roofline_sequences one = {1, tokens, cached};
    options.sequences = &one;
    options.sequences_count = 1;
    expect_ok(alloy_roofline_open(&r, model, &options));
    return r;
}

static void expect_count(alloy_count actual, int64_t expected, const char *what)
{
    char digits[ALLOY_COUNT_TEXT];
    if (alloy_wide_of(actual) != expected)
        fail_msg("%s: %s, expected %lld", what, alloy_count_text(actual, 0, digits), (long long)expected);
}

static void expect_same_work(const alloy_work *actual, const alloy_work *expected, const char *what)
{
    if (memcmp(actual, expected, sizeof *actual) != 0)
        fail_msg("%s: %g + %g FLOPs, %g + %g bytes, expected %g + %g, %g + %g", what,
                 alloy_count_double(actual->tensor_flops), alloy_count_double(actual->vector_flops),
                 alloy_count_double(alloy_work_read(actual)), alloy_count_double(alloy_work_written(actual)),
                 alloy_count_double(expected->tensor_flops), alloy_count_double(expected->vector_flops),
                 alloy_count_double(alloy_work_read(expected)), alloy_count_double(alloy_work_written(expected)));
}

static const char README[] = ALLOY_SOURCE_DIR "/examples/configs/readme.json";

/* ---- Figures ----------------------------------------------------------------------------------------------------- */

static void a_hybrid_of_16_layers_is_counted_exactly(void **state)
{
    (void)state;
    static const struct {
        int64_t tokens, cached, tensor, read, written;
    } points[] = {
        {4096, 0, 9360441868288, 3933460992, 1640483328},
        {512, 2048, 1174565552128, 2545560064, 216517120},
        {1, 4096, 2456911872, 2353011208, 13490688},
    };
    struct described d = describe(README);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        alloy_roofline *r = analyse(
            d.model, (alloy_roofline_options){.size = sizeof(alloy_roofline_options), .accounting = ALLOY_EXACT},
            points[i].tokens, points[i].cached);
        const alloy_work *total = alloy_roofline_total(r);
        expect_count(total->tensor_flops, points[i].tensor, "tensor FLOPs");
        expect_count(alloy_work_read(total), points[i].read, "bytes read");
        expect_count(alloy_work_written(total), points[i].written, "bytes written");
        alloy_roofline_close(r);
    }
    forget(&d);
}

/* 10.18 TFLOPs, 3.77 GB; 10.30 ms, 1.26 ms and 702 us on an H100. */
static void a_hybrid_of_16_layers_is_counted_as_published(void **state)
{
    (void)state;
    static const struct {
        int64_t tokens, cached;
        const char *time, *bottleneck;
    } points[] = {{4096, 0, "10.30 ms", "compute"}, {512, 2048, "1.26 ms", "compute"}, {1, 4096, "0.70 ms", "memory"}};
    struct described d = describe(README);
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        alloy_roofline *r = analyse(d.model, (alloy_roofline_options){.size = sizeof(alloy_roofline_options)},
                                    points[i].tokens, points[i].cached);
        const alloy_work *total = alloy_roofline_total(r);
        alloy_roofline_bounds bounds;
        char text[64];
        if (i == 0) {
            snprintf(text, sizeof text, "%.2f TFLOPs / %.2f GB", alloy_count_double(total->tensor_flops) / 1e12,
                     alloy_count_double(alloy_count_add(alloy_work_read(total), alloy_work_written(total))) / 1e9);
            expect_text(text, "10.18 TFLOPs / 3.77 GB");
        }
        expect_ok(alloy_roofline_on(r, alloy_chip_by_name("H100"), NULL, &bounds));
        snprintf(text, sizeof text, "%.2f ms", bounds.overlap.seconds * 1e3);
        expect_text(text, points[i].time);
        expect_text(bounds.overlap.bottleneck, points[i].bottleneck);
        double rounding = 1 + 1e-12;
        assert_true(bounds.overlap.seconds <= bounds.per_module * rounding);
        assert_true(bounds.per_module <= bounds.serial * rounding);
        alloy_roofline_close(r);
    }
    forget(&d);
}

/* ---- Sums -------------------------------------------------------------------------------------------------------- */

static void rows_of_every_level_sum_to_the_total(void **state)
{
    (void)state;
    struct described d = describe(ALLOY_SOURCE_DIR "/examples/configs/composed.json");
    for (int accounting = 0; accounting < 2; accounting++)
        for (int fusion = 0; fusion < 2; fusion++) {
            alloy_roofline_options options = {
                .size = sizeof options, .accounting = (alloy_accounting)accounting, .op_fusion = fusion, .ops = true};
            alloy_roofline *r = analyse(d.model, options, 70, 33);
            for (int level = ALLOY_LEVEL_TOTAL; level <= ALLOY_LEVEL_OPS; level++) {
                alloy_work sum = {0};
                int64_t rows = alloy_roofline_row_count(r, (alloy_roofline_level)level);
                assert_true(rows > 0);
                for (int64_t i = 0; i < rows; i++)
                    alloy_work_add(&sum, alloy_roofline_row_at(r, (alloy_roofline_level)level, i).work, 1);
                expect_same_work(&sum, alloy_roofline_total(r), "sum of a level's rows");
            }
            alloy_roofline_close(r);
        }
    forget(&d);
}

/* A given routing makes every layer be read; a dense model has nothing to route. */
static void equal_layers_are_counted_once(void **state)
{
    (void)state;
    static const int64_t none[16];
    struct described d = describe(README);
    alloy_roofline *once = analyse(
        d.model,
        (alloy_roofline_options){.size = sizeof(alloy_roofline_options), .accounting = ALLOY_EXACT, .ops = true}, 100,
        7);
    alloy_roofline *each = analyse(d.model,
                                   (alloy_roofline_options){.size = sizeof(alloy_roofline_options),
                                                            .accounting = ALLOY_EXACT,
                                                            .ops = true,
                                                            .routing = ALLOY_ROUTING_GIVEN,
                                                            .experts_read = none},
                                   100, 7);
    assert_int_equal(alloy_roofline_ops(once), alloy_roofline_ops(each));
    for (int level = ALLOY_LEVEL_TOTAL; level <= ALLOY_LEVEL_OPS; level++) {
        int64_t rows = alloy_roofline_row_count(each, (alloy_roofline_level)level);
        assert_int_equal(alloy_roofline_row_count(once, (alloy_roofline_level)level), rows);
        for (int64_t i = 0; i < rows; i++) {
            alloy_roofline_row a = alloy_roofline_row_at(once, (alloy_roofline_level)level, i),
                               b = alloy_roofline_row_at(each, (alloy_roofline_level)level, i);
            expect_text(a.name, b.name);
            assert_int_equal(a.layer, b.layer);
            expect_same_work(a.work, b.work, a.name);
        }
    }
    alloy_roofline_close(once);
    alloy_roofline_close(each);
    forget(&d);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* Of 4 attention layers 2 x 2 heads x 128 a token, of 12 delta nets 16 x 128 x 128 fp32 and 3 rows of 6144. */
static void memory_is_what_a_forward_leaves_behind(void **state)
{
    (void)state;
    struct described d = describe(README);
    alloy_roofline_sequences three = {3, 1, 4096};
    alloy_roofline_options options = {.size = sizeof options, .sequences = &three, .sequences_count = 1};
    alloy_roofline_memory memory;
    expect_ok(alloy_roofline_needs(d.model, &options, 16, &memory));
    expect_count(memory.cache, INT64_C(3) * 4 * 4097 * 2 * 2 * 128 * 2, "bytes of keys and values");
    expect_count(memory.allocated_cache, INT64_C(3) * 4 * 4112 * 2 * 2 * 128 * 2, "the same in pages of 16");
    expect_count(memory.state, INT64_C(3) * 12 * (16 * 128 * 128 * 4 + 3 * 6144 * 2), "bytes of state");
    expect_count(memory.logits, 3 * 32000 * 2, "bytes of logits");
    int64_t batch, context;
    expect_ok(alloy_roofline_fits(d.model, &options, 16, 80e9, &batch, &context));
    three.count = batch;
    expect_ok(alloy_roofline_needs(d.model, &options, 16, &memory));
    assert_true(alloy_count_double(memory.total) <= 80e9);
    three.count = batch + 1;
    expect_ok(alloy_roofline_needs(d.model, &options, 16, &memory));
    assert_true(alloy_count_double(memory.total) > 80e9);
    assert_true(context > 4096);
    expect_ok(alloy_roofline_fits(d.model, &options, 16, 1e6, &batch, &context));
    assert_int_equal(batch, 0);
    assert_int_equal(context, 0);
    forget(&d);
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

/* Of a model that is opened in fp32 and asked about in fp8, matrices shrink and norms stay as the files have them. */
static void vectors_of_files_keep_their_dtype(void **state)
{
    (void)state;
    alloy_model *model;
    expect_ok(alloy_model_open(&model, ALLOY_SOURCE_DIR "/tests/golden/qwen3", NULL));
    alloy_roofline *stored = analyse(
                       model,
                       (alloy_roofline_options){.size = sizeof(alloy_roofline_options), .accounting = ALLOY_EXACT}, 1,
                       9),
                   *asked = analyse(model,
                                    (alloy_roofline_options){.size = sizeof(alloy_roofline_options),
                                                             .accounting = ALLOY_EXACT,
                                                             .weight_dtype = "fp8"},
                                    1, 9);
    for (int64_t i = 0; i < alloy_roofline_row_count(stored, ALLOY_LEVEL_KINDS); i++) {
        alloy_roofline_row a = alloy_roofline_row_at(stored, ALLOY_LEVEL_KINDS, i),
                           b = alloy_roofline_row_at(asked, ALLOY_LEVEL_KINDS, i);
        alloy_count after = b.work->read[ALLOY_TRAFFIC_WEIGHTS];
        alloy_wide before = alloy_wide_of(a.work->read[ALLOY_TRAFFIC_WEIGHTS]);
        if (strcmp(a.kind, "norm") == 0)
            expect_count(after, (int64_t)before, "bytes of norms");
        else
            assert_true(alloy_wide_of(after) < before / 3);
    }
    alloy_roofline_close(stored);
    alloy_roofline_close(asked);
    alloy_model_close(model);
}

/* ---- What is refused --------------------------------------------------------------------------------------------- */

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct described d = describe(README);
    alloy_roofline *r;
    alloy_roofline_sequences one = {1, 1, 0};
    alloy_roofline_options none = {.size = sizeof none},
                           dtype = {.size = sizeof dtype, .sequences = &one, .sequences_count = 1, .kv_dtype = "bf17"},
                           zipf = {.size = sizeof zipf,
                                   .sequences = &one,
                                   .sequences_count = 1,
                                   .routing = ALLOY_ROUTING_ZIPF,
                                   .zipf = -1};
    expect_failure(alloy_roofline_open(&r, d.model, &none), ALLOY_ARG, "no sequences");
    expect_failure(alloy_roofline_open(&r, d.model, &dtype), ALLOY_ARG, "kv_dtype: \"bf17\", expected int4");
    expect_failure(alloy_roofline_open(&r, d.model, &zipf), ALLOY_RANGE, "zipf");
    assert_null(r);
    r = analyse(d.model, (alloy_roofline_options){.size = sizeof(alloy_roofline_options)}, 1, 0);
    alloy_roofline_bounds bounds;
    expect_failure(alloy_roofline_on(r, alloy_chip_by_name("A100"), "fp8", &bounds), ALLOY_ARG, "no fp8 peak");
    alloy_roofline_close(r);
    forget(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hybrid_of_16_layers_is_counted_exactly),
        cmocka_unit_test(a_hybrid_of_16_layers_is_counted_as_published),
        cmocka_unit_test(rows_of_every_level_sum_to_the_total),
        cmocka_unit_test(equal_layers_are_counted_once),
        cmocka_unit_test(memory_is_what_a_forward_leaves_behind),
        cmocka_unit_test(vectors_of_files_keep_their_dtype),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
