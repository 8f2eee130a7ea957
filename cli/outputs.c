/* The files that a run writes (outputs.h). */
#include "outputs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file_set.h"
#include "base/file_write.h"
#include "base/status.h"
#include "base/text.h"
#include "output.h"

enum { MOST_NAME = 64 };

/* A value on the command line that names a file, and how messages call it: "--out", "MODEL". */
typedef struct named {
    alloy_cli_use use;
    const char *what, *value;
} named;

typedef struct check {
    alloy_file_set set;
    char names[ALLOY_CLI_MOST_FLAGS][MOST_NAME]; /* "--out", ... */
    int name_count;
    bool force;
    const char *on_stdout; /* the first that goes to standard output */
} check;

/* ---- The values of a command line -------------------------------------------------------------------------------- */

typedef alloy_status visitor(void *context, const named *value);

static alloy_status visit_flag(const alloy_cli_option *flag, const void *options, const char *what, visitor *visit,
                               void *context)
{
    const void *field = (const char *)options + flag->offset;
    if (flag->kind != ALLOY_CLI_TEXTS) {
        const char *value = *(const char *const *)field;
        return value ? visit(context, &(named){flag->use, what, value}) : ALLOY_OK;
    }
    const alloy_cli_texts *texts = field;
    alloy_status status = ALLOY_OK;
    for (int64_t i = 0; i < texts->count && !status; i++)
        status = visit(context, &(named){flag->use, what, texts->items[i]});
    return status;
}

/* Each value that was given and names a file that is used so. The names of flags are kept in `c`. */
static alloy_status each_value(check *c, const alloy_cli_command *command, const void *options, alloy_cli_use use,
                               visitor *visit)
{
    const alloy_cli_option *const tables[] = {command->flags, alloy_cli_every_flags,
                                              alloy_cli_takes_model_flags(command) ? alloy_cli_model_flags : NULL};
    alloy_status status = ALLOY_OK;
    for (const alloy_cli_place *p = command->places; p && p->name && !status; p++) {
        const char *value = *(const char *const *)((const char *)options + p->offset);
        if (value && p->use == use)
            status = visit(c, &(named){use, p->name, value});
    }
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (const alloy_cli_option *flag = tables[i]; flag && flag->name && !status; flag++) {
            if (flag->use != use || c->name_count == ALLOY_CLI_MOST_FLAGS)
                continue;
            char *what = c->names[c->name_count++];
            snprintf(what, MOST_NAME, "--%s", flag->name);
            status = visit_flag(flag, options, what, visit, c);
        }
    return status;
}

/* ---- What is read ------------------------------------------------------------------------------------------------ */

/* The folder of a name in the Hub's cache. What is not there is left to who opens it. */
static alloy_status add_hub_folder(check *c, const char *name, const char *what)
{
    alloy_model_files *files;
    if (alloy_model_files_find(&files, name, true))
        return ALLOY_OK;
    alloy_status status = alloy_file_set_read(&c->set, alloy_model_files_folder(files), what);
    alloy_model_files_release(files);
    return status;
}

static alloy_status add_read(void *context, const named *value)
{
    check *c = context;
    alloy_status status = alloy_file_set_read(&c->set, value->value, value->what);
    if (!status && access(value->value, F_OK) != 0)
        status = add_hub_folder(c, value->value, value->what);
    alloy_text part = {0};
    for (const char *at = value->value; !status && strchr(value->value, ','); at++) {
        size_t size = strcspn(at, ",");
        alloy_text_clear(&part);
        alloy_text_append(&part, at, size);
        status = alloy_text_status(&part);
        status = status ? status : alloy_file_set_read(&c->set, alloy_text_get(&part), value->what);
        at += size;
        if (*at == 0)
            break;
    }
    alloy_text_free(&part);
    return status;
}

/* The standard streams, where they are files, and what is known of this machine. */
static alloy_status add_own(check *c)
{
    char *folder = alloy_host_folder();
    alloy_status status = alloy_file_set_descriptor(&c->set, STDIN_FILENO, false, "standard input");
    status = status ? status : alloy_file_set_descriptor(&c->set, STDOUT_FILENO, true, "standard output");
    status = status ? status : alloy_file_set_descriptor(&c->set, STDERR_FILENO, true, "standard error");
    if (!status && folder)
        status = alloy_file_set_read(&c->set, folder, "figures of this machine");
    alloy_free(folder);
    return status;
}

/* ---- What is written --------------------------------------------------------------------------------------------- */

static bool is_stdout(const char *value)
{
    return strcmp(value, "-") == 0;
}

static alloy_status add_written(void *context, const named *value)
{
    check *c = context;
    if (!is_stdout(value->value))
        return alloy_file_set_write(&c->set, value->value, value->what);
    if (c->on_stdout)
        return alloy_fail(ALLOY_ARG, "%s and %s -: one of them can print to standard output", c->on_stdout,
                          value->what);
    c->on_stdout = value->what;
    return ALLOY_OK;
}

static alloy_status check_folder(void *context, const named *value)
{
    return alloy_folder_check(value->value, NULL, ((const check *)context)->force);
}

alloy_status alloy_cli_check_outputs(const alloy_cli_command *command, const void *options)
{
    const alloy_cli_common *common = options;
    check c = {.force = common->force, .on_stdout = common->json ? "--json" : NULL};
    alloy_status status = each_value(&c, command, options, ALLOY_CLI_READS, add_read);
    status = status ? status : add_own(&c);
    status = status ? status : each_value(&c, command, options, ALLOY_CLI_WRITES, add_written);
    status = status ? status : each_value(&c, command, options, ALLOY_CLI_WRITES_FOLDER, check_folder);
    alloy_file_set_free(&c.set);
    return status;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------- */

static alloy_status release(void *context, const named *value)
{
    (void)context;
    alloy_file_release_reader(value->value);
    return ALLOY_OK;
}

void alloy_cli_release_readers(const alloy_cli_command *command, const void *options)
{
    check c = {0};
    each_value(&c, command, options, ALLOY_CLI_WRITES, release);
}

const char *alloy_cli_output_path(const char *value)
{
    if (!is_stdout(value))
        return value;
    alloy_cli_flush(); /* a failure is kept, and reported at the end */
    return "/dev/stdout";
}
