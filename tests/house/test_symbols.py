"""liballoy.so exports what include/alloy declares with ALLOY_API, all of it and nothing else."""

import re
import unittest

from house import BUILD, HEADERS, run

DECLARATION = re.compile(r"^ALLOY_API\b[^;]*?\b(alloy_\w+)\s*\(", re.MULTILINE)


def exported():
    table = run("nm", "--dynamic", "--defined-only", "--format=posix", BUILD / "liballoy.so")
    names = {line.split()[0].split("@")[0] for line in table.splitlines()}
    # gcc exports target_clones and their resolvers whatever -fvisibility says (src/kernels/cpu/generic/clones.h)
    return {name for name in names if not name.startswith("alloy_generic_")}


class Symbols(unittest.TestCase):
    def test_every_exported_symbol_is_alloys(self):
        self.assertEqual(sorted(name for name in exported() if not name.startswith("alloy_")), [])

    def test_what_is_exported_is_what_is_declared(self):
        declared = {name for header in HEADERS for name in DECLARATION.findall(header.read_text())}
        self.assertGreater(len(declared), 20)
        self.assertEqual(sorted(exported() - declared), [], "exported, and in no public header")
        self.assertEqual(sorted(declared - exported()), [], "in a public header, and nowhere defined")


if __name__ == "__main__":
    unittest.main()
