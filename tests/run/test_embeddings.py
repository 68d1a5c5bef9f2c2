"""The embeddings that a run keeps of its pictures."""

from pathlib import Path

import numpy as np

from htbench.run.embeddings import FILE, Embeddings


def test_what_was_kept_is_read_by_encoder_and_file_to_the_bit(tmp_path: Path) -> None:
    vectors = {f"{k}.png": np.random.default_rng(k).normal(size=8).astype("f4") for k in range(3)}
    Embeddings(tmp_path, "a@1").add(vectors)
    found = Embeddings(tmp_path, "a@1").read(["2.png", "0.png", "9.png"])
    assert sorted(found) == ["0.png", "2.png"]
    assert all(np.array_equal(found[file], vectors[file]) for file in found)
    assert Embeddings(tmp_path, "a@2").read(["0.png"]) == {}


def test_more_files_are_read_than_one_query_names(tmp_path: Path) -> None:
    vectors = {f"{k}.png": np.full(2, k, "f4") for k in range(1200)}
    kept = Embeddings(tmp_path, "a@1")
    kept.add(vectors)
    assert len(kept.read(vectors)) == 1200


def test_a_damaged_file_is_removed_and_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    kept = Embeddings(tmp_path, "a@1")
    assert kept.read(["0.png"]) == {}
    kept.add({"0.png": np.ones(2, "f4")})
    assert kept.read(["0.png"])["0.png"].tolist() == [1, 1]
