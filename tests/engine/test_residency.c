/* weight_memory: models whose weights do not all stay in memory give the same bits, and what stays is under the limit,
 * as the system tells it: the pages of the files that this process maps (smaps), and those that memory holds for anyone
 * (mincore). */
#include "engine/models.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "checkpoint/init.h"
#include "checkpoint/model.h"
#include "engine/session.h"

/* What this process maps is within the limit to the byte. Beside it the system's cache keeps pages that it was still
 * reading when it was told to drop them, now and then, for as long as it likes: so many limits are allowed for both,
 * half of what a model has, which a run that let go of nothing would reach at once. */
enum { LIMITS_IN_CACHE = 2 };

enum { TOKENS = 60, PROMPT = 45, VOCAB = 256, LAYERS = 4, MIB = 1 << 20, KIB = 1 << 10 };

#define SIZES                                                                                                          \
    "\"model_type\": \"alloy\", \"vocab_size\": 256, \"num_hidden_layers\": 4, \"num_attention_heads\": 4, "           \
    "\"num_key_value_heads\": 2, \"max_position_embeddings\": 256, \"initializer_range\": 0.05, \"dtype\": "           \
    "\"bfloat16\", "
static const char moe[] =
    "{" SIZES "\"hidden_size\": 128, \"moe_intermediate_size\": 128, \"num_experts\": 32, \"num_experts_per_tok\": 2, "
    "\"layer_types\": {\"pattern\": [\"qwen3_attention\"], \"repeat\": 4}, "
    "\"ffn_types\": {\"pattern\": [\"qwen3_moe\"], \"repeat\": 4}}";
static const char dense[] =
    "{" SIZES "\"hidden_size\": 256, \"intermediate_size\": 2048, "
    "\"layer_types\": {\"pattern\": [\"qwen3_attention\", \"qwen3_5_gdn\"], \"repeat\": 2}, "
    "\"linear_num_key_heads\": 2, \"linear_num_value_heads\": 4, \"linear_key_head_dim\": 64, "
    "\"linear_value_head_dim\": 64, \"ffn_types\": {\"pattern\": [\"qwen3_mlp\"], \"repeat\": 4}}";

/* Experts that a table names by token id, 128 KiB a matrix. */
static const char hash[] =
    "{\"model_type\": \"deepseek_v4\", \"vocab_size\": 256, \"hidden_size\": 256, \"moe_intermediate_size\": 256, "
    "\"num_hidden_layers\": 4, \"num_hash_layers\": 4, \"layer_types\": [\"sliding_attention\", "
    "\"sliding_attention\", \"sliding_attention\", \"sliding_attention\"], \"num_attention_heads\": 2, "
    "\"head_dim\": 16, \"partial_rotary_factor\": 0.5, \"q_lora_rank\": 8, \"o_groups\": 2, \"o_lora_rank\": 8, "
    "\"index_n_heads\": 4, \"index_head_dim\": 16, \"index_topk\": 64, \"sliding_window\": 128, "
    "\"num_experts\": 16, \"num_experts_per_tok\": 2, \"max_position_embeddings\": 256, "
    "\"initializer_range\": 0.1, \"dtype\": \"bfloat16\"}";

static char *new_model(const char *config_text, uint64_t max_shard_size)
{
    char *folder = test_folder();
    alloy_config *config;
    expect_ok(alloy_config_parse(&config, "config.json", config_text, strlen(config_text)));
    expect_ok(
        alloy_model_init(config, NULL, folder, &(alloy_init_options){.seed = 4, .max_shard_size = max_shard_size}));
    write_text(folder, "config.json", config_text);
    alloy_config_close(config);
    return folder;
}

static alloy_model *open_with(const char *folder, uint64_t limit)
{
    alloy_model *model;
    expect_ok(alloy_model_open(&model, folder,
                               &(alloy_load_options){.size = sizeof(alloy_load_options), .weight_memory = limit}));
    return model;
}

static uint64_t file_bytes(const alloy_model *model)
{
    uint64_t bytes = 0;
    for (int64_t i = 0; i < alloy_weights_file_count(model->weights); i++)
        bytes += alloy_weights_file(model->weights, i)->size;
    return bytes;
}

/* Bytes of the files' pages in memory, whoever put them there. */
static uint64_t cached_bytes(const alloy_model *model)
{
    uint64_t pages = 0, page = (uint64_t)sysconf(_SC_PAGESIZE);
    for (int64_t i = 0; i < alloy_weights_file_count(model->weights); i++) {
        const alloy_file *file = alloy_weights_file(model->weights, i);
        size_t count = (file->size + page - 1) / page;
        unsigned char *in = malloc(count);
        assert_int_equal(mincore((void *)file->data, file->size, in), 0);
        for (size_t p = 0; p < count; p++)
            pages += in[p] & 1;
        free(in);
    }
    return pages * page;
}

/* Of the mappings of the model's files, what this process has in its memory. */
static uint64_t mapped_bytes(const alloy_model *model)
{
    char line[4096];
    uint64_t bytes = 0;
    bool ours = false;
    FILE *file = fopen("/proc/self/smaps", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        unsigned long long from, to, kib;
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2) {
            ours = false;
            for (int64_t i = 0; i < alloy_weights_file_count(model->weights); i++)
                ours = ours || (uintptr_t)alloy_weights_file(model->weights, i)->data == from;
        } else if (ours && sscanf(line, "Rss: %llu kB", &kib) == 1) {
            bytes += kib * KIB;
        }
    }
    fclose(file);
    return bytes;
}

struct watch {
    const alloy_model *model;
    uint64_t limit;
    bool cache_counts; /* the file system lets go of what it is told to */
    uint64_t most_mapped, most_cached;
    int64_t layers;
};

static void watch_layer(void *user, int64_t layer, int64_t sequence, int64_t first, int64_t rows, int64_t width,
                        const float *hidden)
{
    (void)layer, (void)sequence, (void)first, (void)rows, (void)width, (void)hidden;
    struct watch *w = user;
    uint64_t mapped = mapped_bytes(w->model), cached = cached_bytes(w->model);
    w->most_mapped = mapped > w->most_mapped ? mapped : w->most_mapped;
    w->most_cached = cached > w->most_cached ? cached : w->most_cached;
    w->layers++;
    if (mapped > w->limit)
        fail_msg("layer %lld: %llu bytes are mapped, the limit is %llu", (long long)layer, (unsigned long long)mapped,
                 (unsigned long long)w->limit);
    if (w->cache_counts && cached > LIMITS_IN_CACHE * w->limit)
        fail_msg("layer %lld: %llu bytes are in memory, with a limit of %llu", (long long)layer,
                 (unsigned long long)cached, (unsigned long long)w->limit);
}

/* Logits [TOKENS, VOCAB] of a prefill and a decode token by token. */
static void run(alloy_session *session, float *logits, struct watch *watch)
{
    int64_t ids[TOKENS];
    fill_ids(ids, TOKENS, 9);
    alloy_cache *cache = open_cache(session);
    for (int64_t t = 0; t < TOKENS;) {
        int64_t count = t == 0 ? PROMPT : 1;
        expect_ok(alloy_forward(session, &(alloy_sequence){cache, ids + t, count}, 1, logits + t * VOCAB,
                                &(alloy_forward_options){.size = sizeof(alloy_forward_options),
                                                         .logits = ALLOY_LOGITS_ALL,
                                                         .hidden = watch ? watch_layer : NULL,
                                                         .user = watch}));
        t += count;
    }
    alloy_cache_close(cache);
}

/* The same bits with a quarter of the model's size, and never more than it in memory. */
static void expect_bounded(const char *config, uint64_t max_shard_size)
{
    static float logits[TOKENS * VOCAB], expected[TOKENS * VOCAB];
    char *folder = new_model(config, max_shard_size);
    alloy_model *model = open_model(folder);
    alloy_session *session = open_session(model, 2, 20, NULL);
    run(session, expected, NULL);
    uint64_t limit = file_bytes(model) / 4;
    alloy_session_close(session);
    alloy_model_close(model);

    model = open_with(folder, limit);
    struct watch watch = {.model = model, .limit = limit, .cache_counts = cached_bytes(model) == 0};
    if (!watch.cache_counts)
        print_message("  %s: this file system keeps pages that it is told to drop: only those mapped are watched\n",
                      folder);
    session = open_session(model, 2, 20, NULL);
    run(session, logits, &watch);
    expect_same_bits(logits, expected, TOKENS * VOCAB, "with a limit");
    assert_int_equal(watch.layers, LAYERS * ((PROMPT + 19) / 20 + TOKENS - PROMPT));
    alloy_weight_memory memory;
    alloy_model_weight_memory(model, &memory);
    print_message("  limit %llu: %llu mapped, %llu in memory at most; %llu read, %llu ahead, %llu there, %llu "
                  "released, %lld from disks\n",
                  (unsigned long long)limit, (unsigned long long)watch.most_mapped,
                  (unsigned long long)watch.most_cached, (unsigned long long)memory.read,
                  (unsigned long long)memory.ahead, (unsigned long long)memory.hits,
                  (unsigned long long)memory.released, (long long)memory.disk);
    assert_true(watch.most_mapped > 0);
    assert_true(memory.limit == limit);
    assert_true(memory.peak <= limit);
    assert_true(memory.read > memory.limit);
    assert_true(memory.ahead > 0);
    assert_true(memory.hits > 0);
    assert_true(memory.read == memory.released + memory.resident);
    alloy_session_close(session);
    alloy_model_close(model);
    remove_folder(folder);
}

static void routed_experts_keep_to_a_quarter(void **state)
{
    (void)state;
    expect_bounded(moe, 0);
}

static void a_dense_model_keeps_to_a_quarter(void **state)
{
    (void)state;
    expect_bounded(dense, 0);
}

static void shards_keep_to_a_quarter(void **state)
{
    (void)state;
    expect_bounded(moe, 3 * MIB);
}

static void experts_by_id_keep_to_a_quarter(void **state)
{
    (void)state;
    expect_bounded(hash, 0);
}

struct sites {
    const alloy_model *model;
    bool in_ffn;
    uint64_t read, read_in_ffns, read_in_all;
};

static void at_site(void *user, const alloy_site *site)
{
    struct sites *s = user;
    alloy_weight_memory memory;
    alloy_model_weight_memory(s->model, &memory);
    s->read_in_ffns += s->in_ffn ? memory.read - s->read : 0;
    s->read_in_all += memory.read - s->read;
    s->read = memory.read;
    s->in_ffn = site->kind == ALLOY_SITE_FFN;
}

/* When an FFN of experts by id begins, its experts have been asked for while the mixer ran. */
static void experts_by_id_are_read_ahead(void **state)
{
    (void)state;
    char *folder = new_model(hash, 0);
    alloy_model *model = open_model(folder);
    uint64_t limit = file_bytes(model) / 4;
    alloy_model_close(model);
    model = open_with(folder, limit);
    alloy_session *session = open_session(model, 1, 0, NULL);
    alloy_cache *cache = open_cache(session);
    float logits[VOCAB];
    struct sites sites = {.model = model};
    for (int64_t t = 0; t < 24; t++) {
        int64_t id = t * 37 % VOCAB;
        if (t == 4) { /* the order of what is read in turn is known by now */
            session->watch = at_site;
            session->watch_user = &sites;
            alloy_weight_memory memory;
            alloy_model_weight_memory(model, &memory);
            sites.read = memory.read;
        }
        expect_ok(alloy_forward(session, &(alloy_sequence){cache, &id, 1}, 1, logits, NULL));
    }
    print_message("  %llu bytes read, %llu of them in FFNs\n", (unsigned long long)sites.read_in_all,
                  (unsigned long long)sites.read_in_ffns);
    assert_true(sites.read_in_all > 4 * MIB);
    assert_true(sites.read_in_ffns < sites.read_in_all / 4);
    alloy_cache_close(cache);
    alloy_session_close(session);
    alloy_model_close(model);
    remove_folder(folder);
}

/* Weights that are read in turn and do not fit: a part of them stays, which least recently used would never allow. */
static void a_part_of_what_is_read_in_turn_stays(void **state)
{
    (void)state;
    char *folder = new_model(dense, 0);
    alloy_model *model = open_model(folder);
    uint64_t size = file_bytes(model);
    alloy_model_close(model);
    model = open_with(folder, size / 2);
    alloy_session *session = open_session(model, 2, 0, NULL);
    alloy_cache *cache = open_cache(session);
    float logits[VOCAB];
    alloy_weight_memory before, after;
    enum { WARM = 4, STEPS = 10 };
    for (int64_t t = 0; t < WARM + STEPS; t++) {
        if (t == WARM)
            alloy_model_weight_memory(model, &before);
        expect_ok(alloy_forward(session, &(alloy_sequence){cache, &t, 1}, 1, logits, NULL));
    }
    alloy_model_weight_memory(model, &after);
    uint64_t read = (after.read - before.read) / STEPS;
    print_message("  of %llu bytes, half in memory: %llu read a token\n", (unsigned long long)size,
                  (unsigned long long)read);
    assert_true(read >= size / 4);
    assert_true(read <= size * 7 / 8);
    alloy_cache_close(cache);
    alloy_session_close(session);
    alloy_model_close(model);
    remove_folder(folder);
}

/* ---- Converting -------------------------------------------------------------------------------------------------- */

/* Looks now and then: reading smaps takes longer than converting a piece. */
static bool watch_conversion(void *user, uint64_t done, uint64_t bytes)
{
    enum { LOOKS = 16 };
    struct watch *w = user;
    if (done >= bytes / LOOKS * (uint64_t)w->layers)
        watch_layer(w, 0, 0, 0, 0, 0, NULL);
    return true;
}

/* The same files with a quarter of the model's size as without a limit, and never more than it in memory. */
static void expect_bounded_conversion(const char *folder, const char *scratch, alloy_dtype dtype, alloy_layout layout)
{
    char whole[256], bounded[256];
    snprintf(whole, sizeof whole, "%s/whole", scratch);
    snprintf(bounded, sizeof bounded, "%s/bounded", scratch);
    alloy_convert_options options = {.size = sizeof options, .dtype = dtype, .layout = layout};
    alloy_model *model = open_model(folder);
    uint64_t size = file_bytes(model), limit = size / 4 > 2 * MIB ? size / 4 : 2 * MIB;
    expect_ok(alloy_convert(model, whole, &options));
    alloy_model_close(model);
    model = open_with(folder, limit);
    struct watch watch = {.model = model, .limit = limit, .cache_counts = cached_bytes(model) == 0};
    options.progress = watch_conversion;
    options.user = &watch;
    expect_ok(alloy_convert(model, bounded, &options));
    assert_true(watch.layers > 8);
    alloy_weight_memory memory;
    alloy_model_weight_memory(model, &memory);
    print_message("  %s: %llu bytes, limit %llu, mapped %llu, peak %llu, read %llu\n", alloy_dtype_name(dtype),
                  (unsigned long long)size, (unsigned long long)limit, (unsigned long long)watch.most_mapped,
                  (unsigned long long)memory.peak, (unsigned long long)memory.read);
    assert_true(memory.peak > 0 && memory.peak <= limit);
    assert_true(memory.read >= size - 64 * KIB && memory.read < 3 * size);
    alloy_model_close(model);
    size_t sizes[2];
    char *files[] = {read_whole(path_in(whole, "model.safetensors"), &sizes[0]),
                     read_whole(path_in(bounded, "model.safetensors"), &sizes[1])};
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(files[0], files[1], sizes[0]);
    free(files[0]);
    free(files[1]);
}

static void conversions_keep_to_a_quarter(void **state)
{
    (void)state;
    static const struct {
        const char *config;
        alloy_dtype dtype;
        alloy_layout layout;
    } cases[] = {
        {moe, ALLOY_DTYPE_NONE, ALLOY_LAYOUT_KEPT},
        {moe, ALLOY_F8_E4M3, ALLOY_LAYOUT_KEPT},
        {moe, ALLOY_F32, ALLOY_LAYOUT_MEMORY},
        {dense, ALLOY_F4, ALLOY_LAYOUT_KEPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *folder = new_model(cases[i].config, 0), *scratch = test_folder();
        expect_bounded_conversion(folder, scratch, cases[i].dtype, cases[i].layout);
        remove_folder(scratch);
        remove_folder(folder);
    }
    /* bytes and scales that are kept: of a model in FP8 */
    char *folder = new_model(moe, 0), *packed = test_folder(), *scratch = test_folder();
    alloy_model *model = open_model(folder);
    expect_ok(alloy_convert(model, packed,
                            &(alloy_convert_options){.size = sizeof(alloy_convert_options), .dtype = ALLOY_F8_E4M3}));
    alloy_model_close(model);
    expect_bounded_conversion(packed, scratch, ALLOY_DTYPE_NONE, ALLOY_LAYOUT_KEPT);
    remove_folder(scratch);
    remove_folder(packed);
    remove_folder(folder);
}

struct worker {
    alloy_session *session;
    float *logits;
};

static void *work(void *user)
{
    struct worker *w = user;
    run(w->session, w->logits, NULL);
    return NULL;
}

static void two_sessions_share_a_limit(void **state)
{
    (void)state;
    static float logits[2][TOKENS * VOCAB], expected[TOKENS * VOCAB];
    char *folder = new_model(moe, 0);
    alloy_model *model = open_model(folder);
    uint64_t limit = file_bytes(model) / 4;
    alloy_session *session = open_session(model, 1, 0, NULL);
    run(session, expected, NULL);
    alloy_session_close(session);
    alloy_model_close(model);

    model = open_with(folder, limit);
    struct worker workers[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        workers[i] = (struct worker){open_session(model, 1, 16 + i, NULL), logits[i]};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        expect_same_bits(logits[i], expected, TOKENS * VOCAB, "one of two sessions");
        alloy_session_close(workers[i].session);
    }
    alloy_weight_memory memory;
    alloy_model_weight_memory(model, &memory);
    assert_true(memory.peak <= limit);
    assert_true(mapped_bytes(model) <= limit);
    alloy_model_close(model);
    remove_folder(folder);
}

static void limits_that_cannot_be_are_refused(void **state)
{
    (void)state;
    char *folder = new_model(moe, 0);
    alloy_model *model;
    expect_failure(alloy_model_open(&model, folder,
                                    &(alloy_load_options){.size = sizeof(alloy_load_options), .weight_memory = MIB}),
                   ALLOY_RANGE, "weight_memory", "1048576", "at least 2097152");
    assert_null(model);
    expect_failure(alloy_model_open(&model, folder,
                                    &(alloy_load_options){
                                        .size = sizeof(alloy_load_options), .weight_memory = 8 * MIB, .no_mmap = true}),
                   ALLOY_ARG, "no_mmap");
    assert_null(model);
    model = open_with(folder, 2 * MIB);
    alloy_model_close(model);
    model = open_model(folder);
    alloy_weight_memory memory;
    alloy_model_weight_memory(model, &memory);
    assert_true(memory.limit == 0 && memory.read == 0);
    alloy_model_close(model);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routed_experts_keep_to_a_quarter),  cmocka_unit_test(a_dense_model_keeps_to_a_quarter),
        cmocka_unit_test(shards_keep_to_a_quarter),          cmocka_unit_test(experts_by_id_keep_to_a_quarter),
        cmocka_unit_test(experts_by_id_are_read_ahead),      cmocka_unit_test(a_part_of_what_is_read_in_turn_stays),
        cmocka_unit_test(conversions_keep_to_a_quarter),     cmocka_unit_test(two_sessions_share_a_limit),
        cmocka_unit_test(limits_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
