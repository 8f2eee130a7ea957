/* Nearest name (names.h): restricted Damerau-Levenshtein distance, three rows. */
#include "base/names.h"

#include <string.h>

enum { LONGEST = 64 };

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static int distance(const char *a, size_t n, const char *b, size_t m)
{
    int rows[3][LONGEST + 1];
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int replace = last[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = smaller(replace, smaller(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smaller(now[j], before[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

const char *alloy_nearest_name(const char *name, const char *const *candidates, size_t count)
{
    size_t n = strlen(name);
    if (n == 0 || n > LONGEST)
        return NULL;
    const char *best = NULL;
    int least = (int)(n / 3) + 2;
    for (size_t i = 0; i < count; i++) {
        size_t m = strlen(candidates[i]);
        if (m > LONGEST)
            continue;
        int d = distance(name, n, candidates[i], m);
        if (d < least) {
            least = d;
            best = candidates[i];
        }
    }
    return best;
}
