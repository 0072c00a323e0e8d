from __future__ import annotations

import gc
import os
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads of the tests' own processes do not spin while they wait
os.environ.setdefault("RESOLUTE_MAX_WAITED", "1")  # on a busy machine too tests learn from what they time
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "True")  # as Gradio sets it where it is told the next
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "True")  # else Gradio sets it, at the first page of the process

os.environ.setdefault("RESOLUTE_HOSTS", "testserver")  # the name by which Starlette's client asks

import pytest
import torch
from diffusers.models.attention_dispatch import _AttentionBackendRegistry

from tests.tiny import tiny_wan

torch.set_num_threads(1)  # the networks of the tests are tiny: a second thread only waits
# One app for all of them.
STUDIO = tuple(f"tests/browser/test_{name}.py" for name in ("studio", "levels_in_studio", "picture"))
FIRST = (*STUDIO, "tests/browser", "tests/faults", "tests/jobs", "tests/families")  # what takes longest is begun first


BROWSERS = 2  # workers that may run browser tests at a time, and only one beside other tests: more make pages late


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """A worker takes whole files, for their fixtures are the file's, and those of the studio as one.

    There is a worker more than cores, as tests of the page wait half of their time; the others fill it.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return STUDIO[0] if file in STUDIO else file

        def _assign_work_unit(self, node: object) -> None:
            if self._browsing_beside(node):
                other = next((scope for scope in self.workqueue if not in_browser(scope)), None)
                if other:
                    self.workqueue.move_to_end(other, last=False)
            super()._assign_work_unit(node)

        def _reschedule(self, node: Any) -> None:
            only_pages = bool(self.workqueue) and all(map(in_browser, self.workqueue))
            if only_pages and self._browsing_beside(node) >= BROWSERS:
                node.shutdown()  # after what it has still to do
            else:
                super()._reschedule(node)

        def _browsing_beside(self, node: object) -> int:
            """How many other workers have tests of pages to do."""
            others = [work for other, work in self.assigned_work.items() if other is not node]
            return sum(
                any(in_browser(file) and not all(done.values()) for file, done in work.items()) for work in others
            )

    return Files(config, log)


def in_browser(scope: str) -> bool:
    """Whether a file's tests open pages."""
    return scope.startswith(("tests/browser", "tests/faults/test_browser"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((k for k, part in enumerate(FIRST) if item.nodeid.startswith(part)), len(FIRST)))


def pytest_collection_finish() -> None:
    """What is imported by now stays: no later collection of garbage, and there are hundreds, looks at it again."""
    gc.collect()
    gc.freeze()


def global_state() -> dict[str, object]:
    """What a test may change and must put back, for later ones would take it over."""
    return {
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "grad": torch.is_grad_enabled(),
        "attention": _AttentionBackendRegistry.get_active_backend()[0],
        "matmul": torch.get_float32_matmul_precision(),
        "folder": os.getcwd(),
    } | {f"${name}": value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture(autouse=True)
def state_stays():
    """Every test leaves the process as it was."""
    before = global_state()
    yield
    after = global_state()
    torch.set_num_threads(1)  # so that one test alone is blamed
    assert dict(after.items() ^ before.items()) == {}


@pytest.fixture(scope="session")
def shared_tiny():
    """One tiny pipeline for tests that leave it as it was."""
    return tiny_wan()


@pytest.fixture
def tiny():
    return tiny_wan()
