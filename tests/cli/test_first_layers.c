/* --num-layers N on a checkpoint whose later shards are not there: every command that runs a model. */
#include "spawn.h"

/* A copy of the sharded case with what its first two layers need: shards 6 to 8 hold nothing of them. */
static char *first_shards(void)
{
    char *folder = test_folder();
    for (int i = -1; i <= 10; i++) {
        char name[64] = "config.json";
        size_t size;
        if (i >= 6 && i <= 8)
            continue;
        if (i == 0)
            snprintf(name, sizeof name, "model.safetensors.index.json");
        else if (i > 0)
            snprintf(name, sizeof name, "model-%05d-of-00010.safetensors", i);
        char *bytes = read_whole(path_in(GOLDEN "llama_linear_sharded", name), &size);
        write_file(folder, name, bytes, size);
        free(bytes);
    }
    return folder;
}

/* The command's answer on the part is that on the whole, word for word but for the folder's name. */
static void expect_same_answer(char *folder, char *command, char *a, char *b)
{
    struct answer part = run(plainly, command, folder, "--num-layers", "2", "-q", a, b),
                  whole = run(plainly, command, GOLDEN "llama_linear_sharded", "--num-layers", "2", "-q", a, b);
    expect_code(&part, ALLOY_OK);
    expect_code(&whole, ALLOY_OK);
    bool named = strncmp(part.out, folder, strlen(folder)) == 0; /* some begin with the folder's name */
    expect_text(named ? part.out + strlen(folder) : part.out,
                named ? whole.out + strlen(GOLDEN "llama_linear_sharded") : whole.out);
    forget(&part), forget(&whole);
}

static void commands_run_what_is_there(void **state)
{
    (void)state;
    char *folder = first_shards();
    expect_same_answer(folder, "generate", "--ids=5,6,7", "--max-new-tokens=6");
    expect_same_answer(folder, "verify", "--tokens=20", "--cpu=generic");
    expect_same_answer(folder, "info", "--kv-dtype=f32", NULL);
    expect_same_answer(folder, "roofline", "--hardware=H100", NULL);

    char *out = path_in(folder, "out.safetensors"), *expected = path_in(folder, "expected.safetensors");
    struct answer part = run(plainly, "logits", folder, "--num-layers", "2", "--ids", "5,6,7", "-o", out, "--hidden");
    struct answer whole = run(plainly, "logits", GOLDEN "llama_linear_sharded", "--num-layers", "2", "--ids", "5,6,7",
                              "-o", expected, "--hidden");
    expect_code(&part, ALLOY_OK);
    expect_code(&whole, ALLOY_OK);
    size_t sizes[2];
    char *bytes[2] = {read_whole(out, &sizes[0]), read_whole(expected, &sizes[1])};
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    free(bytes[0]);
    free(bytes[1]);
    forget(&part), forget(&whole);
    remove_folder(folder);
}

static void two_parts_and_a_reference_are_compared(void **state)
{
    (void)state;
    char *folder = first_shards();
    struct answer answer = run(plainly, "compare", folder, GOLDEN "llama_linear_sharded", "--num-layers", "2");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    answer = run(plainly, "compare", folder, GOLDEN "llama_linear_sharded/expected.safetensors", "--num-layers", "2");
    expect_code(&answer, ALLOY_OK);
    forget(&answer);
    remove_folder(folder);
}

static void what_is_not_there_is_named(void **state)
{
    (void)state;
    char *folder = first_shards();
    char *const commands[] = {"generate", "verify", "info"};
    for (int i = 0; i < 3; i++) {
        struct answer answer = run(plainly, commands[i], folder, "--num-layers", "3", i == 0 ? "--ids=1" : NULL);
        expect_error(&answer, ALLOY_IO, "model-00007-of-00010.safetensors");
        forget(&answer);
        answer = run(plainly, commands[i], folder, i == 0 ? "--ids=1" : NULL);
        expect_error(&answer, ALLOY_IO, "model-00007-of-00010.safetensors");
        forget(&answer);
    }
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_run_what_is_there),
        cmocka_unit_test(two_parts_and_a_reference_are_compared),
        cmocka_unit_test(what_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
