/* Numbers for people, and the bar while something long goes on. */
#include "support.h"

#include <time.h>

#include "cli/progress.h"
#include "cli/table.h"

static void numbers_have_three_digits_and_a_unit(void **state)
{
    (void)state;
    const struct {
        double value;
        const char *bytes;
    } rows[] = {{0, "0 B"},           {999, "999 B"},        {999.6, "1.00 kB"},
                {5526448, "5.53 MB"}, {12345678, "12.3 MB"}, {123456789, "123 MB"},
                {2e19, "20000 PB"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_text(alloy_cli_bytes(rows[i].value), rows[i].bytes);
}

static void thousands_are_set_apart(void **state)
{
    (void)state;
    alloy_text out = {0};
    alloy_table table;
    alloy_table_open(&table, "x");
    alloy_table_count(&table, alloy_count_of(0));
    alloy_table_count(&table, alloy_count_of(999));
    alloy_table_count(&table, alloy_count_of(1000));
    alloy_table_count(&table, (alloy_count){.low = UINT64_MAX});
    alloy_table_append(&table, &out);
    expect_text(alloy_text_get(&out), "x\n0\n999\n1,000\n18,446,744,073,709,551,615\n");
    alloy_text_free(&out);
}

static void wait_for(double seconds)
{
    nanosleep(&(struct timespec){.tv_nsec = (long)(seconds * 1e9)}, NULL);
}

static void a_bar_shows_after_half_a_second_and_is_taken_away(void **state)
{
    (void)state;
    char text[1024], *folder = test_folder();
    FILE *file = fopen(path_in(folder, "err"), "w+");
    assert_non_null(file);
    static const char label[] = "prefill";
    int saved = dup(2);
    dup2(fileno(file), 2);
    alloy_cli_progress(label, "tokens", 1, 100); /* nobody has asked for one */
    alloy_cli_progress_show(true);
    alloy_cli_progress(label, "tokens", 1, 100);
    alloy_cli_progress(label, "tokens", 2, 100); /* too soon */
    wait_for(0.6);
    alloy_cli_progress(label, "tokens", 50, 100);
    alloy_cli_progress(label, "tokens", 51, 100); /* too soon after the last */
    alloy_cli_progress(label, "tokens", 100, 100);
    alloy_cli_progress_show(false);
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    rewind(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = 0;
    fclose(file);
    expect_text(text, "\rprefill [###############               ]  50%  50/100 tokens\033[K\r\033[K");
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_three_digits_and_a_unit),
        cmocka_unit_test(thousands_are_set_apart),
        cmocka_unit_test(a_bar_shows_after_half_a_second_and_is_taken_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
