/* Option structs that begin with their size (src/base/options.c), one by one: a size that is none is refused by the
 * name of the struct, one of an older header is taken, and a field that this library does not know may only be zero. */
#include "engine/models.h"

#include "alloy/roofline.h"

/* Calls that may each fail alone, with options that begin with the size. */
struct calls {
    alloy_model *model;
    alloy_session *session;
};

static alloy_status call(const struct calls *c, int which, const void *options)
{
    const int64_t id = 1;
    float logits[4096];
    alloy_roofline_memory memory;
    int64_t batch, context;
    alloy_host host;
    switch (which) {
    case 0: {
        alloy_model *model;
        alloy_status status = alloy_model_open(&model, GOLDEN("qwen3"), options);
        alloy_model_close(model);
        return status;
    }
    case 1: {
        alloy_session *session;
        alloy_status status = alloy_session_open(&session, c->model, options);
        alloy_session_close(session);
        return status;
    }
    case 2: {
        alloy_cache *cache;
        expect_ok(alloy_cache_open(&cache, c->session, 0));
        alloy_status status = alloy_forward(c->session, &(alloy_sequence){cache, &id, 1}, 1, logits, options);
        alloy_cache_close(cache);
        return status;
    }
    case 3: {
        alloy_generation *generation;
        alloy_status status = alloy_generate(&generation, c->session, NULL, &(alloy_prompt){&id, 1}, 1, options);
        alloy_generation_close(generation);
        return status;
    }
    case 4:
        return alloy_convert(c->model, "/nowhere/model", options);
    case 5: {
        alloy_roofline *r;
        alloy_status status = alloy_roofline_open(&r, c->model, options);
        alloy_roofline_close(r);
        return status;
    }
    case 6:
        return alloy_roofline_needs(c->model, options, 0, &memory);
    case 7:
        return alloy_roofline_fits(c->model, options, 0, 1e9, &batch, &context);
    case 8: {
        alloy_measurement *m;
        alloy_status status = alloy_roofline_measure(&m, c->session, &(alloy_host){0}, options);
        alloy_measurement_close(m);
        return status;
    }
    default:
        return alloy_host_measure(&host, options);
    }
}

static const struct {
    const char *name;
    size_t size;
} structs[] = {
    {"alloy_load_options", sizeof(alloy_load_options)},
    {"alloy_session_options", sizeof(alloy_session_options)},
    {"alloy_forward_options", sizeof(alloy_forward_options)},
    {"alloy_generate_options", sizeof(alloy_generate_options)},
    {"alloy_convert_options", sizeof(alloy_convert_options)},
    {"alloy_roofline_options", sizeof(alloy_roofline_options)},
    {"alloy_roofline_options", sizeof(alloy_roofline_options)},
    {"alloy_roofline_options", sizeof(alloy_roofline_options)},
    {"alloy_measure_options", sizeof(alloy_measure_options)},
    {"alloy_host_options", sizeof(alloy_host_options)},
};
enum { STRUCTS = sizeof structs / sizeof *structs, ROOM = 512 };

static void a_size_that_is_none_is_refused(void **state)
{
    struct calls *c = *state;
    const max_align_t zeros[ROOM / sizeof(max_align_t)] = {0};
    for (int i = 0; i < STRUCTS; i++)
        expect_failure(call(c, i, zeros), ALLOY_ARG, structs[i].name, "size is 0");
}

static void a_field_of_a_newer_header_may_only_be_zero(void **state)
{
    struct calls *c = *state;
    for (int i = 0; i < STRUCTS; i++) {
        _Alignas(max_align_t) char newer[ROOM] = {0};
        size_t size = structs[i].size + 8;
        assert_true(size <= ROOM);
        memcpy(newer, &size, sizeof size);
        newer[size - 1] = 1;
        expect_failure(call(c, i, newer), ALLOY_ARG, structs[i].name, "older than the caller");
    }
}

/* The first field alone, and nothing of the rest: defaults. */
static void an_older_header_is_taken(void **state)
{
    struct calls *c = *state;
    const size_t least = sizeof least;
    expect_ok(call(c, 0, &least));
    expect_ok(call(c, 1, &least));
    expect_ok(call(c, 2, &least));
    expect_failure(call(c, 5, &least), ALLOY_ARG, "no sequences");
}

int main(void)
{
    struct calls c = {.model = open_model(GOLDEN("qwen3"))};
    c.session = open_session(c.model, 1, 64, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(a_size_that_is_none_is_refused, &c),
        cmocka_unit_test_prestate(a_field_of_a_newer_header_may_only_be_zero, &c),
        cmocka_unit_test_prestate(an_older_header_is_taken, &c),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    alloy_session_close(c.session);
    alloy_model_close(c.model);
    return failed;
}
