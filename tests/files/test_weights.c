/* One table over a model's files: X5 to X8 and X13; shards opened when asked for; files that change under a mapping (F1
 * to F4). */
#include "support.h"

#include "base/memory.h"
#include "files/json.h"
#include "files/weights.h"

struct opened {
    alloy_model_files files;
    alloy_weights *weights;
};

static alloy_status open_folder(struct opened *opened, const char *folder, const alloy_load_options *options)
{
    opened->weights = NULL;
    alloy_status status = alloy_model_files_open(&opened->files, folder, options && options->follow_symlinks);
    return status ? status : alloy_weights_open(&opened->weights, &opened->files, options);
}

static void close_folder(struct opened *opened)
{
    alloy_weights_close(opened->weights);
    alloy_model_files_close(&opened->files);
}

/* Opening, and all files of it. */
static alloy_status open_whole(const char *folder, const alloy_load_options *options)
{
    struct opened opened;
    alloy_status status = open_folder(&opened, folder, options);
    if (!status)
        status = alloy_weights_open_all(opened.weights);
    close_folder(&opened);
    return status;
}

/* A shard that holds tensors of one byte, one for each letter of `names`: its own letter. */
static void write_shard(const char *folder, const char *file, const char *names)
{
    alloy_saved_tensor tensors[8];
    int64_t count = (int64_t)strlen(names);
    char texts[8][2];
    for (int64_t i = 0; i < count; i++) {
        texts[i][0] = names[i];
        texts[i][1] = 0;
        tensors[i] =
            (alloy_saved_tensor){.name = texts[i], .dtype = ALLOY_U8, .ndim = 1, .shape = {1}, .data = &names[i]};
    }
    expect_ok(alloy_safetensors_write(path_in(folder, file), tensors, count, NULL, 0));
}

/* a, b in shard 1; c in shard 2. */
static char *sharded_model(void)
{
    char *folder = test_folder();
    write_shard(folder, "s1.safetensors", "ab");
    write_shard(folder, "s2.safetensors", "c");
    write_text(folder, "model.safetensors.index.json",
               "{\"metadata\": {\"total_size\": 3}, \"weight_map\": {\"a\": \"s1.safetensors\", \"c\": "
               "\"s2.safetensors\", \"b\": \"s1.safetensors\"}}");
    return folder;
}

static void a_single_file_is_a_table(void **state)
{
    (void)state;
    char *folder = test_folder();
    write_shard(folder, "model.safetensors", "xy");
    struct opened opened;
    const alloy_stored_tensor *tensor;
    expect_ok(open_folder(&opened, folder, NULL));
    assert_int_equal(alloy_weights_count(opened.weights), 2);
    expect_text(alloy_weights_name(opened.weights, 1, NULL), "y");
    assert_true(alloy_weights_has(opened.weights, "x"));
    assert_false(alloy_weights_has(opened.weights, "z"));
    expect_ok(alloy_weights_find(opened.weights, "y", &tensor));
    assert_int_equal(tensor->data[0], 'y');
    expect_ok(alloy_weights_find(opened.weights, "z", &tensor));
    assert_null(tensor);
    expect_ok(alloy_weights_open_all(opened.weights));
    expect_ok(alloy_weights_check(opened.weights));
    close_folder(&opened);

    write_text(folder, "model.safetensors.index.json", "nonsense: the single file wins");
    expect_ok(open_whole(folder, NULL));
    remove_folder(folder);
}

static void shards_are_opened_when_a_tensor_is_asked_for(void **state)
{
    (void)state;
    char *folder = sharded_model();
    assert_int_equal(unlink(path_in(folder, "s2.safetensors")), 0);
    for (int no_mmap = 0; no_mmap < 2; no_mmap++) {
        alloy_load_options options = {.size = sizeof options, .no_mmap = no_mmap};
        struct opened opened;
        const alloy_stored_tensor *tensor;
        expect_ok(open_folder(&opened, folder, &options));
        assert_int_equal(alloy_weights_count(opened.weights), 3);
        assert_int_equal(alloy_weights_file_count(opened.weights), 2);
        assert_null(alloy_weights_file_path(opened.weights, 0));
        expect_ok(alloy_weights_find(opened.weights, "b", &tensor));
        assert_int_equal(tensor->data[0], 'b');
        assert_non_null(strstr(alloy_weights_file_path(opened.weights, 0), "s1.safetensors"));
        assert_null(alloy_weights_file_path(opened.weights, 1));
        assert_true(alloy_weights_has(opened.weights, "c"));
        expect_failure(alloy_weights_find(opened.weights, "c", &tensor), ALLOY_IO, "s2.safetensors", "No such file");
        assert_null(tensor);
        close_folder(&opened);
    }
    remove_folder(folder);
}

static void x5_x6_a_missing_or_truncated_shard_is_named(void **state)
{
    (void)state;
    char *folder = sharded_model();
    expect_ok(open_whole(folder, NULL));
    size_t size;
    char *path = path_in(folder, "s2.safetensors"), *bytes = read_whole(path, &size);
    for (size_t cut = 1; cut <= size; cut += 7) {
        write_file(folder, "s2.safetensors", bytes, size - cut);
        expect_failure(open_whole(folder, NULL), ALLOY_FORMAT, "s2.safetensors");
    }
    free(bytes);
    assert_int_equal(unlink(path), 0);
    expect_failure(open_whole(folder, NULL), ALLOY_IO, "s2.safetensors", "No such file");
    remove_folder(folder);
}

static void x7_x8_a_tensor_is_in_the_shard_of_the_index_and_in_no_other(void **state)
{
    (void)state;
    char *folder = sharded_model();
    write_shard(folder, "s2.safetensors", "cb");
    expect_failure(open_whole(folder, NULL), ALLOY_FORMAT, "s2.safetensors", "holds tensor \"b\"",
                   "places in s1.safetensors");
    write_shard(folder, "s1.safetensors", "a");
    expect_failure(open_whole(folder, NULL), ALLOY_FORMAT, "s1.safetensors", "does not hold tensor \"b\"");
    write_shard(folder, "s1.safetensors", "ab");
    write_shard(folder, "s2.safetensors", "cz");
    expect_failure(open_whole(folder, NULL), ALLOY_FORMAT, "s2.safetensors", "\"z\"", "does not know");
    struct warnings warnings;
    collect_warnings(&warnings);
    alloy_load_options options = {.size = sizeof options, .allow_unused = true};
    expect_ok(open_whole(folder, &options));
    alloy_set_log(NULL, NULL);
    assert_int_equal(warnings.count, 2); /* and total_size */
    assert_non_null(strstr(warnings.text, "\"z\""));
    remove_folder(folder);
}

/* A shard is opened as any file of a model is, so nothing that is not a regular file of the folder hangs or
 * leaks in. */
static void x9_to_x12_a_shard_is_a_regular_file_of_the_folder(void **state)
{
    (void)state;
    char *folder = test_folder(), *model = sharded_model(), path[512], outside[512];
    snprintf(path, sizeof path, "%s/s2.safetensors", model);
    snprintf(outside, sizeof outside, "%s/outside.safetensors", folder);
    assert_int_equal(rename(path, outside), 0);
    struct refusal refusal = begin_refusal(0);

    assert_int_equal(symlink(outside, path), 0); /* X9 */
    expect_failure(open_whole(model, NULL), ALLOY_TRUST, "s2.safetensors", "outside", "--follow-symlinks");
    expect_ok(open_whole(model, &(alloy_load_options){.size = sizeof(alloy_load_options), .follow_symlinks = true}));
    assert_int_equal(unlink(path), 0);

    assert_int_equal(mkfifo(path, 0600), 0); /* X10 */
    expect_failure(open_whole(model, NULL), ALLOY_IO, "s2.safetensors", "not a regular file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_failure(open_whole(model, NULL), ALLOY_IO, "s2.safetensors", "not a regular file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("/dev/zero", path), 0);
    expect_failure(
        open_whole(model, &(alloy_load_options){.size = sizeof(alloy_load_options), .follow_symlinks = true}), ALLOY_IO,
        "s2.safetensors", "not a regular file");
    assert_int_equal(unlink(path), 0);

    assert_int_equal(symlink("s2.safetensors", path), 0); /* X11 */
    expect_failure(open_whole(model, NULL), ALLOY_IO, "s2.safetensors", "symbolic links");
    assert_int_equal(unlink(path), 0);

    assert_int_equal(rename(outside, path), 0); /* X12 */
    assert_int_equal(chmod(path, 0) || chmod(model, 0755), 0);
    bool root = geteuid() == 0; /* who may read everything */
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    alloy_status status = open_whole(model, NULL);
    assert_int_equal(root ? seteuid(0) : 0, 0);
    expect_failure(status, ALLOY_IO, "s2.safetensors", "Permission denied");
    end_refusal(&refusal, "shards that are none");
    remove_folder(folder);
    remove_folder(model);
}

static alloy_status open_index(const char *index)
{
    char *folder = test_folder();
    write_text(folder, "model.safetensors.index.json", index);
    alloy_status status = open_whole(folder, NULL);
    remove_folder(folder);
    return status;
}

static void x1_to_x4_a_shard_is_one_name(void **state)
{
    (void)state;
    static const char *const names[] = {
        "../x", "..",          "\\u002e\\u002e/x", /* X1 */
        "/x",   "/etc/passwd",                     /* X2 */
        "a/b",  "a\\\\b",      "a\\u0000b",        /* X3 */
        "",     ".",                               /* X4 */
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char index[256];
        snprintf(index, sizeof index, "{\"weight_map\": {\"t\": \"good.safetensors\",\n\"u\": \"%s\"}}", names[i]);
        expect_failure(open_index(index), ALLOY_TRUST, "model.safetensors.index.json:2:6:", "name of a file");
    }
}

static void an_index_is_checked(void **state)
{
    (void)state;
    expect_failure(open_index("{}"), ALLOY_FORMAT, "index.json", "no weight_map");
    expect_failure(open_index("{\"weight_map\": {}}"), ALLOY_FORMAT, "no weight_map");
    expect_failure(open_index("{\"weight_map\": []}"), ALLOY_FORMAT, "\"weight_map\"", "an object");
    expect_failure(open_index("{\"weight_map\": {\"t\": 1}}"), ALLOY_FORMAT, "\"t\"", "a string");
    expect_failure(open_index("{\"weight_map\": {\"t\": \"a\", \"t\": \"b\"}}"), ALLOY_FORMAT, "duplicate key \"t\"");
    expect_failure(open_index("{\"weight_map\": {\"t\": \"a\"}, \"weight_map\": {\"t\": \"b\"}}"), ALLOY_FORMAT,
                   "duplicate key");
    expect_failure(open_index("{\"weight_map\": {\"t\": \"a\"}} x"), ALLOY_FORMAT, "the end of the text");
    char *folder = test_folder();
    expect_failure(open_whole(folder, NULL), ALLOY_IO, folder, "model.safetensors", "index.json");
    remove_folder(folder);
}

static void x13_a_million_shards_are_too_many(void **state)
{
    (void)state;
    char *index = malloc(40000000), *at = index;
    assert_non_null(index);
    at += sprintf(at, "{\"weight_map\": {");
    for (int i = 0; i < 1000000; i++)
        at += sprintf(at, "%s\"t%d\": \"s%d.safetensors\"", i ? "," : "", i, i);
    sprintf(at, "}}");
    char *folder = test_folder();
    write_text(folder, "model.safetensors.index.json", index);
    struct refusal refusal = begin_refusal(strlen(index));
    alloy_status status = open_whole(folder, NULL);
    end_refusal(&refusal, "an index of a million shards");
    expect_failure(status, ALLOY_LIMIT, "index.json:1:", "more than 16384 shards");
    remove_folder(folder);
    free(index);
}

static void x13_a_wrong_total_size_is_a_warning(void **state)
{
    (void)state;
    static const struct {
        const char *metadata, *word;
    } cases[] = {{"{\"total_size\": 4}", "total_size is 4"},
                 {"{\"total_size\": -3}", "negative"},
                 {"{\"total_size\": 1e300}", "total_size is 1e+300,"},
                 {"{\"total_size\": \"3\"}", NULL},
                 {"{\"total_size\": 3.0, \"x\": []}", NULL},
                 {"null", NULL},
                 {"[3]", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = sharded_model(), index[512];
        snprintf(index, sizeof index,
                 "{\"metadata\": %s, \"weight_map\": {\"a\": \"s1.safetensors\", \"c\": \"s2.safetensors\", \"b\": "
                 "\"s1.safetensors\"}}",
                 cases[i].metadata);
        write_text(folder, "model.safetensors.index.json", index);
        struct warnings warnings;
        collect_warnings(&warnings);
        expect_ok(open_whole(folder, NULL));
        alloy_set_log(NULL, NULL);
        assert_int_equal(warnings.count, cases[i].word ? 1 : 0);
        assert_true(!cases[i].word || strstr(warnings.text, cases[i].word));
        remove_folder(folder);
    }
}

static void f1_a_file_that_lost_bytes_under_its_mapping_is_named(void **state)
{
    (void)state;
    char *folder = sharded_model(), *path = path_in(folder, "s2.safetensors");
    for (int no_mmap = 0; no_mmap < 2; no_mmap++) {
        write_shard(folder, "s2.safetensors", "c");
        alloy_load_options options = {.size = sizeof options, .no_mmap = no_mmap};
        struct opened opened;
        const alloy_stored_tensor *tensor;
        expect_ok(open_folder(&opened, folder, &options));
        expect_ok(alloy_weights_open_all(opened.weights));
        assert_int_equal(truncate(path, 9), 0);
        if (no_mmap) {
            expect_ok(alloy_weights_check(opened.weights));
            expect_ok(alloy_weights_find(opened.weights, "c", &tensor));
            assert_int_equal(tensor->data[0], 'c');
        } else {
            expect_failure(alloy_weights_check(opened.weights), ALLOY_IO, "s2.safetensors", "9 bytes", "changed");
        }
        close_folder(&opened);
    }
    remove_folder(folder);
}

static void a_file_that_was_replaced_or_removed_does_no_harm(void **state)
{
    (void)state;
    char *folder = sharded_model();
    struct opened opened;
    const alloy_stored_tensor *tensor;
    expect_ok(open_folder(&opened, folder, NULL));
    expect_ok(alloy_weights_open_all(opened.weights));
    write_shard(folder, "fresh", "cdefg");
    assert_int_equal(rename(path_in(folder, "fresh"), path_in(folder, "s2.safetensors")), 0);
    assert_int_equal(unlink(path_in(folder, "s1.safetensors")), 0);
    expect_ok(alloy_weights_check(opened.weights));
    expect_ok(alloy_weights_find(opened.weights, "a", &tensor));
    assert_int_equal(tensor->data[0], 'a');
    close_folder(&opened);
    remove_folder(folder);
}

static void f2_an_address_leads_to_its_file_and_offset(void **state)
{
    (void)state;
    char *folder = sharded_model();
    struct opened opened;
    const alloy_stored_tensor *tensor;
    char path[600];
    size_t size;
    uint64_t offset;
    expect_ok(open_folder(&opened, folder, NULL));
    expect_ok(alloy_weights_find(opened.weights, "c", &tensor));
    const uint8_t *data = tensor->data;
    assert_true(alloy_mapping_find(data, path, sizeof path, &offset));
    assert_non_null(strstr(path, "s2.safetensors"));
    char *bytes = read_whole(path, &size);
    assert_int_equal(offset, size - 1);
    free(bytes);
    assert_false(alloy_mapping_find(data + 1, path, sizeof path, &offset));
    assert_false(alloy_mapping_find(&size, path, sizeof path, &offset));
    assert_false(alloy_mapping_find(NULL, path, sizeof path, &offset));
    close_folder(&opened);
    assert_false(alloy_mapping_find(data, path, sizeof path, &offset));
    remove_folder(folder);
}

static void tensors_of_too_many_dimensions_are_refused_when_used(void **state)
{
    (void)state;
    char *folder = test_folder();
    write_safetensors(folder, "model.safetensors",
                      "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", "x", 1);
    struct opened opened;
    const alloy_stored_tensor *tensor;
    expect_ok(open_folder(&opened, folder, NULL));
    expect_failure(alloy_weights_find(opened.weights, "a", &tensor), ALLOY_LIMIT, "model.safetensors", "\"a\"",
                   "9 dimensions");
    assert_null(tensor);
    close_folder(&opened);
    remove_folder(folder);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    char *folder = sharded_model();
    int failures = 0;
    for (int n = 0;; n++) {
        alloy_memory_fail_after(n);
        alloy_status status = open_whole(folder, NULL);
        alloy_memory_fail_after(-1);
        if (!status)
            break;
        expect_failure(status, ALLOY_NOMEM, "memory");
        failures++;
    }
    assert_true(failures > 20);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_single_file_is_a_table),
        cmocka_unit_test(shards_are_opened_when_a_tensor_is_asked_for),
        cmocka_unit_test(x5_x6_a_missing_or_truncated_shard_is_named),
        cmocka_unit_test(x7_x8_a_tensor_is_in_the_shard_of_the_index_and_in_no_other),
        cmocka_unit_test(x9_to_x12_a_shard_is_a_regular_file_of_the_folder),
        cmocka_unit_test(x1_to_x4_a_shard_is_one_name),
        cmocka_unit_test(an_index_is_checked),
        cmocka_unit_test(x13_a_million_shards_are_too_many),
        cmocka_unit_test(x13_a_wrong_total_size_is_a_warning),
        cmocka_unit_test(f1_a_file_that_lost_bytes_under_its_mapping_is_named),
        cmocka_unit_test(a_file_that_was_replaced_or_removed_does_no_harm),
        cmocka_unit_test(f2_an_address_leads_to_its_file_and_offset),
        cmocka_unit_test(tensors_of_too_many_dimensions_are_refused_when_used),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
