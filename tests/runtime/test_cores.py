"""No more workers than cores, than a container's CPU quota allows, and than jobs."""

import os

import pytest

from worldmodels.pipeline.errors import UserError
from worldmodels.pipeline.machine import available_cores
from worldmodels.runtime.cores import worker_count


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv("WM_WORKERS", raising=False)


def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_one_worker_per_core_or_as_many_as_set_and_no_more_than_jobs(monkeypatch):
    assert worker_count() == available_cores()
    monkeypatch.setenv("WM_WORKERS", "3")
    assert worker_count() == 3 and worker_count(2) == 2 and worker_count(7) == 3
    monkeypatch.setenv("WM_WORKERS", "")
    assert worker_count() == available_cores() and worker_count(1) == 1


@pytest.mark.parametrize("wrong", ["0", "two", "-1", "1.5", "nan", "inf", "²"])
def test_a_wrong_number_of_workers_is_refused_by_name(monkeypatch, wrong):
    monkeypatch.setenv("WM_WORKERS", wrong)
    with pytest.raises(UserError, match="WM_WORKERS"):
        worker_count()


@pytest.mark.parametrize(
    ("group", "files", "cores"),
    [
        ("0::/", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/", {"cpu.max": "max 100000\n"}, 8),
        ("0::/a/b", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3),
        ("0::/not/seen/from/inside", {"cpu.max": "50000 100000\n"}, 1),
        (
            "4:memory:/\n3:cpu,cpuacct:/docker/1",
            {"cpu,cpuacct/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/cpu.cfs_period_us": "1e5\n"},
            3,
        ),
        (
            "3:cpu,cpuacct:/\n0::/",
            {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            8,
        ),
        ("0::/", {}, 8),
    ],
)
def test_a_containers_cpu_quota_is_respected(monkeypatch, tmp_path, group, files, cores):
    eight_cores(monkeypatch)
    write(tmp_path / "proc/self/cgroup", f"{group}\n")
    for name, text in files.items():
        write(tmp_path / "sys/fs/cgroup" / name, text)
    assert available_cores(tmp_path) == cores


def test_a_system_without_control_groups_or_affinity_counts_its_cores(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # macOS
    monkeypatch.setattr(os, "cpu_count", lambda: 10)
    assert available_cores(tmp_path) == 10
