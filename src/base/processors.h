/* How many processors this process may use: what its affinity mask and the quotas of its control groups leave. */
#ifndef ALLOY_BASE_PROCESSORS_H
#define ALLOY_BASE_PROCESSORS_H

/* 1 to ALLOY_MOST_THREADS. */
int alloy_processors(void);

/* The least quota of the control groups that `groups` (as /proc/self/cgroup) names, found where `mounts` (as
 * /proc/self/mountinfo) has them, in whole processors, rounded up; 0 where there is none. A file that is missing or not
 * as expected sets no limit. */
int alloy_processor_quota(const char *groups, const char *mounts);

#endif
