/* safetensors: what is read back is what was written, in place; what cannot be written leaves everything as it was. */
#include "killed.h"

#include <dirent.h>

#include "base/memory.h"
#include "base/status.h"
#include "files/safetensors.h"
#include "files/weights.h"

static void tensors_are_found_by_name_and_walked_in_the_order_of_their_bytes(void **state)
{
    (void)state;
    char *folder = test_folder();
    const char *header = "{\"__metadata__\":{\"format\":\"pt\",\"a\\nb\":\"\\u00e9\",\"\":\"\"},"
                         "\"late\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[3,7]},"
                         "\"n\\u0000l\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[1,3]},"
                         "\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    const uint8_t data[7] = {7, 0x80, 0x3F, 0, 0, 0xC0, 0x7F}; /* 7; bf16 1.0; a NaN */
    alloy_safetensors file;
    expect_ok(
        alloy_safetensors_open(&file, write_safetensors(folder, "x.safetensors", header, data, sizeof data), true));

    assert_int_equal(file.count, 3);
    expect_bytes(alloy_safetensors_at(&file, 0)->name, alloy_safetensors_at(&file, 0)->name_size, "");
    assert_int_equal(alloy_safetensors_at(&file, 1)->name_size, 3);
    assert_memory_equal(alloy_safetensors_at(&file, 1)->name, "n\0l", 4);
    expect_text(alloy_safetensors_at(&file, 2)->name, "late");

    const alloy_stored_tensor *late = alloy_safetensors_find(&file, "late", 4);
    assert_ptr_equal(late, alloy_safetensors_at(&file, 2));
    assert_int_equal(late->ndim, 2);
    assert_int_equal(late->dtype, ALLOY_F32);
    assert_int_equal(late->bytes, 4);
    assert_memory_equal(late->data, data + 3, 4);
    assert_null(alloy_safetensors_find(&file, "lat", 3));
    assert_null(alloy_safetensors_find(&file, "n", 1));
    assert_non_null(alloy_safetensors_find(&file, "n\0l", 3));

    size_t size;
    expect_text(alloy_safetensors_metadata(&file, "format", NULL), "pt");
    expect_text(alloy_safetensors_metadata(&file, "a\nb", &size), "\xC3\xA9");
    assert_int_equal(size, 2);
    expect_text(alloy_safetensors_metadata(&file, "", &size), "");
    assert_int_equal(size, 0);
    assert_null(alloy_safetensors_metadata(&file, "no", NULL));

    alloy_text words = {0};
    alloy_stored_tensor_describe(late, &words);
    alloy_stored_tensor_describe(alloy_safetensors_at(&file, 1), &words);
    expect_text(words.bytes, "F32 [1, 1]BF16 []");
    alloy_text_free(&words);
    alloy_safetensors_close(&file);
    remove_folder(folder);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static void the_header_is_that_of_the_formats_own_library(void **state)
{
    (void)state;
    const float f[2] = {1, 2};
    const uint8_t b[3] = {1, 2, 3};
    const uint16_t h[1] = {0x3F80};
    const alloy_saved_tensor tensors[] = {
        {.name = "z", .dtype = ALLOY_U8, .ndim = 1, .shape = {3}, .data = b},
        {.name = "\"", .dtype = ALLOY_F32, .ndim = 2, .shape = {2, 1}, .data = f},
        {.name = "b", .dtype = ALLOY_BF16, .ndim = 0, .data = h},
        {.name = "a", .dtype = ALLOY_F16, .ndim = 1, .shape = {1}, .data = h},
        {.name = "A", .dtype = ALLOY_F32, .ndim = 1, .shape = {0}, .data = f},
    };
    char *folder = test_folder(), *path = path_in(folder, "x.safetensors");
    expect_ok(alloy_safetensors_write(path, tensors, 5, NULL, 0));
    size_t size;
    char *bytes = read_whole(path, &size);
    const char *expected =
        "{\"__metadata__\":{\"format\":\"pt\"},\"\\\"\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
        "\"A\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[8,8]},"
        "\"b\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[8,10]},\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_"
        "offsets\":[10,12]},"
        "\"z\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[12,15]}}";
    size_t header = (strlen(expected) + 7) / 8 * 8;
    assert_int_equal(size, 8 + header + 15);
    assert_int_equal((uint8_t)bytes[0] | (uint8_t)bytes[1] << 8, header);
    expect_bytes(bytes + 8, strlen(expected), expected);
    for (size_t i = strlen(expected); i < header; i++)
        assert_int_equal(bytes[8 + i], ' ');
    assert_memory_equal(bytes + 8 + header, f, 8);
    free(bytes);
    remove_folder(folder);
}

/* Bytes that are a function of their offset. */
static alloy_status count_up(void *context, uint64_t offset, void *to, size_t size)
{
    int *calls = context;
    ++*calls;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = (uint8_t)((offset + i) * 131 >> 7);
    return ALLOY_OK;
}

static alloy_status refuse(void *context, uint64_t offset, void *to, size_t size)
{
    (void)context, (void)to, (void)size;
    return offset == 0 ? ALLOY_OK : alloy_fail(ALLOY_RANGE, "piece at %llu refused", (unsigned long long)offset);
}

static void a_source_gives_the_bytes_in_pieces(void **state)
{
    (void)state;
    enum { BYTES = 9 * 1024 * 1024 + 5 };
    int calls = 0;
    alloy_saved_tensor tensor = {
        .name = "w", .dtype = ALLOY_U8, .ndim = 1, .shape = {BYTES}, .source = count_up, .context = &calls};
    alloy_saved_metadata metadata = {"what", "a test"};
    char *folder = test_folder(), *path = path_in(folder, "x.safetensors");
    expect_ok(alloy_safetensors_write(path, &tensor, 1, &metadata, 1));
    assert_int_equal(calls, 3);
    alloy_safetensors file;
    expect_ok(alloy_safetensors_open(&file, path, true));
    expect_text(alloy_safetensors_metadata(&file, "what", NULL), "a test");
    assert_null(alloy_safetensors_metadata(&file, "format", NULL));
    assert_int_equal(file.tensors[0].bytes, BYTES);
    for (size_t i = 0; i < BYTES; i += 1021)
        assert_int_equal(file.tensors[0].data[i], (uint8_t)(i * 131 >> 7));
    alloy_safetensors_close(&file);

    tensor.source = refuse;
    expect_failure(alloy_safetensors_write(path, &tensor, 1, NULL, 0), ALLOY_RANGE, "refused");
    expect_ok(alloy_safetensors_open(&file, path, false));
    expect_text(alloy_safetensors_metadata(&file, "what", NULL), "a test");
    alloy_safetensors_close(&file);
    remove_folder(folder);
}

static void what_cannot_be_meant_is_not_written(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = path_in(folder, "x.safetensors");
    const uint8_t data[8] = {0};
    alloy_saved_tensor two[] = {{.name = "a", .dtype = ALLOY_U8, .ndim = 1, .shape = {1}, .data = data},
                                {.name = "a", .dtype = ALLOY_F32, .ndim = 1, .shape = {1}, .data = data}};
    expect_failure(alloy_safetensors_write(path, two, 2, NULL, 0), ALLOY_ARG, "two tensors", "\"a\"");
    two[0].shape[0] = UINT64_MAX;
    two[0].ndim = 2;
    two[0].shape[1] = 2;
    expect_failure(alloy_safetensors_write(path, two, 1, NULL, 0), ALLOY_ARG, "\"a\"", "64 bits");
    two[0] = (alloy_saved_tensor){.name = "a", .dtype = ALLOY_F4, .ndim = 1, .shape = {3}, .data = data};
    expect_failure(alloy_safetensors_write(path, two, 1, NULL, 0), ALLOY_ARG, "F4", "whole number");
    two[0].ndim = 9;
    expect_failure(alloy_safetensors_write(path, two, 1, NULL, 0), ALLOY_ARG, "9 dimensions");
    two[0] = (alloy_saved_tensor){.name = "a", .dtype = ALLOY_DTYPE_NONE, .data = data};
    expect_failure(alloy_safetensors_write(path, two, 1, NULL, 0), ALLOY_ARG, "dtype 0");
    expect_failure(alloy_safetensors_write(path_in(folder, "no/x"), two + 1, 1, NULL, 0), ALLOY_IO, "no/x",
                   "No such file");
    remove_folder(folder);
}

/* ---- A model's folder -------------------------------------------------------------------------------------------- */

enum { TENSORS = 5, TENSOR_BYTES = 1000 };

/* Five tensors of 1,000 bytes each, all of them `value`. */
static alloy_status save(const char *folder, uint8_t value, uint64_t most)
{
    static const char *const names[TENSORS] = {"e", "d", "c", "b", "a"};
    uint8_t data[TENSOR_BYTES];
    memset(data, value, sizeof data);
    alloy_saved_tensor tensors[TENSORS];
    for (int i = 0; i < TENSORS; i++)
        tensors[i] =
            (alloy_saved_tensor){.name = names[i], .dtype = ALLOY_U8, .ndim = 1, .shape = {TENSOR_BYTES}, .data = data};
    return alloy_safetensors_write_model(folder, tensors, TENSORS, most);
}

/* Names in a folder, sorted, one a line. */
static void expect_names(const char *folder, const char *expected)
{
    struct dirent **entries;
    char names[1024] = "";
    int count = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.')
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s\n", entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    expect_text(names, expected);
}

#define THREE_SHARDS                                                                                                   \
    "model-00001-of-00003.safetensors\nmodel-00002-of-00003.safetensors\nmodel-00003-of-00003.safetensors\nmodel."     \
    "safetensors.index.json\n"

static void a_model_is_saved_in_shards_with_an_index(void **state)
{
    (void)state;
    char *folder = test_folder();
    expect_ok(save(folder, 1, 2500));
    expect_names(folder, THREE_SHARDS);
    size_t size;
    char *index = read_whole(path_in(folder, "model.safetensors.index.json"), &size);
    expect_text(index,
                "{\n  \"metadata\": {\n    \"total_size\": 5000\n  },\n  \"weight_map\": {\n"
                "    \"d\": \"model-00001-of-00003.safetensors\",\n    \"e\": \"model-00001-of-00003.safetensors\",\n"
                "    \"b\": \"model-00002-of-00003.safetensors\",\n    \"c\": \"model-00002-of-00003.safetensors\",\n"
                "    \"a\": \"model-00003-of-00003.safetensors\"\n  }\n}\n");
    free(index);
    remove_folder(folder);
}

static void a_save_leaves_nothing_of_the_one_before(void **state)
{
    (void)state;
    char *folder = test_folder();
    expect_ok(save(folder, 1, 2500));
    write_text(folder, "model-notes.safetensors", "kept: not ours");
    expect_ok(save(folder, 2, 0));
    expect_names(folder, "model-notes.safetensors\nmodel.safetensors\n");
    expect_ok(save(folder, 3, 10)); /* less than a tensor: one each */
    expect_names(
        folder, "model-00001-of-00005.safetensors\nmodel-00002-of-00005.safetensors\nmodel-00003-of-00005.safetensors\n"
                "model-00004-of-00005.safetensors\nmodel-00005-of-00005.safetensors\nmodel-notes.safetensors\n"
                "model.safetensors.index.json\n");
    remove_folder(folder);
}

/* What the folder's tensors hold, all of them, as a reader finds them; -1 when they do not hold the same. */
static int value_of(const char *folder)
{
    alloy_model_files files;
    alloy_weights *weights;
    int value = -2;
    expect_ok(alloy_model_files_open(&files, folder, false));
    expect_ok(alloy_weights_open(&weights, &files, NULL));
    assert_int_equal(alloy_weights_count(weights), TENSORS);
    for (int64_t i = 0; i < TENSORS; i++) {
        const alloy_stored_tensor *tensor;
        expect_ok(alloy_weights_at(weights, i, &tensor));
        for (size_t at = 0; at < tensor->bytes; at++)
            value = value == -2 || value == tensor->data[at] ? tensor->data[at] : -1;
    }
    alloy_weights_close(weights);
    alloy_model_files_close(&files);
    return value;
}

struct saving {
    const char *folder;
    uint8_t value;
    uint64_t most;
};

static alloy_status save_it(void *context)
{
    const struct saving *s = context;
    return save(s->folder, s->value, s->most);
}

static void f11_a_save_that_is_killed_leaves_the_old_model_or_the_new(void **state)
{
    (void)state;
    static const uint64_t sizes[][2] = {{2500, 2500}, {0, 2500}, {2500, 0}, {0, 0}, {2500, 10}}; /* before and after */
    char *before = begin_in_memory();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool killed = true;
        int stops = 0, old = 0, fresh = 0;
        for (; killed; stops += ALLOY_TEST_SLOW ? 7 : 1) {
            char *folder = test_folder();
            expect_ok(save(folder, 1, sizes[i][0]));
            killed = run_and_kill(save_it, &(struct saving){folder, 2, sizes[i][1]}, stops);
            int value = value_of(folder);
            if (value != 1 && value != 2)
                fail_msg("killed at stop %d of a save: the folder mixes two models", stops);
            old += value == 1;
            fresh += value == 2;
            expect_ok(save(folder, 3, 0)); /* and what was left is cleared away */
            expect_names(folder, "model.safetensors\n");
            assert_int_equal(value_of(folder), 3);
            remove_folder(folder);
        }
        assert_true(old > 0 && fresh > 0);
    }
    end_in_memory(before);
}

static void f12_a_second_writer_is_refused(void **state)
{
    (void)state;
    char *folder = test_folder();
    int lock;
    expect_ok(save(folder, 1, 2500));
    expect_ok(alloy_folder_lock(folder, &lock));
    expect_failure(save(folder, 2, 2500), ALLOY_IO, folder, "another process is writing");
    expect_names(folder, THREE_SHARDS);
    assert_int_equal(value_of(folder), 1);
    alloy_folder_unlock(lock);
    expect_ok(save(folder, 2, 2500));
    assert_int_equal(value_of(folder), 2);
    remove_folder(folder);
}

/* Names that are taken are not taken again, so that nothing of the old model is written over. */
static void a_save_over_a_save_has_other_names(void **state)
{
    (void)state;
    char *folder = test_folder();
    expect_ok(save(folder, 1, 2500));
    expect_ok(save(folder, 2, 2500));
    expect_names(folder, "model-v1-00001-of-00003.safetensors\nmodel-v1-00002-of-00003.safetensors\n"
                         "model-v1-00003-of-00003.safetensors\nmodel.safetensors.index.json\n");
    assert_int_equal(value_of(folder), 2);
    expect_ok(save(folder, 3, 2500));
    expect_names(folder, THREE_SHARDS);
    assert_int_equal(value_of(folder), 3);
    remove_folder(folder);
}

/* F5: the disk is full at any byte of any file, and the earlier checkpoint stays as it was. */
static void f5_a_full_disk_leaves_the_earlier_checkpoint(void **state)
{
    (void)state;
    char *folder = test_folder();
    expect_ok(save(folder, 1, 2500));
    size_t sizes[2];
    char *before[2] = {read_whole(path_in(folder, "model-00003-of-00003.safetensors"), &sizes[0]),
                       read_whole(path_in(folder, "model.safetensors.index.json"), &sizes[1])};
    struct rlimit old, full;
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    full = old;
    for (rlim_t limit = 0; limit < 2200;
         limit += 131) { /* the first two files have about 2,200 bytes, the third 1,100 */
        full.rlim_cur = limit;
        setrlimit(RLIMIT_FSIZE, &full);
        alloy_status status = save(folder, 2, 2500);
        setrlimit(RLIMIT_FSIZE, &old);
        expect_failure(status, ALLOY_IO, "cannot write", "File too large");
        expect_names(folder, THREE_SHARDS);
        size_t size;
        char *after = read_whole(path_in(folder, "model-00003-of-00003.safetensors"), &size);
        assert_int_equal(size, sizes[0]);
        assert_memory_equal(after, before[0], size);
        free(after);
        after = read_whole(path_in(folder, "model.safetensors.index.json"), &size);
        assert_int_equal(size, sizes[1]);
        assert_memory_equal(after, before[1], size);
        free(after);
    }
    signal(SIGXFSZ, SIG_DFL);
    free(before[0]);
    free(before[1]);
    expect_ok(save(folder, 2, 2500));
    remove_folder(folder);
}

static void f8_a_mapped_source_is_not_its_own_target(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = path_in(folder, "model.safetensors");
    expect_ok(save(folder, 9, 0));
    alloy_safetensors file;
    expect_ok(alloy_safetensors_open(&file, path, true));
    alloy_saved_tensor copy = {
        .name = "copy", .dtype = ALLOY_U8, .ndim = 1, .shape = {TENSOR_BYTES}, .data = file.tensors[2].data};
    expect_failure(alloy_safetensors_write(path, &copy, 1, NULL, 0), ALLOY_IO, "model.safetensors", "in use");
    expect_names(folder, "model.safetensors\n");
    alloy_safetensors_close(&file);
    assert_int_equal(value_of(folder), 9);
    remove_folder(folder);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static size_t mapped_bytes_in_memory(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    size_t kilobytes = 0;
    for (char line[256]; file && fgets(line, sizeof line, file);)
        if (sscanf(line, "RssFile: %zu", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

static void opening_touches_no_weights(void **state)
{
    (void)state;
    enum { BYTES = 64 * 1024 * 1024 };
    int calls = 0;
    alloy_saved_tensor tensor = {
        .name = "w", .dtype = ALLOY_U8, .ndim = 1, .shape = {BYTES}, .source = count_up, .context = &calls};
    char *folder = test_folder(), *path = path_in(folder, "x.safetensors");
    expect_ok(alloy_safetensors_write(path, &tensor, 1, NULL, 0));
    size_t before = mapped_bytes_in_memory() + anonymous_bytes();
    alloy_safetensors file;
    expect_ok(alloy_safetensors_open(&file, path, true));
    size_t grown = mapped_bytes_in_memory() + anonymous_bytes() - before;
    if (grown > 2 * 1024 * 1024)
        fail_msg("opening 64 MiB took %zu bytes of memory, expected at most 2 MiB", grown);
    alloy_safetensors_close(&file);
    remove_folder(folder);
}

static void every_allocation_of_reading_may_fail(void **state)
{
    (void)state;
    char *folder = test_folder(), *path = path_in(folder, "model.safetensors");
    const char *header = "{\"__metadata__\":{\"format\":\"pt\",\"\\u0061\":\"\"},\"\\u0062\":{\"dtype\":\"U8\","
                         "\"shape\":[1],\"data_offsets\":[1,2]},"
                         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    write_safetensors(folder, "model.safetensors", header, "xy", 2);
    int failures = 0;
    for (int n = 0;; n++) {
        alloy_safetensors file;
        alloy_memory_fail_after(n);
        alloy_status status = alloy_safetensors_open(&file, path, n % 2 == 0);
        alloy_memory_fail_after(-1);
        alloy_safetensors_close(&file);
        if (!status)
            break;
        expect_failure(status, ALLOY_NOMEM, "memory");
        failures++;
    }
    assert_true(failures > 10);
    remove_folder(folder);
}

static void every_allocation_of_writing_may_fail(void **state)
{
    (void)state;
    char *folder = test_folder();
    expect_ok(save(folder, 1, 2500));
    int failures = 0;
    for (int n = 0;; n++) {
        alloy_memory_fail_after(n);
        alloy_status status = save(folder, 2, 2500);
        alloy_memory_fail_after(-1);
        if (!status)
            break;
        expect_names(folder, THREE_SHARDS);
        expect_failure(status, ALLOY_NOMEM, "memory");
        failures++;
    }
    assert_true(failures > 10);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_found_by_name_and_walked_in_the_order_of_their_bytes),
        cmocka_unit_test(the_header_is_that_of_the_formats_own_library),
        cmocka_unit_test(a_source_gives_the_bytes_in_pieces),
        cmocka_unit_test(what_cannot_be_meant_is_not_written),
        cmocka_unit_test(a_model_is_saved_in_shards_with_an_index),
        cmocka_unit_test(a_save_leaves_nothing_of_the_one_before),
        cmocka_unit_test(a_save_over_a_save_has_other_names),
        cmocka_unit_test(f11_a_save_that_is_killed_leaves_the_old_model_or_the_new),
        cmocka_unit_test(f12_a_second_writer_is_refused),
        cmocka_unit_test(f5_a_full_disk_leaves_the_earlier_checkpoint),
        cmocka_unit_test(f8_a_mapped_source_is_not_its_own_target),
        cmocka_unit_test(opening_touches_no_weights),
        cmocka_unit_test(every_allocation_of_reading_may_fail),
        cmocka_unit_test(every_allocation_of_writing_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
