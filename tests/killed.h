/* A call in a process that is killed at its n-th stop at a system call: what it leaves is what a crash leaves. */
#ifndef ALLOY_TESTS_KILLED_H
#define ALLOY_TESTS_KILLED_H

#include "support.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

/* Calls in a child and kills it at its n-th stop (each system call has two); false when the call ends before. */
static inline bool run_and_kill(alloy_status (*call)(void *context), void *context, int n)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(77);
        raise(SIGSTOP);
        _exit(call(context));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    for (int i = 0; i < n && WIFSTOPPED(status); i++) {
        ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
    }
    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), 0);
        return false;
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return true;
}

/* Makes test_folder take folders where a sync takes no time; the result goes to end_in_memory. */
static inline char *begin_in_memory(void)
{
    const char *parent = getenv("TMPDIR");
    char *before = parent ? strdup(parent) : NULL;
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    return before;
}

static inline void end_in_memory(char *before)
{
    if (before)
        setenv("TMPDIR", before, 1);
    else
        unsetenv("TMPDIR");
    free(before);
}

#endif
