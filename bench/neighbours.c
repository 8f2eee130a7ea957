/* How fast a model decodes beside programs that want the processors too: a table of tokens a second with 0, 1 and 2
 * neighbours, each a process that does nothing but count, with 1 and 2 threads.
 *
 *     bench_neighbours MODEL TOKENS RUNS
 *
 * A run takes all of the table's places once, one right after the other, so that what else goes on meets all of them.
 * The table has medians of the runs, in its last column of each run's ratio. Single runs go to stderr. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloy/alloy.h"
#include "base/clock.h"
#include "base/median.h"

enum { MOST_RUNS = 100, MOST_NEIGHBOURS = 2, MOST_THREADS = 2, PROMPT = 16, MOST_TOKENS = 4096 };

static void stop(const char *what)
{
    fprintf(stderr, "bench_neighbours: %s: %s\n", what, alloy_error());
    exit(1);
}

static pid_t start_neighbour(void)
{
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        perror("bench_neighbours: fork");
        exit(1);
    }
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* it ends with this process, however that ends */
    for (volatile unsigned long count = 0; getppid() == parent || count; count++)
        ;
    _exit(0);
}

static void stop_neighbour(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* Tokens a second of `tokens` forwards of one token. */
static double decode(alloy_session *session, int64_t tokens, float *logits)
{
    static int64_t ids[MOST_TOKENS + PROMPT];
    int64_t vocab = alloy_model_vocab_size(alloy_session_model(session));
    for (int64_t i = 0; i < tokens + PROMPT; i++)
        ids[i] = (i * 7919 + 13) % vocab;
    alloy_cache *cache;
    if (alloy_cache_open(&cache, session, 0) ||
        alloy_forward(session, &(alloy_sequence){cache, ids, PROMPT}, 1, logits, NULL))
        stop("prompt");
    double begin = alloy_seconds();
    for (int64_t i = 0; i < tokens; i++)
        if (alloy_forward(session, &(alloy_sequence){cache, ids + PROMPT + i, 1}, 1, logits, NULL))
            stop("forward");
    double seconds = alloy_seconds() - begin;
    alloy_cache_close(cache);
    return (double)tokens / seconds;
}

static void print_row(int neighbours, double speeds[MOST_THREADS][MOST_RUNS], int runs)
{
    static const char *const names[] = {"alone", "beside one busy process", "beside two"};
    double ratios[MOST_RUNS];
    for (int run = 0; run < runs; run++)
        ratios[run] = speeds[1][run] / speeds[0][run];
    double one = alloy_median(speeds[0], runs), two = alloy_median(speeds[1], runs);
    printf("| %s | %.1f | %.1f | %.2f |\n", names[neighbours], one, two, alloy_median(ratios, runs));
}

int main(int count, char **arguments)
{
    static double speeds[MOST_NEIGHBOURS + 1][MOST_THREADS][MOST_RUNS];
    int64_t tokens = count == 4 ? atoll(arguments[2]) : 0;
    int runs = count == 4 ? atoi(arguments[3]) : 0;
    if (runs < 1 || runs > MOST_RUNS || tokens < 1 || tokens > MOST_TOKENS) {
        fprintf(stderr, "usage: bench_neighbours MODEL TOKENS RUNS (at most %d and %d)\n", MOST_TOKENS, MOST_RUNS);
        return 2;
    }
    alloy_model *model;
    alloy_session *sessions[MOST_THREADS];
    if (alloy_model_open(&model, arguments[1], NULL))
        stop(arguments[1]);
    for (int i = 0; i < MOST_THREADS; i++)
        if (alloy_session_open(&sessions[i], model,
                               &(alloy_session_options){.size = sizeof(alloy_session_options), .threads = i + 1}))
            stop("session");
    float *logits = malloc((size_t)alloy_model_vocab_size(model) * sizeof *logits);
    if (!logits)
        stop("memory");
    decode(sessions[1], 2, logits); /* pages come in */
    for (int run = 0; run < runs; run++)
        for (int neighbours = 0; neighbours <= MOST_NEIGHBOURS; neighbours++) {
            pid_t pids[MOST_NEIGHBOURS];
            for (int i = 0; i < neighbours; i++)
                pids[i] = start_neighbour();
            for (int i = 0; i < MOST_THREADS; i++) {
                int turn = (run + i) % MOST_THREADS; /* who is first changes */
                speeds[neighbours][turn][run] = decode(sessions[turn], tokens, logits);
            }
            for (int i = 0; i < neighbours; i++)
                stop_neighbour(pids[i]);
            fprintf(stderr, "run %d, %d neighbours: %.1f, %.1f tokens/s\n", run + 1, neighbours,
                    speeds[neighbours][0][run], speeds[neighbours][1][run]);
        }
    printf("| tokens/s | 1 thread | 2 threads | 2 threads / 1 thread |\n|---|---|---|---|\n");
    for (int neighbours = 0; neighbours <= MOST_NEIGHBOURS; neighbours++)
        print_row(neighbours, speeds[neighbours], runs);
    free(logits);
    for (int i = 0; i < MOST_THREADS; i++)
        alloy_session_close(sessions[i]);
    alloy_model_close(model);
    return 0;
}
