/* A tokenizer.json that is cut short while it is read: an error or a tokenizer, never a signal. F1. */
#include "shrinking.h"

enum { TIMES = ALLOY_TEST_SLOW ? 40 : 200 };

static void f1_a_tokenizer_that_is_cut_while_it_is_read(void **state)
{
    (void)state;
    size_t size;
    char *folder = test_folder(), path[512],
         *bytes = read_whole(ALLOY_SOURCE_DIR "/examples/models/moby/tokenizer.json", &size);
    snprintf(path, sizeof path, "%s", write_file(folder, "tokenizer.json", bytes, size));
    free(bytes);
    struct shrinking shrinking;
    shrinking_begin(&shrinking, path);
    for (int i = 0; i < TIMES; i++) {
        alloy_tokenizer *tokenizer;
        alloy_status status = alloy_tokenizer_open(&tokenizer, i % 2 ? path : folder);
        if (status != ALLOY_OK && status != ALLOY_IO && status != ALLOY_FORMAT)
            fail_msg("ended with %s: %s", alloy_status_name(status), alloy_error());
        alloy_tokenizer_close(tokenizer);
    }
    shrinking_end(&shrinking);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(f1_a_tokenizer_that_is_cut_while_it_is_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
