"""L1 to L5: plug-ins, on every command, for each takes --plugin. No code of a file that is refused runs."""

import os
import shutil
import struct

from attack import BUILD, GOLDEN, Row

PT_LOAD = 1  # of ELF
QWEN3 = GOLDEN / "qwen3"
FIXTURES = BUILD / "tests/plugins/fixtures"
COMMANDS = (
    "modules --plugin {plugin}",
    "info {qwen3} --plugin {plugin}",
    "generate {qwen3} --ids 1 -n 1 --plugin {plugin}",
    "roofline {qwen3} --plugin {plugin}",
    "init {qwen3} --out {out}/new --plugin {plugin}",
    "convert {qwen3} --out {out}/new --plugin {plugin}",
    "verify {qwen3} --tokens 2 --plugin {plugin}",
)


def fixture(name, change=None, modes=None):
    """A copy of a fixture, in a folder that this user alone may write to."""

    def make(folder):
        path = folder / name
        os.chmod(folder, 0o700)
        if change is None or (FIXTURES / name).exists():
            shutil.copyfile(FIXTURES / name, path)
        if change:
            data = path.read_bytes() if path.exists() else b""
            path.write_bytes(change(data))
        os.chmod(path, 0o644)
        for target, mode in (modes or {}).items():
            os.chmod(path if target == "file" else folder, mode)
        return {"plugin": path, "qwen3": QWEN3}

    return make


def plugin(id_, what, make, status, says, **more):
    return Row(id_, what, make, COMMANDS, status, says, **more)


def at(offset, *values):
    return lambda data: data[:offset] + bytes(values) + data[offset + len(values) :]


def loaded(data):
    """The bytes of a shared object up to the end of what is loaded of it: what follows is for linkers and debuggers."""
    table, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQ", data, table + i * size) for i in range(count)]
    return data[: max(offset + length for kind, _, offset, _, _, length in headers if kind == PT_LOAD)]


def cut_at(part):
    def cut(data):
        return loaded(data)[: len(loaded(data)) * part // 8]

    return cut


def named(name):
    return lambda folder: {"plugin": name(folder) if callable(name) else name, "qwen3": QWEN3}


def made(make):
    def row(folder):
        make(folder / "plugin.so")
        return {"plugin": folder / "plugin.so", "qwen3": QWEN3}

    return row


ROWS = [
    plugin("L1", "missing", named(lambda folder: folder / "nowhere.so"), "FORMAT|IO", ("nowhere.so", "No such file")),
    plugin("L1", "a missing folder", named(lambda folder: folder / "no/where.so"), "FORMAT|IO", ("no/where.so", "No such file")),
    plugin("L2", "a script", fixture("script.so", lambda data: b"#!/bin/sh\necho hello\n" * 9), "FORMAT", "not an ELF file"),
    plugin("L2", "empty", fixture("empty.so", lambda data: b""), "FORMAT", "not an ELF file"),
    plugin("L2", "another processor", fixture("sound.so", at(18, 22, 0)), "FORMAT", "another processor"),
    plugin("L2", "32 bits", fixture("sound.so", at(4, 1)), "FORMAT", "another processor"),
    plugin("L2", "a program", fixture("sound.so", at(16, 2, 0)), "FORMAT", "not a shared object"),
    plugin("L2", "cut in its header", fixture("sound.so", lambda data: data[:100]), "FORMAT", "sound.so"),
    *[plugin("L2", f"cut at {part} of 8", fixture("sound.so", cut_at(part)), "FORMAT",
             "sound.so") for part in range(1, 7)],
    plugin("L2", "segments beyond its end", fixture("sound.so", at(32, 0xFF, 0xFF, 0xFF)), "FORMAT", "sound.so"),
    plugin("L2", "a symbol that no library has", fixture("unresolved.so"), "FORMAT", ("unresolved.so", "no_library_has_this")),
    plugin("L3", "no information", fixture("no_info.so"), "FORMAT", "no symbol alloy_plugin"),
    plugin("L3", "no init", fixture("no_init.so"), "FORMAT", "no symbol alloy_plugin_init"),
    plugin("L3", "another ABI version", fixture("other_abi.so"), "FORMAT", ("ABI version 0", "recompile")),
    plugin("L3", "another size of a struct", fixture("larger_mixer.so"), "FORMAT", ("alloy_mixer", "bytes", "recompile")),
    plugin("L4", "its init fails", fixture("fails.so"), "FORMAT", ("alloy_plugin_init", "failed")),
    plugin("L4", "its name is taken", fixture("clash.so"), "FORMAT", "qwen3_mlp"),
    plugin("L5", "no path", named("sound.so"), "TRUST", ("sound.so", "'/'")),
    plugin("L5", "the name of a library", named("libm.so.6"), "TRUST", "'/'"),
    plugin("L5", "a file that its group may write", fixture("sound.so", modes={"file": 0o664}), "TRUST", "writable by its group"),
    plugin("L5", "a file that everybody may write", fixture("sound.so", modes={"file": 0o646}), "TRUST",
           "writable by everybody"),
    plugin("L5", "a folder that everybody may write", fixture("sound.so", modes={"folder": 0o777}), "TRUST",
           "writable by everybody"),
    plugin("L5", "a FIFO", made(os.mkfifo), "TRUST", "not a regular file"),
    plugin("L5", "a folder", made(os.mkdir), "TRUST", "not a regular file"),
    Row("L5", "no code of a refused file runs", test="plugins_loading:l5_a_file_that_others_may_write_is_not_opened"),
    Row("L2", "nor of another processor's", test="plugins_loading:l2_another_processors_code_is_refused"),
]  # fmt: skip
