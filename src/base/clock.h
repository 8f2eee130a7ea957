/* The clock that durations are measured with. */
#ifndef ALLOY_BASE_CLOCK_H
#define ALLOY_BASE_CLOCK_H

/* Seconds on a clock that only goes forward, from an unknown beginning. */
double alloy_seconds(void);

#endif
