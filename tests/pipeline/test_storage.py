"""Files are written whole or not at all, and damaged ones are refused."""

import errno
import os

import numpy as np
import pytest
import torch

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.storage import (
    load_model,
    read_csv,
    read_json,
    restore,
    save_model,
    write_bytes,
    write_csv,
    write_json,
)

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(2, dtype=torch.float16)}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, "toy", {"size": 3}, TENSORS)
    return path


def test_a_model_comes_back_with_its_config(model):
    config, tensors = load_model(model, "toy")
    assert config == {"size": 3} and list(tensors) == ["a", "b"]
    for name, tensor in tensors.items():
        assert tensor.dtype == TENSORS[name].dtype and torch.equal(tensor, TENSORS[name])


def test_same_content_same_bytes_whatever_the_name(model, tmp_path):
    other = tmp_path / "other.safetensors"
    save_model(other, "toy", {"size": 3}, dict(reversed(TENSORS.items())))
    assert other.read_bytes() == model.read_bytes()


def test_every_flipped_bit_of_a_model_file_is_refused_by_name(model):
    whole = model.read_bytes()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << (place % 8)
        model.write_bytes(content)
        try:
            config, tensors = load_model(model, "toy")
        except UserError as error:
            assert "m.safetensors" in str(error)
        else:  # white space of the header
            assert config == {"size": 3}
            assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_a_truncated_model_file_is_refused(model, length):
    model.write_bytes(model.read_bytes()[:length])
    with pytest.raises(UserError, match=r"damaged.*dvc pull"):
        load_model(model, "toy")


def test_a_missing_file_says_what_brings_it(tmp_path):
    for read in (lambda path: load_model(path, "toy"), read_json, read_csv):
        with pytest.raises(UserError, match="dvc pull"):
            read(tmp_path / "none")


def test_a_model_of_another_kind_is_refused(model):
    with pytest.raises(UserError, match="kind 'toy', not 'vae'"):
        load_model(model, "vae")


def test_a_model_of_another_shape_is_refused(model):
    with pytest.raises(UserError, match="does not fit"):
        restore(torch.nn.Linear(3, 2), {"weight": torch.ones(2, 4), "bias": torch.ones(2)}, model)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_is_named_and_the_old_file_stays(tmp_path, monkeypatch, code):
    path = tmp_path / "f"
    write_bytes(path, b"old")

    def fail(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=os.strerror(code)):
        write_bytes(path, b"new and longer")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["f"]


def test_json_refuses_nan_and_says_where_it_is_malformed(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "j", {"x": float("nan")})
    assert not (tmp_path / "j").exists()
    (tmp_path / "j").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        read_json(tmp_path / "j")


def test_csv_comes_back_by_column(tmp_path):
    write_csv(tmp_path / "c", [{"a": 1, "b": 0.1}, {"a": 2, "b": ""}])
    assert read_csv(tmp_path / "c") == [{"a": "1", "b": "0.1"}, {"a": "2", "b": ""}]
    assert np.char.count((tmp_path / "c").read_text(), "\r") == 0
