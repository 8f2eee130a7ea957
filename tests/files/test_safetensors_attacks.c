/* Hostile safetensors files (tests/attacks/safetensors_cases.h), and the two that are large. */
#include "support.h"

#include <sys/resource.h>

#include "attacks/safetensors_cases.h"
#include "files/safetensors.h"

static void try_case(const struct safetensors_case *c, const char *folder, bool map)
{
    size_t size;
    uint8_t *bytes = safetensors_case_bytes(c, &size);
    assert_non_null(bytes);
    char *path = write_file(folder, "case.safetensors", bytes, size);
    free(bytes);
    alloy_safetensors file;
    struct refusal refusal = begin_refusal(size);
    double before = processor_seconds();
    alloy_status status = alloy_safetensors_open(&file, path, map);
    double seconds = processor_seconds() - before;
    end_refusal(&refusal, c->what);
    bool right = status == c->status;
    if (status && right) {
        right = strstr(alloy_error(), "case.safetensors") != NULL;
        for (size_t i = 0; i < 3 && c->words[i]; i++)
            right = right && strstr(alloy_error(), c->words[i]);
    }
    if (!right)
        fail_msg("%s, %s: gave %s: %s\n  expected %s with \"%s\" \"%s\" \"%s\"", c->id, c->what,
                 alloy_status_name(status), status ? alloy_error() : "", alloy_status_name(c->status), c->words[0],
                 c->words[1] ? c->words[1] : "", c->words[2] ? c->words[2] : "");
    if (seconds > 0.010 && !ALLOY_TEST_SLOW)
        fail_msg("%s, %s: took %.4f s, expected at most 0.010", c->id, c->what, seconds);
    if (status)
        assert_null(file.file.data);
    alloy_safetensors_close(&file);
}

static void s1_to_s19_small_files(void **state)
{
    (void)state;
    char *folder = test_folder();
    for (int i = 0; i < SAFETENSORS_CASES; i++) {
        try_case(&safetensors_cases[i], folder, true);
        try_case(&safetensors_cases[i], folder, false);
    }
    remove_folder(folder);
}

/* Resets and reads the peak of this process's memory. */
static void forget_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file) {
        fputs("5", file);
        fclose(file);
    }
}

static size_t status_bytes(const char *field)
{
    FILE *file = fopen("/proc/self/status", "r");
    size_t kilobytes = 0;
    char format[64];
    snprintf(format, sizeof format, "%s %%zu", field);
    for (char line[256]; file && fgets(line, sizeof line, file);)
        if (sscanf(line, format, &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

static void s15_a_million_entries_open_in_linear_time_and_memory(void **state)
{
    (void)state;
    enum { COUNT = 1200000 };
    char *folder = test_folder(), *path = path_in(folder, "many.safetensors");
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    static const uint8_t no_size[8], data[COUNT];
    fwrite(no_size, 1, 8, out);
    for (int i = 0; i < COUNT; i++)
        fprintf(out, "%s\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}", i ? "," : "{", i, i, i + 1);
    fprintf(out, "}");
    uint64_t size = (uint64_t)ftell(out) - 8;
    fwrite(data, 1, COUNT, out);
    rewind(out);
    for (int i = 0; i < 8; i++)
        fputc((int)(size >> 8 * i & 0xFF), out);
    assert_int_equal(fclose(out), 0);

    forget_peak();
    size_t memory_before = status_bytes("VmRSS:");
    double before = processor_seconds();
    alloy_safetensors file;
    expect_ok(alloy_safetensors_open(&file, path, true));
    double seconds = processor_seconds() - before;
    size_t peak = status_bytes("VmHWM:") - memory_before;
    print_message("header %.0f MB: %.2f s, peak %.1f times the header, kept %.1f times\n", (double)size / 1e6, seconds,
                  (double)peak / (double)size, (double)(status_bytes("VmRSS:") - memory_before) / (double)size);
    assert_int_equal(file.count, COUNT);
    assert_ptr_equal(alloy_safetensors_find(&file, "t1199999", 8), alloy_safetensors_at(&file, COUNT - 1));
    alloy_safetensors_close(&file);
    remove_folder(folder);
    if (seconds > 3 && !ALLOY_TEST_SLOW)
        fail_msg("took %.2f s, expected at most 3", seconds);
    if (peak > 8 * size && !ALLOY_TEST_SANITIZED)
        fail_msg("took %zu bytes, expected at most 8 times %llu", peak, (unsigned long long)size);
}

static void a_thousand_dimensions_are_accepted_and_not_usable(void **state)
{
    (void)state;
    char header[8192], *at = header, *folder = test_folder();
    at += sprintf(at, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1");
    for (int i = 1; i < 1000; i++)
        at += sprintf(at, ",1");
    sprintf(at, "],\"data_offsets\":[0,1]}}");
    alloy_safetensors file;
    expect_ok(alloy_safetensors_open(&file, write_safetensors(folder, "d.safetensors", header, "x", 1), true));
    assert_int_equal(file.tensors[0].ndim, 1000);
    expect_failure(alloy_stored_tensor_check(&file.tensors[0]), ALLOY_LIMIT, "\"a\"", "1000 dimensions", "at most 8");
    alloy_safetensors_close(&file);
    remove_folder(folder);
}

/* A field that nobody reads may be so deep that the header has 127 levels, as in the format's own library. */
static void deep_fields_are_refused(void **state)
{
    (void)state;
    char header[8192], *folder = test_folder();
    static const size_t depths[] = {125, 126, 127, 2000};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; i++) {
        char *at = header + sprintf(header, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":");
        memset(at, '[', depths[i]);
        memset(at + depths[i], ']', depths[i]);
        strcpy(at + 2 * depths[i], "}}");
        alloy_safetensors file;
        alloy_status status =
            alloy_safetensors_open(&file, write_safetensors(folder, "d.safetensors", header, "x", 1), true);
        expect_failure(status, i == 0 ? ALLOY_OK : ALLOY_FORMAT, "more than 127 levels deep");
        alloy_safetensors_close(&file);
    }
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s1_to_s19_small_files),
        cmocka_unit_test(s15_a_million_entries_open_in_linear_time_and_memory),
        cmocka_unit_test(a_thousand_dimensions_are_accepted_and_not_usable),
        cmocka_unit_test(deep_fields_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
