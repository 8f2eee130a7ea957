/* Runs the command (ALLOY_COMMAND) as a user would, and keeps what it printed.
 *
 *     struct answer answer = run((struct setup){.input = "text"}, "tokenize", MOBY);
 *     expect_code(&answer, ALLOY_OK);
 *     forget(&answer); */
#ifndef ALLOY_TESTS_SPAWN_H
#define ALLOY_TESTS_SPAWN_H

#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "files/json.h"

#define GOLDEN ALLOY_SOURCE_DIR "/tests/golden/"
#define MOBY ALLOY_SOURCE_DIR "/examples/models/moby"

enum { MOST_WORDS = 64 };

/* What is unusual about a run; {0}: nothing. */
struct setup {
    const char *input;  /* on standard input; NULL: nothing, as from /dev/null */
    size_t input_size;  /* bytes; 0: the string's */
    const char *output; /* standard output is this file and not kept */
    bool closed_input, closed_output, broken_pipe;
    const char *locale;       /* LC_ALL */
    const char *hub;          /* HF_HUB_CACHE */
    const char *cache;        /* XDG_CACHE_HOME */
    size_t file_size, memory; /* limits in bytes; 0: none */
    int processes;    /* limit of the user's threads, who is one without others where the test is root; 0: none */
    bool interrupted; /* SIGINT once something has been printed on standard output */
};

struct answer {
    int code;   /* of the exit; -1: a signal ended it */
    int signal; /* which */
    char *out, *err;
    size_t out_size;
    char line[2048]; /* the command line, for messages */
};

static inline void child(const struct setup *setup, char *const *words, int in, int out, int err)
{
    if (setup->locale)
        setenv("LC_ALL", setup->locale, 1);
    if (setup->hub)
        setenv("HF_HUB_CACHE", setup->hub, 1);
    if (setup->cache)
        setenv("XDG_CACHE_HOME", setup->cache, 1);
    if (setup->file_size)
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){setup->file_size, setup->file_size});
    if (setup->memory)
        setrlimit(RLIMIT_AS, &(struct rlimit){setup->memory, setup->memory});
    if (setup->processes) {
        rlim_t most = (rlim_t)setup->processes;
        setrlimit(RLIMIT_NPROC, &(struct rlimit){most, most});
        if (geteuid() == 0 && setuid(65531) != 0) /* root has no such limit */
            _exit(126);
    }
    signal(SIGPIPE, SIG_DFL);
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    for (int i = 3; i < 64; i++)
        close(i);
    if (setup->closed_input)
        close(0);
    if (setup->closed_output)
        close(1);
    execv(ALLOY_COMMAND, words);
    _exit(127);
}

/* Feeds and drains the three pipes until both outputs end. */
static inline void exchange(const struct setup *setup, pid_t pid, int in, int out, int err, struct answer *answer)
{
    const char *input = setup->input ? setup->input : "";
    size_t left = setup->input_size ? setup->input_size : strlen(input), sizes[2] = {0};
    char *texts[2] = {calloc(1, 1), calloc(1, 1)};
    struct pollfd polls[3] = {{out, POLLIN, 0}, {err, POLLIN, 0}, {in, POLLOUT, 0}};
    bool interrupt = setup->interrupted;
    while (polls[0].fd >= 0 || polls[1].fd >= 0) {
        if (left == 0 && polls[2].fd >= 0) {
            close(in);
            polls[2].fd = -1;
        }
        poll(polls, 3, -1);
        for (int i = 0; i < 2; i++) {
            if (polls[i].fd < 0 || !polls[i].revents)
                continue;
            texts[i] = realloc(texts[i], sizes[i] + 65537);
            assert_non_null(texts[i]);
            ssize_t n = read(polls[i].fd, texts[i] + sizes[i], 65536);
            sizes[i] += n > 0 ? (size_t)n : 0;
            texts[i][sizes[i]] = 0;
            if (interrupt && i == 0 && n > 0) {
                kill(pid, SIGINT);
                interrupt = false;
            }
            if (n == 0 || (n < 0 && errno != EINTR)) {
                close(polls[i].fd);
                polls[i].fd = -1;
            }
        }
        if (polls[2].fd >= 0 && polls[2].revents) {
            ssize_t n = write(in, input, left);
            input += n > 0 ? n : 0;
            left = n > 0 ? left - (size_t)n : 0;
        }
    }
    if (polls[2].fd >= 0)
        close(in);
    answer->out = texts[0];
    answer->out_size = sizes[0];
    answer->err = texts[1];
}

static inline struct answer run_words(struct setup setup, char **words)
{
    struct answer answer = {0};
    for (int i = 0; words[i]; i++)
        snprintf(answer.line + strlen(answer.line), sizeof answer.line - strlen(answer.line), "%s%.100s", i ? " " : "",
                 i ? words[i] : "alloy");
    int in[2], out[2], err[2];
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    int target = setup.output ? open(setup.output, O_WRONLY | O_CLOEXEC) : out[1];
    assert_true(target >= 0);
    if (setup.broken_pipe) {
        int broken[2];
        assert_int_equal(pipe2(broken, O_CLOEXEC), 0);
        close(broken[0]);
        target = broken[1];
    }
    pid_t pid = fork();
    if (pid == 0)
        child(&setup, words, in[0], target, err[1]);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    if (target != out[1])
        close(target);
    exchange(&setup, pid, in[1], out[0], err[0], &answer);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    answer.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    answer.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return answer;
}

/* run(setup, "generate", MOBY, "-n", "3") */
#define run(setup, ...) run_words((setup), (char *[]){ALLOY_COMMAND, __VA_ARGS__, NULL})
#define plainly ((struct setup){0})

static inline void forget(struct answer *answer)
{
    free(answer->out);
    free(answer->err);
    answer->out = answer->err = NULL;
}

/* ---- Checks ------------------------------------------------------------------------------------------------------ */

#define expect_code(answer, expected) check_code((answer), (expected), __FILE__, __LINE__)
#define expect_error(answer, expected, ...) check_error((answer), (expected), __FILE__, __LINE__, __VA_ARGS__, NULL)
#define expect_json(answer) check_json((answer), __FILE__, __LINE__)

static inline void check_code(const struct answer *answer, int expected, const char *file, int line)
{
    if (answer->code == expected)
        return;
    print_error("%s\n  ended with %d (signal %d), expected %d\n  %s\n", answer->line, answer->code, answer->signal,
                expected, answer->err);
    _fail(file, line);
}

/* The exit code, one line on stderr that begins with "alloy: " and holds each of the words, and silence on stdout. */
static inline void check_error(const struct answer *answer, int expected, const char *file, int line, ...)
{
    check_code(answer, expected, file, line);
    const char *missing = NULL, *newline = strchr(answer->err, '\n');
    va_list words;
    va_start(words, line);
    for (const char *word; !missing && (word = va_arg(words, const char *));)
        missing = strstr(answer->err, word) ? NULL : word;
    va_end(words);
    bool one_line = strncmp(answer->err, "alloy: ", 7) == 0 && newline && newline[1] == 0;
    if (one_line && !missing && answer->out_size == 0)
        return;
    print_error("%s\n  printed \"%s\" and on stdout \"%s\"\n  expected one line on stderr%s%s\n", answer->line,
                answer->err, answer->out, missing ? " with " : "", missing ? missing : "");
    _fail(file, line);
}

/* Standard output is one JSON document and nothing else. */
static inline void check_json(const struct answer *answer, const char *file, int line)
{
    alloy_json json;
    alloy_json_open(&json, "stdout", answer->out, answer->out_size);
    alloy_json_object(&json);
    for (alloy_json_string_view key; alloy_json_next_key(&json, &key);)
        alloy_json_skip(&json);
    if (alloy_json_close(&json) == ALLOY_OK)
        return;
    print_error("%s\n  printed no JSON object: %s\n  %s\n", answer->line, alloy_error(), answer->out);
    _fail(file, line);
}

static inline void expect_in(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is missing in:\n%s", part, text);
}

#endif
