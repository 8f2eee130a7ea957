/* Probes: how much they say they did, and that they leave their memory as it was. How long they take is the machine's
 * business. */
#include "support.h"

#include "base/memory.h"
#include "roofline/probe.h"

enum { THREADS = 2, BYTES = 8 << 20 };

static void expect_amount(const alloy_prober *prober, alloy_probe probe, double expected)
{
    alloy_probe_reading reading = alloy_prober_run(prober, &probe);
    if (reading.amount != expected)
        fail_msg("kind %d: amount %.17g, expected %.17g", (int)probe.kind, reading.amount, expected);
    if (!(reading.seconds > 0) || !(reading.processor_seconds > 0))
        fail_msg("kind %d: took %g s, %g s of a processor", (int)probe.kind, reading.seconds,
                 reading.processor_seconds);
}

static void expect_untouched(const alloy_prober *prober)
{
    for (size_t i = 0; i < prober->bytes; i++)
        if (prober->memory[i] != 0x3c)
            fail_msg("byte %zu is %02x, expected 3c", i, prober->memory[i]);
}

static void amounts_are_those_of_all_workers(void **state)
{
    (void)state;
    alloy_prober prober;
    for (int i = 0; i < alloy_kernels_count(); i++) {
        const alloy_kernels *kernels = alloy_kernels_get(alloy_kernels_name(i));
        if (!kernels) {
            print_message("not run: %s\n", alloy_error());
            continue;
        }
        expect_ok(alloy_prober_open(&prober, THREADS, kernels, BYTES));
        for (int kind = ALLOY_PROBE_READ; kind <= ALLOY_PROBE_COPY; kind++) {
            /* places of two workers, three times over; ten places from the third on; all of the memory */
            expect_amount(&prober, (alloy_probe){.kind = (alloy_probe_kind)kind, .bytes = 16384, .repeats = 3},
                          16384.0 * THREADS * 3);
            expect_amount(
                &prober,
                (alloy_probe){.kind = (alloy_probe_kind)kind, .bytes = 4096, .first = 2, .tasks = 10, .repeats = 1},
                40960);
            expect_amount(&prober, alloy_memory_probe(&prober, (alloy_probe_kind)kind), BYTES);
        }
        static const alloy_dtype dtypes[] = {ALLOY_F32, ALLOY_BF16, ALLOY_F16};
        for (int d = 0; d < 3; d++) {
            alloy_probe probe = {
                .kind = ALLOY_PROBE_LINEAR, .dtype = dtypes[d], .n = 9, .k = 100, .rows = 20, .repeats = 2};
            probe.bytes = alloy_probe_bytes(&probe);
            assert_true(probe.bytes >= (size_t)(9 * 100 * 4 + 20 * 100 * alloy_dtype_bits(dtypes[d]) / 8));
            expect_amount(&prober, probe, 2.0 * 9 * 100 * 20 * THREADS * 2);
        }
        alloy_probe probe = {.kind = ALLOY_PROBE_ADD_SCALED, .n = 1000, .repeats = 5};
        probe.bytes = alloy_probe_bytes(&probe);
        assert_int_equal(probe.bytes, 8192);
        expect_amount(&prober, probe, 2.0 * 1000 * THREADS * 5);
        expect_untouched(&prober);
        alloy_prober_close(&prober);
    }
}

static void what_cannot_be_opened(void **state)
{
    (void)state;
    alloy_prober prober;
    expect_failure(alloy_prober_open(&prober, -1, alloy_kernels_get(NULL), BYTES), ALLOY_RANGE, "threads: -1");
    assert_null(prober.memory);
    for (int64_t n = 0; n < 3; n++) { /* of the team, its scratch, the prober's own */
        alloy_memory_fail_after(n);
        alloy_status status = alloy_prober_open(&prober, 1, alloy_kernels_get(NULL), BYTES);
        alloy_memory_fail_after(-1);
        assert_int_equal(status, ALLOY_NOMEM);
        assert_null(prober.memory);
    }
    alloy_prober_close(&prober);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts_are_those_of_all_workers),
        cmocka_unit_test(what_cannot_be_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
