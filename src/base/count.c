/* Counts for the library's users (alloy.h). */
#include "base/count.h"

alloy_count alloy_count_of(int64_t value)
{
    return alloy_count_from(value);
}

alloy_count alloy_count_add(alloy_count a, alloy_count b)
{
    return alloy_count_from(alloy_wide_of(a) + alloy_wide_of(b));
}

alloy_count alloy_count_multiply(alloy_count count, int64_t factor)
{
    return alloy_count_from(alloy_wide_of(count) * factor);
}

double alloy_count_double(alloy_count count)
{
    return (double)alloy_wide_of(count);
}

char *alloy_count_text(alloy_count count, char separator, char *out)
{
    alloy_wide value = alloy_wide_of(count);
    char digits[ALLOY_COUNT_TEXT], *to = out; /* the last one first */
    int size = 0;
    if (value < 0)
        *to++ = '-';
    /* digits of a negative number one by one, so that the least number has no special case */
    do {
        int digit = (int)(value % 10);
        digits[size++] = (char)('0' + (digit < 0 ? -digit : digit));
        value /= 10;
    } while (value != 0);
    while (size > 0) {
        *to++ = digits[--size];
        if (separator && size > 0 && size % 3 == 0)
            *to++ = separator;
    }
    *to = 0;
    return out;
}
