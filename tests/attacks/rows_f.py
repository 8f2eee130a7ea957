"""F1 to F12: files that change while they are read, writes that fail, and a system that gives too little."""

from attack import GOLDEN, MOBY, Row, copied

QWEN3, SHARDED = GOLDEN / "qwen3", GOLDEN / "llama_linear_sharded"
WRITERS = (
    "init {model} --out {out}/new",
    "convert {model} --out {out}/new",
    "logits {model} --ids 1,2,3,4,5,6,7,8 --out {out}/logits.safetensors",
    "roofline {model} --html {out}/page.html",
    "roofline {model} --svg {out}/charts.svg",
)
RUNS = (
    "generate {model} -p Call -n 2 -t 2 -q",
    "generate {model} -p Call -n 2 -t 8 -q --no-mmap",
    "logits {model} --ids 1,2,3 --out {out}/logits.safetensors",
    "verify {model} --tokens 4",
    "convert {model} --out {out}/new",
    "tokenize {model} text",
    "info {model}",
    "roofline {model}",
    "init {model} --out {out}/init",
)


def tested(id_, what, program, name, **more):
    return Row(id_, what, test=f"{program}:{name}", **more)


def short_of_memory(kilobytes):
    """An address space of so much: done, or NOMEM; 127 is the system's loader, before the command begins."""
    return Row("F10", f"an address space of {kilobytes} kB", copied(MOBY), RUNS, "OK|NOMEM|127", "", json=False,
               limit=f"ulimit -v {kilobytes}", writes=True, unsanitized="a sanitizer reserves more than any limit")  # fmt: skip


def short_of_files(count):
    return Row("F9", f"{count} descriptors", copied(SHARDED), (
        "info {model}", "generate {model} --ids 1 -n 1", "convert {model} --out {out}/new", "verify {model} --tokens 2"),
        "OK|IO|127", "", limit=f"ulimit -n {count}", writes=True, json=False,
        unsanitized="a sanitizer opens files of its own")  # fmt: skip


ROWS = [
    tested("F1", "every file shrinks under every command", "cli_shrinking", "f1_files_that_shrink_and_grow_under_every_command"),
    tested("F2", "weights are cut under every command", "cli_shrinking", "f2_weights_that_are_cut_under_every_command"),
    tested("F11", "a replacement that is killed", "files_folder_write", "w6_f11_a_killed_replacement_leaves_the_old_model_or_the_new_one"),
    tested("F12", "a second writer of a folder", "files_folder_write", "f12_a_second_writer_is_refused"),
    tested("F1", "a file that lost bytes under its mapping", "files_weights", "f1_a_file_that_lost_bytes_under_its_mapping_is_named"),
    tested("F2", "an address leads to file and offset", "files_weights", "f2_an_address_leads_to_its_file_and_offset"),
    tested("F2", "a page that cannot be read", "cli_signals", "f2_f3_a_page_that_cannot_be_read_names_file_and_byte"),
    tested("F2", "many lost pages", "cli_signals", "f2_many_lost_pages_are_one_line_and_one_document"),
    tested("F3", "files that were read do not mind", "cli_signals", "f2_f3_a_page_that_cannot_be_read_names_file_and_byte"),
    tested("F4", "a forward checks the files again", "engine_open", "f4_a_forward_checks_the_files_again"),
    tested("F5", "a full disk leaves the earlier checkpoint", "files_safetensors", "f5_a_full_disk_leaves_the_earlier_checkpoint"),
    tested("F5", "a failed write leaves the old file", "base_file_write", "f5_a_failed_write_leaves_the_old_file_and_nothing_else"),
    tested("F6", "targets that cannot be replaced", "base_file_write", "w3_f6_targets_that_cannot_be_replaced_are_io"),
    tested("F6", "what is mapped is not written over", "cli_signals", "f6_what_is_mapped_is_not_written_over"),
    tested("F7", "a limit of file sizes", "cli_signals", "f6_f7_a_limit_of_file_sizes_is_io"),
    *[Row("F7", f"files of at most {blocks * 512} bytes", copied(QWEN3), WRITERS, "IO", "File too large", good=QWEN3,
          limit=f"ulimit -f {blocks}", json=False) for blocks in (4, 8)],
    tested("F8", "a mapped source is not its own target", "files_safetensors", "f8_a_mapped_source_is_not_its_own_target"),
    tested("F9", "interrupted calls go on", "base_file", "f9_interrupted_calls_go_on"),
    tested("F9", "descriptors that run out", "base_file", "f9_descriptors_that_run_out_are_io"),
    *[short_of_files(count) for count in (4, 5, 6, 8, 12)],
    *[short_of_memory(int(4096 * 1.25**step)) for step in range(18)],
    tested("F10", "little memory", "cli_signals", "f10_little_memory_is_nomem", unsanitized="a sanitizer reserves more than any limit"),
    tested("F10", "fewer threads than asked for", "base_threads", "f10_a_team_takes_the_threads_that_there_are"),
    tested("F11", "killed at any call", "files_safetensors", "f11_a_save_that_is_killed_leaves_the_old_model_or_the_new"),
    tested("F12", "a second writer", "files_safetensors", "f12_a_second_writer_is_refused"),
]  # fmt: skip
