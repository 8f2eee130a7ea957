/* A chip's file: what is accepted is a chip with a name, a bandwidth and a peak, its numbers within their ranges. */
#include "fuzz/targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void check_number(double value)
{
    PROMISE(value == 0 || (value > 0 && value <= 1e24));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    alloy_chip *chip;
    alloy_status status = alloy_chip_parse(&chip, "fuzz", bytes, size);
    check_error(status);
    PROMISE(!status || !chip);
    PROMISE(!status || status == ALLOY_FORMAT || status == ALLOY_RANGE || status == ALLOY_LIMIT);
    if (status)
        return 0;
    int peaks = 0;
    for (int i = 0; i < ALLOY_PEAK_COUNT; i++) {
        check_number(chip->peak[i]);
        check_number(chip->vector_peak[i]);
        peaks += chip->peak[i] > 0;
    }
    check_number(chip->memory);
    check_number(chip->link_bandwidth);
    check_number(chip->power);
    check_number(chip->price_per_hour);
    check_number(chip->cache);
    check_number(chip->cache_bandwidth);
    PROMISE(chip->name && *chip->name && chip->memory_bandwidth >= 1 && peaks > 0);
    alloy_chip_close(chip);
    return 0;
}
