/* How a token is chosen: against an independent transcription of transformers' logits processors, in fp64 over plain
 * arrays. */
#include "support.h"

#include <math.h>

#include "base/random.h"
#include "engine/sample.h"

enum { VOCAB = 40, DRAWS = 20000 };

/* ---- The transcription ------------------------------------------------------------------------------------------- */

/* Probabilities after temperature, top-k, top-p and min-p as transformers' processors define them: an id is dropped by
 * top-p when the ids from it downwards hold at most 1 - top_p, by min-p when it is below min_p times the largest. */
static void expected_probabilities(const float *logits, const alloy_sampling *s, double *p)
{
    int order[VOCAB];
    for (int i = 0; i < VOCAB; i++)
        order[i] = i;
    for (int i = 1; i < VOCAB; i++) /* insertion sort, stable: ties keep the lower id first */
        for (int j = i; j > 0 && logits[order[j]] > logits[order[j - 1]]; j--) {
            int swap = order[j];
            order[j] = order[j - 1];
            order[j - 1] = swap;
        }
    int kept = s->top_k ? (int)s->top_k : VOCAB;
    double total = 0, below = 0;
    for (int i = 0; i < VOCAB; i++)
        p[order[i]] = i < kept ? exp((double)(logits[order[i]] - logits[order[0]]) / s->temperature) : 0;
    for (int i = 0; i < VOCAB; i++)
        total += p[i];
    for (int i = kept - 1; s->top_p > 0 && i > 0; i--) {
        below += p[order[i]] / total;
        if (below <= 1 - s->top_p)
            kept = i;
    }
    double sum = 0, most = p[order[0]];
    for (int i = 0; i < VOCAB; i++) {
        if (i >= kept || p[order[i]] < s->min_p * most)
            p[order[i]] = 0;
        sum += p[order[i]];
    }
    for (int i = 0; i < VOCAB; i++)
        p[i] /= sum;
}

/* Logits with a few likely ids, drawn with a seed. */
static void some_logits(uint64_t seed, float *logits)
{
    for (int i = 0; i < VOCAB; i++)
        logits[i] = (float)(8 * alloy_random_uniform(seed, 1, (uint64_t)i) - 4);
}

static int64_t next(alloy_sampler *sampler, const float *logits, uint64_t sequence, int64_t position)
{
    int64_t prompt[1] = {0}, id;
    alloy_history history = {.prompt = prompt, .prompt_count = position, .sequence = sequence};
    expect_ok(alloy_sampler_next(sampler, logits, &history, &id));
    return id;
}

static void open_sampler(alloy_sampler *sampler, alloy_sampling sampling)
{
    alloy_sampler_open(sampler, alloy_kernels_get("generic"), VOCAB);
    expect_ok(alloy_sampler_set(sampler, &sampling));
}

/* ---- Greedy ------------------------------------------------------------------------------------------------------ */

static void greedy_takes_the_largest_and_the_lower_of_equals(void **state)
{
    (void)state;
    alloy_sampler sampler;
    open_sampler(&sampler, (alloy_sampling){0});
    float logits[VOCAB];
    some_logits(1, logits);
    logits[7] = logits[31] = 9;
    assert_int_equal(next(&sampler, logits, 0, 1), 7);
    for (int i = 0; i < VOCAB; i++)
        logits[i] = -0.0f;
    logits[5] = 0; /* equal to -0 */
    assert_int_equal(next(&sampler, logits, 0, 1), 0);
    alloy_sampler_close(&sampler);
}

static void a_tiny_temperature_is_nearly_greedy(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        alloy_sampler sampler;
        open_sampler(&sampler, (alloy_sampling){.temperature = i ? 1e-300 : 1e-30, .top_p = 0.9});
        float logits[VOCAB];
        some_logits(2, logits);
        logits[11] = 5;
        for (int64_t position = 1; position < 100; position++)
            assert_int_equal(next(&sampler, logits, 0, position), 11);
        alloy_sampler_close(&sampler);
    }
}

static void s20_logits_that_are_not_finite_are_never_a_token(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++)
        for (int sampled = 0; sampled < 2; sampled++) {
            alloy_sampler sampler;
            open_sampler(&sampler, (alloy_sampling){.temperature = sampled, .top_k = 5});
            float logits[VOCAB];
            some_logits(3, logits);
            logits[13] = bad[i];
            int64_t prompt[3] = {1, 2, 3}, id;
            alloy_history history = {.prompt = prompt, .prompt_count = 3};
            expect_failure(alloy_sampler_next(&sampler, logits, &history, &id), ALLOY_RANGE, "id 13", "position 3",
                           i ? "infinite" : "NaN");
            alloy_sampler_close(&sampler);
        }
}

/* ---- Sampling ---------------------------------------------------------------------------------------------------- */

/* Draws at many positions; each id's share must lie within 5 standard deviations of its probability, and what has none
 * is never drawn. */
static void check_distribution(alloy_sampling sampling)
{
    float logits[VOCAB];
    some_logits(sampling.seed, logits);
    logits[3] = logits[17] = logits[21]; /* ties */
    double p[VOCAB];
    expected_probabilities(logits, &sampling, p);
    int drawn[VOCAB] = {0};
    alloy_sampler sampler;
    open_sampler(&sampler, sampling);
    static int64_t prompt[DRAWS]; /* zeros: without penalties only their number counts */
    for (int64_t position = 1; position <= DRAWS; position++) {
        int64_t id;
        alloy_history history = {.prompt = prompt, .prompt_count = position, .sequence = 4};
        expect_ok(alloy_sampler_next(&sampler, logits, &history, &id));
        drawn[id]++;
    }
    alloy_sampler_close(&sampler);
    for (int i = 0; i < VOCAB; i++) {
        double share = (double)drawn[i] / DRAWS, tolerance = 5 * sqrt(p[i] * (1 - p[i]) / DRAWS) + 1e-9;
        if (p[i] == 0 ? drawn[i] != 0 : fabs(share - p[i]) > tolerance)
            fail_msg(
                "temperature %g top_k %lld top_p %g min_p %g: id %d was drawn %d times of %d, its probability is %g",
                sampling.temperature, (long long)sampling.top_k, sampling.top_p, sampling.min_p, i, drawn[i], DRAWS,
                p[i]);
    }
}

static void draws_follow_the_distribution_of_transformers(void **state)
{
    (void)state;
    const double temperatures[] = {0.5, 1, 1.7}, top_ps[] = {0, 0.3, 0.9, 1}, min_ps[] = {0, 0.2};
    const int64_t top_ks[] = {0, 1, 7, 40};
    uint64_t seed = 10;
    for (int t = 0; t < 3; t++)
        for (int k = 0; k < 4; k++)
            for (int p = 0; p < 4; p++)
                for (int m = 0; m < 2; m++)
                    if (++seed % 3 == 0 ||
                        k == 2) /* a third of the product and all of one column: the rest adds only time */
                        check_distribution((alloy_sampling){.temperature = temperatures[t],
                                                            .top_k = top_ks[k],
                                                            .top_p = top_ps[p],
                                                            .min_p = min_ps[m],
                                                            .seed = seed});
}

static void a_draw_depends_on_seed_sequence_and_position_only(void **state)
{
    (void)state;
    alloy_sampling sampling = {.temperature = 1.5, .top_k = 20, .seed = 5};
    float logits[VOCAB], others[VOCAB];
    some_logits(6, logits);
    some_logits(7, others);
    alloy_sampler alone, busy, other_seed;
    open_sampler(&alone, sampling);
    open_sampler(&busy, sampling);
    sampling.seed++;
    open_sampler(&other_seed, sampling);
    int differ_by_sequence = 0, differ_by_seed = 0;
    for (int64_t position = 1; position <= 200; position++) {
        int64_t id = next(&alone, logits, 2, position);
        next(&busy, others, 0, position);
        next(&busy, others, 1, position);
        assert_int_equal(next(&busy, logits, 2, position), id);
        differ_by_sequence += next(&busy, logits, 3, position) != id;
        differ_by_seed += next(&other_seed, logits, 2, position) != id;
    }
    assert_true(differ_by_sequence > 100);
    assert_true(differ_by_seed > 100);
    alloy_sampler_close(&alone);
    alloy_sampler_close(&busy);
    alloy_sampler_close(&other_seed);
}

/* ---- Penalties --------------------------------------------------------------------------------------------------- */

static void penalties_treat_each_id_once_and_count_the_output(void **state)
{
    (void)state;
    const int64_t prompt[] = {1, 2, 1}, output[] = {2, 3, 3};
    alloy_history history = {.prompt = prompt, .prompt_count = 3, .output = output, .output_count = 3};
    alloy_sampler sampler;
    open_sampler(&sampler,
                 (alloy_sampling){.repetition_penalty = 1.25, .frequency_penalty = 0.5, .presence_penalty = 0.25});
    float logits[VOCAB];
    for (int i = 0; i < VOCAB; i++)
        logits[i] = -8;
    logits[1] = 5;  /* 5 / 1.25: in the prompt */
    logits[2] = 5;  /* 5 / 1.25 - 0.5 - 0.25: in both, once in the output */
    logits[3] = -1; /* -1 * 1.25 - 2 * 0.5 - 0.25: twice in the output */
    int64_t id;
    for (int again = 0; again < 2; again++) { /* nothing is left over from the call before */
        expect_ok(alloy_sampler_next(&sampler, logits, &history, &id));
        assert_int_equal(id, 1);
        assert_true(sampler.scores[1] == 4);
        assert_true(sampler.scores[2] == 3.25f);
        assert_true(sampler.scores[3] == -2.5f);
        assert_true(sampler.scores[4] == -8);
    }
    alloy_sampler_close(&sampler);
}

static void penalties_come_before_the_temperature(void **state)
{
    (void)state;
    const int64_t prompt[] = {4};
    alloy_history history = {.prompt = prompt, .prompt_count = 1};
    float logits[VOCAB];
    for (int i = 0; i < VOCAB; i++)
        logits[i] = -100;
    logits[4] = 2.1f; /* 0.21 after the penalty: last of the three, so top_k 2 drops it */
    logits[5] = 2;
    logits[6] = 1.9f;
    alloy_sampler sampler;
    open_sampler(&sampler, (alloy_sampling){.temperature = 1, .top_k = 2, .repetition_penalty = 10});
    for (uint64_t sequence = 0; sequence < 200; sequence++) {
        int64_t id;
        history.sequence = sequence;
        expect_ok(alloy_sampler_next(&sampler, logits, &history, &id));
        assert_true(id == 5 || id == 6);
    }
    alloy_sampler_close(&sampler);
}

/* ---- The rest ---------------------------------------------------------------------------------------------------- */

static void logprobs_are_those_of_the_raw_logits(void **state)
{
    (void)state;
    float logits[VOCAB];
    some_logits(8, logits);
    logits[30] = logits[2] = 6; /* equal: the lower id first */
    double total = 0;
    for (int i = 0; i < VOCAB; i++)
        total += exp((double)logits[i]);
    alloy_sampler sampler;
    open_sampler(&sampler, (alloy_sampling){.temperature = 0.1});
    float chosen;
    alloy_logprob likeliest[VOCAB];
    expect_ok(alloy_sampler_logprobs(&sampler, logits, 19, &chosen, likeliest, VOCAB));
    assert_true(fabs(chosen - (logits[19] - log(total))) < 1e-6);
    assert_int_equal(likeliest[0].id, 2);
    assert_int_equal(likeliest[1].id, 30);
    for (int i = 0; i < VOCAB; i++) {
        assert_true(fabs(likeliest[i].logprob - (logits[likeliest[i].id] - log(total))) < 1e-6);
        assert_true(i == 0 || likeliest[i].logprob <= likeliest[i - 1].logprob);
    }
    alloy_sampler_close(&sampler);
}

static void settings_outside_their_range_are_refused(void **state)
{
    (void)state;
    alloy_sampler sampler;
    alloy_sampler_open(&sampler, alloy_kernels_get("generic"), VOCAB);
#define refused(field, number)                                                                                         \
    expect_failure(alloy_sampler_set(&sampler, &(alloy_sampling){.field = number}), ALLOY_RANGE, #field)
    refused(temperature, -1);
    refused(temperature, NAN);
    refused(temperature, INFINITY);
    refused(top_k, -1);
    refused(top_p, -0.1);
    refused(top_p, 1.5);
    refused(top_p, NAN);
    refused(min_p, 2);
    refused(repetition_penalty, -1);
    refused(presence_penalty, NAN);
    refused(frequency_penalty, 1e9);
#undef refused
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_largest_and_the_lower_of_equals),
        cmocka_unit_test(a_tiny_temperature_is_nearly_greedy),
        cmocka_unit_test(s20_logits_that_are_not_finite_are_never_a_token),
        cmocka_unit_test(draws_follow_the_distribution_of_transformers),
        cmocka_unit_test(a_draw_depends_on_seed_sequence_and_position_only),
        cmocka_unit_test(penalties_treat_each_id_once_and_count_the_output),
        cmocka_unit_test(penalties_come_before_the_temperature),
        cmocka_unit_test(logprobs_are_those_of_the_raw_logits),
        cmocka_unit_test(settings_outside_their_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
