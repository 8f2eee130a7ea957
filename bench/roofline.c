/* How long the roofline takes: the analysis alone, and the whole command.
 *
 *     bench_roofline CONFIG COMMAND RUNS
 *
 * Prints medians of RUNS: microseconds of one analysis of a decode step (after parsing), by each accounting, and
 * milliseconds from the start of `COMMAND roofline CONFIG` to its end, on the clock and of the processor. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloy/alloy.h"
#include "base/clock.h"
#include "base/median.h"

enum { MOST_RUNS = 10000 };

/* What a model of 10T parameters and 200 layers may take. */
static const double MOST_ANALYSIS = 100e-6, MOST_COMMAND = 10e-3;

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, alloy_error());
    return 1;
}

static int time_analysis(const alloy_model *model, alloy_accounting accounting, double *seconds, int runs)
{
    alloy_roofline_sequences decode = {.count = 1, .tokens = 1, .cached = 4096};
    alloy_roofline_options options = {
        .size = sizeof options, .sequences = &decode, .sequences_count = 1, .accounting = accounting};
    int64_t ops = 0;
    for (int i = 0; i < runs; i++) {
        alloy_roofline *roofline;
        double begin = alloy_seconds();
        if (alloy_roofline_open(&roofline, model, &options))
            return fail("analysis");
        seconds[i] = alloy_seconds() - begin;
        ops = alloy_roofline_ops(roofline);
        alloy_roofline_close(roofline);
    }
    printf("analysis, %-7s %8.1f us of %lld ops (at most %.0f us)\n", accounting == ALLOY_EXACT ? "exact" : "classic",
           alloy_median(seconds, runs) * 1e6, (long long)ops, MOST_ANALYSIS * 1e6);
    return 0;
}

static double processor_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static int run_command(const char *command, const char *config)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        execl(command, command, "roofline", config, (char *)NULL);
        _exit(127);
    }
    return pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
}

static int time_command(const char *command, const char *config, double *seconds, int runs)
{
    double before = processor_seconds();
    for (int i = 0; i < runs; i++) {
        double begin = alloy_seconds();
        if (run_command(command, config)) {
            fprintf(stderr, "%s roofline %s did not succeed\n", command, config);
            return 1;
        }
        seconds[i] = alloy_seconds() - begin;
    }
    double processor = (processor_seconds() - before) / runs;
    printf("command           %8.2f ms, %.2f ms of the processor (at most %.0f ms)\n",
           alloy_median(seconds, runs) * 1e3, processor * 1e3, MOST_COMMAND * 1e3);
    return 0;
}

int main(int argc, char **argv)
{
    static double seconds[MOST_RUNS];
    alloy_config *config;
    alloy_model *model;
    int runs = argc == 4 ? atoi(argv[3]) : 0;
    if (runs < 1 || runs > MOST_RUNS) {
        fprintf(stderr, "bench_roofline CONFIG COMMAND RUNS\n");
        return 2;
    }
    if (alloy_config_open(&config, argv[1]) || alloy_model_describe(&model, config))
        return fail(argv[1]);
    int code = time_analysis(model, ALLOY_CLASSIC, seconds, runs);
    code = code ? code : time_analysis(model, ALLOY_EXACT, seconds, runs);
    code = code ? code : time_command(argv[2], argv[1], seconds, runs < 200 ? runs : 200);
    alloy_model_close(model);
    alloy_config_close(config);
    return code;
}
