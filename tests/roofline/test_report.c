/* Reports: figures as text, and where the two accountings differ. */
#include "support.h"

#include "base/memory.h"
#include "roofline/analysis.h"
#include "roofline/differences.h"
#include "base/figures.h"
#include "roofline/report.h"

#define CONFIGS ALLOY_SOURCE_DIR "/examples/configs/"

/* ---- Figures ----------------------------------------------------------------------------------------------------- */

static void expect_figure(void (*append)(alloy_text *, double), double value, const char *expected)
{
    alloy_text text = {0};
    append(&text, value);
    expect_text(alloy_text_get(&text), expected);
    alloy_text_free(&text);
}

static void amounts_scale_their_units(void **state)
{
    (void)state;
    expect_figure(alloy_text_flops, 0, "0 FLOPs");
    expect_figure(alloy_text_flops, 999, "999 FLOPs");
    expect_figure(alloy_text_flops, 1000, "1.00 KFLOPs");
    expect_figure(alloy_text_flops, 10.183e12, "10.18 TFLOPs");
    expect_figure(alloy_text_flops, 999.994e12, "999.99 TFLOPs");
    expect_figure(alloy_text_flops, 999.996e12, "1.00 PFLOPs");
    expect_figure(alloy_text_flops, 4.5e19, "45.00 EFLOPs");
    expect_figure(alloy_text_flops, 1e24, "1000000.00 EFLOPs");
    expect_figure(alloy_text_bytes, 3.766e9, "3.77 GB");
    expect_figure(alloy_text_bytes, 12, "12 B");
    expect_figure(alloy_text_short, 12345, "12.35 K");
    expect_figure(alloy_text_short, 12, "12");
}

static void times_scale_their_units(void **state)
{
    (void)state;
    expect_figure(alloy_text_seconds, 0, "0.00 ns");
    expect_figure(alloy_text_seconds, 3.2e-9, "3.20 ns");
    expect_figure(alloy_text_seconds, 702.4e-9, "702 ns");
    expect_figure(alloy_text_seconds, 12.34e-6, "12.3 us");
    expect_figure(alloy_text_seconds, 702.4e-6, "702 us");
    expect_figure(alloy_text_seconds, 999.6e-6, "1.00 ms");
    expect_figure(alloy_text_seconds, 10.2953e-3, "10.30 ms");
    expect_figure(alloy_text_seconds, 313, "313.00 s");
}

static void counts_have_all_digits(void **state)
{
    (void)state;
    alloy_text text = {0};
    alloy_wide most = ((((alloy_wide)1 << 126) - 1) << 1) + 1; /* 2^127 - 1 */
    alloy_text_count(&text, most, ',');
    expect_text(alloy_text_get(&text), "170,141,183,460,469,231,731,687,303,715,884,105,727");
    alloy_text_clear(&text);
    alloy_text_count(&text, -most - 1, 0);
    expect_text(alloy_text_get(&text), "-170141183460469231731687303715884105728");
    alloy_text_free(&text);
}

/* ---- Differences ------------------------------------------------------------------------------------------------- */

struct case_ {
    alloy_config *config;
    alloy_model *model;
    alloy_roofline *by[2];
    alloy_differences differences;
};

static struct case_ compare(const char *config, int64_t tokens, int64_t cached, bool all_logits)
{
    struct case_ c = {0};
    alloy_roofline_sequences three = {3, tokens, cached};
    expect_ok(alloy_config_open(&c.config, config));
    expect_ok(alloy_model_describe(&c.model, c.config));
    for (int a = 0; a < 2; a++)
        expect_ok(alloy_roofline_open(&c.by[a], c.model,
                                      &(alloy_roofline_options){.size = sizeof(alloy_roofline_options),
                                                                .sequences = &three,
                                                                .sequences_count = 1,
                                                                .accounting = (alloy_accounting)a,
                                                                .all_logits = all_logits,
                                                                .ops = true}));
    expect_ok(alloy_differences_open(&c.differences, c.by[ALLOY_CLASSIC], c.by[ALLOY_EXACT]));
    return c;
}

static void forget(struct case_ *c)
{
    alloy_differences_close(&c->differences);
    alloy_roofline_close(c->by[0]);
    alloy_roofline_close(c->by[1]);
    alloy_model_close(c->model);
    alloy_config_close(c->config);
}

static void expect_equal(const char *what, alloy_wide actual, alloy_wide expected)
{
    if (actual != expected)
        fail_msg("%s: %.17g, expected %.17g", what, (double)actual, (double)expected);
}

static void items_sum_to_the_difference_of_the_totals(void **state)
{
    (void)state;
    static const char *const configs[] = {CONFIGS "readme.json", CONFIGS "composed.json",
                                          CONFIGS "deepseek-v4-tiny.json", CONFIGS "hybrid-10t.json",
                                          CONFIGS "qwen3-30b-a3b.json"};
    static const struct {
        int64_t tokens, cached;
        bool all_logits;
    } points[] = {{300, 0, false}, {70, 333, false}, {1, 513, false}, {70, 333, true}};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        for (size_t p = 0; p < sizeof points / sizeof *points; p++) {
            struct case_ c = compare(configs[i], points[p].tokens, points[p].cached, points[p].all_logits);
            alloy_wide flops = 0, read = 0, written = 0;
            for (int64_t d = 0; d < c.differences.count; d++) {
                const alloy_difference *item = &c.differences.items[d];
                assert_non_null(item->cause);
                flops += item->by[ALLOY_EXACT].flops - item->by[ALLOY_CLASSIC].flops;
                read += item->by[ALLOY_EXACT].read - item->by[ALLOY_CLASSIC].read;
                written += item->by[ALLOY_EXACT].written - item->by[ALLOY_CLASSIC].written;
            }
            const alloy_work *classic = alloy_roofline_total(c.by[0]), *exact = alloy_roofline_total(c.by[1]);
            expect_equal("FLOPs", flops,
                         alloy_wide_of(exact->tensor_flops) + alloy_wide_of(exact->vector_flops) -
                             alloy_wide_of(classic->tensor_flops));
            expect_equal("bytes read", read,
                         alloy_wide_of(alloy_work_read(exact)) - alloy_wide_of(alloy_work_read(classic)));
            expect_equal("bytes written", written,
                         alloy_wide_of(alloy_work_written(exact)) - alloy_wide_of(alloy_work_written(classic)));
            forget(&c);
        }
}

/* The work of all rows of level 4 with this op (NULL: any) and of modules of this name (NULL: any but the head). */
static alloy_work sum_of(const alloy_roofline *roofline, const char *op, const char *module)
{
    alloy_work sum = {0};
    for (int64_t i = 0; i < alloy_roofline_row_count(roofline, ALLOY_LEVEL_OPS); i++) {
        alloy_roofline_row row = alloy_roofline_row_at(roofline, ALLOY_LEVEL_OPS, i);
        bool wanted = module ? strcmp(row.name, module) == 0 : strcmp(row.kind, "head") != 0;
        if (wanted && (!op || strcmp(row.op, op) == 0))
            alloy_work_add(&sum, row.work, 1);
    }
    return sum;
}

static void linears_agree(void **state)
{
    (void)state;
    struct case_ c = compare(CONFIGS "readme.json", 70, 333, false);
    alloy_work classic = sum_of(c.by[ALLOY_CLASSIC], "linear", NULL), exact = sum_of(c.by[ALLOY_EXACT], "linear", NULL);
    assert_true(alloy_wide_of(classic.tensor_flops) > 0);
    expect_equal("FLOPs of linears", alloy_wide_of(exact.tensor_flops), alloy_wide_of(classic.tensor_flops));
    expect_equal("vector FLOPs of linears", alloy_wide_of(exact.vector_flops), 0);
    expect_equal("bytes of linears", alloy_wide_of(alloy_work_read(&exact)), alloy_wide_of(alloy_work_read(&classic)));
    forget(&c);
}

/* P read + Q written = T: 3 sequences, 4 layers, keys and values of 2 heads of 128, 2 bytes. */
static void full_attentions_cache_agrees(void **state)
{
    (void)state;
    struct case_ c = compare(CONFIGS "readme.json", 70, 333, false);
    for (int a = 0; a < 2; a++) {
        alloy_work sum = sum_of(c.by[a], NULL, "qwen3_attention");
        expect_equal("read", alloy_wide_of(sum.read[ALLOY_TRAFFIC_KV]), 3 * 4 * 333 * 2 * 2 * 128 * 2);
        expect_equal("written", alloy_wide_of(sum.written[ALLOY_TRAFFIC_KV]), 3 * 4 * 70 * 2 * 2 * 128 * 2);
    }
    forget(&c);
}

/* ---- Reports ----------------------------------------------------------------------------------------------------- */

/* Of a decode step on two chips and both accountings: results in that order, and text that says which. */
static void results_come_by_chip_point_and_accounting(void **state)
{
    (void)state;
    alloy_config *config;
    alloy_model *model;
    alloy_report *report;
    expect_ok(alloy_config_open(&config, CONFIGS "readme.json"));
    expect_ok(alloy_model_describe(&model, config));
    alloy_roofline_sequences decode = {1, 1, 100}, prefill = {1, 100, 0};
    alloy_report_point points[] = {{"prefill", &prefill, 1}, {"decode", &decode, 1}};
    alloy_report_chip chips[] = {{"one", alloy_chip_by_name("H100"), false}, {"two", alloy_chip_by_name("A100"), true}};
    alloy_report_request request = {.size = sizeof(alloy_report_request),
                                    .options = {.size = sizeof(alloy_roofline_options)},
                                    .model = model,
                                    .name = "readme",
                                    .both = true,
                                    .level = ALLOY_LEVEL_TOTAL,
                                    .points = points,
                                    .point_count = 2,
                                    .chips = chips,
                                    .chip_count = 2};
    expect_ok(alloy_report_open(&report, &request));
    assert_int_equal(report->result_count, 8);
    for (int i = 0; i < 8; i++) {
        const alloy_report_result *r = &report->results[i];
        assert_ptr_equal(r->chip, &chips[i / 4]);
        assert_ptr_equal(r->point, &points[i / 2 % 2]);
        assert_int_equal(r->accounting, i % 2);
        assert_int_equal(r->differences.count > 0, i % 2);
        assert_true(r->bounds.overlap.seconds > 0);
    }
    /* a chip whose engine steps the delta rule is counted so: no products of chunks */
    const alloy_work *chunks = alloy_roofline_total(report->results[1].roofline),
                     *steps = alloy_roofline_total(report->results[5].roofline);
    assert_true(alloy_wide_of(steps->tensor_flops) < alloy_wide_of(chunks->tensor_flops));
    assert_true(alloy_wide_of(steps->vector_flops) > alloy_wide_of(chunks->vector_flops));
    alloy_text text = {0};
    alloy_report_comparison(report, &text);
    assert_ptr_equal(strstr(alloy_text_get(&text), "classic:\none         prefill: "), alloy_text_get(&text));
    assert_non_null(strstr(alloy_text_get(&text), "\nexact:\none         prefill: "));
    alloy_text_free(&text);
    alloy_report_close(report);
    alloy_model_close(model);
    alloy_config_close(config);
}

/* A program may have set a locale with a decimal comma. */
static void figures_have_a_point_in_every_locale(void **state)
{
    (void)state;
    char *folder = test_folder();
    bool comma = use_comma_locale(folder);
    amounts_scale_their_units(NULL);
    times_scale_their_units(NULL);
    setlocale(LC_ALL, "C");
    remove_folder(folder);
    if (!comma)
        print_message("a decimal comma: not run, there is no such locale\n");
}

/* Memory that ends anywhere is NOMEM, and nothing is leaked. */
static void memory_may_end_anywhere(void **state)
{
    (void)state;
    alloy_config *config;
    alloy_model *model;
    alloy_report *report;
    expect_ok(alloy_config_open(&config, CONFIGS "tiny_hybrid.json"));
    expect_ok(alloy_model_describe(&model, config));
    alloy_roofline_sequences one = {1, 3, 5};
    alloy_report_point point = {"mini-prefill", &one, 1};
    alloy_report_chip chip = {"H100", alloy_chip_by_name("H100"), false};
    alloy_report_request request = {.size = sizeof(alloy_report_request),
                                    .options = {.size = sizeof(alloy_roofline_options)},
                                    .model = model,
                                    .name = "tiny",
                                    .both = true,
                                    .level = ALLOY_LEVEL_OPS,
                                    .points = &point,
                                    .point_count = 1,
                                    .chips = &chip,
                                    .chip_count = 1};
    alloy_status status = ALLOY_NOMEM;
    int64_t n = 0;
    for (; status == ALLOY_NOMEM; n++) {
        alloy_memory_fail_after(n);
        status = alloy_report_open(&report, &request);
        alloy_memory_fail_after(-1);
    }
    expect_ok(status);
    assert_true(n > 20);
    void (*const writers[])(const alloy_report *, alloy_text *) = {alloy_report_text, alloy_report_json,
                                                                   alloy_report_csv, alloy_report_comparison};
    static const alloy_report_form forms[] = {ALLOY_REPORT_TEXT, ALLOY_REPORT_JSON, ALLOY_REPORT_CSV,
                                              ALLOY_REPORT_COMPARISON};
    for (int w = 0; w < 4; w++) {
        alloy_text whole = {0};
        writers[w](report, &whole);
        expect_ok(alloy_text_status(&whole));
        char *document;
        size_t size;
        expect_ok(alloy_report_write(report, forms[w], &document, &size));
        expect_bytes(document, size, alloy_text_get(&whole));
        alloy_free(document);
        alloy_memory_fail_after(3);
        expect_failure(alloy_report_write(report, forms[w], &document, &size), ALLOY_NOMEM, "");
        alloy_memory_fail_after(-1);
        assert_null(document);
        bool ends = false;
        for (int64_t m = 0; !ends; m += 7) {
            alloy_text text = {0};
            alloy_memory_fail_after(m);
            writers[w](report, &text);
            alloy_memory_fail_after(-1);
            ends = !text.failed;
            if (ends)
                expect_text(alloy_text_get(&text), alloy_text_get(&whole));
            alloy_text_free(&text);
        }
        alloy_text_free(&whole);
    }
    expect_failure(alloy_report_write(report, (alloy_report_form)6, &(char *){0}, &(size_t){0}), ALLOY_ARG, "form 6");
    request.size = 7;
    alloy_report *refused;
    expect_failure(alloy_report_open(&refused, &request), ALLOY_ARG, "alloy_report_request", "size is 7");
    assert_null(refused);
    alloy_report_close(report);
    alloy_model_close(model);
    alloy_config_close(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts_scale_their_units),
        cmocka_unit_test(times_scale_their_units),
        cmocka_unit_test(counts_have_all_digits),
        cmocka_unit_test(items_sum_to_the_difference_of_the_totals),
        cmocka_unit_test(linears_agree),
        cmocka_unit_test(full_attentions_cache_agrees),
        cmocka_unit_test(results_come_by_chip_point_and_accounting),
        cmocka_unit_test(figures_have_a_point_in_every_locale),
        cmocka_unit_test(memory_may_end_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
