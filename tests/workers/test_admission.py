"""What a machine must have in common with this one."""

import re
from dataclasses import replace

import pytest
import torch

from worldmodels.workers.admission import (
    Identity,
    code_digest,
    identity,
    reference_agent,
    reference_bits,
)

HERE = Identity(
    versions={"numpy": "2.4.6", "torch": "2.13.0"},
    code="c0de",
    bits={"float32": "a", "bfloat16": "b"},
    processor="AMD EPYC",
)


def test_the_same_machine_may_join_and_another_processor_with_the_same_bits():
    assert HERE.differences(HERE) == []
    other = replace(HERE, processor="Intel Xeon")
    assert HERE.differences(other) == [] and HERE.mark == other.mark


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (replace(HERE, versions={"numpy": "2.4.5", "torch": "2.13.0"}), "numpy 2.4.5, not 2.4.6"),
        (replace(HERE, versions={"torch": "2.13.0"}), "numpy missing, not 2.4.6"),
        (replace(HERE, code="other"), "other code in worldmodels"),
        (
            replace(HERE, bits={"float32": "a", "bfloat16": "x"}, processor="Xeon"),
            r"processor \(Xeon\) computes other bits in bfloat16: set machine.portable",
        ),
    ],
)
def test_each_difference_is_named(other, why):
    (reason,) = HERE.differences(other)
    assert re.search(why, reason) and HERE.mark != other.mark


def test_the_digest_of_the_code_changes_with_any_file(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/one.py").write_text("a = 1\n")
    first = code_digest(tmp_path)
    assert code_digest(tmp_path) == first
    (tmp_path / "inner/one.py").write_text("a = 2\n")
    second = code_digest(tmp_path)
    (tmp_path / "inner/one.py").rename(tmp_path / "one.py")
    assert len({first, second, code_digest(tmp_path)}) == 3


def test_the_reference_drive_is_repeatable_and_sees_its_precision():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    bits = reference_bits("float32")
    assert torch.equal(torch.get_rng_state(), before)
    assert reference_bits("float32") == bits != reference_bits("bfloat16")


def test_the_reference_drive_has_the_threads_of_a_job_and_leaves_ours():
    bits = reference_bits("float32")
    torch.set_num_threads(2)
    assert reference_bits("float32") == bits and torch.get_num_threads() == 2


def test_the_last_bits_of_weights_change_the_bits(monkeypatch):
    bits = reference_bits("float32")
    agent = reference_agent("float32")
    weight = agent.encoder.statistics.weight.data
    weight.copy_(torch.nextafter(weight, torch.tensor(1.0)))
    monkeypatch.setattr("worldmodels.workers.admission.reference_agent", lambda _: agent)
    assert reference_bits("float32") != bits


def test_identity_holds_versions_code_and_both_precisions():
    found = identity()
    assert {"torch", "numpy", "numba", "gymnasium", "box2d", "python"} <= found.versions.keys()
    assert found.bits.keys() == {"float32", "bfloat16"} and found.code == code_digest()
