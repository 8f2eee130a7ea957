#!/usr/bin/env python3
"""The page and the drawing of `alloy roofline --html --svg`, in a browser: they draw, sort and explain themselves, ask
nobody for anything, fit any width, can be read in the light and in the dark, and hold the figures of `--json`.

    test_roofline_page.py [Test.name ...]     leaves pictures in build/screenshots
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

from chromium import Chromium

ROOT = pathlib.Path(__file__).resolve().parents[2]
ALLOY = pathlib.Path(os.environ.get("ALLOY_BUILD", ROOT / "build/release")) / "alloy"
SCREENSHOTS = ROOT / "build/screenshots"
EXAMPLES = ROOT / "examples/configs"
HOSTILE = "</title><script>document.title='run'</script><b onclick='x'>&\"\u202e\x01"
WIDTHS = (400, 1400)

READABLE, VISIBLE = 4.5, 3  # contrasts that WCAG 2.1 asks for: text, and what has a meaning in a picture


def alloy(*arguments):
    result = subprocess.run([ALLOY, "roofline", *map(str, arguments)], capture_output=True, text=True)
    if result.returncode:
        raise AssertionError(f"alloy roofline {arguments}\n{result.stderr}")
    return result.stdout


def luminance(colour):
    channels = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


class RooflinePage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="alloy-page-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        printable = HOSTILE.strip("\u202e\x01")  # others are refused in a chip's name
        chip = {"name": printable, "memory_bandwidth": 1e12, "peaks": {"bf16": 1e14}, "power": 100, "price_per_hour": 2}
        (cls.folder / "chip.json").write_text(json.dumps(chip))
        # a file's name has no slash, and need not be UTF-8
        config = os.fsencode(cls.folder / HOSTILE.replace("/", "\\")) + b"\xff.json"
        pathlib.Path(os.fsdecode(config)).write_bytes((EXAMPLES / "readme.json").read_bytes())
        chips = ("--hardware", "H100,Ascend910C,MI300X", "--accounting", "both")
        cls.commands = {
            "one-chip": (EXAMPLES / "readme.json", "--mode", "prefill"),
            "three-chips": (EXAMPLES / "composed.json", *chips),
            "deepseek": (EXAMPLES / "deepseek-v4-flash.json", "--mode", "decode", "--accounting", "exact"),
            "200-layers": (EXAMPLES / "hybrid-10t.json", "--mode", "prefill", "--accounting", "exact"),
            "hostile": (os.fsdecode(config), "--hardware", cls.folder / "chip.json"),
        }
        for name, command in cls.commands.items():
            alloy(*command, "-q", "--html", cls.page(name), "--svg", cls.drawing(name))
        cls.browser = cls.enterClassContext(Chromium())

    @classmethod
    def page(cls, name):
        return cls.folder / f"{name}.html"

    @classmethod
    def drawing(cls, name):
        return cls.folder / f"{name}.svg"

    def open(self, path, **how):
        page = self.browser.open(path, **how)
        self.addCleanup(page.close)
        return page

    def expect_calm(self, page):
        self.assertEqual(page.troubles, [])
        self.assertEqual(page.requests, [])

    def test_pages_fit_and_have_no_troubles(self):
        for name in self.commands:
            for width in WIDTHS:
                for dark in (False, True):
                    with self.subTest(page=name, width=width, dark=dark):
                        page = self.open(self.page(name), width=width, dark=dark)
                        self.assertEqual(page.run("innerWidth"), width)
                        self.assertLessEqual(page.run("document.documentElement.scrollWidth"), width)
                        page.screenshot(SCREENSHOTS / f"{name}-{width}-{'dark' if dark else 'light'}.png")
                        self.expect_calm(page)

    def test_drawings_stand_alone(self):
        for name in self.commands:
            for dark in (False, True):
                with self.subTest(drawing=name, dark=dark):
                    page = self.open(self.drawing(name), width=1010, dark=dark)
                    self.assertEqual(page.run("document.documentElement.localName"), "svg")
                    page.screenshot(SCREENSHOTS / f"{name}-svg-{'dark' if dark else 'light'}.png")
                    self.expect_calm(page)

    def test_markup_is_well_formed(self):
        for name in self.commands:
            with self.subTest(page=name):
                text = self.page(name).read_text(encoding="utf-8", errors="strict")
                self.assertEqual(text.count("<script"), 1)
                xml.etree.ElementTree.fromstring(re.sub(r"<script>.*</script>", "", text, flags=re.DOTALL))
                xml.etree.ElementTree.fromstring(self.drawing(name).read_text(encoding="utf-8", errors="strict"))

    def test_every_module_is_a_mark(self):
        for name in self.commands:
            for width in WIDTHS:
                page = self.open(self.page(name), width=width)
                counts = page.run("""[...document.querySelectorAll("section")].slice(1).map(section => [
                    section.querySelectorAll(".roofline > .mark > *").length,
                    section.querySelectorAll(".modules tbody tr").length * section.querySelectorAll(".layers").length])""")
                self.assertGreater(len(counts), 0)
                for marks, modules in counts:
                    with self.subTest(page=name, width=width):
                        self.assertGreater(marks, 0)
                        self.assertEqual(marks, modules)

    def test_marks_lie_inside_of_their_charts(self):
        for name in self.commands:
            for width in WIDTHS:
                page = self.open(self.page(name), width=width)
                outside = page.run("""[...document.querySelectorAll(".roofline")].flatMap(chart => {
                    const box = chart.getBoundingClientRect();
                    return [...chart.querySelectorAll(".at")].map(mark => mark.getBoundingClientRect()).filter(place => {
                        const x = place.x + place.width / 2, y = place.y + place.height / 2;
                        return x < box.left - 2 || x > box.right + 2 || y < box.top - 2 || y > box.bottom + 2;
                    });}).length""")
                self.assertEqual(outside, 0, f"marks of {name} outside of their chart, {width} pixels wide")

    def rows(self, page, table):
        """The cells of a table: numbers by their data-v, the rest by what can be read."""
        return page.run(f"""[...document.querySelectorAll("table.{table} tbody tr")].map(row =>
            [...row.cells].map(cell => cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v)))""")

    def test_figures_are_those_of_json(self):
        for name, command in self.commands.items():
            with self.subTest(page=name):
                results = json.loads(alloy(*command, "--json", "--level", 3))["results"]
                page = self.open(self.page(name))
                bounds = self.rows(page, "bounds")
                self.assertEqual(len(bounds), len(results))
                for row, result in zip(bounds, results, strict=True):
                    for figure in ("overlap", "per_module", "serial", "tokens_per_second"):
                        self.assertIn(result["bounds"][figure], row)
                for table in ("kinds", "modules"):
                    self.expect_rows(self.rows(page, table), results, table)

    def expect_rows(self, rows, results, table):
        """Tables are a forward each, with the times of all its chips; results are a chip each."""
        chips = len({result["hardware"] for result in results})
        forwards = results[: len(results) // chips]
        expected = [item for result in forwards for item in result[table]]
        self.assertEqual(len(rows), len(expected))
        for row, item in zip(rows, expected, strict=True):
            self.assertIn(item["name"], row)
            for figure in ("tensor_flops", "bytes_read", "bytes_written", "seconds"):
                self.assertIn(item[figure], row, f"{figure} of {item['name']}")

    def test_tables_sort_by_a_click(self):
        page = self.open(self.page("one-chip"))
        read = lambda: [row[6] for row in self.rows(page, "modules")]
        before = read()
        place = page.run("""(() => {
            const heading = [...document.querySelectorAll(".modules thead th")][6];
            heading.scrollIntoView({block: "center"});
            const box = heading.querySelector("button").getBoundingClientRect();
            return [heading.textContent, box.x + 10, box.y + box.height / 2]; })()""")
        self.assertEqual(place[0], "FLOPs / byte")
        self.assertNotEqual(before, sorted(before, reverse=True))
        page.click(*place[1:])
        self.assertEqual(read(), sorted(before, reverse=True))
        page.click(*place[1:])
        self.assertEqual(read(), sorted(before))
        self.expect_calm(page)

    def test_tables_sort_by_the_keyboard(self):
        page = self.open(self.page("one-chip"))
        page.run("""document.querySelector(".kinds thead button").focus()""")
        page.press("Enter")
        names = [row[0] for row in self.rows(page, "kinds")]
        self.assertEqual(names, sorted(names))
        self.assertEqual(page.run("""document.querySelector(".kinds thead th").ariaSort"""), "ascending")
        page.press("Enter")
        self.assertEqual([row[0] for row in self.rows(page, "kinds")], names[::-1])

    def test_thousands_of_layers_sort_at_once(self):
        config = json.loads((EXAMPLES / "readme.json").read_text())
        config["num_hidden_layers"] = 2500
        config["layer_types"]["repeat"] = 625
        config["ffn_types"]["repeat"] = 2500
        (self.folder / "deep.json").write_text(json.dumps(config))
        alloy(self.folder / "deep.json", "--mode", "prefill", "-q", "--html", self.page("deep"))
        page = self.open(self.page("deep"))
        self.assertGreater(page.run("""document.querySelectorAll(".modules tbody tr").length"""), 5000)
        for column, heading in enumerate(("Layer", "Name")):
            seconds = page.run(f"""(() => {{
                const button = document.querySelectorAll(".modules thead button")[{column}];
                return [1, 2, 3, 4].map(() => {{
                    const begin = performance.now();
                    button.click();
                    return (performance.now() - begin) / 1000; }}) }})()""")
            self.assertLess(min(seconds), 10, heading)  # to find that it hangs, not how fast it is

    def test_charts_explain_what_is_under_the_pointer(self):
        for width in WIDTHS:
            page = self.open(self.page("one-chip"), width=width)
            for chart, what in ((".roofline > .mark", "FLOPs / byte"), (".layer", "layers")):
                with self.subTest(width=width, chart=chart):
                    self.assertFalse(page.run("tip.checkVisibility()"))
                    x, y = page.run(f"""(() => {{
                        const mark = document.querySelector("{chart}");
                        mark.scrollIntoView({{block: "center"}});
                        const box = mark.getBoundingClientRect();
                        return [box.x + box.width / 2, box.y + box.height / 2]; }})()""")
                    page.point(x, y)
                    self.assertIn(what, page.run("tip.textContent"))
                    left, right = page.run("(b => [b.left, b.right])(tip.getBoundingClientRect())")
                    self.assertGreaterEqual(left, 0)
                    self.assertLessEqual(right, width)
                    page.screenshot(SCREENSHOTS / f"tip-{chart.split('.')[-1]}-{width}.png", whole=False)
                    page.point(1, 1)
            self.expect_calm(page)

    def test_charts_explain_themselves_by_the_keyboard(self):
        page = self.open(self.page("one-chip"))
        page.run("""document.querySelector(".chart").focus()""")
        page.press("ArrowRight")
        first = page.run("tip.textContent")
        page.press("ArrowRight")
        second = page.run("tip.textContent")
        self.assertIn("lm_head", first)  # the module that takes longest
        self.assertIn("FLOPs / byte", second)
        self.assertNotEqual(first, second)
        self.assertEqual(page.run("""document.querySelectorAll(".chosen").length"""), 1)
        page.press("Escape")
        self.assertEqual(page.run("tip.textContent"), "")
        self.assertEqual(page.run("tip.getAttribute('role')"), "status")  # what a screen reader reads aloud

    def test_light_and_dark_can_be_read(self):
        for dark in (False, True):
            page = self.open(self.page("three-chips"), dark=dark)
            colours = page.run("""(() => {
                const of = (selector, property) => [...new Set([...document.querySelectorAll(selector)]
                    .map(element => getComputedStyle(element)[property]))];
                return {ground: of("body", "backgroundColor")[0],
                        text: [...of("body, a, .quiet, thead th", "color"), ...of(".block text", "fill")],
                        marks: [...of(".mark", "color"), ...of(".total, .roof", "stroke"), ...of(".tensor, .read", "fill")]};
                })()""")
            with self.subTest(dark=dark):
                self.assertEqual(luminance(colours["ground"]) < 0.5, dark)
                self.assertGreater(len(colours["marks"]), 8)
                for colour in colours["text"]:
                    self.assertGreaterEqual(contrast(colour, colours["ground"]), READABLE, colour)
                for colour in colours["marks"]:
                    self.assertGreaterEqual(contrast(colour, colours["ground"]), VISIBLE, colour)

    def test_a_hostile_name_is_only_a_name(self):
        page = self.open(self.page("hostile"))
        self.assertIn("<script>", page.run("document.title"))
        self.assertIn("<b onclick='x'>", page.run("document.querySelector('h1').textContent"))
        self.assertEqual(page.run("document.querySelectorAll('[onclick], h1 b').length"), 0)
        self.expect_calm(page)

    def test_the_policy_lets_nothing_in(self):
        page = self.open(self.page("one-chip"))
        page.run(
            """document.body.append(Object.assign(document.createElement("script"), {text: "window.let_in = true"}))"""
        )
        page.run(
            """document.body.append(Object.assign(document.createElement("img"), {src: "https://example.org/x.png"}))"""
        )
        self.assertIsNone(page.run("window.let_in"))
        self.assertEqual(len(page.troubles), 2, page.troubles)

    def test_it_is_whole_without_script(self):
        page = self.open(None)
        page.call("Emulation.setScriptExecutionDisabled", value=True)
        page.go(self.page("one-chip"))
        root = page.call("DOM.getDocument")["root"]["nodeId"]
        titles = page.call("DOM.querySelectorAll", nodeId=root, selector=".roofline title")["nodeIds"]
        self.assertGreater(len(titles), 0)
        self.expect_calm(page)


if __name__ == "__main__":
    unittest.main()
