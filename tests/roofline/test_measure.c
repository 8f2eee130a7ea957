/* Predicted beside measured: rows are those of the analysis, times are of what ran, and what cannot be measured is
 * refused. The host is made up, so that nothing here depends on this machine's speed. */
#include "engine/models.h"

#include "checkpoint/model.h"

/* A machine of 1 GB/s and 1 GFLOP/s. */
static alloy_host slow_host(void)
{
    alloy_host host = {.threads = 1, .level_count = 1};
    host.levels[0] = (alloy_host_level){.read = 1e9, .write = 1e9, .copy = 1e9};
    host.chip = (alloy_chip){.name = "host", .memory_bandwidth = 1e9, .fp32_is_vector = true};
    host.chip.peak[ALLOY_PEAK_FP32] = host.chip.peak[ALLOY_PEAK_BF16] = host.chip.peak[ALLOY_PEAK_FP16] = 1e9;
    return host;
}

/* Layers whose FFN routes. */
static int64_t rows_of(const alloy_model *model)
{
    int64_t rows = 0;
    for (int64_t i = 0; i < model->config.num_hidden_layers; i++)
        rows += strcmp(model->config.layers[i].ffn, "qwen3_moe") == 0;
    return rows;
}

static void every_kind_of_module_is_timed_beside_its_bound(void **state)
{
    (void)state;
    alloy_model *model = open_model(GOLDEN("qwen3_5"));
    alloy_session *session = open_session(model, 1, 64, NULL);
    alloy_host host = slow_host();
    alloy_measurement *m;
    expect_ok(alloy_roofline_measure(
        &m, session, &host,
        &(alloy_measure_options){.size = sizeof(alloy_measure_options), .tokens = 5, .cached = 7, .runs = 3}));
    int64_t count;
    const alloy_measured_row *rows = alloy_measurement_rows(m, &count);
    double sum = 0;
    bool mixers = false;
    assert_true(count > 5);
    for (int64_t i = 0; i < count; i++) {
        assert_true(rows[i].bound > 0 && rows[i].measured > 0 && rows[i].efficiency > 0);
        assert_non_null(rows[i].bottleneck);
        mixers = mixers || strcmp(rows[i].name, "qwen3_5_gdn") == 0;
        sum += i < count - 1 ? rows[i].measured : 0;
    }
    assert_true(mixers);
    expect_text(rows[count - 1].name, "total");
    if (sum > 3 * rows[count - 1].measured)
        fail_msg("the rows took %g s, all of it %g s", sum, rows[count - 1].measured);
    alloy_measured_machine machine = alloy_measurement_machine(m);
    assert_true(machine.memory_bandwidth > 0 && machine.compute > 0);
    assert_true(machine.memory_share == machine.memory_bandwidth / 1e9);
    alloy_measurement_close(m);
    alloy_session_close(session);
    alloy_model_close(model);
}

/* One token goes to 2 experts of a layer; 40 go to more, and to no more than there are. */
static void experts_are_those_that_the_run_chose(void **state)
{
    (void)state;
    alloy_model *model = open_model(GOLDEN("qwen3_moe"));
    alloy_session *session = open_session(model, 1, 64, NULL);
    alloy_host host = slow_host();
    alloy_wide read[2];
    for (int i = 0; i < 2; i++) {
        alloy_measurement *m;
        int64_t count;
        expect_ok(alloy_roofline_measure(
            &m, session, &host,
            &(alloy_measure_options){.size = sizeof(alloy_measure_options), .tokens = i ? 40 : 1, .runs = 1}));
        const alloy_measured_row *rows = alloy_measurement_rows(m, &count);
        while (strcmp(rows->name, "qwen3_moe") != 0 && strcmp(rows->name, "total") != 0)
            rows++;
        expect_text(rows->name, "qwen3_moe");
        read[i] = alloy_wide_of(rows->work->read[ALLOY_TRAFFIC_WEIGHTS]);
        alloy_measurement_close(m);
    }
    int64_t k, experts;
    expect_ok(alloy_config_get_int64(&model->config, "num_experts_per_tok", 0, &k));
    expect_ok(alloy_config_get_int64(&model->config, "num_experts", 0, &experts));
    assert_true(read[0] > 0 && read[0] % k == 0);
    assert_true(read[1] > read[0] && read[1] <= read[0] / k * experts);
    assert_true(read[1] % (read[0] / k / rows_of(model)) == 0); /* whole experts */
    alloy_session_close(session);
    alloy_model_close(model);
}

static bool stop_at_once(void *user, int64_t done, int64_t runs)
{
    (void)user, (void)done, (void)runs;
    return false;
}

static void what_cannot_be_measured_is_refused(void **state)
{
    (void)state;
    alloy_model *model = open_model(GOLDEN("qwen3"));
    alloy_session *session = open_session(model, 1, 64, NULL);
    alloy_host host = slow_host(), unknown = {0};
    static const struct {
        alloy_measure_options options;
        alloy_status status;
        const char *text;
    } cases[] = {
        {{.size = sizeof(alloy_measure_options), .tokens = 0}, ALLOY_RANGE, "0 tokens"},
        {{.size = sizeof(alloy_measure_options), .tokens = 1, .cached = -1}, ALLOY_RANGE, "after -1"},
        {{.size = sizeof(alloy_measure_options), .tokens = 65}, ALLOY_ARG, "chunk 64"},
        {{.size = sizeof(alloy_measure_options), .tokens = 1, .cached = 1 << 30}, ALLOY_CONTEXT, "context"},
        {{.size = sizeof(alloy_measure_options), .tokens = 1, .runs = 1, .progress = stop_at_once},
         ALLOY_ARG,
         "stopped"},
    };
    alloy_measurement *m;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_failure(alloy_roofline_measure(&m, session, &host, &cases[i].options), cases[i].status, cases[i].text);
        assert_null(m);
    }
    expect_failure(alloy_roofline_measure(&m, session, &unknown,
                                          &(alloy_measure_options){.size = sizeof(alloy_measure_options), .tokens = 1}),
                   ALLOY_UNSUPPORTED, "no figure");
    alloy_session_close(session);
    alloy_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_module_is_timed_beside_its_bound),
        cmocka_unit_test(experts_are_those_that_the_run_chose),
        cmocka_unit_test(what_cannot_be_measured_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
