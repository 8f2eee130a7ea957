/* Generation on small models: the same tokens alone and in a batch, where outputs end, what a stream shows. */
#include "support.h"

#include <math.h>

#include "base/memory.h"
#include "base/utf8.h"

#define GOLDEN ALLOY_SOURCE_DIR "/tests/golden/"
#define MOBY ALLOY_SOURCE_DIR "/examples/models/moby"

/* What a test needs of a model; the tokenizer is NULL for those that have none. */
struct fixture {
    alloy_model *model;
    alloy_session *session;
    alloy_tokenizer *tokenizer;
};

static struct fixture open_fixture(const char *folder, bool tokenizer)
{
    struct fixture f = {0};
    expect_ok(alloy_model_open(&f.model, folder, NULL));
    expect_ok(alloy_session_open(&f.session, f.model,
                                 &(alloy_session_options){.size = sizeof(alloy_session_options), .threads = 2}));
    if (tokenizer)
        expect_ok(alloy_tokenizer_open(&f.tokenizer, folder));
    return f;
}

static void close_fixture(struct fixture *f)
{
    alloy_tokenizer_close(f->tokenizer);
    alloy_session_close(f->session);
    alloy_model_close(f->model);
}

static const int64_t some_ids[] = {5, 9, 200, 31, 7};

static const alloy_prompt some_prompt = {some_ids, 5};

static alloy_generation *generate(const struct fixture *f, alloy_prompt prompt, alloy_generate_options options)
{
    alloy_generation *generation;
    expect_ok(alloy_generate(&generation, f->session, f->tokenizer, &prompt, 1, &options));
    return generation;
}

static void expect_same_ids(const alloy_output *a, const alloy_output *b)
{
    assert_int_equal(a->count, b->count);
    for (int64_t i = 0; i < a->count; i++)
        assert_int_equal(a->ids[i], b->ids[i]);
}

/* ---- Batches ----------------------------------------------------------------------------------------------------- */

static void an_output_does_not_depend_on_its_neighbours(void **state)
{
    (void)state;
    const char *const folders[] = {GOLDEN "qwen3", GOLDEN "qwen3_5", GOLDEN "qwen3_moe"};
    const int64_t other_ids[] = {77, 3, 3, 3, 3, 3, 250, 1, 2, 9, 8};
    const alloy_prompt prompts[] = {{other_ids, 11}, some_prompt, {other_ids + 4, 1}};
    for (int i = 0; i < 3; i++) {
        struct fixture f = open_fixture(folders[i], false);
        alloy_generate_options options = {.size = sizeof options,
                                          .max_new_tokens = 12,
                                          .ignore_eos = true,
                                          .num_return_sequences = 3,
                                          .sampling = {.temperature = 1.5, .top_p = 0.95, .seed = 11}};
        alloy_generation *batch, *alone = generate(&f, some_prompt, options);
        expect_ok(alloy_generate(&batch, f.session, NULL, prompts, 3, &options));
        assert_int_equal(alloy_generation_count(batch), 9);
        for (int64_t s = 0; s < 3; s++)
            expect_same_ids(alloy_generation_output(batch, 3 + s), alloy_generation_output(alone, s));
        const alloy_usage *usage = alloy_generation_usage(batch);
        assert_int_equal(usage->prompt_tokens, 17);
        assert_int_equal(usage->computed_tokens, 17); /* each prompt once, however many outputs it has */
        assert_int_equal(usage->completion_tokens, 9 * 12);
        alloy_generation_close(batch);
        alloy_generation_close(alone);
        close_fixture(&f);
    }
}

static void outputs_of_one_prompt_are_drawn_apart_and_the_first_is_as_alone(void **state)
{
    (void)state;
    struct fixture f = open_fixture(GOLDEN "qwen3_5", false);
    alloy_generate_options options = {
        .size = sizeof options, .max_new_tokens = 10, .ignore_eos = true, .sampling = {.temperature = 2, .seed = 1}};
    alloy_generation *alone = generate(&f, some_prompt, options);
    options.num_return_sequences = 2;
    alloy_generation *two = generate(&f, some_prompt, options);
    expect_same_ids(alloy_generation_output(two, 0), alloy_generation_output(alone, 0));
    assert_true(
        memcmp(alloy_generation_output(two, 0)->ids, alloy_generation_output(two, 1)->ids, 10 * sizeof(int64_t)) != 0);
    assert_null(alloy_generation_output(two, 2));
    assert_null(alloy_generation_output(two, -1));
    alloy_generation_close(alone);
    alloy_generation_close(two);
    close_fixture(&f);
}

/* ---- Ends -------------------------------------------------------------------------------------------------------- */

static void an_end_of_sequence_id_ends_an_output(void **state)
{
    (void)state;
    struct fixture f = open_fixture(GOLDEN "qwen3", false);
    alloy_generation *all = generate(
        &f, some_prompt,
        (alloy_generate_options){.size = sizeof(alloy_generate_options), .max_new_tokens = 8, .ignore_eos = true});
    const alloy_output *whole = alloy_generation_output(all, 0);
    assert_int_equal(whole->count, 8);
    assert_int_equal(whole->finish, ALLOY_FINISH_LENGTH);
    int64_t eos[] = {whole->ids[5]}, at = 0;
    while (whole->ids[at] != eos[0])
        at++;
    alloy_generate_options options = {.size = sizeof options, .max_new_tokens = 8, .eos_ids = eos, .eos_count = 1};
    alloy_generation *ended = generate(&f, some_prompt, options);
    const alloy_output *output = alloy_generation_output(ended, 0);
    assert_int_equal(output->count, at + 1);
    assert_int_equal(output->ids[at], eos[0]);
    assert_int_equal(output->finish, ALLOY_FINISH_STOP);
    alloy_generation_close(all);
    alloy_generation_close(ended);
    close_fixture(&f);
}

static void p7_p9_the_context_ends_an_output(void **state)
{
    (void)state;
    struct fixture f = open_fixture(GOLDEN "qwen3_5", false);
    alloy_generation *full =
        generate(&f, some_prompt,
                 (alloy_generate_options){.size = sizeof(alloy_generate_options), .context = 9, .ignore_eos = true});
    assert_int_equal(alloy_generation_output(full, 0)->count, 4);
    assert_int_equal(alloy_generation_output(full, 0)->finish, ALLOY_FINISH_LENGTH);
    alloy_generation *out;
    alloy_generate_options as_long = {.size = sizeof as_long, .context = 5},
                           longer = {.size = sizeof longer, .context = 4};
    expect_failure(alloy_generate(&out, f.session, NULL, &some_prompt, 1, &as_long), ALLOY_CONTEXT, "5 tokens",
                   "context of 5");
    expect_failure(alloy_generate(&out, f.session, NULL, &some_prompt, 1, &longer), ALLOY_CONTEXT, "context of 4");
    assert_null(out);
    alloy_generation_close(full);
    close_fixture(&f);
}

static void a_stop_text_ends_an_output_wherever_tokens_end(void **state)
{
    (void)state;
    struct fixture f = open_fixture(MOBY, true);
    alloy_ids prompt = {0};
    expect_ok(alloy_tokenizer_encode(f.tokenizer, "Call me", 7, ALLOY_ENCODE_ADD_SPECIAL, &prompt));
    alloy_generate_options options = {.size = sizeof options, .max_new_tokens = 24};
    alloy_generation *all = generate(&f, (alloy_prompt){prompt.ids, prompt.count}, options);
    const alloy_output *whole = alloy_generation_output(all, 0);
    assert_true(whole->text_size > 30);
    for (size_t at = 1; at + 5 < whole->text_size; at += 3) {
        char stop[6] = {0};
        memcpy(stop, whole->text + at, 5);
        if (alloy_utf8_valid(stop, 5) != 5)
            continue;
        options.stop = (const char *const[]){"no such text", stop};
        options.stop_count = 2;
        alloy_generation *stopped = generate(&f, (alloy_prompt){prompt.ids, prompt.count}, options);
        const alloy_output *output = alloy_generation_output(stopped, 0);
        size_t first = (size_t)(strstr(whole->text, stop) - whole->text);
        assert_int_equal(output->finish, ALLOY_FINISH_STOP);
        assert_int_equal(output->text_size, first);
        assert_memory_equal(output->text, whole->text, first);
        alloy_generation_close(stopped);
    }
    alloy_generation_close(all);
    alloy_ids_free(&prompt);
    close_fixture(&f);
}

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

struct watched {
    char text[4][8192];
    size_t size[4];
    int64_t tokens[4];
    alloy_finish finish[4];
    int64_t cancel_after; /* pieces; 0: never */
    int64_t pieces;
};

static bool watch(void *user, const alloy_piece *piece)
{
    struct watched *w = user;
    assert_int_equal(alloy_utf8_valid(piece->text, piece->text_size), piece->text_size); /* whole characters only */
    assert_int_equal(w->finish[piece->output], ALLOY_FINISH_NONE);
    memcpy(w->text[piece->output] + w->size[piece->output], piece->text, piece->text_size);
    w->size[piece->output] += piece->text_size;
    w->tokens[piece->output]++;
    w->finish[piece->output] = piece->finish;
    return ++w->pieces != w->cancel_after;
}

/* P10: so hot that characters are begun and never ended. */
static void p10_a_stream_shows_whole_characters_and_all_of_the_text(void **state)
{
    (void)state;
    struct fixture f = open_fixture(MOBY, true);
    static struct watched w;
    w = (struct watched){0};
    alloy_generate_options options = {.size = sizeof options,
                                      .max_new_tokens = 60,
                                      .num_return_sequences = 4,
                                      .sampling = {.temperature = 50, .seed = 2},
                                      .stop = (const char *const[]){"e", "\xEF\xBF\xBD\xEF\xBF\xBD"},
                                      .stream = watch,
                                      .user = &w};
    for (options.stop_count = 0; options.stop_count <= 2; options.stop_count++) {
        w = (struct watched){0};
        alloy_generation *generation = generate(&f, some_prompt, options);
        for (int64_t i = 0; i < 4; i++) {
            const alloy_output *output = alloy_generation_output(generation, i);
            assert_int_equal(w.tokens[i], output->count);
            assert_int_equal(w.finish[i], output->finish);
            assert_int_equal(w.size[i], output->text_size);
            assert_memory_equal(w.text[i], output->text, output->text_size);
        }
        alloy_generation_close(generation);
    }
    close_fixture(&f);
}

static bool refuse(void *user, int64_t done, int64_t tokens)
{
    (void)user;
    assert_true(done <= tokens);
    return false;
}

static void a_callback_can_cancel(void **state)
{
    (void)state;
    struct fixture f = open_fixture(GOLDEN "qwen3", false);
    static struct watched w;
    w = (struct watched){.cancel_after = 3};
    alloy_generate_options options = {
        .size = sizeof options, .max_new_tokens = 60, .ignore_eos = true, .stream = watch, .user = &w};
    alloy_generation *generation = generate(&f, some_prompt, options);
    assert_int_equal(alloy_generation_output(generation, 0)->count, 3);
    assert_int_equal(alloy_generation_output(generation, 0)->finish, ALLOY_FINISH_CANCELLED);
    alloy_generation_close(generation);
    options = (alloy_generate_options){.size = sizeof(alloy_generate_options), .progress = refuse};
    generation = generate(&f, some_prompt, options);
    assert_int_equal(alloy_generation_output(generation, 0)->count, 0);
    assert_int_equal(alloy_generation_output(generation, 0)->finish, ALLOY_FINISH_CANCELLED);
    alloy_generation_close(generation);
    close_fixture(&f);
}

/* ---- The rest ---------------------------------------------------------------------------------------------------- */

static void logprobs_come_with_each_id(void **state)
{
    (void)state;
    struct fixture f = open_fixture(GOLDEN "qwen3", false);
    alloy_generation *generation =
        generate(&f, some_prompt,
                 (alloy_generate_options){
                     .size = sizeof(alloy_generate_options), .max_new_tokens = 20, .ignore_eos = true, .logprobs = 3});
    const alloy_output *output = alloy_generation_output(generation, 0);
    assert_int_equal(output->likeliest_count, 3);
    for (int64_t i = 0; i < output->count; i++) {
        assert_int_equal(output->likeliest[3 * i].id, output->ids[i]); /* greedy */
        assert_true(output->likeliest[3 * i].logprob == output->logprobs[i]);
        assert_true(output->likeliest[3 * i + 1].logprob <= output->logprobs[i]);
    }
    alloy_generation_close(generation);
    generation = generate(
        &f, some_prompt,
        (alloy_generate_options){.size = sizeof(alloy_generate_options), .max_new_tokens = 1, .logprobs = 1000});
    assert_int_equal(alloy_generation_output(generation, 0)->likeliest_count, 256);
    alloy_generation_close(generation);
    close_fixture(&f);
}

static void p1_p6_calls_that_cannot_be_meant_are_refused(void **state)
{
    (void)state;
    struct fixture f = open_fixture(GOLDEN "qwen3", false);
    alloy_generation *out;
    const int64_t negative[] = {1, -1}, large[] = {256}, eos[] = {256};
    expect_failure(alloy_generate(&out, f.session, NULL, &(alloy_prompt){negative, 0}, 1, NULL), ALLOY_ARG, "empty");
    expect_failure(alloy_generate(&out, f.session, NULL, &(alloy_prompt){negative, 2}, 1, NULL), ALLOY_RANGE, "-1");
    expect_failure(alloy_generate(&out, f.session, NULL, &(alloy_prompt){large, 1}, 1, NULL), ALLOY_RANGE, "256",
                   "255");
    expect_failure(alloy_generate(&out, f.session, NULL, &some_prompt, 0, NULL), ALLOY_ARG, "prompts");
    const struct {
        alloy_status status;
        alloy_generate_options options;
        const char *word;
    } rows[] = {
        {ALLOY_RANGE, {.max_new_tokens = -1}, "max_new_tokens"},
        {ALLOY_RANGE, {.num_return_sequences = 1025}, "num_return_sequences"},
        {ALLOY_RANGE, {.num_return_sequences = -1}, "num_return_sequences"},
        {ALLOY_RANGE, {.logprobs = 1001}, "logprobs"},
        {ALLOY_RANGE, {.context = -1}, "context"},
        {ALLOY_RANGE, {.eos_ids = eos, .eos_count = 1}, "end-of-sequence"},
        {ALLOY_RANGE, {.sampling = {.top_p = 2}}, "top_p"},
        {ALLOY_RANGE, {.sampling = {.temperature = (double)NAN}}, "temperature"},
        {ALLOY_ARG, {.stop = (const char *const[]){"x"}, .stop_count = 1}, "tokenizer"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        alloy_generate_options options = rows[i].options;
        options.size = sizeof options;
        expect_failure(alloy_generate(&out, f.session, NULL, &some_prompt, 1, &options), rows[i].status, rows[i].word);
        assert_null(out);
    }
    close_fixture(&f);
}

/* A weight that is NaN loads, and generation stops before it makes a token of it. */
static void s20_logits_that_are_not_finite_stop_generation(void **state)
{
    (void)state;
    char *folder = test_folder();
    size_t size, config_size;
    char *config = read_whole(GOLDEN "qwen3/config.json", &config_size);
    write_file(folder, "config.json", config, config_size);
    char *bytes = read_whole(GOLDEN "qwen3/model.safetensors", &size);
    const char *entry = strstr(bytes + 8, "\"lm_head.weight\"");
    assert_non_null(entry);
    unsigned long long begin, header = (unsigned char)bytes[0] | (unsigned long long)(unsigned char)bytes[1] << 8;
    assert_int_equal(sscanf(strstr(entry, "\"data_offsets\":"), "\"data_offsets\":[%llu", &begin), 1);
    const float nan = NAN;
    memcpy(bytes + 8 + header + begin + 64 * 4 * 17, &nan, sizeof nan); /* row 17 */
    write_file(folder, "model.safetensors", bytes, size);
    struct fixture f = open_fixture(folder, false);
    static struct watched w;
    w = (struct watched){0};
    alloy_generation *out;
    alloy_generate_options options = {.size = sizeof options, .max_new_tokens = 4, .stream = watch, .user = &w};
    expect_failure(alloy_generate(&out, f.session, NULL, &some_prompt, 1, &options), ALLOY_RANGE, "not finite",
                   "NaN at [17, 0] of lm_head.weight");
    assert_null(out);
    assert_int_equal(w.pieces, 0);
    close_fixture(&f);
    free(config);
    free(bytes);
    remove_folder(folder);
}

/* Every allocation fails once: NOMEM, nothing leaks, and the session still works. */
static void memory_may_end_anywhere(void **state)
{
    (void)state;
    struct fixture f = open_fixture(MOBY, true);
    alloy_generate_options options = {.size = sizeof options,
                                      .max_new_tokens = 3,
                                      .num_return_sequences = 2,
                                      .logprobs = 2,
                                      .stop = (const char *const[]){"zz"},
                                      .stop_count = 1,
                                      .sampling = {.temperature = 1, .top_k = 5, .repetition_penalty = 1.1}};
    alloy_generation *first = generate(&f, some_prompt, options), *out;
    alloy_status status = ALLOY_NOMEM;
    int64_t n = 0;
    for (; status == ALLOY_NOMEM; n++) {
        alloy_memory_fail_after(n);
        status = alloy_generate(&out, f.session, f.tokenizer, &some_prompt, 1, &options);
        alloy_memory_fail_after(-1);
        assert_true(status == ALLOY_NOMEM || status == ALLOY_OK);
    }
    assert_true(n > 20);
    expect_same_ids(alloy_generation_output(out, 0), alloy_generation_output(first, 0));
    alloy_generation_close(first);
    alloy_generation_close(out);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_output_does_not_depend_on_its_neighbours),
        cmocka_unit_test(outputs_of_one_prompt_are_drawn_apart_and_the_first_is_as_alone),
        cmocka_unit_test(an_end_of_sequence_id_ends_an_output),
        cmocka_unit_test(p7_p9_the_context_ends_an_output),
        cmocka_unit_test(a_stop_text_ends_an_output_wherever_tokens_end),
        cmocka_unit_test(p10_a_stream_shows_whole_characters_and_all_of_the_text),
        cmocka_unit_test(a_callback_can_cancel),
        cmocka_unit_test(logprobs_come_with_each_id),
        cmocka_unit_test(p1_p6_calls_that_cannot_be_meant_are_refused),
        cmocka_unit_test(s20_logits_that_are_not_finite_stop_generation),
        cmocka_unit_test(memory_may_end_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
