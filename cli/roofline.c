/* `alloy roofline CONFIG|MODEL`: how fast a model can be at most on a chip, from its config and lengths alone. */
#include "roofline.h"

#include <string.h>

#include "alloy/extend.h"
#include "base/file_write.h"
#include "base/status.h"
#include "output.h"

/* ---- Reports ----------------------------------------------------------------------------------------------------- */

static bool is_stdout(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

static alloy_status print_form(const alloy_report *report, alloy_report_form form, bool is_text)
{
    char *text;
    size_t size;
    alloy_status status = alloy_report_write(report, form, &text, &size);
    if (!status)
        is_text ? alloy_cli_print_lines(text, size) : alloy_cli_write(text, size);
    alloy_free(text);
    return status;
}

/* Several chips are compared; a level that was asked for brings their reports too. */
static alloy_status print_text(const alloy_cli_roofline_options *o, const alloy_report *report, bool compares)
{
    alloy_status status = compares ? print_form(report, ALLOY_REPORT_COMPARISON, true) : ALLOY_OK;
    if (!status && compares && o->level.given)
        alloy_cli_print("\n");
    return !status && (!compares || o->level.given) ? print_form(report, ALLOY_REPORT_TEXT, true) : status;
}

static alloy_status print_document(const alloy_cli_roofline_options *o, const alloy_report *report, bool compares)
{
    if (o->common.json)
        return print_form(report, ALLOY_REPORT_JSON, false);
    if (o->csv)
        return print_form(report, ALLOY_REPORT_CSV, false);
    if (is_stdout(o->html))
        return print_form(report, ALLOY_REPORT_HTML, false);
    return is_stdout(o->svg) ? print_form(report, ALLOY_REPORT_SVG, false) : print_text(o, report, compares);
}

/* What --html and --svg name, beside what is printed. */
static alloy_status write_file(const char *path, const alloy_report *report, alloy_report_form form)
{
    char *text;
    size_t size;
    if (!path || is_stdout(path))
        return ALLOY_OK;
    alloy_status status = alloy_report_write(report, form, &text, &size);
    if (!status)
        status = alloy_file_replace(path, text, size);
    if (!status)
        alloy_cli_say("written: %s", alloy_printable_path(path));
    alloy_free(text);
    return status;
}

/* Documents are made in memory, a kilobyte or two a row; a config of a kilobyte may name 100,000 layers. */
static alloy_status check_rows(const alloy_cli_roofline_options *o, const alloy_report_request *request,
                               const alloy_report *report)
{
    static const int64_t MOST_ROWS = 100000;
    bool all_modules = o->common.json || o->html || o->svg;
    int level = all_modules && request->level < ALLOY_LEVEL_MODULES ? ALLOY_LEVEL_MODULES : request->level;
    int64_t rows = alloy_report_row_count(report, level);
    if (rows <= MOST_ROWS)
        return ALLOY_OK;
    return alloy_fail(ALLOY_LIMIT,
                      "num_hidden_layers is %lld: a report of %lld rows of modules and ops, at most %lld are written "
                      "(--num-layers N, one forward by --at, or text of --level 2)",
                      (long long)alloy_config_num_layers(alloy_model_config(request->model)), (long long)rows,
                      (long long)MOST_ROWS);
}

static alloy_status print_report(const alloy_cli_roofline_options *o, const alloy_report_request *request)
{
    alloy_report *report;
    alloy_status status = alloy_report_open(&report, request);
    if (status)
        return status;
    status = check_rows(o, request, report);
    if (!status)
        status = write_file(o->html, report, ALLOY_REPORT_HTML);
    if (!status)
        status = write_file(o->svg, report, ALLOY_REPORT_SVG);
    if (!status)
        status = print_document(o, report, request->chip_count > 1);
    alloy_report_close(report);
    return status;
}

/* ---- The command ------------------------------------------------------------------------------------------------- */

static alloy_status run_on(const alloy_cli_job *job, const alloy_cli_chips *chips, alloy_report_point *points,
                           int64_t point_count)
{
    const alloy_cli_roofline_options *o = job->options;
    bool whole = o->level.given || o->common.json || o->csv || o->html || o->svg;
    alloy_report_request request = {.size = sizeof request,
                                    .model = job->model,
                                    .name = o->common.model,
                                    .both = o->accounting && strcmp(o->accounting, "both") == 0,
                                    .level = o->level.given ? (int)o->level.value : ALLOY_LEVEL_KINDS,
                                    .compute_dtype = o->compute_dtype,
                                    .page = o->page.value,
                                    .times_only = chips->count > 1 && !whole,
                                    .points = points,
                                    .point_count = point_count,
                                    .chips = chips->items,
                                    .chip_count = chips->count};
    alloy_routing_file routing;
    alloy_status status = alloy_cli_terms_read(o, job->model, &request.options, &routing);
    if (!status)
        status = alloy_cli_efficiency_read(o->efficiency, &request.efficiency);
    if (!status)
        alloy_cli_routing_compare(o, job->model, &routing, points, point_count);
    if (!status)
        status = o->explain ? alloy_cli_explain(o, &request) : print_report(o, &request);
    alloy_routing_file_free(&routing);
    return status;
}

static alloy_status run(alloy_cli_job *job)
{
    const alloy_cli_roofline_options *o = job->options;
    if ((o->html || o->svg) && (o->list || o->explain || o->measure))
        return alloy_fail(ALLOY_ARG, "--html and --svg draw a report; --list, --explain and --measure print no report");
    if (o->csv + o->common.json + is_stdout(o->html) + is_stdout(o->svg) > 1)
        return alloy_fail(ALLOY_ARG,
                          "one of --json, --csv, --html - and --svg -: all of them print to standard output");
    if (o->list)
        return alloy_cli_chips_print(o);
    if (!job->model)
        return alloy_fail(ALLOY_ARG, "MODEL is missing: alloy roofline MODEL (alloy roofline --help)");
    if (o->measure)
        return alloy_cli_measure(job);
    alloy_cli_chips chips;
    alloy_report_point *points;
    int64_t point_count;
    alloy_status status = alloy_cli_chips_open(o, &chips);
    if (status)
        return status;
    status = alloy_cli_points_open(o, &points, &point_count);
    if (!status)
        status = run_on(job, &chips, points, point_count);
    alloy_cli_points_close(points, point_count);
    alloy_cli_chips_close(&chips);
    return status;
}

#define OWN(field) offsetof(alloy_cli_roofline_options, field)
#define DTYPES "int4 int8 fp4 fp8 fp16 bf16 fp32 fp64"
#define DTYPE(flag, field, what)                                                                                       \
    {                                                                                                                  \
        .name = (flag), .kind = ALLOY_CLI_TEXT, .offset = OWN(field), .value = "DTYPE", .help = (what)                 \
    }
#define LENGTH(flag, field, from, what)                                                                                \
    {                                                                                                                  \
        .name = (flag), .kind = ALLOY_CLI_INTEGER, .offset = OWN(field), .value = "N", .least = (from),                \
        .most = 0x1p36, .help = (what)                                                                                 \
    }

static const alloy_cli_option flags[] = {
    {.name = "mode",
     .kind = ALLOY_CLI_CHOICE,
     .offset = OWN(mode),
     .value = "MODE",
     .choices = "prefill mini-prefill decode",
     .help = "the forward (default: all three)"},
    LENGTH("batch", batch, 1, "sequences (default: 1)"),
    LENGTH("seq-len", seq_len, 1, "new tokens of prefill (default: 4096)"),
    LENGTH("chunk-len", chunk_len, 1, "new tokens of mini-prefill (default: 512)"),
    LENGTH("kv-cache-len", kv_cache_len, 0, "cached tokens of mini-prefill (default: 2048) and decode (default: 4096)"),
    {.name = "at",
     .kind = ALLOY_CLI_TEXTS,
     .offset = OWN(at),
     .value = "POINT",
     .help = "a forward: prefill:4096, mini-prefill:512+2048 (new + cached tokens) or decode:4096"},
    {.name = "sequences",
     .kind = ALLOY_CLI_TEXT,
     .offset = OWN(sequences),
     .value = "LIST",
     .help = "one forward of different sequences, new + cached tokens: 4096+0,32x1+8192"},
    {.name = "hardware",
     .kind = ALLOY_CLI_TEXTS,
     .use = ALLOY_CLI_READS,
     .offset = OWN(hardware),
     .value = "CHIP",
     .help = "names (--list shows them), JSON files, or host, which is this machine, between commas (default: H100); "
             "several are compared"},
    {.name = "host-refresh",
     .kind = ALLOY_CLI_SWITCH,
     .offset = OWN(host_refresh),
     .help = "measure this machine again, though a file has its figures"},
    {.name = "measure",
     .kind = ALLOY_CLI_SWITCH,
     .offset = OWN(measure),
     .help = "run the model here and print each kind of module's time beside its bound (default: prefill:512 and "
             "decode:512)"},
    LENGTH("runs", runs, 1, "forwards that --measure takes the median of (default: 5)"),
    {.name = "list",
     .kind = ALLOY_CLI_SWITCH,
     .offset = OWN(list),
     .help = "print the chips and where their figures are from"},
    {.name = "accounting",
     .kind = ALLOY_CLI_CHOICE,
     .offset = OWN(accounting),
     .value = "KIND",
     .choices = "classic exact both",
     .help =
         "classic (default): published conventions; exact: what a good kernel has to do; both: and where they differ"},
    DTYPE("dtype", dtype,
          "of weights, activations, keys and values: " DTYPES
          " (default: the config's; a checkpoint's weights by themselves)"),
    DTYPE("weight-dtype", weight_dtype, "of weights"),
    DTYPE("activation-dtype", activation_dtype, "of activations"),
    DTYPE("kv-dtype", common.kv_dtype, "of cached keys and values (default: as activations)"),
    DTYPE("indexer-dtype", indexer_dtype, "of an indexer's keys (default: as keys and values)"),
    DTYPE("compute-dtype", compute_dtype, "whose peak of the chip products run at (default: that of activations)"),
    {.name = "level",
     .kind = ALLOY_CLI_INTEGER,
     .offset = OWN(level),
     .value = "N",
     .least = ALLOY_LEVEL_TOTAL,
     .most = ALLOY_LEVEL_OPS,
     .help = "1: the total; 2 (default): kinds of modules; 3: every layer; 4: the ops inside"},
    {.name = "explain",
     .kind = ALLOY_CLI_OPTIONAL,
     .offset = OWN(explain),
     .value = "[MODULE]",
     .help = "print conventions, the formulas of a module (default: of all) with their numbers, and sources of chips"},
    {.name = "routing",
     .kind = ALLOY_CLI_TEXT,
     .use = ALLOY_CLI_READS,
     .offset = OWN(routing),
     .value = "HOW",
     .help = "experts that exact reads: even (default), worst, best, zipf:S, or a file {\"LAYER\": [tokens of each "
             "expert]}"},
    {.name = "delta",
     .kind = ALLOY_CLI_CHOICE,
     .offset = OWN(delta),
     .value = "FORM",
     .choices = "step chunk",
     .help =
         "the delta rule in exact: token by token, or in chunks of 64 (default: chunks where a sequence brings more)"},
    {.name = "fusion",
     .kind = ALLOY_CLI_CHOICE,
     .offset = OWN(fusion),
     .value = "UNIT",
     .choices = "module op",
     .help = "exact: tensors inside a module stay on chip (default), or each op reads and writes its own"},
    {.name = "logits",
     .kind = ALLOY_CLI_CHOICE,
     .offset = OWN(logits),
     .value = "ROWS",
     .choices = "last all",
     .help = "exact: logits of the last token of a sequence (default), or of every one"},
    LENGTH("page", page, 1, "tokens a page of the cache, for the memory that is needed (default: 1)"),
    {.name = "efficiency",
     .kind = ALLOY_CLI_TEXT,
     .offset = OWN(efficiency),
     .value = "SHARES",
     .help = "an estimate beside the bound: compute=0.6,memory=0.8,overhead=3us (of each op)"},
    {.name = "csv", .kind = ALLOY_CLI_SWITCH, .offset = OWN(csv), .help = "print a table of comma-separated values"},
    {.name = "html",
     .kind = ALLOY_CLI_TEXT,
     .use = ALLOY_CLI_WRITES,
     .offset = OWN(html),
     .value = "FILE",
     .help = "write a page of charts and tables that needs nothing else; - for standard output"},
    {.name = "svg",
     .kind = ALLOY_CLI_TEXT,
     .use = ALLOY_CLI_WRITES,
     .offset = OWN(svg),
     .value = "FILE",
     .help = "write the charts alone; - for standard output"},
    {0},
};

static const alloy_cli_place places[] = {
    {.name = "MODEL",
     .offset = ALLOY_CLI_COMMON(model),
     .optional = true,
     .use = ALLOY_CLI_READS,
     .help = "a config.json, a model's folder (whose files tell the dtypes), or user/name in the Hub's cache"},
    {0},
};

const alloy_cli_command alloy_cli_roofline = {
    .name = "roofline",
    .summary = "how fast a model can be at most on a chip",
    .about =
        "Counts what a forward has to compute and to move, by the model's own code and from its config and lengths "
        "alone, and sets it against the peaks of chips. docs/roofline.md has the conventions.",
    .examples = "  alloy roofline examples/configs/readme.json\n"
                "  alloy roofline examples/configs/readme.json --mode decode --kv-cache-len 8192 --level 3\n"
                "  alloy roofline examples/configs/readme.json --hardware H100,Ascend910C,MI300X\n"
                "  alloy roofline path/to/model --measure\n"
                "  alloy roofline path/to/model --at decode:4096 --explain qwen3_attention\n",
    .places = places,
    .flags = flags,
    .options_size = sizeof(alloy_cli_roofline_options),
    .opens = ALLOY_CLI_MODEL_OR_CONFIG,
    .run = run,
};
