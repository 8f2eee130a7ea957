/* A page of a mapped file that cannot be read arrives as SIGBUS (run.h). Only the command installs a handler; the library never does. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "model/model.h"
#include "run.h"

static const alloy_weights *volatile watched;

static void put(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

/* Decimal digits without stdio, which a handler may not use. */
static void put_number(size_t number)
{
    char digits[24];
    size_t at = sizeof digits - 1;
    digits[at] = 0;
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    put(digits + at);
}

static void on_bus_error(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    const char *path;
    size_t offset;
    const alloy_weights *weights = watched;
    if (!weights || !alloy_weights_locate(weights, info->si_addr, &path, &offset)) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
        return;
    }
    put("alloy: ");
    put(path);
    put(": cannot read at byte ");
    put_number(offset);
    put(": the file was cut short or its disk failed while it was in use (--no-mmap reads a copy)\n");
    _exit(ALLOY_IO);
}

void alloy_cli_watch_files(const alloy_model *model)
{
    watched = model ? model->weights : NULL;
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}
