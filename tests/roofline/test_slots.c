/* What a count makes of lists of slots (model/lists.h): their norms and sums, however equal layers are folded. */
#include "engine/lists.h"

#include "alloy/roofline.h"
#include "base/count.h"
#include "described.h"

static alloy_work total_of(const alloy_model *model, const int64_t *experts_read)
{
    alloy_roofline *r;
    alloy_roofline_sequences one = {1, TOKENS, 0};
    alloy_roofline_options options = {.size = sizeof options,
                                      .accounting = ALLOY_EXACT,
                                      .sequences = &one,
                                      .sequences_count = 1,
                                      .all_logits = true,
                                      .routing = experts_read ? ALLOY_ROUTING_GIVEN : ALLOY_ROUTING_EVEN,
                                      .experts_read = experts_read};
    expect_ok(alloy_roofline_open(&r, model, &options));
    alloy_work total = *alloy_roofline_total(r);
    alloy_roofline_close(r);
    return total;
}

/* Of lists that differ in norms and sums: 4 operations an element of a norm, and its weight is read; 1 of a sum. */
static void a_count_follows_the_list(void **state)
{
    (void)state;
    static const int64_t none[LAYERS];
    alloy_work first = {0};
    for (int i = 0; i < LISTS; i++) {
        struct described d = describe_text(lists[i].config);
        alloy_work once = total_of(d.model, NULL), each = total_of(d.model, none);
        assert_memory_equal(&once, &each, sizeof once); /* equal layers are counted once, and only those */
        first = i == 0 ? once : first;
        int more = lists[i].norms - lists[0].norms;
        assert_memory_equal(&once.tensor_flops, &first.tensor_flops, sizeof once.tensor_flops);
        assert_int_equal(alloy_wide_of(once.vector_flops) - alloy_wide_of(first.vector_flops),
                         (4 * more + lists[i].sums - lists[0].sums) * TOKENS * HIDDEN);
        assert_int_equal(alloy_wide_of(once.read[ALLOY_TRAFFIC_WEIGHTS]) -
                             alloy_wide_of(first.read[ALLOY_TRAFFIC_WEIGHTS]),
                         more * HIDDEN * (int)sizeof(float));
        forget(&d);
    }
}

static const alloy_slot named[] = {{ALLOY_SLOT_READ, "into_mixer"}, {ALLOY_SLOT_MIXER, NULL}, {ALLOY_SLOT_ADD, NULL},
                                   {ALLOY_SLOT_READ, "into_ffn"},   {ALLOY_SLOT_FFN, NULL},   {ALLOY_SLOT_ADD, NULL},
                                   {ALLOY_SLOT_END, NULL}};
ALWAYS(named)

/* Several streams that a plug-in names: rows have the names of its slots, and the last layer's output joins alone. */
static void streams_are_called_as_their_slots(void **state)
{
    (void)state;
    static const int64_t none[LAYERS];
    static alloy_residual streams;
    streams = *alloy_residual_by_name("mhc");
    streams.name = "test_streams";
    streams.slots = always_named;
    expect_ok(alloy_register_residual(&streams));
    struct described d =
        describe_text(CONFIG(", \"residual_mode\": \"test_streams\", \"hc_mult\": 2, \"hc_sinkhorn_iters\": 3"));
    alloy_work once = total_of(d.model, NULL), each = total_of(d.model, none);
    assert_memory_equal(&once, &each, sizeof once);
    alloy_roofline *r;
    alloy_roofline_sequences one = {1, TOKENS, 0};
    expect_ok(alloy_roofline_open(
        &r, d.model,
        &(alloy_roofline_options){.size = sizeof(alloy_roofline_options), .sequences = &one, .sequences_count = 1}));
    static const char *const names[] = {"embedding", "into_mixer", "qwen3_attention", "into_ffn",
                                        "qwen3_mlp", "hc_head",    "final_norm",      "lm_head"};
    assert_int_equal(alloy_roofline_row_count(r, ALLOY_LEVEL_KINDS), 8);
    for (int i = 0; i < 8; i++)
        expect_text(alloy_roofline_row_at(r, ALLOY_LEVEL_KINDS, i).name, names[i]);
    alloy_roofline_close(r);
    forget(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_count_follows_the_list),
                                       cmocka_unit_test(streams_are_called_as_their_slots)};
    return cmocka_run_group_tests(tests, register_lists, NULL);
}
