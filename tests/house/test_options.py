"""All that an op reads or writes stands in its arguments: its options are plain values, without a pointer.

Whatever is handed to alloy_apply as `.options` is looked up by the type of the variable whose size is given with it,
and its members, those of structs in it too, are read from the sources.
"""

import pathlib
import re
import tempfile
import unittest

from house import ROOT

FOLDERS = ("src/ops", "src/modules", "examples/plugins")
GIVEN = re.compile(r"\.options_size = (?:\w+ \? )?sizeof \*?(\w+)")
STRUCT = re.compile(r"^(?:typedef )?struct (\w+) \{\n(.*?)^\}( \w+)?;", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def structs(text):
    """name -> its members, without comments; a typedef has its own name too."""
    found = {}
    for name, members, alias in STRUCT.findall(text):
        found[name] = found[alias.strip() or name] = COMMENT.sub("", members)
    return found


def type_of(text, name, at):
    """The type of a variable, as it was last declared before `at`."""
    declared = re.findall(rf"(?:const )?(?:struct )?(\w+) \*?{name}\b(?: =|;|\)|,)", text[:at])
    return declared[-1] if declared else None


def pointers_in(type_name, known):
    for member in known.get(type_name, "").split(";"):
        if "*" in member:
            yield f"{type_name}: {' '.join(member.split())}"
        words = re.findall(r"\w+", member)
        for word in words[:2]:
            if word in known and word != type_name:
                yield from pointers_in(word, known)


def faults(root):
    public = {}
    for path in sorted((root / "include").rglob("*.h")):
        public |= structs(path.read_text())
    for path in sorted(p for folder in FOLDERS for p in (root / folder).rglob("*.c")):
        text = path.read_text()
        known = public | {k: v for header in path.parent.glob("*.h") for k, v in structs(header.read_text()).items()}
        known |= structs(text)
        for given in GIVEN.finditer(text):
            name = type_of(text, given[1], given.start())
            where = path.relative_to(root).as_posix()
            if name not in known and name not in ("float", "int64_t"):
                yield f"{where}: the type of the options `{given[1]}` is not found"
            for pointer in pointers_in(name, known):
                yield f"{where}: options hold a pointer, {pointer}"


class Options(unittest.TestCase):
    def test_options_hold_no_pointer(self):
        self.assertEqual(list(faults(ROOT)), [])

    def test_ops_with_options_are_found(self):
        texts = [p.read_text() for folder in FOLDERS for p in (ROOT / folder).rglob("*.c")]
        self.assertGreater(sum(len(GIVEN.findall(text)) for text in texts), 15)


class TheTestCanFail(unittest.TestCase):
    def faults_of(self, text):
        with tempfile.TemporaryDirectory() as folder:
            for name in (*FOLDERS, "include"):
                (pathlib.Path(folder) / name).mkdir(parents=True)
            (pathlib.Path(folder) / "src/ops/op.c").write_text(text)
            return list(faults(pathlib.Path(folder)))

    def test_on_a_pointer(self):
        text = "struct options {\n    int64_t k;\n    const float *rows; /* which */\n};\nstruct options o = {1};\n"
        call = "alloy_apply(p, &op, &(alloy_args){.options = &o, .options_size = sizeof o});\n"
        self.assertIn("options: const float *rows", self.faults_of(text + call)[0])
        self.assertEqual(self.faults_of(text.replace("*rows", "rows") + call), [])

    def test_on_a_pointer_within(self):
        text = (
            "struct inner {\n    int *x;\n};\nstruct options {\n    struct inner inner;\n};\n"
            "static void f(const struct options *o)\n{ g(&(alloy_args){.options = o, .options_size = sizeof *o}); }\n"
        )
        self.assertIn("inner: int *x", self.faults_of(text)[0])

    def test_on_an_unknown_type(self):
        self.assertIn("is not found", self.faults_of("f(.options = &o, .options_size = sizeof o);\n")[0])


if __name__ == "__main__":
    unittest.main()
