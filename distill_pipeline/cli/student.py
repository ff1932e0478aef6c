"""Commands that use a finished student: search a file, encode files."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.filesize import decimal

from distill_pipeline.chain.home import Home, default_home
from distill_pipeline.chain.students import find_student
from distill_pipeline.cli.flags import STDIN, UsageError, command
from distill_pipeline.cli.tables import rendered, side_by_side
from distill_pipeline.errors import TeacherError
from distill_pipeline.recipe.recipe import Recipe

if TYPE_CHECKING:
    from distill_pipeline.student.encode import EncodingProgress
    from distill_pipeline.student.search import Index

LINES_WITH_TEACHER = 1000
"""Default number of lines to search with the teacher, which encodes them in about half a minute."""

SECONDS_BETWEEN_REPORTS = 5.0


@command
def search(
    recipe: str, file: str, *, query: str = "", top: int = 5, limit: int | None = None, teacher: bool = True
) -> None:
    """Search a file's lines with student and teacher side by side, to see the difference in results and speed.

    Args:
        recipe: Name of a finished recipe, or a folder with a static model (then without its teacher, as where that
            can't be found).
        file: Texts, one per line (also .jsonl, .csv, .tsv or .parquet with a column "text").
        query: What to look for; read line by line from standard input when not given.
        top: Number of nearest lines to show.
        limit: Number of lines to search, from the file's start; by default 1000 with the teacher, all without it.
        teacher: false to search with the student alone.
    """
    from model2vec import StaticModel

    from distill_pipeline.student.search import Index

    home = Home(default_home())
    student = find_student(home, recipe)
    compared = _with_teacher(home, student.recipe) if teacher else None
    limit = limit or (LINES_WITH_TEACHER if compared else None)
    lines = _lines_to_search(Path(file), limit, with_teacher=compared is not None)
    sides = [("student", Index(StaticModel.from_pretrained(student.folder).encode, lines))]
    _print_speed(*sides[0])
    if compared:
        sides.insert(0, ("teacher", _teacher_index(home, compared, lines)))
        _print_speed(*sides[0])
    for wanted in [query] if query else _queries():
        print(rendered(_answer(wanted, sides, lines, top)))


@command
def encode(student: str, *files: str, column: str = "", overwrite: bool = False) -> None:
    """Encode files of any size with a student into one Parquet file with columns text and embedding.

    Args:
        student: Name of a finished recipe, or a folder with a static model.
        files: The inputs (text lines, .jsonl, .csv, .tsv or .parquet, also .gz, .bz2, .zst or .xz; - for lines on
            standard input) and, last, the output (.parquet).
        column: Column of the texts in the inputs that have columns; text when not given.
        overwrite: true to replace an existing output.
    """
    *inputs, output = _inputs_and_output(files, column, overwrite=overwrite)
    found = find_student(Home(default_home()), student)
    from model2vec import StaticModel

    from distill_pipeline.student.encode import encode_to_parquet

    model = StaticModel.from_pretrained(found.folder)
    done = encode_to_parquet(model, _all_texts(inputs, column), output, report=_every_few_seconds())
    print(f"{output}: {done}, {int(model.dim)} dimensions, {decimal(output.stat().st_size)}")


def _inputs_and_output(files: Sequence[str], column: str, *, overwrite: bool) -> list[Path]:
    """Return the paths, checked before anything is loaded. Raises `UsageError`."""
    from distill_pipeline.texts.files import has_columns

    if len(files) < 2:
        raise UsageError("encode needs a student, inputs and an output: encode NAME INPUT... OUTPUT.parquet")
    *inputs, output = map(Path, files)
    if output.suffix.lower() != ".parquet":
        raise UsageError(f"{output}: the output comes last and ends in .parquet")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"{output}: there is no folder {output.absolute().parent}")
    for path in inputs:
        if str(path) != STDIN and not path.exists():
            raise UsageError(f"{path}: there is no such file")
        if path.resolve() == output.resolve():
            raise UsageError(f"{path}: input and output are the same file")
    if column and not any(map(has_columns, inputs)):
        raise UsageError(f"--column {column}: none of the inputs has columns, only lines; leave it out")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists: name another file, or add --overwrite true")
    return [*inputs, output]


def _all_texts(inputs: Iterable[Path], column: str) -> Iterator[str]:
    from distill_pipeline.texts.files import has_columns, read_text_file

    for path in inputs:
        if str(path) == STDIN:
            yield from _standard_input()
        else:
            yield from read_text_file(path, column if has_columns(path) else "")


def _standard_input() -> Iterator[str]:
    """Yield the lines of standard input. Raises `TextFileError`."""
    from distill_pipeline.texts.files import explaining_file, read_lines

    with explaining_file("standard input"):
        yield from read_lines(sys.stdin.buffer, "standard input")


def _every_few_seconds() -> Callable[[EncodingProgress], None]:
    last = time.monotonic()

    def report(done: EncodingProgress) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_REPORTS:
            last = time.monotonic()
            print(done, file=sys.stderr)

    return report


def _lines_to_search(path: Path, max_lines: int | None, *, with_teacher: bool) -> list[str]:
    from distill_pipeline.texts.files import read_text_file

    filled = (text for text in read_text_file(path) if text.strip())
    lines = list(itertools.islice(filled, max_lines))
    more = next(filled, None) is not None
    if not lines:
        raise UsageError(f"{path}: there are no texts in it")
    if more:
        hint = "--limit N for more" + (", --teacher false for all" if with_teacher else "")
        print(f"the first {len(lines):,} lines of {path.name}; {hint}", file=sys.stderr)
    return lines


def _with_teacher(home: Home, recipe: Recipe | None) -> Recipe | None:
    """Return the recipe if its teacher can be found; otherwise say why not."""
    from distill_pipeline.chain.teachers import find_teacher

    if recipe is not None:
        try:
            _ = find_teacher(home, recipe).folder
        except TeacherError as error:
            print(f"without the teacher: {error}", file=sys.stderr)
            return None
    return recipe


def _teacher_index(home: Home, recipe: Recipe, lines: Sequence[str]) -> Index:
    from distill_pipeline.chain.teachers import find_teacher
    from distill_pipeline.student.search import Index
    from distill_pipeline.teacher.teacher import load_teacher

    print(f"teacher   {recipe.teacher_label} encodes the lines now; this takes a while", file=sys.stderr)
    loaded = load_teacher(
        find_teacher(home, recipe),
        pooling=recipe.pooling,
        device=recipe.device,
        trust_remote_code=recipe.trust_remote_code,
    )
    return Index(partial(loaded.encode, prompt=recipe.prompt), lines)


def _print_speed(side: str, index: Index) -> None:
    speed = f"{side:<9} {index.texts:,} lines encoded in {index.seconds:,.2f} s: {index.texts_per_second:,.0f} texts/s"
    print(speed, file=sys.stderr)


def _queries() -> Iterator[str]:
    """Yield the lines of standard input, with a prompt at a terminal, until an empty line or its end."""
    asking, lines = sys.stdin.isatty(), _standard_input()
    while True:
        if asking:
            print("query (empty ends)> ", end="", flush=True)
        line = next(lines, "").strip()
        if not line:
            return
        yield line


def _answer(query: str, sides: Sequence[tuple[str, Index]], lines: Sequence[str], count: int) -> Group:
    """Return the query and, for each side, its time and its nearest lines."""
    columns = []
    for side, index in sides:
        result = index.nearest(query, count)
        columns.append(
            [
                f"{side}: {(result.encode_seconds + result.search_seconds) * 1e3:.2f} ms "
                f"({result.encode_seconds * 1e3:.2f} query + {result.search_seconds * 1e3:.2f} search)",
                *(f"{similarity:>5.2f}  {lines[number]}" for number, similarity in result.found),
            ]
        )
    return Group(f"> {query}", side_by_side(columns), "")
