/* The configs that come with the project are sound, and read back as they are once saved. */
#include <dirent.h>

#include "config/dump.h"

/* Parses every NAME.json of a folder; how many there were. */
static int parse_folder(const char *folder)
{
    char where[1024];
    int count = 0;
    snprintf(where, sizeof where, "%s/%s", ALLOY_SOURCE_DIR, folder);
    DIR *open = opendir(where);
    assert_non_null(open);
    for (struct dirent *entry; (entry = readdir(open));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".json") != 0)
            continue;
        alloy_config *config, *again;
        alloy_text saved = {0};
        expect_ok(alloy_config_open(&config, path_in(where, entry->d_name)));
        expect_ok(alloy_config_to_json(config, &saved));
        expect_ok(alloy_config_parse(&again, "saved.json", saved.bytes, saved.size));
        char *before = dump(config), *after = dump(again);
        expect_text(after, before);
        free(before);
        free(after);
        alloy_text_free(&saved);
        alloy_config_close(config);
        alloy_config_close(again);
        count++;
    }
    closedir(open);
    return count;
}

static void examples_are_sound(void **state)
{
    (void)state;
    assert_true(parse_folder("examples/configs") >= 3);
}

static void composed_cases_are_sound(void **state)
{
    (void)state;
    assert_true(parse_folder("tests/composed") >= 1);
}

static void the_readmes_config_is_what_the_readme_says(void **state)
{
    (void)state;
    alloy_config *c;
    expect_ok(alloy_config_open(&c, ALLOY_SOURCE_DIR "/examples/configs/readme.json"));
    assert_int_equal(c->vocab_size, 32000);
    assert_int_equal(c->num_hidden_layers, 16);
    for (int i = 0; i < 16; i++)
        expect_text(c->layers[i].mixer, i % 4 == 3 ? "qwen3_attention" : "qwen3_5_gdn");
    assert_int_equal(c->dtype, ALLOY_BF16);
    alloy_config_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_are_sound),
        cmocka_unit_test(composed_cases_are_sound),
        cmocka_unit_test(the_readmes_config_is_what_the_readme_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
