/* The backend fp64: its numbers are those of the oracle in the golden cases (transformers in double precision) but for
 * the order of sums, for every layer and the logits; and where float32 chooses otherwise, it is told.
 *
 *     compare_oracle [FOLDER...]     default: the cases in tests/golden */
#include "support.h"

#include <dirent.h>
#include <math.h>

#include "alloy/compare.h"
#include "alloy/extend.h"
#include "files/safetensors.h"

/* Of each tensor's largest value. */
static const double NEAR = 1e-12;

enum { LAYERS = 64 };

static int far_cases; /* that are farther */

struct expected {
    alloy_safetensors file;
    const char *folder;
    struct {
        double error, largest; /* of `right` against the file */
        double own;            /* of `computed` against `right` */
    } layer[LAYERS + 1];       /* [0]: logits */
    int64_t choices;
};

static const alloy_stored_tensor *stored(const struct expected *e, int64_t layer)
{
    char name[32] = "logits";
    if (layer >= 0)
        snprintf(name, sizeof name, "hidden.%lld", (long long)layer);
    const alloy_stored_tensor *tensor = alloy_safetensors_find(&e->file, name, strlen(name));
    if (!tensor || tensor->dtype != ALLOY_F64)
        fail_msg("%s: no %s in F64", e->folder, name);
    return tensor;
}

static alloy_status compare(void *user, int64_t layer, int64_t first, int64_t rows, int64_t width,
                            const float *computed, const double *right)
{
    struct expected *e = user;
    const alloy_stored_tensor *tensor = stored(e, layer);
    assert_true(layer < LAYERS);
    for (int64_t i = 0; i < rows * width; i++) {
        double wanted;
        memcpy(&wanted, tensor->data + (size_t)(first * width + i) * sizeof wanted, sizeof wanted);
        double error = fabs(right[i] - wanted), own = fabs((double)computed[i] - right[i]);
        e->layer[layer + 1].error = fmax(e->layer[layer + 1].error, error);
        e->layer[layer + 1].own = fmax(e->layer[layer + 1].own, own);
        e->layer[layer + 1].largest = fmax(e->layer[layer + 1].largest, fabs(wanted));
    }
    return ALLOY_OK;
}

static void count_choice(void *user, const alloy_oracle_choice *choice)
{
    struct expected *e = user;
    assert_true(choice->others >= 1 && choice->gap >= 0);
    e->choices++;
}

/* Chunks of 48 tokens, so that what sequences keep is crossed. */
static void run_oracle(const alloy_model *model, const int64_t *ids, int64_t count, struct expected *e)
{
    alloy_session *session;
    expect_ok(alloy_session_open(&session, model,
                                 &(alloy_session_options){.size = sizeof(alloy_session_options), .chunk = 48}));
    expect_ok(alloy_oracle_run(
        session, ids, count,
        &(alloy_oracle_options){
            .size = sizeof(alloy_oracle_options), .rows = compare, .hidden = true, .choice = count_choice, .user = e}));
    alloy_session_close(session);
}

static void check_case(const char *folder)
{
    struct expected e = {.folder = folder};
    alloy_model *model;
    expect_ok(alloy_model_open(&model, folder, NULL));
    expect_ok(alloy_safetensors_open(&e.file, path_in(folder, "expected.safetensors"), true));
    const alloy_stored_tensor *ids = alloy_safetensors_find(&e.file, "input_ids", strlen("input_ids"));
    assert_true(ids && ids->dtype == ALLOY_I64);
    int64_t count = (int64_t)(ids->bytes / sizeof(int64_t)), *copy = malloc(ids->bytes);
    assert_non_null(copy);
    memcpy(copy, ids->data, ids->bytes);
    run_oracle(model, copy, count, &e);
    int64_t layers = alloy_config_num_layers(alloy_model_config(model));
    double farthest = 0;
    for (int64_t i = 0; i <= layers; i++) {
        double share = e.layer[i].error / e.layer[i].largest;
        farthest = fmax(farthest, share);
        if (!(share <= NEAR))
            print_error("%s: layer %lld (-1: logits) is %g away where the largest is %g, expected %g of it\n", folder,
                        (long long)i - 1, e.layer[i].error, e.layer[i].largest, NEAR);
        if (!(e.layer[i].own > 0 && e.layer[i].own < 0.01 * e.layer[i].largest))
            fail_msg("%s: layer %lld: float32 is %g away, largest %g", folder, (long long)i - 1, e.layer[i].own,
                     e.layer[i].largest);
    }
    print_message("%-28s %.1e of the largest, %lld choices of float32 differ\n", strrchr(folder, '/') + 1, farthest,
                  (long long)e.choices);
    far_cases += !(farthest <= NEAR);
    free(copy);
    alloy_safetensors_close(&e.file);
    alloy_model_close(model);
}

static char **folders;
static int folder_count;

static void the_oracle_is_that_of_the_golden_cases(void **state)
{
    (void)state;
    far_cases = 0;
    for (int i = 0; i < folder_count; i++)
        check_case(folders[i]);
    if (folder_count > 0) {
        assert_int_equal(far_cases, 0);
        return;
    }
    char path[4096];
    DIR *cases = opendir(ALLOY_SOURCE_DIR "/tests/golden");
    assert_non_null(cases);
    for (struct dirent *entry; (entry = readdir(cases));) {
        snprintf(path, sizeof path, "%s/tests/golden/%s", ALLOY_SOURCE_DIR, entry->d_name);
        if (entry->d_name[0] != '.' && access(path_in(path, "config.json"), F_OK) == 0)
            check_case(path);
    }
    closedir(cases);
    assert_int_equal(far_cases, 0);
}

/* ---- Choices ----------------------------------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to, const char *name)
{
    size_t size;
    char *bytes = read_whole(path_in(from, name), &size);
    write_file(to, name, bytes, size);
    free(bytes);
}

/* Odd rows of each router are the row before them but for the last bit of some elements: in float32 many logits are
 * equal, and the lower expert is chosen; in double precision they are not. */
static void make_near_ties(const char *folder)
{
    const char *from = ALLOY_SOURCE_DIR "/tests/golden/qwen3_moe";
    size_t size;
    alloy_safetensors file;
    copy_file(from, folder, "model.safetensors");
    char *path = strdup(path_in(folder, "model.safetensors")), *bytes = read_whole(path, &size);
    expect_ok(alloy_safetensors_open(&file, path, false));
    for (int64_t i = 0; i < file.count; i++) {
        const alloy_stored_tensor *tensor = alloy_safetensors_at(&file, i);
        if (tensor->name_size < 11 || memcmp(tensor->name + tensor->name_size - 11, "gate.weight", 11) != 0)
            continue;
        assert_int_equal(tensor->dtype, ALLOY_F32);
        size_t row = (size_t)tensor->shape[1] * sizeof(float),
               at = (size_t)(tensor->data - (const uint8_t *)file.file.data);
        for (size_t r = 1; r < (size_t)tensor->shape[0]; r += 2) {
            uint32_t *odd = (uint32_t *)(void *)memcpy(bytes + at + r * row, bytes + at + (r - 1) * row, row);
            for (size_t c = 0; c < row / sizeof *odd; c += 5)
                odd[c]++;
        }
    }
    write_file(folder, "model.safetensors", bytes, size);
    alloy_safetensors_close(&file);
    free(bytes);
    free(path);
    char *config = read_whole(path_in(from, "config.json"), &size), *k = strstr(config, "\"num_experts_per_tok\": 2");
    assert_non_null(k);
    k[strlen("\"num_experts_per_tok\": ")] = '1';
    write_text(folder, "config.json", config);
    free(config);
}

struct told {
    int64_t choices;
    double error; /* largest of the logits */
};

static void take_choice(void *user, const alloy_oracle_choice *choice)
{
    struct told *told = user;
    assert_string_equal(choice->op, "route_softmax");
    assert_true(choice->others == 1 && choice->gap > 0 && choice->gap < 1e-5);
    told->choices++;
}

static alloy_status take_error(void *user, int64_t layer, int64_t first, int64_t rows, int64_t width,
                               const float *computed, const double *right)
{
    struct told *told = user;
    assert_true(layer == -1 && first == 0);
    for (int64_t i = 0; i < rows * width; i++)
        told->error = fmax(told->error, fabs((double)computed[i] - right[i]));
    return ALLOY_OK;
}

static void a_choice_that_float32_makes_otherwise_is_told_and_followed(void **state)
{
    (void)state;
    char *folder = test_folder();
    alloy_model *model;
    alloy_session *session;
    struct told told = {0};
    int64_t ids[64];
    for (int i = 0; i < 64; i++)
        ids[i] = 3 * i + 1;
    make_near_ties(folder);
    expect_ok(alloy_model_open(&model, folder, NULL));
    expect_ok(alloy_session_open(&session, model, NULL));
    expect_ok(alloy_oracle_run(
        session, ids, 64,
        &(alloy_oracle_options){
            .size = sizeof(alloy_oracle_options), .rows = take_error, .choice = take_choice, .user = &told}));
    print_message("%lld choices differ, logits are %.1e away\n", (long long)told.choices, told.error);
    assert_true(told.choices > 0);
    assert_true(told.error > 0 && told.error < 1e-4); /* other experts would move logits by more than 0.01 */
    alloy_session_close(session);
    alloy_model_close(model);
    remove_folder(folder);
}

/* ---- What is refused --------------------------------------------------------------------------------------------- */

static void sessions_in_double_precision_give_doubles(void **state)
{
    (void)state;
    alloy_model *model;
    alloy_session *session;
    alloy_cache *cache;
    float logits[256];
    double wide[256];
    int64_t ids[] = {1, 2, 3};
    expect_ok(alloy_model_open(&model, ALLOY_SOURCE_DIR "/tests/golden/qwen3", NULL));
    expect_failure(
        alloy_session_open(&session, model,
                           &(alloy_session_options){.size = sizeof(alloy_session_options), .backend = "gpu"}),
        ALLOY_ARG, "gpu", "fp64");
    alloy_session_options options = {.size = sizeof options, .backend = "fp64", .kv_dtype = ALLOY_BF16};
    expect_failure(alloy_session_open(&session, model, &options), ALLOY_ARG, "kv_dtype", "fp64");
    options.kv_dtype = 0;
    expect_ok(alloy_session_open(&session, model, &options));
    expect_ok(alloy_cache_open(&cache, session, 0));
    alloy_sequence sequence = {cache, ids, 3};
    expect_failure(alloy_forward(session, &sequence, 1, logits, NULL), ALLOY_ARG, "fp64", "F64");
    expect_failure(alloy_forward(session, &sequence, 1, NULL, NULL), ALLOY_ARG, "no room");
    expect_ok(alloy_forward(session, &sequence, 1, NULL,
                            &(alloy_forward_options){.size = sizeof(alloy_forward_options), .logits_f64 = wide}));
    assert_true(isfinite(wide[255]) && wide[0] != (double)(float)wide[0]);
    alloy_oracle_options oracle = {.size = sizeof oracle, .rows = compare};
    expect_failure(alloy_oracle_run(session, ids, 3, &oracle), ALLOY_ARG, "oracle");
    oracle.size = 1;
    expect_failure(alloy_oracle_run(session, ids, 3, &oracle), ALLOY_ARG, "alloy_oracle_options");
    oracle.size = sizeof oracle;
    oracle.rows = NULL;
    expect_failure(alloy_oracle_run(session, ids, 3, &oracle), ALLOY_ARG, "rows");
    alloy_cache_close(cache);
    alloy_session_close(session);
    alloy_model_close(model);
}

int main(int argc, char **argv)
{
    folders = argv + 1;
    folder_count = argc - 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oracle_is_that_of_the_golden_cases),
        cmocka_unit_test(a_choice_that_float32_makes_otherwise_is_told_and_followed),
        cmocka_unit_test(sessions_in_double_precision_give_doubles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
