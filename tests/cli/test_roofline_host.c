/* `alloy roofline` about this machine: it is measured once and kept in the user's cache folder; --measure runs a model
 * beside its bound. One thread: a reading of two would wait for whoever else is at work here. */
#include "cli/spawn.h"

#include <dirent.h>

static char *folder;

static int make_folder(void **state)
{
    (void)state;
    folder = test_folder();
    return 0;
}

static int take_folder_away(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static int files_kept(void)
{
    int count = 0;
    DIR *kept = opendir(path_in(folder, "alloy"));
    for (struct dirent *entry; kept && (entry = readdir(kept));)
        count += entry->d_name[0] != '.';
    if (kept)
        closedir(kept);
    return count;
}

static void this_machine_is_a_chip_like_any_other(void **state)
{
    (void)state;
    struct setup setup = {.cache = folder};
    struct answer first = run(setup, "roofline", ALLOY_SOURCE_DIR "/examples/configs/readme.json", "--hardware", "host",
                              "--mode", "decode", "-t", "1");
    expect_code(&first, ALLOY_OK);
    expect_in(first.out, "Roofline | host | bf16 | decode (B=1, cache=4096)\n");
    expect_in(first.out, "there fit");
    assert_int_equal(files_kept(), 1);
    struct answer again = run(setup, "roofline", ALLOY_SOURCE_DIR "/examples/configs/readme.json", "--hardware", "host",
                              "--mode", "decode", "-t", "1");
    expect_text(again.out, first.out); /* from the file: the same figures */
    assert_int_equal(files_kept(), 1);
    forget(&first);
    forget(&again);
}

static void a_model_is_run_beside_its_bound(void **state)
{
    (void)state;
    struct setup setup = {.cache = folder};
    struct answer answer = run(setup, "roofline", GOLDEN "qwen3_5", "--measure", "--at", "decode:7", "--at",
                               "prefill:20", "--runs", "2", "-t", "1");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "decode: 1 new tokens after 7, ");
    expect_in(answer.out, "prefill: 20 new tokens after 0, ");
    expect_in(answer.out, "qwen3_5_gdn");
    expect_in(answer.out, "efficiency");
    expect_in(answer.out, "memory");
    forget(&answer);
    answer = run(setup, "roofline", GOLDEN "qwen3_5", "--measure", "--at", "decode:7", "--runs", "1", "-t", "1",
                 "--kv-dtype", "bf16", "--json");
    expect_code(&answer, ALLOY_OK);
    expect_json(&answer);
    expect_in(answer.out, "\"efficiency\":");
    forget(&answer);
}

static void what_cannot_be_measured_says_why(void **state)
{
    (void)state;
    struct setup setup = {.cache = folder};
    struct answer answer = run(setup, "roofline", ALLOY_SOURCE_DIR "/examples/configs/readme.json", "--measure");
    expect_error(&answer, ALLOY_ARG, "has no weights", "alloy init");
    forget(&answer);
    answer = run(setup, "roofline", GOLDEN "qwen3_5", "--measure", "--batch", "2", "-t", "1");
    expect_error(&answer, ALLOY_ARG, "one sequence at a time");
    forget(&answer);
    answer = run(setup, "roofline", GOLDEN "qwen3_5", "--measure", "--at", "decode:7", "--kv-dtype", "fp8", "-t", "1");
    expect_error(&answer, ALLOY_ARG, "kv_dtype");
    forget(&answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_machine_is_a_chip_like_any_other),
        cmocka_unit_test(a_model_is_run_beside_its_bound),
        cmocka_unit_test(what_cannot_be_measured_says_why),
    };
    return cmocka_run_group_tests(tests, make_folder, take_folder_away);
}
