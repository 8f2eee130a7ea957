/* Figures as text (figures.h). */
#include "roofline/figures.h"

enum { MOST_DIGITS = 40 }; /* of 128 bits */

void alloy_text_count(alloy_text *text, alloy_count value, char separator)
{
    char digits[MOST_DIGITS];
    int count = 0;
    if (value < 0)
        alloy_text_char(text, '-');
    /* digits of a negative number one by one, so that the least number has no special case */
    do {
        int digit = (int)(value % 10);
        digits[count++] = (char)('0' + (digit < 0 ? -digit : digit));
        value /= 10;
    } while (value != 0);
    while (count > 0) {
        alloy_text_char(text, digits[--count]);
        if (separator && count > 0 && count % 3 == 0)
            alloy_text_char(text, separator);
    }
}
