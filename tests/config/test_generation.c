/* generation_config.json: its settings, their defaults, and bad ones (G1 to G3). */
#include "support.h"

#include "base/text.h"
#include "config/generation.h"

static alloy_status parse_generation(alloy_generation_config **config, const char *json)
{
    return alloy_generation_config_parse(config, "generation_config.json", json, strlen(json), 256);
}

static void settings_are_read(void **state)
{
    (void)state;
    alloy_generation_config *c;
    expect_ok(parse_generation(
        &c, "{\"do_sample\": true, \"temperature\": 0.6, \"top_k\": 20, \"top_p\": 0.95, \"min_p\": 0.05, "
            "\"repetition_penalty\": 1.05, \"max_length\": 4096, \"max_new_tokens\": 100, \"bos_token_id\": 1, "
            "\"pad_token_id\": 2, \"eos_token_id\": [255, 254], \"transformers_version\": \"5.18.0\"}"));
    assert_true(c->do_sample);
    assert_true(c->temperature == 0.6 && c->top_p == 0.95 && c->min_p == 0.05 && c->repetition_penalty == 1.05);
    assert_int_equal(c->top_k, 20);
    assert_int_equal(c->max_length, 4096);
    assert_int_equal(c->max_new_tokens, 100);
    assert_int_equal(c->bos_token_id, 1);
    assert_int_equal(c->pad_token_id, 2);
    assert_int_equal(c->eos_token_count, 2);
    assert_int_equal(c->eos_token_ids[0], 255);
    assert_int_equal(c->eos_token_ids[1], 254);
    alloy_generation_config_close(c);
}

static alloy_status open_generation(alloy_generation_config **out, const char *folder, bool follow_symlinks)
{
    alloy_model_files files;
    *out = NULL;
    alloy_status status = alloy_model_files_open(&files, folder, follow_symlinks);
    status = status ? status : alloy_generation_config_open(out, &files, 256);
    alloy_model_files_close(&files);
    return status;
}

/* What stands in its place and cannot be read would change the ids that end an output, were it taken as absent. */
static void x9_to_x12_absent_is_what_is_not_there_and_nothing_else(void **state)
{
    (void)state;
    alloy_generation_config *c;
    char *folder = test_folder();
    write_text(folder, "outside/generation_config.json", "{\"eos_token_id\": 7}");
    char model[256], file[300];
    snprintf(model, sizeof model, "%s/model", folder);
    snprintf(file, sizeof file, "%s/generation_config.json", model);
    assert_int_equal(mkdir(model, 0700), 0);

    /* X9: a link that leaves the folder */
    assert_int_equal(symlink("../outside/generation_config.json", file), 0);
    expect_failure(open_generation(&c, model, false), ALLOY_TRUST, "generation_config.json", "outside");
    expect_ok(open_generation(&c, model, true));
    assert_int_equal(c->eos_token_ids[0], 7);
    alloy_generation_config_close(c);
    assert_int_equal(unlink(file), 0);

    /* X11: one that leads nowhere, or round */
    assert_int_equal(symlink("nowhere", file), 0);
    for (int follow = 0; follow < 2; follow++)
        expect_failure(open_generation(&c, model, follow), ALLOY_IO, "generation_config.json", "No such file");
    assert_int_equal(unlink(file), 0);
    assert_int_equal(symlink("generation_config.json", file), 0);
    for (int follow = 0; follow < 2; follow++)
        expect_failure(open_generation(&c, model, follow), ALLOY_IO, "generation_config.json", "symbolic links");
    assert_int_equal(unlink(file), 0);

    /* X10: a folder, a FIFO */
    assert_int_equal(mkdir(file, 0700), 0);
    expect_failure(open_generation(&c, model, false), ALLOY_IO, "generation_config.json", "not a regular file");
    assert_int_equal(rmdir(file), 0);
    assert_int_equal(mkfifo(file, 0600), 0);
    expect_failure(open_generation(&c, model, false), ALLOY_IO, "generation_config.json", "not a regular file");
    assert_int_equal(unlink(file), 0);

    /* X12: one that may not be read, or a folder that does not say what it holds */
    write_text(model, "generation_config.json", "{}");
    assert_int_equal(chmod(folder, 0755) + chmod(model, 0755) + chmod(file, 0), 0);
    bool root = geteuid() == 0;
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    alloy_status status = open_generation(&c, model, false);
    assert_int_equal(root ? seteuid(0) : 0, 0);
    expect_failure(status, ALLOY_IO, "generation_config.json", "Permission denied");
    alloy_model_files files;
    expect_ok(alloy_model_files_open(&files, model, false));
    assert_int_equal(chmod(model, 0), 0);
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    status = alloy_generation_config_open(&c, &files, 256);
    assert_int_equal(root ? seteuid(0) : 0, 0);
    assert_int_equal(chmod(model, 0700), 0);
    expect_failure(status, ALLOY_IO, "generation_config.json", "Permission denied");
    alloy_model_files_close(&files);
    remove_folder(folder);
}

static void absent_settings_are_those_of_transformers(void **state)
{
    (void)state;
    alloy_generation_config *c;
    char *folder = test_folder();
    for (int written = 0; written < 2; written++) {
        if (written)
            write_text(folder, "generation_config.json",
                       "{\"temperature\": null, \"eos_token_id\": null, \"top_k\": null}");
        expect_ok(open_generation(&c, folder, false));
        assert_false(c->do_sample);
        assert_true(c->temperature == 1 && c->top_p == 1 && c->min_p == 0 && c->repetition_penalty == 1);
        assert_int_equal(c->top_k, 50);
        assert_int_equal(c->max_length, 0);
        assert_int_equal(c->bos_token_id, -1);
        assert_int_equal(c->eos_token_count, 0);
        alloy_generation_config_close(c);
    }
    remove_folder(folder);
}

static void g1_temperature(void **state)
{
    (void)state;
    alloy_generation_config *c;
    expect_failure(parse_generation(&c, "{\"temperature\": NaN}"), ALLOY_RANGE, "generation_config.json:1:17",
                   "is NaN");
    expect_failure(parse_generation(&c, "{\"temperature\": -1}"), ALLOY_RANGE, "temperature is -1", "0..1e+06");
    expect_failure(parse_generation(&c, "{\"temperature\": \"hot\"}"), ALLOY_RANGE, "temperature is \"hot\"");
    expect_ok(parse_generation(&c, "{\"temperature\": 0}"));
    assert_true(c->temperature == 0);
    alloy_generation_config_close(c);
}

static void g2_top_p_and_top_k(void **state)
{
    (void)state;
    alloy_generation_config *c;
    expect_failure(parse_generation(&c, "{\"top_p\": 0}"), ALLOY_RANGE, "top_p is 0", "above 0");
    expect_failure(parse_generation(&c, "{\"top_p\": 1.5}"), ALLOY_RANGE, "top_p is 1.5", "at most 1");
    expect_failure(parse_generation(&c, "{\"top_k\": -1}"), ALLOY_RANGE, "top_k is -1", "0..16777216");
    expect_failure(parse_generation(&c, "{\"top_k\": 1000000000}"), ALLOY_RANGE, "top_k");
    expect_failure(parse_generation(&c, "{\"min_p\": 2}"), ALLOY_RANGE, "min_p");
    expect_failure(parse_generation(&c, "{\"repetition_penalty\": 0}"), ALLOY_RANGE, "repetition_penalty");
    expect_failure(parse_generation(&c, "{\"max_new_tokens\": 0}"), ALLOY_RANGE, "max_new_tokens");
}

static void g3_end_of_sequence(void **state)
{
    (void)state;
    alloy_generation_config *c;
    expect_failure(parse_generation(&c, "{\"eos_token_id\": []}"), ALLOY_RANGE, "eos_token_id is an empty list");
    expect_failure(parse_generation(&c, "{\"eos_token_id\": -1}"), ALLOY_RANGE, "eos_token_id is -1");
    expect_failure(parse_generation(&c, "{\"eos_token_id\": [1, 256]}"), ALLOY_RANGE, "eos_token_id has 256", "0..255");
    alloy_text json = {0};
    alloy_text_string(&json, "{\"eos_token_id\": [0");
    for (int i = 1; i < 1000000; i++)
        alloy_text_string(&json, ",1");
    alloy_text_string(&json, "]}");
    expect_failure(parse_generation(&c, json.bytes), ALLOY_RANGE, "eos_token_id", "more than");
    assert_null(c);
    alloy_text_free(&json);
}

static void what_alloy_does_not_have_is_said(void **state)
{
    (void)state;
    struct warnings warnings;
    alloy_generation_config *c;
    collect_warnings(&warnings);
    expect_ok(parse_generation(&c, "{\"num_beams\": 4, \"typical_p\": 1.0, \"use_cache\": true}"));
    alloy_set_log(NULL, NULL);
    alloy_generation_config_close(c);
    assert_int_equal(warnings.count, 1);
    assert_non_null(strstr(warnings.text, "num_beams 4"));
    assert_null(strstr(warnings.text, "typical_p"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_read),
        cmocka_unit_test(absent_settings_are_those_of_transformers),
        cmocka_unit_test(x9_to_x12_absent_is_what_is_not_there_and_nothing_else),
        cmocka_unit_test(g1_temperature),
        cmocka_unit_test(g2_top_p_and_top_k),
        cmocka_unit_test(g3_end_of_sequence),
        cmocka_unit_test(what_alloy_does_not_have_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
