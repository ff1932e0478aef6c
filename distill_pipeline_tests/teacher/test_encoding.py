"""Encoding to parts: order, precision, resuming, and values that are not finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distill_pipeline.errors import TeacherError
from distill_pipeline.store.disk import file_table
from distill_pipeline.store.embeddings import LEDGER, Embeddings, Ledger
from distill_pipeline.teacher.batches import Progress, batches_of_one_length
from distill_pipeline.teacher.encoding import EncodingWork, encode_to_parts, probe_sample
from distill_pipeline.teacher.reuse import EarlierOutput, read_texts
from distill_pipeline.teacher.teacher import Teacher
from distill_pipeline_tests.teachers import load_plainly


def test_rows_come_in_order_whatever_their_lengths(
    teacher: Teacher, sequences: list[list[int]], tmp_path: Path
) -> None:
    encode_to_parts(EncodingWork(sequences, rows_per_part=32), teacher, tmp_path)
    rows = Embeddings.of_parts(tmp_path).all()
    alone = np.concatenate([teacher.rows([sequence]) for sequence in sequences])
    np.testing.assert_allclose(rows, alone, atol=2e-6)


def test_texts_stay_beside_their_own_rows_across_parts(
    teacher: Teacher, sequences: list[list[int]], tmp_path: Path
) -> None:
    texts = [" ".join(map(str, sequence)) for sequence in sequences]
    encode_to_parts(EncodingWork(sequences, [texts], rows_per_part=32), teacher, tmp_path)
    tables = [pq.read_table(path) for path in sorted(tmp_path.glob("part-*"))]
    assert [table.schema.names for table in tables] == [["text", "embedding"]] * 4
    assert pa.concat_tables(tables)["text"].to_pylist() == texts


def test_each_group_begins_a_part(teacher: Teacher, sequences: list[list[int]], tmp_path: Path) -> None:
    texts = [str(place) for place in range(100)]
    groups = [texts[:40], texts[40:65], texts[65:]]
    encode_to_parts(EncodingWork(sequences, groups, rows_per_part=32), teacher, tmp_path)
    parts = [pq.read_table(path)["text"].to_pylist() for path in sorted(tmp_path.glob("part-*"))]
    assert [len(part) for part in parts] == [32, 8, 25, 32, 3]
    assert [text for part in parts for text in part] == texts


def test_an_interrupted_encoding_resumes_with_the_same_bytes(
    teacher: Teacher, sequences: list[list[int]], tmp_path: Path
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    encode_to_parts(EncodingWork(sequences, rows_per_part=16), teacher, whole)

    def interrupt(progress: Progress) -> None:
        if progress.done >= 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_to_parts(EncodingWork(sequences, rows_per_part=16), teacher, broken, report=interrupt)
    seen: list[Progress] = []
    assert encode_to_parts(EncodingWork(sequences, rows_per_part=16), teacher, broken, report=seen.append) == 48
    assert (seen[0].done, str(seen[0])) == (48, "48/100 rows are already encoded")
    assert seen[-1].done == 100
    assert file_table(broken) == file_table(whole)


def test_a_part_that_was_damaged_while_unfinished_is_encoded_again(
    teacher: Teacher, sequences: list[list[int]], tmp_path: Path
) -> None:
    encode_to_parts(EncodingWork(sequences, rows_per_part=50), teacher, tmp_path)
    before = file_table(tmp_path)
    part = tmp_path / "part-000001.parquet"
    part.write_bytes(part.read_bytes()[:-10])
    assert encode_to_parts(EncodingWork(sequences, rows_per_part=50), teacher, tmp_path) == 50
    assert file_table(tmp_path) == before


def test_a_line_half_written_to_the_ledger_is_no_finished_part_and_spoils_none(tmp_path: Path) -> None:
    first, second = tmp_path / "part-000000.parquet", tmp_path / "part-000001.parquet"
    first.write_text("x")
    second.write_text("y")
    ledger = Ledger(tmp_path, {"rows": 2})
    first.write_text("x")
    second.write_text("y")
    ledger.add(first)
    path = tmp_path / LEDGER
    path.write_text(path.read_text() + '{"part": "part-000001.parq')
    assert not Ledger(tmp_path, {"rows": 2}).has(second)
    Ledger(tmp_path, {"rows": 2}).add(second)
    found = Ledger(tmp_path, {"rows": 2})
    assert found.has(first)
    assert found.has(second)


def test_parts_made_in_another_precision_or_cut_otherwise_are_not_mixed_in(
    teacher: Teacher, sequences: list[list[int]], tmp_path: Path
) -> None:
    encode_to_parts(EncodingWork(sequences, rows_per_part=20), teacher, tmp_path)
    assert encode_to_parts(EncodingWork(sequences, rows_per_part=60), teacher, tmp_path) == 0
    assert len(list(tmp_path.glob("part-*"))) == 2
    rows = Embeddings.of_parts(tmp_path).all()
    assert len(rows) == len(sequences)


def _earlier(teacher: Teacher, sequences: list[list[int]], texts: list[str], folder: Path) -> EarlierOutput:
    folder.mkdir()
    encode_to_parts(EncodingWork(sequences, [texts], rows_per_part=16), teacher, folder)
    facts = {"precision": teacher.precision, "forward": teacher.forward.name, "device": teacher.device}
    return folder, {"facts": facts, "files": file_table(folder)}


def test_texts_that_were_encoded_before_are_not_encoded_again(
    teacher: Teacher, sequences: list[list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [" ".join(map(str, sequence)) for sequence in sequences]
    # The same first 48 texts, and then others: as when more of a corpus is sampled.
    earlier = _earlier(teacher, sequences[:48], texts[:48], tmp_path / "earlier")
    alone, _ = _earlier(teacher, sequences, texts, tmp_path / "alone")
    encoded: list[int] = []
    rows = teacher.rows

    def counted(batch: list[list[int]]) -> npt.NDArray[np.float32]:
        encoded.append(len(batch))
        return rows(batch)

    monkeypatch.setattr(teacher, "rows", counted)
    (tmp_path / "now").mkdir()
    seen: list[Progress] = []
    kept = encode_to_parts(
        EncodingWork(sequences, [texts], [earlier], rows_per_part=16), teacher, tmp_path / "now", report=seen.append
    )
    assert (kept, sum(encoded), str(seen[0])) == (48, 52, "48/100 rows are already encoded")
    assert file_table(tmp_path / "now") == file_table(alone)


@pytest.mark.parametrize("spoilt", ["precision", "forward", "device", "numbers", "text", "gone", "no Parquet file"])
def test_what_another_pass_made_or_what_was_changed_since_is_not_taken(
    teacher: Teacher, sequences: list[list[int]], tmp_path: Path, spoilt: str
) -> None:
    texts = [" ".join(map(str, sequence)) for sequence in sequences[:16]]
    earlier, manifest = _earlier(teacher, sequences[:16], texts, tmp_path / "earlier")
    whole = file_table(earlier)
    [part] = earlier.glob("part-*")
    content = bytearray(part.read_bytes())
    if spoilt in manifest["facts"]:
        manifest["facts"][spoilt] = "another"
    elif spoilt == "gone":
        part.unlink()
    elif spoilt == "no Parquet file":
        part.write_bytes(b"no Parquet file")
    else:
        place = content.index(texts[3].encode()) if spoilt == "text" else len(content) // 2
        content[place] = 0xFF if spoilt == "text" else content[place] ^ 1
        part.write_bytes(content)
        assert read_texts(part) == ([] if spoilt == "text" else texts)  # 0xFF is in no text
    (tmp_path / "now").mkdir()
    assert not encode_to_parts(
        EncodingWork(sequences[:16], [texts], [(earlier, manifest)], rows_per_part=16), teacher, tmp_path / "now"
    )
    assert file_table(tmp_path / "now") == whole


def test_batches_hold_every_position_within_the_budget(sequences: list[list[int]]) -> None:
    batches = list(batches_of_one_length(sequences, 40))
    assert sorted(position for batch in batches for position in batch) == list(range(len(sequences)))
    for batch in batches:
        [length] = {len(sequences[position]) for position in batch}
        assert len(batch) * length <= 40


def test_empty_sequences_have_rows_of_zeros(modernbert: Path, tmp_path: Path) -> None:
    teacher = load_plainly(modernbert)
    encode_to_parts(EncodingWork([[], [1, 5, 2], []]), teacher, tmp_path)
    rows = Embeddings.of_parts(tmp_path).all()
    np.testing.assert_array_equal(rows[[0, 2]], 0)
    np.testing.assert_array_equal(rows[1:2], teacher.rows([[1, 5, 2]]))
    assert probe_sample([[], [1, 2]]) == [[1, 2]]


def test_values_that_are_not_finite_stop_the_run(modernbert: Path, sequences: list[list[int]], tmp_path: Path) -> None:
    import torch

    teacher = load_plainly(modernbert)
    with torch.no_grad():
        teacher.backbone.get_input_embeddings().weight[sequences[7][1]] = float("nan")
    with pytest.raises(TeacherError, match="not finite"):
        encode_to_parts(EncodingWork(sequences), teacher, tmp_path)
    assert not list(tmp_path.glob("part-*.parquet"))
