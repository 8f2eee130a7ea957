/* The bar (progress.h). A short run shows none: the first half second passes in silence. */
#include "progress.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { BAR_WIDTH = 30 };

static const double FIRST_AFTER = 0.5, AGAIN_AFTER = 0.1; /* seconds */

static struct {
    bool shown; /* at all */
    volatile sig_atomic_t visible;
    const char *label;     /* of the bar that is running; NULL: none */
    double started, drawn; /* seconds */
} bar;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void alloy_cli_progress_show(bool show)
{
    bar.shown = show;
}

static void draw(const char *unit, int64_t done, int64_t total)
{
    char cells[BAR_WIDTH + 1];
    double share = total > 0 ? (double)done / (double)total : 0;
    for (int i = 0; i < BAR_WIDTH; i++)
        cells[i] = (double)i < share * BAR_WIDTH ? '#' : ' ';
    cells[BAR_WIDTH] = 0;
    fprintf(stderr, "\r%s [%s] %3.0f%%  %lld/%lld %s\033[K", bar.label, cells, 100 * share, (long long)done,
            (long long)total, unit);
    fflush(stderr);
    bar.visible = true;
}

void alloy_cli_progress(const char *label, const char *unit, int64_t done, int64_t total)
{
    if (!bar.shown)
        return;
    double now = seconds();
    if (bar.label != label) {
        bar.label = label;
        bar.started = bar.drawn = now;
    }
    if (done >= total) {
        alloy_cli_progress_clear();
        bar.label = NULL;
        return;
    }
    if (now - bar.started < FIRST_AFTER || now - bar.drawn < AGAIN_AFTER)
        return;
    bar.drawn = now;
    draw(unit, done, total);
}

void alloy_cli_progress_of(void *unit, const char *label, int64_t done, int64_t total)
{
    alloy_cli_progress(label, unit, done, total);
}

void alloy_cli_progress_clear(void)
{
    if (bar.visible)
        fputs("\r\033[K", stderr);
    bar.visible = false;
}

void alloy_cli_progress_die(void)
{
    static const char gone[] = "\r\033[K";
    if (bar.visible)
        (void)!write(STDERR_FILENO, gone, sizeof gone - 1);
}
