"""Fetching: only what is needed, told as it goes; what fails is one sentence with the remedy."""

from __future__ import annotations

import json

import pytest
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from engine.errors import ModelNotFound
from engine.jobs.model_runner import TorchRunner
from engine.models import fetching
from engine.models.catalogue import catalogue

FLUX = catalogue()["flux.1-dev"]


class Answer:
    """As much of a response as the hub's errors read."""

    status_code, headers, request, text = 403, {}, None, ""


@pytest.fixture
def online(monkeypatch, tmp_path):
    """A hub that counts: an index of two components, and a download of 3 GB in two steps."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    asked = {}
    index = {"_class_name": "FluxPipeline", "transformer": ["diffusers", "X"], "vae": ["diffusers", "Y"], "none": None}
    (tmp_path / "model_index.json").write_text(json.dumps(index | {"image_encoder": [None, None]}))

    def snapshot(repository, tqdm_class, **more):
        asked.update(more)
        bar = tqdm_class(desc="Reconstructing (incomplete total...)", total=0, unit="B", unit_scale=True, name="hub")
        other = tqdm_class(desc="Fetching 3 files", total=3)
        bar.total = 3_000_000_000
        for _ in range(2):
            bar.update(1_500_000_000)
            bar.refresh()
        other.update(3)
        other.close()
        bar.close()
        return str(tmp_path)

    monkeypatch.setattr(fetching, "hf_hub_download", lambda repository, name: str(tmp_path / name))
    monkeypatch.setattr(fetching, "list_repo_files", lambda repository: ["vae/model.safetensors"])
    monkeypatch.setattr(fetching, "snapshot_download", snapshot)
    return asked


def test_only_the_components_are_fetched_and_progress_is_told(online, tmp_path, capsys):
    told = []
    assert fetching.folder_of(FLUX, lambda here, total: told.append((here, total))) == tmp_path
    assert told[-1] == (3_000_000_000, 3_000_000_000)
    assert (1_500_000_000, 3_000_000_000) in told
    patterns = online["allow_patterns"]
    assert "transformer/*.safetensors" in patterns
    assert "model_index.json" in patterns
    assert not [one for one in patterns if one.startswith(("*", "none", "image_encoder")) or one.endswith(".bin")]
    assert capsys.readouterr() == ("", "")  # the library's bars would tear ours


def test_a_job_tells_how_far_the_download_is(monkeypatch):
    phases = []

    def load(name, *, options, on_fetch):
        on_fetch(1_500_000_000, 28_000_000_000)
        raise ModelNotFound("gone")

    monkeypatch.setattr("engine.jobs.model_runner.load_model", load)
    with pytest.raises(ModelNotFound):
        TorchRunner().load(FLUX, phases.append)
    assert phases == ["fetching the model, 1.5 of 28.0 GB"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (GatedRepoError("403", response=Answer()), "accept its terms at huggingface.co/black-forest-labs/FLUX.1-dev"),
        (RepositoryNotFoundError("404", response=Answer()), "the hub has no diffusers model"),
        (LocalEntryNotFoundError("no connection"), "connect once"),
        (ConnectionError("dropped\nmid-way"), "could not be fetched whole (dropped); try again: it goes on"),
    ],
)
def test_what_fails_is_one_sentence(online, monkeypatch, error, words):
    def fails(*args, **more):
        raise error

    monkeypatch.setattr(fetching, "snapshot_download", fails)
    with pytest.raises(ModelNotFound) as raised:
        fetching.folder_of(FLUX)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
