"""Large arrays of a job travel apart from it, and come back as they were."""

import pickle
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tests.agents import make_agent
from worldmodels.environment.frames import POSE_DTYPE
from worldmodels.workers import packing
from worldmodels.workers.packing import SMALLEST, Parts, pack, unpack


def packed(value):
    """The packed `value`, and its parts by name."""
    parts = Parts()
    body, names = pack(value, parts)
    assert names == parts.content.keys()
    return body, parts.content


def round_trip(value):
    return unpack(*packed(value))


def test_arrays_come_back_with_content_type_and_layout():
    rng = np.random.default_rng(1)
    poses = np.zeros(1000, dtype=POSE_DTYPE)
    poses.view(np.uint8)[:] = rng.integers(0, 255, poses.nbytes)
    columns = np.asfortranarray(rng.normal(size=(100, 100)))
    convolution = nn.Conv2d(64, 64, 4).to(memory_format=torch.channels_last)
    value = {
        "float": rng.normal(size=(100, 100)),
        "poses": poses,
        "columns": columns,
        "small": np.arange(3),
        "half": torch.randn(100, 200).bfloat16(),
        "gaps": torch.randn(200, 200)[:, ::2],
        "weight": convolution.weight,
    }
    found = round_trip(value)
    for name, before in value.items():
        after = found[name]
        assert type(after) is type(before) and after.dtype == before.dtype
        if isinstance(before, np.ndarray):
            assert after.tobytes("A") == before.tobytes("A") and after.strides == before.strides
        else:
            assert torch.equal(after, before) and after.stride() == before.stride()
            assert after.requires_grad == before.requires_grad


def test_the_same_content_has_the_same_name_and_is_sent_once():
    body, parts = packed([np.arange(10_000.0), torch.arange(10_000.0)])
    again, same = packed([np.arange(10_000.0), torch.arange(10_000.0)])
    assert body == again and parts == same and len(parts) == 2
    assert len(body) < 1000
    assert packed(np.arange(10_001.0))[1].keys().isdisjoint(parts)
    twice = np.arange(10_000.0)
    body, parts = packed((twice, twice))
    first, second = unpack(body, parts)
    assert len(parts) == 1 and first is second


def test_two_arrays_of_the_same_content_stay_two_and_one_stays_one():
    first, second = np.zeros(5000), np.zeros(5000)
    parts = Parts()
    body, names = pack([first, second, first], parts)
    assert len(names) == len(parts.content) == 1
    one, two, again = unpack(body, parts.content)
    one[:] = 1
    assert (two == 0).all() and again is one


def test_small_arrays_stay_in_the_body():
    edge = np.zeros(SMALLEST, dtype=np.uint8)
    assert len(packed(edge)[1]) == 1 and not packed(edge[1:])[1]


def test_what_a_job_does_to_its_arrays_changes_no_part():
    body, parts = packed([np.arange(10_000.0), torch.arange(10_000.0)])
    for _ in range(2):
        array, tensor = unpack(body, parts)
        assert array[1] == tensor[1] == 1
        array[:] = 0
        tensor[:] = 0


@dataclass
class Holder:
    agent: object


def test_an_agent_is_a_small_body_and_parts_that_stay_when_candidates_change():
    agent = make_agent(candidates=40, latent_size=32, hidden_size=64)
    body, parts = packed(Holder(agent))
    assert len(body) < 30_000 < len(pickle.dumps(agent))
    other = agent.with_candidates(agent.parameters + 1)
    changed = packed(Holder(other))[1].keys() - parts.keys()
    assert len(changed) == 1  # the candidates
    found = round_trip(Holder(agent)).agent
    for name, tensor in agent.encoder.state_dict().items():
        assert torch.equal(found.encoder.state_dict()[name], tensor)
    assert np.array_equal(found.parameters, agent.parameters)


def test_an_array_of_several_values_is_read_once(monkeypatch):
    read, content = [], packing._content
    monkeypatch.setattr(packing, "_content", lambda value: read.append(1) or content(value))
    shared, parts = np.arange(10_000.0), Parts()
    own = [np.full(10_000, float(number)) for number in range(2)]
    bodies = [pack([shared, array], parts) for array in own]
    assert len(read) == len(parts.content) == 3
    for (body, names), array in zip(bodies, own, strict=True):
        assert len(names) == 2
        first, second = unpack(body, {name: parts.content[name] for name in names})
        assert np.array_equal(first, shared) and np.array_equal(second, array)
