"""Odd recipe files, values and paths: what editors, other people and a bad day leave behind. All made anew, seeded."""

from __future__ import annotations

import codecs
import os
import random
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from distill_pipeline.recipe.presets import PRESETS
from distill_pipeline.recipe.recipe import Recipe

HEALTHY = "teacher: MINILM_EMBEDDED\nrefinement: none\npca_dims: 8\n"


def _bomb(kind: str) -> str:
    """Return ten lines that stand for ten thousand million values."""
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    merged = [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 10)]
    first = "a0: &a0 {seed: 1}" if kind == "merge" else "a0: &a0 lol"
    return "\n".join([first, *(merged if kind == "merge" else levels), ""])


CONTENTS: Mapping[str, bytes] = {
    "empty": b"",
    "only-a-comment": b"# later\n",
    "a-list": b"- teacher: MINILM_EMBEDDED\n",
    "a-text": b"MINILM_EMBEDDED",
    "binary": bytes(range(256)) * 8,
    "nul": b"teacher: MINILM\0EMBEDDED\n",
    "nul-escaped": b'teacher: "./a\\0b"\n',
    "nul-in-words": b'teacher: MINILM_EMBEDDED\nwords: "a\\0b"\n',
    "utf-16": "teacher: ½\n".encode("utf-16"),
    "utf-8-broken": b"teacher: caf\xe9\n",
    "surrogate": b'teacher: MINILM_EMBEDDED\nprompt: "\\ud800"\n',
    "surrogate-path": b'teacher: MINILM_EMBEDDED\nwords: "\\ud800"\n',
    "surrogate-key": b'"\\ud800": 1\n',
    "beyond-unicode": b'teacher: "\\UFFFFFFFF"\n',
    "escape-sequence": b'teacher: "\\e[31mred"\n',
    "huge": b"# " + b"x" * (1 << 20) + b"\nteacher: MINILM_EMBEDDED\n",
    "many-unknown-fields": b"".join(b"field_%d: 1\n" % n for n in range(9000)),
    "long-key": b"x" * 100_000 + b": 1\n",
    "long-value": b"teacher: " + b"x" * 100_000 + b"\n",
    "long-path": b"teacher: ./" + b"x" * 5000 + b"\n",
    "deep-list": b"words: " + b"[" * 50_000,
    "deep-and-closed": b"words: " + b"[" * 3000 + b"]" * 3000,
    "deep-mapping": b"{a: " * 20_000,
    "deep-block": b"- " * 20_000 + b"x",
    "deep-sweep": b"teacher: MINILM_EMBEDDED\nsweep: " + b"{a: " * 900 + b"1" + b"}" * 900,
    "deep-within-limits": b"teacher: " + b"[" * 200 + b"]" * 200,
    "bomb": _bomb("list").encode(),
    "merge-bomb": _bomb("merge").encode(),
    "wide-bomb": b"a: &a " + b"x" * 1000 + b"\nb: [" + b"*a," * 20_000 + b"]\n",
    "own-ancestor": b"words: &a [*a]\n",
    "own-ancestor-mapping": b"sweep: &a {seed: *a}\n",
    "own-merge": b"&a {<<: *a}\n",
    "alias-of-nothing": b"teacher: *nobody\n",
    "merge-of-text": b"<<: text\n",
    "date": b"tag: 2024-13-45\nteacher: MINILM_EMBEDDED\nrevision: !!timestamp 2024-02-31\n",
    "no-date": b"teacher: !!timestamp soon\n",
    "tag-int": b"seed: !!int " + b"9" * 5000 + b"\n",
    "tag-no-int": b"seed: !!int one\n",
    "tag-float": b"seed: !!float one\n",
    "tag-bool": b"private: !!bool perhaps\n",
    "tag-binary": b"teacher: !!binary '='\n",
    "tag-set": b"words: !!set {a, b}\n",
    "tag-omap": b"words: !!omap [a]\n",
    "tag-python": b"teacher: !!python/object/apply:os.getcwd []\n",
    "tag-own": b"teacher: !mine x\n",
    "mapping-as-key": b"{a: b}: c\n",
    "list-as-key": b"? [a]\n: b\n",
    "null-as-key": b"~: MINILM_EMBEDDED\n",
    "two-documents": b"teacher: MINILM_EMBEDDED\n---\nteacher: MINILM_EMBEDDED\n",
    "conflict-markers": b"<<<<<<< ours\nteacher: MINILM_EMBEDDED\n=======\n>>>>>>> theirs\n",
    "tabs": b"teacher:\n\tMINILM_EMBEDDED\n",
    "json-cut-short": b'{"teacher": "MINILM_EMB',
    "digits": b"teacher: MINILM_EMBEDDED\nseed: " + b"9" * 5000 + b"\n",
    "four-thousand-digits": b"teacher: MINILM_EMBEDDED\ngenerated_texts: " + b"9" * 4000 + b"\n",
    "preset-list": b"teacher: MINILM_EMBEDDED\npreset: [x]\n",
    "preset-mapping": b"teacher: MINILM_EMBEDDED\npreset: {x: y}\n",
    "sweep-of-presets": b"teacher: MINILM_EMBEDDED\nsweep: {preset: {a: [x], b: {c: d}}}\n",
    "sweep-of-nothing": b"teacher: MINILM_EMBEDDED\nsweep:\n",
    "sweep-of-lists": b"teacher: MINILM_EMBEDDED\nsweep: {words: [[a], [b]]}\n",
    "sweep-too-wide": b"teacher: MINILM_EMBEDDED\nsweep: {seed: ["
    + b",".join(b"%d" % n for n in range(9999))
    + b"]}\n",
    "name-of-another": b"name: healthy\nteacher: MINILM_EMBEDDED\n",
    "name-list": b"name: [x]\nteacher: MINILM_EMBEDDED\n",
    "home-of-nobody": b"teacher: ~no-such-user/teacher\n",
    "words-of-nobody": b"teacher: MINILM_EMBEDDED\nwords: ~no-such-user/words.txt\n",
    "corpus-of-nobody": b"teacher: MINILM_EMBEDDED\ncorpus: ~no-such-user/a.txt\nrefinement: corpus\n",
    "set-of-nobody": b"teacher: MINILM_EMBEDDED\nlabelled_sets: pairs:~no-such-user/a.tsv\n",
    "dataset-of-nobody": b"teacher: MINILM_EMBEDDED\ncorpus: dataset:~no-such-user/a\nrefinement: corpus\n",
}
"""What a recipe file may hold by accident or ill will; none of these is a recipe."""

VALUES = (
    *("", "~", "[]", "{}", "[x]", "{x: y}", "[[x]]", "[~]", "[{}]", "{x: [y]}", "- x", "'", "*x", "&x", "!!int x"),
    *("true", "-1", "0", "1e400", "-1e400", ".inf", "-.inf", ".nan", "inf", "nan", "-0.0", "1_000", "0x10", "1:30"),
    *(
        "9" * 400,
        "9" * 5000,
        "0." + "9" * 5000,
        "١٢",
        "２",
        "1 2",
        "2024-02-30",
        "x" * 300,
        "x" * 5000,
        "a,b,,",
        "auto",
    ),
    *("/", ".", "..", "./", "~", "~no-such-user", "~no-such-user/x", "/dev/null", "/dev/zero", "/proc/self/mem"),
    *("/proc/self/fd/0", '"a\\0b"', '"\\ud800"', '"\\e[31m"', '"a\\nb"', "[/x]", "[red]x", "%s", "{0}", "dataset:"),
    *("dataset:/no/where", "dataset:~nobody/x", "pairs:", "pairs:/dev/zero", "mteb:", ":", "#", "@", "a/b@c#d", "**"),
    *("no-such/**/*.x", "a/b", "a/../b", "a" * 97 + "/b", "en-" + "x" * 90, "zz-Zzzz", "hf_" + "x" * 30),
)
"""What each field of a recipe is given in turn, as YAML; few of these are valid anywhere."""


def of_fields() -> Iterator[str]:
    """Yield a recipe for each field with each odd value."""
    for field in (*Recipe.model_fields, "preset", "sweep"):
        for value in VALUES:
            yield f"{'' if field == 'teacher' else 'teacher: MINILM_EMBEDDED'}\n{field}: {value}\n"


def mutations(seed: int, count: int) -> Iterator[bytes]:
    """Yield recipes of which bytes were lost, doubled or replaced, and lines of all kinds in random order."""
    source = random.Random(seed)  # noqa: S311 -- no secret
    fields = [*Recipe.model_fields, "preset", "sweep", "<<"]
    signs = b"\0\t\n :-?{}[],&*!|>'\"%@`#~\x1b\x80\xff"
    for number in range(count):
        lines = [
            f"{source.choice(fields)}: {source.choice([*VALUES, *PRESETS])}" for _ in range(source.randrange(1, 9))
        ]
        content = bytearray(("\n".join(lines) if number % 2 else f"{HEALTHY}words: [kiwi, plum]\n").encode())
        for _ in range(source.randrange(9)):
            place = source.randrange(len(content))
            content[place : place + source.randrange(3)] = bytes(source.choices(signs, k=source.randrange(4)))
        yield bytes(content)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    # By a relative name: a socket's whole path may have a hundred letters.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


PATHS: Mapping[str, Callable[[Path], None]] = {
    "fifo": _fifo,
    "socket": _socket,
    "folder": Path.mkdir,
    "dangling": lambda path: path.symlink_to("no-such-file"),
    "lock-of-an-editor": lambda path: path.symlink_to("me@machine.4711:1700000000"),
    "loop": lambda path: path.symlink_to(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
    # A regular file of which no byte can be read, by root either; a file of mode 000 stops only others.
    "unreadable": lambda path: path.symlink_to("/proc/self/mem"),
}
"""Makes at a path what is no file that can be read."""


@contextmanager
def nobody(folder: Path) -> Iterator[None]:
    """Be nobody for a while, if this is root, who may read everything; the folders above may be passed meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    above = {path: path.stat().st_mode & 0o777 for path in (folder, *folder.parents)}
    for path, mode in above.items():
        path.chmod(mode | 0o011)
    codecs.lookup("ascii")  # nobody may be unable to read Python's own folder, and Python keeps that it found no codec
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        for path, mode in above.items():
            path.chmod(mode)
