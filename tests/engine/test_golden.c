/* The engine against the reference cases in tests/golden: logits and hidden states within the error that transformers'
 * own fp32 has against the fp64 oracle (logits at most that; hidden at most the larger of that and 2e-6 of the largest
 * value), and greedy ids equal.
 *
 * `script/golden` makes many more cases and checks them through the command; these few run everywhere in a second. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloy/alloy.h"
#include "base/text.h"
#include "files/json.h"
#include "files/safetensors.h"

enum { MOST_LAYERS = 64 };

/* What a case expects. */
struct expected {
    alloy_safetensors tensors;
    double logits_bound; /* largest error of transformers' fp32 */
    double hidden_bound[MOST_LAYERS];
    int layers;
};

/* The errors of a run. */
struct errors {
    const struct expected *expected;
    double hidden[MOST_LAYERS];
};

static const alloy_stored_tensor *tensor(const struct expected *e, const char *name)
{
    const alloy_stored_tensor *t = alloy_safetensors_find(&e->tensors, name, strlen(name));
    assert_non_null(t);
    return t;
}

static int read_numbers(alloy_json *json, double *out)
{
    int count = 0;
    alloy_json_array(json);
    while (alloy_json_next_item(json)) {
        double value = alloy_json_double(json);
        if (count < MOST_LAYERS)
            out[count++] = value;
    }
    return count;
}

static void read_bounds(struct expected *e, const char *folder)
{
    char path[512];
    double largest[MOST_LAYERS] = {0};
    alloy_text text = {0};
    alloy_json json;
    alloy_json_string_view key;
    snprintf(path, sizeof path, "%s/expected.json", folder);
    assert_int_equal(alloy_file_read(&text, path, 1 << 20), ALLOY_OK);
    alloy_json_open(&json, path, text.bytes, text.size);
    alloy_json_object(&json);
    while (alloy_json_next_key(&json, &key)) {
        if (alloy_json_key_is(&key, "transformers_fp32_max_abs_error"))
            e->logits_bound = alloy_json_double(&json);
        else if (alloy_json_key_is(&key, "transformers_fp32_hidden_error"))
            e->layers = read_numbers(&json, e->hidden_bound);
        else if (alloy_json_key_is(&key, "hidden_max_abs"))
            read_numbers(&json, largest);
        else
            alloy_json_skip(&json);
    }
    assert_int_equal(alloy_json_close(&json), ALLOY_OK);
    alloy_text_free(&text);
    for (int i = 0; i < e->layers; i++)
        if (e->hidden_bound[i] < 2e-6 * largest[i])
            e->hidden_bound[i] = 2e-6 * largest[i];
}

/* The larger of two errors; fmax would prefer a number to NaN. */
static double farther(double a, double b)
{
    return isnan(a) || a > b ? a : b;
}

static double largest_error(const float *ours, const uint8_t *oracle, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, oracle + i * (int64_t)sizeof value, sizeof value);
        double error = fabs((double)ours[i] - value);
        most = farther(most, error);
    }
    return most;
}

static void see_hidden(void *user, int64_t layer, int64_t sequence, int64_t first, int64_t rows, int64_t width,
                       const float *hidden)
{
    (void)sequence;
    struct errors *errors = user;
    char name[32];
    snprintf(name, sizeof name, "hidden.%lld", (long long)layer);
    const alloy_stored_tensor *t = tensor(errors->expected, name);
    double error = largest_error(hidden, t->data + first * width * 8, rows * width);
    errors->hidden[layer] = farther(errors->hidden[layer], error);
}

static void check_logits(const struct expected *e, alloy_session *session, const int64_t *ids, int64_t count)
{
    const alloy_stored_tensor *t = tensor(e, "logits");
    int64_t vocab = (int64_t)t->shape[1];
    float *logits = malloc((size_t)(count * vocab) * sizeof *logits);
    struct errors errors = {.expected = e};
    alloy_cache *cache;
    assert_int_equal(alloy_cache_open(&cache, session, 0), ALLOY_OK);
    alloy_forward_options options = {
        .size = sizeof options, .logits = ALLOY_LOGITS_ALL, .hidden = see_hidden, .user = &errors};
    alloy_status status = alloy_forward(session, &(alloy_sequence){cache, ids, count}, 1, logits, &options);
    if (status)
        fail_msg("forward: %s", alloy_error());
    for (int i = 0; i < e->layers; i++)
        if (!is_near(errors.hidden[i], 0, e->hidden_bound[i]))
            fail_msg("hidden.%d: error %.3e, at most %.3e is allowed", i, errors.hidden[i], e->hidden_bound[i]);
    double error = largest_error(logits, t->data, count * vocab);
    print_message("  logits: error %.3e, transformers %.3e\n", error, e->logits_bound);
    if (!is_near(error, 0, e->logits_bound))
        fail_msg("logits: error %.3e, at most %.3e is allowed", error, e->logits_bound);
    alloy_cache_close(cache);
    free(logits);
}

static int64_t largest(const float *logits, int64_t count)
{
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* Greedy decoding through the cache, past any end of sequence. */
static void check_greedy(const struct expected *e, alloy_session *session, const int64_t *ids, int64_t count)
{
    const alloy_stored_tensor *t = tensor(e, "greedy");
    int64_t vocab = alloy_model_vocab_size(alloy_session_model(session)), steps = (int64_t)t->shape[0];
    float *logits = malloc((size_t)vocab * sizeof *logits);
    alloy_cache *cache;
    assert_int_equal(alloy_cache_open(&cache, session, 0), ALLOY_OK);
    assert_int_equal(alloy_forward(session, &(alloy_sequence){cache, ids, count}, 1, logits, NULL), ALLOY_OK);
    for (int64_t i = 0; i < steps; i++) {
        int64_t expected, id = largest(logits, vocab);
        memcpy(&expected, t->data + i * 8, sizeof expected);
        if (id != expected)
            fail_msg("greedy id %lld is %lld, expected %lld", (long long)i, (long long)id, (long long)expected);
        assert_int_equal(alloy_forward(session, &(alloy_sequence){cache, &id, 1}, 1, logits, NULL), ALLOY_OK);
    }
    alloy_cache_close(cache);
    free(logits);
}

static void check_case(const char *folder)
{
    struct expected e = {0};
    char path[512];
    alloy_model *model;
    alloy_session *session = NULL;
    print_message("%s\n", folder);
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    assert_int_equal(alloy_safetensors_open(&e.tensors, path, true), ALLOY_OK);
    read_bounds(&e, folder);
    if (alloy_model_open(&model, folder, NULL) ||
        alloy_session_open(&session, model,
                           &(alloy_session_options){.size = sizeof(alloy_session_options), .threads = 2, .chunk = 100}))
        fail_msg("%s", alloy_error());
    const alloy_stored_tensor *t = tensor(&e, "input_ids");
    int64_t count = (int64_t)t->shape[0], *ids = malloc((size_t)t->bytes);
    memcpy(ids, t->data, t->bytes);
    check_logits(&e, session, ids, count);
    check_greedy(&e, session, ids, count);
    free(ids);
    alloy_session_close(session);
    alloy_model_close(model);
    alloy_safetensors_close(&e.tensors);
}

static void qwen3_is_as_exact_as_transformers(void **state)
{
    (void)state;
    check_case(ALLOY_SOURCE_DIR "/tests/golden/qwen3");
}

static void a_hybrid_of_delta_nets_and_gated_attention_is(void **state)
{
    (void)state;
    check_case(ALLOY_SOURCE_DIR "/tests/golden/qwen3_5");
}

static void routed_experts_are(void **state)
{
    (void)state;
    check_case(ALLOY_SOURCE_DIR "/tests/golden/qwen3_moe");
}

static void llama_in_shards_is(void **state)
{
    (void)state;
    check_case(ALLOY_SOURCE_DIR "/tests/golden/llama_linear_sharded");
}

static void compressed_attention_with_hyper_connections_is(void **state)
{
    (void)state;
    check_case(ALLOY_SOURCE_DIR "/tests/golden/dsv4");
}

static void cases_named_on_the_command_line_are(void **state)
{
    check_case(*state);
}

int main(int count, char **arguments)
{
    if (count > 1) {
        int failed = 0;
        for (int i = 1; i < count; i++) {
            const struct CMUnitTest one[] = {
                cmocka_unit_test_prestate(cases_named_on_the_command_line_are, arguments[i])};
            failed += cmocka_run_group_tests(one, NULL, NULL);
        }
        return failed;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(qwen3_is_as_exact_as_transformers),
        cmocka_unit_test(a_hybrid_of_delta_nets_and_gated_attention_is),
        cmocka_unit_test(routed_experts_are),
        cmocka_unit_test(llama_in_shards_is),
        cmocka_unit_test(compressed_attention_with_hyper_connections_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
