/* `alloy roofline` as users run it: published lines byte for byte, the shape of JSON and CSV, numbers that pass 2^63,
 * and an error that says the way out for every flag, config and chip that cannot be meant. */
#include "cli/spawn.h"

#define CONFIGS ALLOY_SOURCE_DIR "/examples/configs/"
#define README CONFIGS "readme.json"

static const char MY_DEVICE[] = "{\"name\": \"my-device\", \"memory_bandwidth\": 8e12, "
                                "\"peaks\": {\"bf16\": 2250e12, \"fp32\": 80e12, \"fp8\": 4500e12}}";

/* The answer begins with these lines. */
static void expect_opening(const struct answer *answer, const char *lines)
{
    expect_code(answer, ALLOY_OK);
    if (strncmp(answer->out, lines, strlen(lines)) != 0)
        fail_msg("%s printed\n%s\nexpected it to begin with\n%s", answer->line, answer->out, lines);
}

/* ---- Published lines --------------------------------------------------------------------------------------------- */

static void a_report_opens_with_the_published_lines(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "roofline", README, "--mode", "prefill", "--batch", "1", "--seq-len", "4096",
                               "--hardware", "H100");
    expect_opening(&answer, "Roofline | H100-SXM5 | bf16 | prefill (B=1, Q=4096)\n"
                            "------------------------------------------------------------------------------\n"
                            "TOTAL: 10.18 TFLOPs / 3.77 GB / AI = 2703.7\n"
                            "H100-SXM5: compute=10.30 ms, memory=1.12 ms -> bottleneck=compute (10.30 ms / forward)\n"
                            "exact: 9.37 TFLOPs / 5.57 GB / AI = 1681.1 -> bottleneck=compute (9.46 ms / forward)\n");
    forget(&answer);
}

static void every_mode_says_its_lengths(void **state)
{
    (void)state;
    struct answer answer = run(plainly, "roofline", README);
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "Roofline | H100-SXM5 | bf16 | prefill (B=1, Q=4096)\n");
    expect_in(answer.out, "Roofline | H100-SXM5 | bf16 | mini-prefill (B=1, Q=512, cache=2048)\n");
    expect_in(answer.out, "Roofline | H100-SXM5 | bf16 | decode (B=1, cache=4096)\n");
    forget(&answer);
    answer = run(plainly, "roofline", README, "--sequences", "4096+0,32x1+8192", "--hardware", "a100");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "Roofline | A100-80GB-SXM | bf16 | ragged (4096+0,32x1+8192)\n");
    forget(&answer);
    answer = run(plainly, "roofline", README, "--weight-dtype", "fp8", "--at", "decode:7", "--batch", "3");
    expect_code(&answer, ALLOY_OK);
    expect_in(answer.out, "Roofline | H100-SXM5 | bf16 (weights fp8) | decode (B=3, cache=7)\n");
    forget(&answer);
}

static void several_chips_are_compared(void **state)
{
    (void)state;
    char *folder = test_folder(), *device = write_text(folder, "my-device.json", MY_DEVICE), list[8192];
    snprintf(list, sizeof list, "H100,Ascend910C,%s", device);
    struct answer once = run(plainly, "roofline", README, "--hardware", list),
                  each = run(plainly, "roofline", README, "--hardware", "H100", "--hardware", "Ascend910C",
                             "--hardware", device);
    expect_code(&once, ALLOY_OK);
    expect_text(once.out,
                "H100        prefill: 10.30 ms (compute) mini:  1.26 ms (compute) decode:  702 us (memory)\n"
                "Ascend910C  prefill: 13.43 ms (compute) mini:  1.65 ms (compute) decode:  735 us (memory)\n"
                "my-device   prefill:  4.53 ms (compute) mini:  0.55 ms (compute) decode:  294 us (memory)\n");
    expect_text(each.out, once.out);
    forget(&once), forget(&each);
    remove_folder(folder);
}

/* ---- Pages and drawings ------------------------------------------------------------------------------------------ */

static void a_page_and_a_drawing_are_written_beside_the_report(void **state)
{
    (void)state;
    char *folder = test_folder(), *page = path_in(folder, "page.html"), *drawing = path_in(folder, "drawing.svg");
    struct answer answer = run(plainly, "roofline", README, "--html", page, "--svg", drawing),
                  alone = run(plainly, "roofline", README);
    expect_code(&answer, ALLOY_OK);
    expect_text(answer.out, alone.out);
    expect_in(answer.err, "page.html");
    static const struct {
        char *flag, *opening;
    } documents[] = {{"--html", "<!DOCTYPE html>\n"}, {"--svg", "<svg xmlns="}};
    for (int i = 0; i < 2; i++) {
        size_t size;
        char *bytes = read_whole(i == 0 ? page : drawing, &size);
        struct answer printed = run(plainly, "roofline", README, documents[i].flag, "-");
        expect_opening(&printed, documents[i].opening);
        expect_text(printed.out, bytes);
        forget(&printed);
        free(bytes);
    }
    forget(&answer), forget(&alone);
    remove_folder(folder);
}

static void standard_output_takes_one_document(void **state)
{
    (void)state;
    struct answer two = run(plainly, "roofline", README, "--html", "-", "--svg", "-");
    expect_error(&two, ALLOY_ARG, "standard output");
    struct answer csv = run(plainly, "roofline", README, "--csv", "--html", "-");
    expect_error(&csv, ALLOY_ARG, "--html -");
    struct answer list = run(plainly, "roofline", "--list", "--svg", "x.svg");
    expect_error(&list, ALLOY_ARG, "--list");
    struct answer nowhere = run(plainly, "roofline", README, "--html", "/nowhere/page.html");
    expect_error(&nowhere, ALLOY_IO, "/nowhere/page.html");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_opens_with_the_published_lines),
        cmocka_unit_test(every_mode_says_its_lengths),
        cmocka_unit_test(several_chips_are_compared),
        cmocka_unit_test(a_page_and_a_drawing_are_written_beside_the_report),
        cmocka_unit_test(standard_output_takes_one_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
