/* Runs that cover all pairs (plan.h): greedy, over the whole product, which is small. */
#include "compare/plan.h"

#include <string.h>

typedef bool covered_pairs[ALLOY_PLAN_SETTINGS][ALLOY_PLAN_VALUES][ALLOY_PLAN_SETTINGS][ALLOY_PLAN_VALUES];

/* Pairs of this run that no run has covered; with `mark` they are covered from now on. */
static int new_pairs(const alloy_plan *plan, const int *run, covered_pairs covered, bool mark)
{
    int count = 0;
    for (int a = 0; a < plan->settings; a++)
        for (int b = a + 1; b < plan->settings; b++) {
            bool *pair = &covered[a][run[a]][b][run[b]];
            count += !*pair;
            *pair = *pair || mark;
        }
    return count;
}

/* The next combination of values, the last setting fastest; false after the last one. */
static bool next_combination(const alloy_plan *plan, int *run)
{
    for (int s = plan->settings - 1; s >= 0; s--) {
        if (++run[s] < plan->values[s])
            return true;
        run[s] = 0;
    }
    return false;
}

void alloy_plan_pairs(alloy_plan *plan)
{
    covered_pairs covered;
    memset(covered, 0, sizeof covered);
    for (plan->runs = 0; plan->runs < ALLOY_VERIFY_RUNS; plan->runs++) {
        int run[ALLOY_PLAN_SETTINGS] = {0}, most = 0;
        do {
            int count = new_pairs(plan, run, covered, false);
            if (count > most) {
                most = count;
                memcpy(plan->run[plan->runs], run, sizeof run);
            }
        } while (next_combination(plan, run));
        if (most == 0)
            return;
        new_pairs(plan, plan->run[plan->runs], covered, true);
    }
}
