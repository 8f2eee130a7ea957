/* What holds for every config in examples/configs, in both accountings and every mode: rows of each level sum to the
 * total; where attention sees everything both accountings move the same keys and values, what is cached once in and
 * what is new once out; a linear costs the same in both; and the ops of a forward grow with its layers. */
#include "roofline/cases.h"

#include <dirent.h>

#include "alloy/extend.h"

#define FOLDER ALLOY_SOURCE_DIR "/examples/configs"

static const alloy_roofline_sequences points[][2] = {
    {{1, 300, 0}}, {{1, 70, 500}}, {{1, 1, 4096}}, {{5, 1, 33}}, {{1, 130, 0}, {3, 1, 1000}}};

enum { POINTS = sizeof points / sizeof *points };

static alloy_roofline *analyse(const struct described *d, int point, alloy_roofline_options options)
{
    alloy_roofline *r;
    options.sequences = points[point];
    options.sequences_count = points[point][1].count ? 2 : 1;
    options.ops = true;
    expect_ok(alloy_roofline_open(&r, d->model, &options));
    return r;
}

static void expect_sums(const alloy_roofline *r)
{
    for (int level = ALLOY_LEVEL_TOTAL; level <= ALLOY_LEVEL_OPS; level++) {
        alloy_work sum = {0};
        int64_t rows = alloy_roofline_row_count(r, (alloy_roofline_level)level), modules = 0;
        assert_true(rows > 0);
        for (int64_t i = 0; i < rows; i++) {
            alloy_roofline_row row = alloy_roofline_row_at(r, (alloy_roofline_level)level, i);
            alloy_work_add(&sum, row.work, 1);
            modules += row.modules;
        }
        assert_memory_equal(&sum, alloy_roofline_total(r), sizeof sum);
        if (level < ALLOY_LEVEL_OPS)
            assert_int_equal(modules, alloy_roofline_row_count(r, ALLOY_LEVEL_MODULES));
    }
    alloy_wide bytes = 0;
    for (int i = 0; i < ALLOY_TRAFFIC_COUNT; i++)
        bytes += alloy_wide_of(alloy_count_add(alloy_roofline_total(r)->read[i], alloy_roofline_total(r)->written[i]));
    assert_true(bytes == alloy_wide_of(alloy_work_read(alloy_roofline_total(r))) +
                             alloy_wide_of(alloy_work_written(alloy_roofline_total(r))));
}

/* Modules of full attention in the order of the forward. */
static int64_t next_full_attention(const alloy_roofline *r, int64_t at, alloy_roofline_row *row)
{
    for (; at < alloy_roofline_row_count(r, ALLOY_LEVEL_MODULES); at++) {
        *row = alloy_roofline_row_at(r, ALLOY_LEVEL_MODULES, at);
        if (strcmp(row->name, "qwen3_attention") == 0 || strcmp(row->name, "llama_attention") == 0)
            return at + 1;
    }
    return -1;
}

static int expect_same_caches(const alloy_roofline *classic, const alloy_roofline *exact)
{
    alloy_roofline_row a, b;
    int64_t at_a = next_full_attention(classic, 0, &a), at_b = next_full_attention(exact, 0, &b);
    int found = 0;
    for (; at_a >= 0 && at_b >= 0; found++) {
        assert_int_equal(a.layer, b.layer);
        expect_count(b.work->read[KV], (int64_t)alloy_wide_of(a.work->read[KV]), "bytes of keys and values read");
        expect_count(b.work->written[KV], (int64_t)alloy_wide_of(a.work->written[KV]),
                     "bytes of keys and values written");
        at_a = next_full_attention(classic, at_a, &a);
        at_b = next_full_attention(exact, at_b, &b);
    }
    assert_int_equal(at_a, at_b);
    return found;
}

static int64_t next_linear(const alloy_roofline *r, int64_t at, alloy_roofline_row *row)
{
    for (; at < alloy_roofline_row_count(r, ALLOY_LEVEL_OPS); at++) {
        *row = alloy_roofline_row_at(r, ALLOY_LEVEL_OPS, at);
        if (strcmp(row->op, "linear") == 0)
            return at + 1;
    }
    return -1;
}

/* Biases are adds of the vector unit in exact. */
static void expect_same_linears(const alloy_roofline *classic, const alloy_roofline *exact)
{
    alloy_roofline_row a, b;
    int64_t at_a = next_linear(classic, 0, &a), at_b = next_linear(exact, 0, &b);
    assert_true(at_a >= 0);
    while (at_a >= 0 && at_b >= 0) {
        expect_text(b.weight, a.weight);
        expect_count(alloy_count_add(b.work->tensor_flops, b.work->vector_flops),
                     (int64_t)alloy_wide_of(a.work->tensor_flops), a.weight);
        at_a = next_linear(classic, at_a, &a);
        at_b = next_linear(exact, at_b, &b);
    }
    assert_int_equal(at_a, at_b);
}

/* ---- Every config ------------------------------------------------------------------------------------------------ */

/* Calls `check` with each config of the folder; how many there were. */
static int each_config(void (*check)(const struct described *d, void *user), void *user)
{
    DIR *folder = opendir(FOLDER);
    int count = 0;
    assert_non_null(folder);
    for (const struct dirent *entry; (entry = readdir(folder));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".json") != 0)
            continue;
        print_message("%s\n", entry->d_name);
        struct described d = describe_file(path_in(FOLDER, entry->d_name));
        check(&d, user);
        forget(&d);
        count++;
    }
    closedir(folder);
    return count;
}

static void check_sums(const struct described *d, void *user)
{
    (void)user;
    for (int p = 0; p < POINTS; p++)
        for (int form = 0; form < 4; form++) {
            alloy_roofline_options options = {.size = sizeof options,
                                              .accounting = form == 0 ? ALLOY_CLASSIC : ALLOY_EXACT,
                                              .op_fusion = form == 2,
                                              .routing = form == 3 ? ALLOY_ROUTING_ZIPF : ALLOY_ROUTING_EVEN,
                                              .zipf = 1.1};
            alloy_roofline *r = analyse(d, p, options);
            expect_sums(r);
            alloy_roofline_close(r);
        }
}

static void rows_sum_to_the_total(void **state)
{
    (void)state;
    assert_true(each_config(check_sums, NULL) >= 4);
}

static void check_agreement(const struct described *d, void *user)
{
    int *found = user;
    for (int p = 0; p < POINTS; p++) {
        alloy_roofline *classic = analyse(d, p, (alloy_roofline_options){.size = sizeof(alloy_roofline_options)});
        alloy_roofline *exact =
            analyse(d, p,
                    (alloy_roofline_options){
                        .size = sizeof(alloy_roofline_options), .accounting = ALLOY_EXACT, .all_logits = true});
        *found += expect_same_caches(classic, exact);
        expect_same_linears(classic, exact);
        alloy_roofline_close(classic);
        alloy_roofline_close(exact);
    }
}

static void accountings_agree_on_caches_and_linears(void **state)
{
    (void)state;
    int found = 0;
    assert_true(each_config(check_agreement, &found) >= 4);
    assert_true(found > 0);
}

/* ---- Layers ------------------------------------------------------------------------------------------------------ */

static int64_t ops_of(int64_t layers, alloy_accounting accounting)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"model_type\": \"alloy\", \"vocab_size\": 256, \"hidden_size\": 64, \"layer_types\": {\"pattern\": "
             "[\"qwen3_5_gdn\", \"qwen3_attention\"], \"repeat\": %lld}, \"ffn_types\": {\"pattern\": [\"qwen3_moe\", "
             "\"qwen3_mlp\"], \"repeat\": %lld}, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": "
             "16, \"intermediate_size\": 96, \"num_experts\": 8, \"num_experts_per_tok\": 2, "
             "\"moe_intermediate_size\": 48}",
             (long long)layers / 2, (long long)layers / 2);
    struct described d = describe_text(text);
    alloy_roofline_options options = {.size = sizeof options,
                                      .accounting = accounting,
                                      .sequences = &(alloy_roofline_sequences){1, 1, 100},
                                      .sequences_count = 1};
    alloy_roofline *r;
    expect_ok(alloy_roofline_open(&r, d.model, &options));
    int64_t ops = alloy_roofline_ops(r);
    alloy_roofline_close(r);
    forget(&d);
    return ops;
}

/* So many a pair of layers, and a few around them. */
static void ops_grow_with_the_layers(void **state)
{
    (void)state;
    for (int accounting = 0; accounting < 2; accounting++) {
        int64_t ten = ops_of(10, (alloy_accounting)accounting), twelve = ops_of(12, (alloy_accounting)accounting);
        int64_t a_pair = twelve - ten;
        assert_true(a_pair > 0 && ten - 5 * a_pair < a_pair);
        static const int64_t layers[] = {100, 1000, 10000};
        for (int i = 0; i < 3; i++)
            assert_int_equal(ops_of(layers[i], (alloy_accounting)accounting), ten + (layers[i] - 10) / 2 * a_pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_sum_to_the_total),
        cmocka_unit_test(accountings_agree_on_caches_and_linears),
        cmocka_unit_test(ops_grow_with_the_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
