/* Files that are cut short while they are read: an error or what they hold, never a signal. F1, F2. */
#include "models.h"
#include "shrinking.h"

#include "base/file.h"
#include "base/file_write.h"

enum { TIMES = ALLOY_TEST_SLOW ? 40 : 200 };

/* Is it how reading a file may end that others change? */
static void expect_an_end(alloy_status status)
{
    if (status != ALLOY_OK && status != ALLOY_IO && status != ALLOY_FORMAT)
        fail_msg("ended with %s: %s", alloy_status_name(status), alloy_error());
}

static void f1_a_config_that_is_cut_while_it_is_read(void **state)
{
    (void)state;
    size_t size;
    char *folder = test_folder(), path[512], *bytes = read_whole(GOLDEN("qwen3") "/config.json", &size);
    snprintf(path, sizeof path, "%s", write_file(folder, "config.json", bytes, size));
    free(bytes);
    struct shrinking shrinking;
    shrinking_begin(&shrinking, path);
    for (int i = 0; i < 10 * TIMES; i++) {
        alloy_config *config;
        expect_an_end(alloy_config_open(&config, folder));
        alloy_config_close(config);
    }
    shrinking_end(&shrinking);
    remove_folder(folder);
}

/* What convert copies holds what the file held at some moment of the copying. */
static void f1_a_file_that_is_cut_while_it_is_copied(void **state)
{
    (void)state;
    enum { SIZE = 4 << 20 };
    char *folder = test_folder(), from[512], to[512], path[600], *large = malloc(SIZE);
    assert_non_null(large);
    memset(large, 'x', SIZE);
    snprintf(from, sizeof from, "%s/from", folder);
    snprintf(to, sizeof to, "%s/to", folder);
    assert_int_equal(mkdir(from, 0700), 0);
    static const char *const names[] = {"config.json", "model.safetensors"};
    for (int i = 0; i < 2; i++) {
        size_t size;
        char *bytes = read_whole(path_in(GOLDEN("qwen3"), names[i]), &size);
        write_file(from, names[i], bytes, size);
        free(bytes);
    }
    snprintf(path, sizeof path, "%s", write_file(from, "tokenizer.model", large, SIZE));
    alloy_model *model = open_model(from);
    struct shrinking shrinking;
    shrinking_begin(&shrinking, path);
    for (int i = 0; i < TIMES / 10; i++) {
        alloy_status status = alloy_convert(model, to, NULL);
        expect_an_end(status);
        if (status)
            assert_false(alloy_file_exists(path_in(to, "config.json")));
        size_t size;
        if (alloy_file_exists(path_in(to, "tokenizer.model"))) {
            char *bytes = read_whole(path_in(to, "tokenizer.model"), &size);
            assert_true(size <= SIZE);
            for (size_t at = 0; at < size; at++)
                assert_int_equal(bytes[at], 'x');
            free(bytes);
        }
        snprintf(path, sizeof path, "rm -rf '%s'", to);
        assert_int_equal(system(path), 0);
    }
    shrinking_end(&shrinking);
    alloy_model_close(model);
    free(large);
    remove_folder(folder);
}

/* A write from a mapping that is gone blames the file that was mapped, not the one that is written. */
static void f2_a_weight_that_is_gone_when_it_is_written_is_named(void **state)
{
    (void)state;
    enum { SIZE = 64 << 10 };
    char *folder = test_folder(), from[512], *bytes = calloc(1, SIZE);
    assert_non_null(bytes);
    snprintf(from, sizeof from, "%s", write_file(folder, "from", bytes, SIZE));
    alloy_file file;
    alloy_file_writer writer;
    expect_ok(alloy_file_open(&file, from, SIZE, true));
    assert_int_equal(truncate(from, 4096), 0);
    expect_ok(alloy_file_create(&writer, path_in(folder, "to")));
    expect_failure(alloy_file_write(&writer, file.data, SIZE), ALLOY_IO, from, "byte 4096", "cut short");
    alloy_file_abandon(&writer);
    alloy_file_close(&file);
    free(bytes);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f1_a_config_that_is_cut_while_it_is_read),
        cmocka_unit_test(f1_a_file_that_is_cut_while_it_is_copied),
        cmocka_unit_test(f2_a_weight_that_is_gone_when_it_is_written_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
