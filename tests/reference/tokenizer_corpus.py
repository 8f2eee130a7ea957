"""Text to compare tokenizers on: real text of this machine, and text made from a seed to be as mixed as can be.

python tokenizer_corpus.py [--megabytes 6] [--seed 1] OUTPUT
"""

import argparse
import glob
import random
import sysconfig

SCRIPTS = {  # ranges of letters and marks
    "latin": [(0x41, 0x5A), (0x61, 0x7A)],
    "latin_extended": [(0xC0, 0x24F), (0x61, 0x7A), (0x1E00, 0x1EFF)],
    "greek": [(0x370, 0x3FF), (0x1F00, 0x1FFF)],
    "cyrillic": [(0x400, 0x52F)],
    "armenian": [(0x531, 0x58F)],
    "hebrew": [(0x591, 0x5F4)],
    "arabic": [(0x600, 0x6FF), (0x750, 0x77F), (0x8A0, 0x8FF)],
    "devanagari": [(0x900, 0x97F)],
    "bengali": [(0x980, 0x9FF)],
    "tamil": [(0xB80, 0xBFF)],
    "kannada": [(0xC80, 0xCFF)],
    "thai": [(0xE01, 0xE5B)],
    "lao": [(0xE81, 0xEDF)],
    "tibetan": [(0xF00, 0xFDA)],
    "myanmar": [(0x1000, 0x109F)],
    "georgian": [(0x10A0, 0x10FF), (0x1C90, 0x1CBF)],
    "hangul": [(0xAC00, 0xD7A3)],
    "jamo": [(0x1100, 0x11FF), (0xA960, 0xA97C), (0xD7B0, 0xD7FB)],
    "ethiopic": [(0x1200, 0x137F)],
    "khmer": [(0x1780, 0x17F9)],
    "mongolian": [(0x1800, 0x18AA)],
    "japanese": [(0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FFF)],
    "chinese": [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF)],
    "halfwidth": [(0xFF01, 0xFFEE)],
    "math": [(0x1D400, 0x1D7FF), (0x2200, 0x22FF)],
    "newer": [(0x10D40, 0x10D8F), (0x11380, 0x113E2), (0x16D40, 0x16D79), (0x1E5D0, 0x1E5FF), (0x1CC00, 0x1CEB3)],
}
MARKS = [
    *range(0x300, 0x370),
    *range(0x1AB0, 0x1ACF),
    *range(0x20D0, 0x20F1),
    *range(0xFE20, 0xFE30),
    0x345,
    0x327,
    0x323,
]
SPACES = [
    " ",
    " ",
    " ",
    " ",
    "  ",
    "   ",
    "\t",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\u00a0",
    "\u3000",
    "\u2003",
    "\u2028",
    "\u200b",
    "\x0b",
    "\x85",
]
SPACES += ["\u180e", "\ufeff", "\x1f", " \n", "\n ", " \r\n \t", "        ", "\u202f", "\x00"]
EMOJI = [
    "😀",
    "❤️",
    "👩‍👩‍👧‍👦",
    "🏳️‍🌈",
    "👍🏽",
    "🇩🇪",
    "🇯🇵",
    "1️⃣",
    "\U0001fa77",
    "\U0001fae8",
    "🧑🏿‍🚀",
    "\u200d",
    "\ufe0f",
]
CONTRACTIONS = [
    "'s",
    "'S",
    "'t",
    "'re",
    "'RE",
    "'ve",
    "'m",
    "'ll",
    "'LL",
    "'d",
    "'\u017f",
    "’s",
    "'",
    "''",
    "'x",
    " 's",
]
CODE = [
    "for (int i = 0; i < n; i++) {\n    x[i] += y[i] * 2.5e-3;\n}\n",
    "def f(x):\n\treturn x ** 2  # ok\n",
    "</div>\n\n<br/>",
    "\\frac{a}{b}",
]
CODE += [
    '{"key": [1, 2.0, null], "k2": "v\\n"}',
    "SELECT * FROM t WHERE a<>b;",
    "::std::vector<int>",
    "$HOME/.bashrc && echo $?",
    "https://example.org/a?b=c&d=%20",
]
PUNCTUATION = [
    ".",
    ",",
    "!",
    "?",
    "...",
    "—",
    "«",
    "»",
    "、",
    "。",
    "，",
    "¿",
    "…",
    "--",
    "“",
    "”",
    "(",
    ")",
    "[",
    "]",
    "#",
    "@",
    "/",
    "\\",
    "€",
    "§",
    "·",
    "~",
]


def letter(random, ranges):
    first, last = random.choice(ranges)
    return chr(random.randint(first, last))


def word(random, ranges):
    letters = [letter(random, ranges) for _ in range(random.choice([1, 1, 2, 3, 4, 5, 6, 8, 12, 30]))]
    if random.random() < 0.1:
        letters.insert(
            random.randrange(len(letters) + 1), "".join(chr(random.choice(MARKS)) for _ in range(random.randint(1, 4)))
        )
    return "".join(letters)


def any_character(random):
    while True:
        plane = random.choice([0x300, 0x3000, 0x10000, 0x20000, 0x110000])
        code = random.randrange(plane)
        if not 0xD800 <= code < 0xE000:
            return chr(code)


def number(random):
    digits = random.choice(["0123456789", "٠١٢٣٤٥٦٧٨٩", "०१२३४५६७८९", "０１２３４５６７８９", "²³¹½Ⅷ⑨"])
    return "".join(random.choice(digits) for _ in range(random.randint(1, 9)))


def element(random, ranges, special):
    kind = random.random()
    if kind < 0.50:
        return word(random, ranges)
    if kind < 0.58:
        return number(random)
    if kind < 0.72:
        return random.choice(PUNCTUATION) * random.choice([1, 1, 1, 2, 3])
    if kind < 0.78:
        return random.choice(CONTRACTIONS)
    if kind < 0.83:
        return random.choice(EMOJI) * random.choice([1, 1, 2])
    if kind < 0.86:
        return random.choice(CODE)
    if kind < 0.93:
        return "".join(any_character(random) for _ in range(random.randint(1, 6)))
    if kind < 0.96:
        return random.choice("aA .-=*\n\té漢") * random.randint(2, 200)
    if kind < 0.97 and special:
        return random.choice(special)
    return random.choice(SPACES) * random.randint(1, 12)


def mixed_document(random, size, special=()):
    """About `size` characters in one or a few scripts."""
    parts, length = [], 0
    while length < size:
        ranges = SCRIPTS[random.choice(list(SCRIPTS))]
        for _ in range(random.randint(3, 60)):
            part = element(random, ranges, special) + (random.choice(SPACES) if random.random() < 0.7 else "")
            parts.append(part)
            length += len(part)
    return "".join(parts)


def real_texts():
    patterns = [
        "build/cache/moby/**/data/*.txt",
        "/usr/share/common-licenses/*",
        sysconfig.get_path("stdlib") + "/*.py",
    ]
    patterns += ["docs/*.md", "src/*/*.c", "/usr/share/perl/5*/unicore/*.pl", "/usr/share/i18n/locales/*"]
    for pattern in patterns:
        for path in sorted(glob.glob(pattern, recursive=True)):
            with open(path, encoding="utf-8", errors="replace", newline="") as file:
                yield file.read()


def corpus(megabytes, seed, special=()):
    """Documents of `megabytes` of UTF-8 in all: a third real, two thirds made."""
    rng = random.Random(seed)
    total, left = 0, megabytes * 1000000
    for text in real_texts():
        if total > left / 3:
            break
        for start in range(0, len(text), 60000):
            yield text[start : start + 60000]
        total += len(text.encode())
    while total < left:
        text = mixed_document(rng, rng.choice([20, 200, 2000, 20000]), special)
        total += len(text.encode())
        yield text


def edge_cases(special=()):
    """Small texts where tokenizers go wrong, and every character in a few contexts."""
    yield from [
        "",
        " ",
        "  ",
        "\n",
        "\r\n",
        "\x00",
        "a",
        " a",
        "a ",
        " a ",
        "\n\na",
        "a\n\n",
        "'s",
        "can't",
        "CAN'T",
        "\u0130",
        "ﬁ",
        "ß",
        "ſ",
        "K",
        "㎏",
    ]
    yield from [
        "e\u0301",
        "\u0301",
        "a\u0345\u0301\u0327",
        "\u1100\u1161\u11a8",
        "\uac00\u11a8",
        "\u09c7\u09be",
        "\u0f71\u0f72\u0f80",
        "\u212b",
        "\ufb1d",
    ]
    yield from ["a" * n for n in (2, 3, 31, 63, 64, 65, 66, 127, 1000, 5000)]
    yield from [" " * n for n in (2, 3, 4, 15, 16, 17, 33, 64, 65, 127, 1000)]
    yield from [
        "ab" * 500,
        "abc" * 300,
        "\n" * 300,
        "\t" * 70,
        "é" * 200,
        "漢" * 200,
        "\u0301" * 300,
        "👩‍👩‍👧‍👦" * 100,
        "1234567890" * 20,
        "=-" * 200,
    ]
    for a in special:
        yield from [
            a,
            " " + a,
            a + " ",
            "x" + a + "y",
            a + a,
            "  " + a + "\n\n",
            a[:-1],
            a[1:],
            a.upper(),
            "x " + a + " y",
        ]
        yield from [a + b for b in special[:8]]
    codes = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    interesting = [
        c for c in codes if c < 0x3400 or 0xA000 <= c < 0xAC00 or 0xF900 <= c < 0x18000 or 0x1A000 <= c < 0x20000
    ]
    for context in ("{}", "a{}b ", " {}1", "{0}{0}\n", "e{}\u0301 ", "\u0301{}\u0327 "):
        for start in range(0, len(interesting), 4096):
            yield "".join(context.format(chr(c)) for c in interesting[start : start + 4096])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("output")
    options = parser.parse_args()
    with open(options.output, "w", encoding="utf-8", newline="") as file:
        for text in corpus(options.megabytes, options.seed):
            file.write(text + "\n")


if __name__ == "__main__":
    main()
