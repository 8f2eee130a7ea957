/* Chips: the built-in table, names, files, and which peak a dtype has. */
#include "support.h"

#include "base/memory.h"

static const alloy_chip *chip_named(const char *name)
{
    const alloy_chip *chip = alloy_chip_by_name(name);
    if (!chip)
        fail_msg("%s: %s", name, alloy_error());
    return chip;
}

static void expect_number(const char *chip, const char *what, double actual, double expected)
{
    if (actual != expected)
        fail_msg("%s, %s: actual %.17g, expected %.17g", chip, what, actual, expected);
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

/* bf16, fp32, memory bandwidth, as published: TFLOP/s, TFLOP/s, GB/s. */
static void presets_are_what_was_published(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double bf16, fp32, bandwidth;
    } presets[] = {
        {"A100-80GB-SXM", 312e12, 19.5e12, 2039e9},
        {"H100-SXM5", 989e12, 67e12, 3350e9},
        {"Ascend-910B1", 379e12, 95e12, 1800e9},
        {"Ascend-910C", 758e12, 190e12, 3200e9},
    };
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        const alloy_chip *chip = chip_named(presets[i].name);
        expect_number(chip->name, "bf16", chip->peak[ALLOY_PEAK_BF16], presets[i].bf16);
        expect_number(chip->name, "fp32", chip->peak[ALLOY_PEAK_FP32], presets[i].fp32);
        expect_number(chip->name, "memory_bandwidth", chip->memory_bandwidth, presets[i].bandwidth);
    }
    const alloy_chip *ascend = chip_named("Ascend-910B1");
    expect_number(ascend->name, "vector fp16", ascend->vector_peak[ALLOY_PEAK_FP16], 24e12);
    expect_number(ascend->name, "vector fp32", ascend->vector_peak[ALLOY_PEAK_FP32], 11.84e12);
    ascend = chip_named("Ascend-910C");
    expect_number(ascend->name, "vector fp16", ascend->vector_peak[ALLOY_PEAK_FP16], 48e12);
    expect_number(ascend->name, "vector fp32", ascend->vector_peak[ALLOY_PEAK_FP32], 23.68e12);
}

/* 10.18 TFLOP at bf16 is 13.43 ms on Ascend 910C and 10.30 ms on H100 (a published comparison). */
static void presets_give_published_times(void **state)
{
    (void)state;
    char text[32];
    double flops;
    expect_ok(alloy_chip_peak(chip_named("Ascend910C"), ALLOY_PEAK_BF16, &flops));
    snprintf(text, sizeof text, "%.2f ms", 10.183e12 / flops * 1e3);
    expect_text(text, "13.43 ms");
    expect_ok(alloy_chip_peak(chip_named("H100"), ALLOY_PEAK_BF16, &flops));
    snprintf(text, sizeof text, "%.2f ms", 10.183e12 / flops * 1e3);
    expect_text(text, "10.30 ms");
}

static void expect_between(const alloy_chip *chip, const char *what, double value, double least, double most)
{
    if (value != 0 && !(value >= least && value <= most))
        fail_msg("%s, %s: %g is not in %g..%g", chip->name, what, value, least, most);
}

static void every_row_is_plausible_and_says_where_it_is_from(void **state)
{
    (void)state;
    int count = 0;
    for (const alloy_chip *chip; (chip = alloy_chip_at(count)); count++) {
        assert_non_null(chip->name);
        assert_non_null(chip->vendor);
        if (!chip->source || !*chip->source)
            fail_msg("%s has no source", chip->name);
        if (chip->memory_bandwidth == 0)
            fail_msg("%s has no memory bandwidth", chip->name);
        if (chip->fp32_is_vector && chip->peak[ALLOY_PEAK_FP32] == 0)
            fail_msg("%s: fp32_is_vector, and no fp32", chip->name);
        for (int i = 0; i < ALLOY_PEAK_COUNT; i++) {
            expect_between(chip, alloy_peak_name((alloy_peak)i), chip->peak[i], 1e12, 2e16);
            expect_between(chip, alloy_peak_name((alloy_peak)i), chip->vector_peak[i], 1e12, 2e14);
        }
        expect_between(chip, "memory_bandwidth", chip->memory_bandwidth, 5e10, 1e13);
        expect_between(chip, "memory", chip->memory, 1e10, 1e12);
        expect_between(chip, "link_bandwidth", chip->link_bandwidth, 2e10, 2e12);
        expect_between(chip, "power", chip->power, 50, 2000);
    }
    assert_int_equal(count, 40);
    assert_null(alloy_chip_at(-1));
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static void every_name_and_alias_finds_its_chip(void **state)
{
    (void)state;
    const alloy_chip *chip;
    for (int i = 0; (chip = alloy_chip_at(i)); i++) {
        assert_ptr_equal(chip_named(chip->name), chip);
        for (const char *const *alias = chip->aliases; alias && *alias; alias++)
            if (chip_named(*alias) != chip)
                fail_msg("%s finds %s, expected %s", *alias, chip_named(*alias)->name, chip->name);
    }
}

static void case_and_separators_do_not_matter(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"H100", "H100-SXM5"},
        {"h100_sxm5", "H100-SXM5"},
        {"h100 sxm5", "H100-SXM5"},
        {"A100", "A100-80GB-SXM"},
        {"a100-sxm", "A100-80GB-SXM"},
        {"Ascend910B", "Ascend-910B1"},
        {"ascend_910b1", "Ascend-910B1"},
        {"Ascend910C", "Ascend-910C"},
        {"ASCEND-910-C", "Ascend-910C"},
        {"rtx 4090", "RTX-4090"},
        {"mi300x", "MI300X"},
        {"H100PCIe", "H100-PCIe"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        expect_text(chip_named(names[i][0])->name, names[i][1]);
}

static void unknown_names_suggest_the_nearest(void **state)
{
    (void)state;
    assert_null(alloy_chip_by_name("H1000"));
    expect_text(alloy_error(), "chip \"H1000\" is not known, did you mean H100? (`alloy roofline --list` shows all; a "
                               "JSON file can describe another)");
    assert_null(alloy_chip_by_name("ascned-910c"));
    assert_non_null(strstr(alloy_error(), "did you mean Ascend-910C?"));
    assert_null(alloy_chip_by_name("abacus"));
    assert_null(strstr(alloy_error(), "did you mean"));
    assert_null(alloy_chip_by_name(""));
    assert_null(alloy_chip_by_name("-"));
    char name[1000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_null(alloy_chip_by_name(name));
    expect_failure(ALLOY_ARG, ALLOY_ARG, "is not known", "alloy roofline --list");
}

/* ---- Peaks ------------------------------------------------------------------------------------------------------- */

static void dtypes_have_their_peaks(void **state)
{
    (void)state;
    alloy_chip chip = {.name = "x"};
    for (int i = 0; i < ALLOY_PEAK_COUNT; i++)
        chip.peak[i] = i + 1;
    static const struct {
        alloy_dtype dtype;
        alloy_peak peak;
    } pairs[] = {
        {ALLOY_I8, ALLOY_PEAK_INT8},     {ALLOY_U8, ALLOY_PEAK_INT8},         {ALLOY_F4, ALLOY_PEAK_FP4},
        {ALLOY_F8_E4M3, ALLOY_PEAK_FP8}, {ALLOY_F8_E5M2, ALLOY_PEAK_FP8},     {ALLOY_F8_E4M3FNUZ, ALLOY_PEAK_FP8},
        {ALLOY_F16, ALLOY_PEAK_FP16},    {ALLOY_F8_E5M2FNUZ, ALLOY_PEAK_FP8}, {ALLOY_BF16, ALLOY_PEAK_BF16},
        {ALLOY_F32, ALLOY_PEAK_FP32},    {ALLOY_F64, ALLOY_PEAK_FP64},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        double flops;
        expect_ok(alloy_chip_peak(&chip, alloy_peak_of_dtype(pairs[i].dtype), &flops));
        expect_number(alloy_dtype_name(pairs[i].dtype), "peak", flops, pairs[i].peak + 1);
    }
}

static void a_missing_peak_names_chip_dtype_and_what_there_is(void **state)
{
    (void)state;
    double flops;
    expect_failure(alloy_chip_peak(chip_named("A100"), ALLOY_PEAK_FP8, &flops), ALLOY_ARG,
                   "A100-80GB-SXM has no fp8 peak; it has int8, fp16, bf16, fp32");
    assert_true(flops == 0);
    expect_failure(alloy_chip_peak(chip_named("Apple-M1"), ALLOY_PEAK_BF16, &flops), ALLOY_ARG,
                   "Apple-M1 has no bf16 peak; none of its peaks is known");
    assert_int_equal(alloy_peak_of_dtype(ALLOY_F6_E2M3), ALLOY_PEAK_COUNT);
    expect_failure(alloy_chip_vector_peak(chip_named("Ascend-950PR"), ALLOY_PEAK_BF16, &flops), ALLOY_ARG,
                   "Ascend-950PR has no bf16 peak; it has fp4, fp8");
}

/* vector_<dtype>; else fp32 where the fp32 unit is the vector unit; else the tensor unit. */
static void vector_peaks_follow_three_rules(void **state)
{
    (void)state;
    double flops;
    expect_ok(alloy_chip_vector_peak(chip_named("Gaudi3"), ALLOY_PEAK_BF16, &flops));
    expect_number("Gaudi3", "bf16: its own", flops, 28.7e12);
    expect_ok(alloy_chip_vector_peak(chip_named("H100"), ALLOY_PEAK_BF16, &flops));
    expect_number("H100", "bf16: fp32", flops, 67e12);
    expect_ok(alloy_chip_vector_peak(chip_named("H100"), ALLOY_PEAK_FP8, &flops));
    expect_number("H100", "fp8: fp32", flops, 67e12);
    expect_ok(alloy_chip_vector_peak(chip_named("Ascend910C"), ALLOY_PEAK_FP16, &flops));
    expect_number("Ascend-910C", "fp16: its own", flops, 48e12);
    expect_ok(alloy_chip_vector_peak(chip_named("Ascend910C"), ALLOY_PEAK_BF16, &flops));
    expect_number("Ascend-910C", "bf16: tensor", flops, 758e12);
    alloy_chip chip = {.name = "x", .fp32_is_vector = true, .peak = {[ALLOY_PEAK_BF16] = 8, [ALLOY_PEAK_FP32] = 2}};
    chip.vector_peak[ALLOY_PEAK_BF16] = 3;
    expect_ok(alloy_chip_vector_peak(&chip, ALLOY_PEAK_BF16, &flops));
    expect_number("x", "bf16: its own before fp32", flops, 3);
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

static alloy_status parse(alloy_chip **chip, const char *json)
{
    return alloy_chip_parse(chip, "my.json", json, strlen(json));
}

static void a_file_describes_a_chip(void **state)
{
    (void)state;
    alloy_chip *chip;
    char *folder = test_folder();
    char *path = write_text(
        folder, "my.json",
        "{\"name\": \"my-device\", \"memory_bandwidth\": 8e12, \"memory\": 192e9, \"link\": 900e9,\n"
        " \"peaks\": {\"bf16\": 2250e12, \"fp32\": 80e12, \"fp8\": 4500e12, \"int4\": 1, \"int8\": 2, \"fp4\": 3,\n"
        "  \"fp16\": 4, \"fp64\": 5}, \"vector_peaks\": {\"bf16\": 160e12}, \"power\": 1000, \"price_per_hour\": 3.5}");
    expect_ok(alloy_chip_open(&chip, path));
    expect_text(chip->name, "my-device");
    expect_number("my-device", "memory_bandwidth", chip->memory_bandwidth, 8e12);
    expect_number("my-device", "memory", chip->memory, 192e9);
    expect_number("my-device", "link", chip->link_bandwidth, 900e9);
    static const double peaks[] = {1, 2, 3, 4500e12, 4, 2250e12, 80e12, 5};
    for (int i = 0; i < ALLOY_PEAK_COUNT; i++) {
        expect_number("my-device", alloy_peak_name((alloy_peak)i), chip->peak[i], peaks[i]);
        expect_number("my-device", "vector", chip->vector_peak[i], i == ALLOY_PEAK_BF16 ? 160e12 : 0);
    }
    expect_number("my-device", "power", chip->power, 1000);
    expect_number("my-device", "price_per_hour", chip->price_per_hour, 3.5);
    assert_false(chip->fp32_is_vector);
    assert_null(chip->source);
    assert_null(chip->aliases);
    alloy_chip_close(chip);
    expect_ok(parse(&chip, "{\"name\": \"a\", \"vendor\": \"b\", \"source\": \"c\", \"notes\": \"d\", \"peaks\": "
                           "{\"fp32\": 1}, \"fp32_is_vector\": true, \"memory_bandwidth\": 1, \"cache\": 2, "
                           "\"cache_bandwidth\": 3}"));
    expect_text(chip->vendor, "b");
    expect_text(chip->source, "c");
    expect_text(chip->notes, "d");
    assert_true(chip->fp32_is_vector);
    expect_number("a", "cache", chip->cache, 2);
    expect_number("a", "cache_bandwidth", chip->cache_bandwidth, 3);
    alloy_chip_close(chip);
    alloy_chip_close(NULL);
    remove_folder(folder);
}

/* What surrounds the part of a file that is bad. */
#define WITH(part) "{\"name\": \"x\", \"memory_bandwidth\": 1e12, \"peaks\": {\"bf16\": 1e15}, " part "}"

static void bad_files_are_refused_where_they_are_bad(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        alloy_status status;
        const char *text; /* all of it, or its beginning */
    } cases[] = {
        {"", ALLOY_FORMAT, "my.json:1:1: "},
        {"[]", ALLOY_FORMAT, "my.json:1:1: "},
        {WITH("\"power\": 1") "x", ALLOY_FORMAT, "my.json:1:77: "},
        {WITH("\"bandwidth\": 1"), ALLOY_FORMAT,
         "my.json:1:66: unknown key \"bandwidth\" (known are name, vendor, source, notes, fp32_is_vector, "
         "memory_bandwidth, memory, link, power, price_per_hour, cache, cache_bandwidth, peaks, vector_peaks)"},
        {WITH("\"memory_bandwith\": 1"), ALLOY_FORMAT,
         "my.json:1:66: unknown key \"memory_bandwith\", did you mean \"memory_bandwidth\"?"},
        {WITH("\"vector_peak\": {}"), ALLOY_FORMAT,
         "my.json:1:66: unknown key \"vector_peak\", did you mean \"vector_peaks\"?"},
        {WITH("\"vector_peaks\": {\"bfloat16\": 1}"), ALLOY_FORMAT,
         "my.json:1:83: unknown key \"bfloat16\" (known are int4, int8, fp4, fp8, fp16, bf16, fp32, fp64)"},
        {WITH("\"vector_peaks\": {\"bf61\": 1}"), ALLOY_FORMAT,
         "my.json:1:83: unknown key \"bf61\", did you mean \"bf16\"?"},
        {WITH("\"power\": 1, \"power\": 1"), ALLOY_FORMAT, "my.json:1:78: duplicate key \"power\""},
        {WITH("\"power\": NaN"), ALLOY_FORMAT, "my.json:1:75: \"power\": expected a value"},
        {WITH("\"power\": 1e400"), ALLOY_FORMAT, "my.json:1:75: \"power\": the number 1e400 does not fit"},
        {WITH("\"power\": -1"), ALLOY_RANGE, "my.json:1:75: power is -1, expected a number in 0..1e+24"},
        {WITH("\"price_per_hour\": -1"), ALLOY_RANGE, "my.json:1:84: price_per_hour is -1, expected"},
        {WITH("\"memory\": 0"), ALLOY_RANGE, "my.json:1:76: memory is 0, expected a number in 1..1e+24"},
        {WITH("\"link\": \"fast\""), ALLOY_RANGE, "my.json:1:74: link is \"fast\", expected a number in 1..1e+24"},
        {WITH("\"vector_peaks\": {\"bf16\": 0}"), ALLOY_RANGE,
         "my.json:1:91: bf16 is 0, expected a number in 1..1e+24"},
        {WITH("\"vector_peaks\": 5"), ALLOY_FORMAT, "my.json:1:82: \"vector_peaks\": expected an object"},
        {WITH("\"cache\": 1e6"), ALLOY_FORMAT,
         "my.json: \"cache\" (bytes) and \"cache_bandwidth\" (bytes/s) need each other"},
        {WITH("\"cache_bandwidth\": 1e6"), ALLOY_FORMAT,
         "my.json: \"cache\" (bytes) and \"cache_bandwidth\" (bytes/s) need each other"},
        {WITH("\"fp32_is_vector\": true"), ALLOY_FORMAT,
         "my.json: \"fp32_is_vector\" is true, and \"peaks\" has no \"fp32\""},
        {WITH("\"fp32_is_vector\": 1"), ALLOY_FORMAT, "my.json:1:84: fp32_is_vector is 1, expected true or false"},
        {WITH("\"notes\": \"\""), ALLOY_FORMAT, "my.json:1:75: notes is \"\", expected 1 to 255 bytes without a NUL"},
        {"{\"name\": \"x\",\n \"memory_bandwidth\": 0, \"peaks\": {\"bf16\": 1}}", ALLOY_RANGE,
         "my.json:2:22: memory_bandwidth is 0, expected a number in 1..1e+24"},
        {"{\"name\": \"x\",\n \"memory_bandwidth\": 1e30}", ALLOY_RANGE, "my.json:2:22: memory_bandwidth is 1e30"},
        {"{\"memory_bandwidth\": 1, \"peaks\": {\"bf16\": 1}}", ALLOY_FORMAT, "my.json: \"name\" is missing"},
        {"{\"name\": \"x\", \"peaks\": {\"bf16\": 1}}", ALLOY_FORMAT,
         "my.json: \"memory_bandwidth\" (bytes/s) is missing"},
        {"{\"name\": \"x\", \"memory_bandwidth\": 1}", ALLOY_FORMAT,
         "my.json: \"peaks\" is missing or empty, expected {\"bf16\": FLOP/s, ...}"},
        {"{\"name\": \"x\", \"memory_bandwidth\": 1, \"peaks\": {}}", ALLOY_FORMAT, "my.json: \"peaks\" is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        alloy_chip *chip;
        alloy_status status = parse(&chip, cases[i].json);
        if (status != cases[i].status || strncmp(alloy_error(), cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("%s\n  gave     %s: %s\n  expected %s: %s", cases[i].json, alloy_status_name(status),
                     status ? alloy_error() : "", alloy_status_name(cases[i].status), cases[i].text);
        assert_null(chip);
    }
}

static void files_that_cannot_be_read(void **state)
{
    (void)state;
    alloy_chip *chip;
    char *folder = test_folder();
    expect_failure(alloy_chip_open(&chip, path_in(folder, "absent.json")), ALLOY_IO, "absent.json");
    expect_failure(alloy_chip_open(&chip, folder), ALLOY_IO, folder);
    size_t size = 1024 * 1024 + 1;
    char *spaces = malloc(size);
    assert_non_null(spaces);
    memset(spaces, ' ', size);
    expect_failure(alloy_chip_open(&chip, write_file(folder, "large.json", spaces, size)), ALLOY_LIMIT, "large.json");
    expect_failure(alloy_chip_parse(&chip, "large.json", spaces, size), ALLOY_LIMIT, "large.json", "1048576");
    assert_null(chip);
    free(spaces);
    remove_folder(folder);
}

/* Every allocation fails once: NOMEM, nothing left behind (a sanitizer would tell), until there is enough. */
static void memory_may_end_anywhere(void **state)
{
    (void)state;
    static const char *const texts[] = {WITH("\"notes\": \"all\""), WITH("\"bandwidth\": 1"), "{\"name\": \"x\"}"};
    alloy_chip *chip;
    double flops;
    for (int i = 0; i < 3; i++) {
        alloy_status expected = i ? ALLOY_FORMAT : ALLOY_OK, status = ALLOY_NOMEM;
        int64_t n = 0;
        for (; status == ALLOY_NOMEM && n < 100; n++) {
            alloy_memory_fail_after(n);
            status = parse(&chip, texts[i]);
            alloy_memory_fail_after(-1);
            assert_true(status ? chip == NULL : chip != NULL);
            alloy_chip_close(chip);
        }
        assert_int_equal(status, expected);
        assert_true(n > 1);
    }
    alloy_memory_fail_after(0);
    assert_int_equal(alloy_chip_peak(chip_named("A100"), ALLOY_PEAK_FP8, &flops), ALLOY_NOMEM);
    alloy_memory_fail_after(-1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_are_what_was_published),
        cmocka_unit_test(presets_give_published_times),
        cmocka_unit_test(every_row_is_plausible_and_says_where_it_is_from),
        cmocka_unit_test(every_name_and_alias_finds_its_chip),
        cmocka_unit_test(case_and_separators_do_not_matter),
        cmocka_unit_test(unknown_names_suggest_the_nearest),
        cmocka_unit_test(dtypes_have_their_peaks),
        cmocka_unit_test(a_missing_peak_names_chip_dtype_and_what_there_is),
        cmocka_unit_test(vector_peaks_follow_three_rules),
        cmocka_unit_test(a_file_describes_a_chip),
        cmocka_unit_test(bad_files_are_refused_where_they_are_bad),
        cmocka_unit_test(files_that_cannot_be_read),
        cmocka_unit_test(memory_may_end_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
