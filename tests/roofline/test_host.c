/* This machine as a chip: what the system says of its caches, that measured figures are plausible, and that the file
 * that keeps them is used when it is sound and never otherwise. Nothing here depends on how fast the machine is. */
#include "support.h"

#include "base/memory.h"
#include "base/threads.h"
#include "roofline/host.h"

/* ---- The system -------------------------------------------------------------------------------------------------- */

static void describe(const char *folder, int index, const char *level, const char *type, const char *size,
                     const char *shared)
{
    static const char *const names[] = {"level", "type", "size", "shared_cpu_list"};
    const char *const texts[] = {level, type, size, shared};
    for (int i = 0; i < 4; i++) {
        char name[64], line[64];
        snprintf(name, sizeof name, "index%d/%s", index, names[i]);
        snprintf(line, sizeof line, "%s\n", texts[i]);
        if (texts[i])
            write_text(folder, name, line);
    }
}

static void expect_level(const alloy_cache_level *actual, int64_t level, double size, int64_t shared)
{
    if (actual->level != level || actual->size != size || actual->shared != shared)
        fail_msg("level %lld, %g bytes, shared by %lld; expected level %lld, %g bytes, shared by %lld",
                 (long long)actual->level, actual->size, (long long)actual->shared, (long long)level, size,
                 (long long)shared);
}

static void caches_are_as_the_system_describes_them(void **state)
{
    (void)state;
    alloy_cache_level levels[ALLOY_CACHE_LEVELS];
    char *folder = test_folder();
    describe(folder, 0, "3", "Unified", "36M", "0-7,16,18-19");
    describe(folder, 1, "1", "Instruction", "64K", "0");
    describe(folder, 2, "1", "Data", "48K", "0,8");
    describe(folder, 3, "2", "Unified", "2048K", NULL);
    describe(folder, 4, "4", "Unified", "nonsense", "0");
    describe(folder, 6, "2", "Unified", "1G", "0"); /* a second of a level, after a gap */
    assert_int_equal(alloy_cache_levels(levels, folder), 3);
    expect_level(&levels[0], 1, 49152, 2);
    expect_level(&levels[1], 2, 2097152, 1);
    expect_level(&levels[2], 3, 37748736, 11);
    remove_folder(folder);
}

static void there_is_always_a_cache(void **state)
{
    (void)state;
    alloy_cache_level levels[ALLOY_CACHE_LEVELS];
    char *folder = test_folder(), name[96];
    for (int i = 0; i < 2; i++) {
        int count = alloy_cache_levels(levels, i ? folder : NULL);
        assert_in_range(count, 1, ALLOY_CACHE_LEVELS);
        for (int j = 0; j < count; j++) {
            assert_true(levels[j].size >= 4096 && levels[j].shared >= 1);
            assert_true(j == 0 || levels[j].level > levels[j - 1].level);
        }
    }
    remove_folder(folder);
    alloy_processor_name(name, sizeof name);
    assert_true(strlen(name) > 0);
    assert_true(alloy_installed_memory() > 1e8);
}

/* ---- The file ---------------------------------------------------------------------------------------------------- */

/* A host as it could have been measured, and the path of its file below `folder`. */
static alloy_host a_host(const char *folder, alloy_text *path)
{
    alloy_host host = {.cpu = "avx2", .threads = 3, .measured = 1700000000, .level_count = 2, .point_count = 2};
    snprintf(host.processor, sizeof host.processor, "A \"processor\" of 1\\2");
    host.levels[0] = (alloy_host_level){1, 32768, 16384, 1.1e11, 1.2e11, 1.3e11};
    host.levels[1] = (alloy_host_level){0, 8e9, 1e8, 3.1e10, 1.0 / 3 * 1e10, 2.1e10};
    host.points[0] = (alloy_host_point){8192, 1e11};
    host.points[1] = (alloy_host_point){1e8, 3e10};
    host.elementwise = 4e10;
    host.chip.peak[ALLOY_PEAK_FP32] = 1.1e11;
    host.chip.peak[ALLOY_PEAK_BF16] = 1.2e11;
    host.chip.peak[ALLOY_PEAK_FP16] = 1.3e11;
    alloy_host_complete(&host);
    setenv("XDG_CACHE_HOME", folder, 1);
    expect_ok(alloy_host_file(&host, path));
    return host;
}

/* What the file is about, without figures. */
static alloy_host about(const alloy_host *host)
{
    alloy_host asked = {.threads = host->threads};
    memcpy(asked.processor, host->processor, sizeof asked.processor);
    memcpy(asked.cpu, host->cpu, sizeof asked.cpu);
    return asked;
}

static void figures_come_back_to_the_bit(void **state)
{
    (void)state;
    alloy_text path = {0};
    char *folder = test_folder();
    alloy_host host = a_host(folder, &path), back = about(&host);
    expect_ok(alloy_host_write(&host, path.bytes));
    expect_ok(alloy_host_read(&back, path.bytes));
    assert_true(back.from_file);
    back.from_file = false;
    assert_memory_equal(back.levels, host.levels, sizeof host.levels);
    assert_memory_equal(back.points, host.points, sizeof host.points);
    assert_memory_equal(back.chip.peak, host.chip.peak, sizeof host.chip.peak);
    assert_true(back.elementwise == host.elementwise && back.measured == host.measured && !back.busy);
    assert_true(back.chip.memory_bandwidth == 3.1e10 && back.chip.memory == 8e9);
    assert_true(back.chip.cache == 32768 && back.chip.cache_bandwidth == 1.3e11);
    alloy_text_free(&path);
    remove_folder(folder);
}

static void expect_refused(const alloy_host *host, const char *path, alloy_status status, const char *word)
{
    alloy_host asked = about(host), before = asked;
    expect_failure(alloy_host_read(&asked, path), status, word);
    assert_memory_equal(&asked, &before, sizeof asked);
}

/* Every byte of the file is looked after: any of them changed, or missing, and it is refused. */
static void a_spoiled_file_is_refused(void **state)
{
    (void)state;
    alloy_text path = {0};
    char *folder = test_folder();
    alloy_host host = a_host(folder, &path);
    expect_ok(alloy_host_write(&host, path.bytes));
    size_t size;
    char *bytes = read_whole(path.bytes, &size), *name = path.bytes + strlen(folder) + 1, *copy = malloc(size);
    assert_non_null(copy);
    for (size_t i = 0; i < size - 1; i += 3) { /* all but the last newline */
        memcpy(copy, bytes, size);
        copy[i] ^= 1;
        alloy_host asked = about(&host);
        alloy_status changed = alloy_host_read(&asked, write_file(folder, name, copy, size));
        alloy_status cut = alloy_host_read(&asked, write_file(folder, name, bytes, i));
        if (!changed || !cut)
            fail_msg("byte %zu: changed: %s, cut: %s, expected failures", i, alloy_status_name(changed),
                     alloy_status_name(cut));
        assert_true(asked.level_count == 0);
    }
    expect_refused(&host, write_text(folder, name, ""), ALLOY_FORMAT, name);
    expect_refused(&host, write_text(folder, name, "{}"), ALLOY_FORMAT, "checksum");
    free(bytes), free(copy);
    alloy_text_free(&path);
    remove_folder(folder);
}

static void a_file_about_another_host_is_refused(void **state)
{
    (void)state;
    alloy_text path = {0};
    char *folder = test_folder();
    alloy_host host = a_host(folder, &path), other = host;
    other.threads = 2;
    expect_ok(alloy_host_write(&other, path.bytes));
    expect_refused(&host, path.bytes, ALLOY_FORMAT, "not of this machine");
    other = host;
    snprintf(other.cpu, sizeof other.cpu, "generic");
    expect_ok(alloy_host_write(&other, path.bytes));
    expect_refused(&host, path.bytes, ALLOY_FORMAT, "not of this machine");
    other = host;
    snprintf(other.processor, sizeof other.processor, "another");
    expect_ok(alloy_host_write(&other, path.bytes));
    expect_refused(&host, path.bytes, ALLOY_FORMAT, "not of this machine");
    alloy_text_free(&path);
    remove_folder(folder);
}

/* Sound in its bytes, and not what a measurement gives: written by a program that went wrong. */
static void figures_that_cannot_be_are_refused(void **state)
{
    (void)state;
    alloy_text path = {0};
    char *folder = test_folder();
    alloy_host host = a_host(folder, &path), other = host;
    other.levels[1].read = 0;
    expect_ok(alloy_host_write(&other, path.bytes));
    expect_refused(&host, path.bytes, ALLOY_RANGE, "read is 0");
    other = host;
    other.chip.peak[ALLOY_PEAK_BF16] = 1e30;
    expect_ok(alloy_host_write(&other, path.bytes));
    expect_refused(&host, path.bytes, ALLOY_RANGE, "linear_bf16");
    other = host;
    other.point_count = 0;
    expect_ok(alloy_host_write(&other, path.bytes));
    expect_refused(&host, path.bytes, ALLOY_FORMAT, "empty list");
    other = host;
    other.level_count = 1; /* no memory */
    expect_ok(alloy_host_write(&other, path.bytes));
    expect_refused(&host, path.bytes, ALLOY_FORMAT, "not of this machine");
    alloy_text_free(&path);
    remove_folder(folder);
}

static void each_host_has_its_own_file_in_the_users_cache_folder(void **state)
{
    (void)state;
    alloy_text path = {0}, other = {0};
    alloy_host host = a_host("/somewhere", &path);
    assert_int_equal(strncmp(path.bytes, "/somewhere/alloy/host-", 22), 0);
    host.threads++;
    expect_ok(alloy_host_file(&host, &other));
    assert_string_not_equal(path.bytes, other.bytes);
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", "/home/someone", 1);
    expect_ok(alloy_host_file(&host, &path));
    assert_int_equal(strncmp(path.bytes, "/home/someone/.cache/alloy/host-", 32), 0);
    unsetenv("HOME");
    assert_int_equal(alloy_host_file(&host, &path), ALLOY_IO);
    alloy_text_free(&path);
    alloy_text_free(&other);
}

static void a_file_that_cannot_be_written(void **state)
{
    (void)state;
    alloy_text path = {0};
    char *folder = test_folder();
    alloy_host host = a_host(write_text(folder, "file", "x"), &path);
    expect_failure(alloy_host_write(&host, path.bytes), ALLOY_IO, "/file: cannot create folder");
    alloy_text_free(&path);
    remove_folder(folder);
}

static void memory_may_end_anywhere_around_the_file(void **state)
{
    (void)state;
    alloy_text path = {0};
    char *folder = test_folder();
    alloy_host host = a_host(folder, &path), asked = about(&host), before = asked;
    alloy_status status = ALLOY_NOMEM;
    int64_t n = 0;
    for (; status == ALLOY_NOMEM && n < 200; n++) {
        alloy_memory_fail_after(n);
        status = alloy_host_write(&host, path.bytes);
        alloy_memory_fail_after(-1);
    }
    expect_ok(status);
    assert_true(n > 3);
    status = ALLOY_NOMEM;
    for (n = 0; status == ALLOY_NOMEM && n < 200; n++) {
        alloy_memory_fail_after(n);
        status = alloy_host_read(&asked, path.bytes);
        alloy_memory_fail_after(-1);
        if (status)
            assert_memory_equal(&asked, &before, sizeof asked);
    }
    expect_ok(status);
    assert_true(n > 3);
    alloy_text_free(&path);
    remove_folder(folder);
}

/* ---- Measuring --------------------------------------------------------------------------------------------------- */

static void expect_plausible(const alloy_host *host)
{
    assert_in_range(host->level_count, 2, ALLOY_HOST_LEVELS);
    assert_in_range(host->point_count, 3, ALLOY_HOST_POINTS);
    for (int i = 0; i < host->level_count; i++) {
        const alloy_host_level *level = &host->levels[i];
        if (!(level->read > 1e6 && level->write > 1e6 && level->copy > 1e6 && level->read < 1e15))
            fail_msg("level %lld: read %g, write %g, copy %g bytes/s", (long long)level->level, level->read,
                     level->write, level->copy);
        assert_true(level->working_set <= level->size);
        assert_true(i == host->level_count - 1 ? level->level == 0 : level->level > 0);
    }
    for (int i = 0; i < host->point_count; i++)
        assert_true(host->points[i].read > 1e6 &&
                    (i == 0 || host->points[i].working_set > host->points[i - 1].working_set));
    assert_true(host->elementwise > 1e6 && host->elementwise < 1e16);
    const alloy_host_level *memory = &host->levels[host->level_count - 1];
    assert_true(host->chip.memory_bandwidth >= memory->read && host->chip.memory_bandwidth >= memory->copy);
    assert_true(host->chip.cache >= host->levels[host->level_count - 2].size);
    assert_true(host->chip.cache_bandwidth >= host->chip.memory_bandwidth);
    expect_text(host->chip.name, "host");
}

static void expect_peaks(const alloy_chip *chip)
{
    static const alloy_peak peaks[] = {ALLOY_PEAK_FP32, ALLOY_PEAK_BF16, ALLOY_PEAK_FP16};
    double tensor, vector;
    for (int i = 0; i < 3; i++) {
        expect_ok(alloy_chip_peak(chip, peaks[i], &tensor));
        expect_ok(alloy_chip_vector_peak(chip, peaks[i], &vector));
        if (!(tensor > 1e6 && tensor < 1e16) || vector != chip->peak[ALLOY_PEAK_FP32])
            fail_msg("%s: %g and vector %g FLOP/s", alloy_peak_name(peaks[i]), tensor, vector);
    }
    expect_failure(alloy_chip_peak(chip, ALLOY_PEAK_FP8, &tensor), ALLOY_ARG, "host has no fp8 peak");
}

static void note_progress(void *user, double done)
{
    double *last = user;
    assert_true(done >= 0 && done <= 1);
    *last = done;
}

/* A bad file, then a good one, then a refresh: three calls, two measurements. */
static void it_is_measured_once_and_when_the_file_is_bad(void **state)
{
    (void)state;
    alloy_text path = {0};
    struct warnings warnings;
    char *folder = test_folder();
    double done = -1;
    alloy_host measured, again, asked = {.threads = 1, .cpu = "generic"};
    alloy_host_options options = {
        .size = sizeof options, .threads = 1, .cpu = "generic", .progress = note_progress, .user = &done};
    setenv("XDG_CACHE_HOME", folder, 1);
    alloy_processor_name(asked.processor, sizeof asked.processor);
    expect_ok(alloy_host_file(&asked, &path));
    write_text(folder, path.bytes + strlen(folder) + 1, "{\"checksum\": \"0\", \"host\": {}}");

    collect_warnings(&warnings);
    expect_ok(alloy_host_measure(&measured, &options));
    assert_false(measured.from_file);
    assert_true(done == 1);
    assert_int_equal(warnings.count, 1);
    assert_non_null(strstr(warnings.text, "the checksum does not fit; measured again"));
    assert_int_equal(measured.threads, 1);
    expect_text(measured.cpu, "generic");
    expect_plausible(&measured);
    expect_peaks(&measured.chip);

    done = -1;
    expect_ok(alloy_host_measure(&again, &options));
    assert_true(again.from_file);
    assert_true(done == -1); /* nothing was measured */
    assert_int_equal(again.measured, measured.measured);
    assert_memory_equal(again.levels, measured.levels, sizeof again.levels);
    assert_memory_equal(again.chip.peak, measured.chip.peak, sizeof again.chip.peak);
    assert_true(again.chip.cache == measured.chip.cache && again.chip.power == 0);

    options.refresh = true;
    expect_ok(alloy_host_measure(&again, &options));
    assert_false(again.from_file);
    assert_true(done == 1);
    assert_int_equal(warnings.count, 1);
    alloy_set_log(NULL, NULL);
    alloy_text_free(&path);
    remove_folder(folder);
}

static void bad_options(void **state)
{
    (void)state;
    alloy_host host;
    expect_failure(alloy_host_measure(&host, &(alloy_host_options){.size = sizeof(alloy_host_options), .threads = -1}),
                   ALLOY_RANGE, "threads: -1");
    expect_failure(
        alloy_host_measure(&host, &(alloy_host_options){.size = sizeof(alloy_host_options), .threads = 100000}),
        ALLOY_RANGE, "1 to 1024");
    expect_failure(alloy_host_measure(&host, &(alloy_host_options){.size = sizeof(alloy_host_options), .cpu = "sse9"}),
                   ALLOY_ARG, "sse9");
    assert_int_equal(host.level_count, 0);
}

static void no_memory_to_measure_with(void **state)
{
    (void)state;
    alloy_host host;
    char *folder = test_folder();
    setenv("XDG_CACHE_HOME", folder, 1);
    for (int64_t n = 0; n < 4; n++) {
        alloy_memory_fail_after(n);
        alloy_status status =
            alloy_host_measure(&host, &(alloy_host_options){.size = sizeof(alloy_host_options), .threads = 2});
        alloy_memory_fail_after(-1);
        assert_int_equal(status, ALLOY_NOMEM);
        assert_int_equal(host.threads, 0);
    }
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(caches_are_as_the_system_describes_them),
        cmocka_unit_test(there_is_always_a_cache),
        cmocka_unit_test(figures_come_back_to_the_bit),
        cmocka_unit_test(a_spoiled_file_is_refused),
        cmocka_unit_test(a_file_about_another_host_is_refused),
        cmocka_unit_test(figures_that_cannot_be_are_refused),
        cmocka_unit_test(each_host_has_its_own_file_in_the_users_cache_folder),
        cmocka_unit_test(a_file_that_cannot_be_written),
        cmocka_unit_test(memory_may_end_anywhere_around_the_file),
        cmocka_unit_test(it_is_measured_once_and_when_the_file_is_bad),
        cmocka_unit_test(bad_options),
        cmocka_unit_test(no_memory_to_measure_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
