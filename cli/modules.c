/* alloy modules: what the registry holds, built in and from plug-ins. */
#include "alloy/extend.h"
#include "job.h"
#include "output.h"
#include "table.h"

static const char *mask_name(alloy_mask_kind kind)
{
    return kind == ALLOY_MASK_CAUSAL ? "causal" : kind == ALLOY_MASK_SLIDING ? "sliding" : "linear";
}

static alloy_status print_json(void)
{
    alloy_cli_document document;
    alloy_json_writer *w = alloy_cli_document_open(&document, 2);
    alloy_json_field_array(w, "mixers");
    for (int i = 0; alloy_mixer_at(i); i++) {
        alloy_json_write_object(w);
        alloy_json_field_text(w, "name", alloy_mixer_at(i)->name);
        alloy_json_field_text(w, "mask", mask_name(alloy_mixer_at(i)->mask_kind));
        alloy_json_field_text(w, "summary", alloy_mixer_at(i)->summary);
        alloy_json_write_object_end(w);
    }
    alloy_json_write_array_end(w);
    alloy_json_field_array(w, "ffns");
    for (int i = 0; alloy_ffn_at(i); i++) {
        alloy_json_write_object(w);
        alloy_json_field_text(w, "name", alloy_ffn_at(i)->name);
        alloy_json_field_text(w, "summary", alloy_ffn_at(i)->summary);
        alloy_json_write_object_end(w);
    }
    alloy_json_write_array_end(w);
    alloy_json_field_array(w, "residuals");
    for (int i = 0; alloy_residual_at(i); i++) {
        alloy_json_write_object(w);
        alloy_json_field_text(w, "name", alloy_residual_at(i)->name);
        alloy_json_field_text(w, "summary", alloy_residual_at(i)->summary);
        alloy_json_write_object_end(w);
    }
    alloy_json_write_array_end(w);
    return alloy_cli_document_print(&document);
}

static alloy_status run(alloy_cli_job *job)
{
    if (job->common->json)
        return print_json();
    alloy_table table;
    alloy_table_open(&table, "kind|name|mask|what it is");
    for (int i = 0; alloy_mixer_at(i); i++) {
        const alloy_mixer *mixer = alloy_mixer_at(i);
        alloy_table_cell(&table, "mixer");
        alloy_table_cell(&table, "%s", mixer->name);
        alloy_table_cell(&table, "%s", mask_name(mixer->mask_kind));
        alloy_table_cell(&table, "%s", mixer->summary ? mixer->summary : "");
    }
    for (int i = 0; alloy_ffn_at(i); i++) {
        alloy_table_cell(&table, "ffn");
        alloy_table_cell(&table, "%s", alloy_ffn_at(i)->name);
        alloy_table_cell(&table, "-");
        alloy_table_cell(&table, "%s", alloy_ffn_at(i)->summary ? alloy_ffn_at(i)->summary : "");
    }
    for (int i = 0; alloy_residual_at(i); i++) {
        alloy_table_cell(&table, "residual");
        alloy_table_cell(&table, "%s", alloy_residual_at(i)->name);
        alloy_table_cell(&table, "-");
        alloy_table_cell(&table, "%s", alloy_residual_at(i)->summary ? alloy_residual_at(i)->summary : "");
    }
    alloy_cli_table_print(&table);
    return ALLOY_OK;
}

const alloy_cli_command alloy_cli_modules = {
    .name = "modules",
    .summary = "the mixers, FFNs and residuals that a config may name",
    .about =
        "Lists what layer_types, ffn_types and residual_mode of a config may name: what is built in, and what plug-ins "
        "given with --plugin bring.",
    .examples = "  alloy modules\n  alloy modules --plugin ./libmamba2.so --json\n",
    .options_size = sizeof(alloy_cli_common),
    .run = run,
};
