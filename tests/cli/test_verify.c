/* verify and compare can fail: one kernel of this program is broken on purpose.
 *
 * A session takes its table from alloy_kernels_wanted. The linker sends calls of it to the function below (--wrap),
 * which hands out a copy of that table with a row of it replaced, where a test asks for that. */
#include "support.h"

#include "cli/job.h"
#include "kernels/kernels.h"

#define GOLDEN ALLOY_SOURCE_DIR "/tests/golden/"

const alloy_kernels *__real_alloy_kernels_wanted(const char *name);
const alloy_kernels *__wrap_alloy_kernels_wanted(const char *name);

static enum { NOTHING, ORDER_OF_A_SUM, ONE_ULP, GREATLY } broken;

/* The same sum from its other end: right to fp32's precision, and other bits. */
static void rms_norm_backwards(float *y, const float *x, const float *w, int64_t rows, int64_t d, float eps)
{
    for (int64_t row = 0; row < rows; row++, x += d, y += d) {
        float sum = 0;
        for (int64_t i = d - 1; i >= 0; i--)
            sum += x[i] * x[i];
        float scale = 1 / __builtin_sqrtf(sum / (float)d + eps);
        for (int64_t i = 0; i < d; i++)
            y[i] = x[i] * scale * (w ? w[i] : 1);
    }
}

/* One sum of many is off by its last bit, and only where a batch has this many rows. */
static void add_off_by_an_ulp(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
    if (n == 64 * 7)
        y[n - 1] = __builtin_nextafterf(y[n - 1], 1e30f);
}

static void add_and_then_some(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + b[i] + 0.001f;
}

const alloy_kernels *__wrap_alloy_kernels_wanted(const char *name)
{
    static alloy_kernels table;
    const alloy_kernels *real = __real_alloy_kernels_wanted(name);
    bool is_best = real && strcmp(real->name, alloy_kernels_name(0)) != 0;
    if (!real || broken == NOTHING || (broken == ORDER_OF_A_SUM && !is_best))
        return real;
    table = *real;
    if (broken == ORDER_OF_A_SUM)
        table.rms_norm = rms_norm_backwards;
    else
        table.vector.add = broken == ONE_ULP ? add_off_by_an_ulp : add_and_then_some;
    return &table;
}

static alloy_status run_command(const alloy_cli_command *command, char **words)
{
    static _Alignas(max_align_t) char options[ALLOY_CLI_OPTIONS_ROOM];
    int count = 0;
    while (words[count])
        count++;
    expect_ok(alloy_cli_read(command, options, count, words));
    return alloy_cli_run(command, options);
}

#define verify(...) run_command(&alloy_cli_verify, (char *[]){__VA_ARGS__, NULL})
#define compare(...) run_command(&alloy_cli_compare, (char *[]){__VA_ARGS__, NULL})

static void sound_kernels_pass(void **state)
{
    (void)state;
    broken = NOTHING;
    expect_ok(verify(GOLDEN "qwen3_5", "--tokens", ALLOY_TEST_SLOW ? "9" : "150"));
    expect_ok(compare(GOLDEN "qwen3_5", GOLDEN "qwen3_5/expected.safetensors"));
}

/* An instruction set that sums in another order gives other bits than generic C. */
static void an_instruction_set_with_another_order_is_found(void **state)
{
    (void)state;
    if (!alloy_kernels_get(alloy_kernels_name(1)))
        skip(); /* there is only generic C */
    broken = ORDER_OF_A_SUM;
    expect_failure(verify(GOLDEN "qwen3", "--tokens", "9"), ALLOY_DIFFERENT, "token", "logit", "cpu");
    expect_ok(compare(GOLDEN "qwen3", GOLDEN "qwen3/expected.safetensors")); /* it is still as accurate */
}

/* A fault that shows with one chunk size only, in one value, by one unit in the last place. */
static void one_bit_in_one_chunk_size_is_found(void **state)
{
    (void)state;
    broken = ONE_ULP;
    expect_failure(verify(GOLDEN "qwen3", "--tokens", "9", "--cpu", "generic"), ALLOY_DIFFERENT, "chunk 7",
                   "cpu generic");
}

static void a_wrong_result_departs_from_the_reference(void **state)
{
    (void)state;
    broken = GREATLY;
    expect_failure(compare(GOLDEN "qwen3", GOLDEN "qwen3/expected.safetensors"), ALLOY_DIFFERENT, "layer 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_kernels_pass),
        cmocka_unit_test(an_instruction_set_with_another_order_is_found),
        cmocka_unit_test(one_bit_in_one_chunk_size_is_found),
        cmocka_unit_test(a_wrong_result_departs_from_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
