"""From a model of the hub to a folder on this disk: the hub cache, or the hub itself where that is allowed.

Fetched are the components that `model_index.json` names, as configs and safetensors; what else a repository holds
(single-file weights, other formats, half-precision twins of weights that are there whole) stays there.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, list_repo_files, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from tqdm.auto import tqdm

from engine.errors import ModelNotFound
from engine.models.catalogue import ModelSpec
from engine.models.weight_files import TWINS, only_variant
from engine.wording import GB, first_line, gb_text

OnFetch = Callable[[int, int], None]  # bytes that are here, bytes in all as far as known
INDEX = "model_index.json"
TAKEN = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
LEFT = ("*.non_ema*", "*openvino*", "*.lora*")


def offline() -> bool:
    """Whether nothing may be fetched: HF_HUB_OFFLINE, as huggingface_hub reads it."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")


def folder_of(spec: ModelSpec, on_fetch: OnFetch | None = None) -> Path:
    """The folder with a model's weights; a model of the hub is fetched first where that is allowed.

    Raises ModelNotFound with where it was looked for and what to do.
    """
    if spec.is_local:
        return Path(spec.location)
    if not spec.location or Path(spec.location).is_absolute() or spec.location.startswith("."):
        raise ModelNotFound(f"the folder {spec.location} does not exist; give another path as --model.")
    try:
        return _cached(spec.location) if offline() else _fetched(spec.location, on_fetch)
    except LocalEntryNotFoundError:
        raise ModelNotFound(_not_here(spec)) from None
    except GatedRepoError:
        raise ModelNotFound(
            f"{spec.title} must be asked for: accept its terms at huggingface.co/{spec.location}, then say "
            "`hf auth login` on this machine."
        ) from None
    except (RepositoryNotFoundError, EntryNotFoundError):
        raise ModelNotFound(
            f"the hub has no diffusers model {spec.location}, or it is private; say `hf auth login`, or give the path "
            "of a folder as --model."
        ) from None
    except (HfHubHTTPError, OSError) as error:
        why = first_line(error)
        raise ModelNotFound(f"{spec.title} could not be fetched whole ({why}); try again: it goes on.") from None


def fetching_text(here: int, total: int) -> str:
    """How far a download is, for people."""
    return f"fetching the model, {here / GB:.1f} of {gb_text(total, 1)}"


def _cached(repository: str) -> Path:
    folder = Path(snapshot_download(repository, allow_patterns=INDEX, local_files_only=True))
    if not (folder / INDEX).is_file():
        raise LocalEntryNotFoundError(f"{INDEX} is not in the cache")
    return folder


def _fetched(repository: str, on_fetch: OnFetch | None) -> Path:
    index = json.loads(Path(hf_hub_download(repository, INDEX)).read_text("utf-8"))
    components = [name for name, value in index.items() if isinstance(value, list) and value and value[0]]
    wanted = [INDEX, *(f"{component}/{pattern}" for component in components for pattern in TAKEN)]
    left = [*LEFT, *_twins(components, list_repo_files(repository))]
    bar: Any = _bar(on_fetch or (lambda here, total: None))
    return Path(snapshot_download(repository, allow_patterns=wanted, ignore_patterns=left, tqdm_class=bar))


def _twins(components: Sequence[str], files: Sequence[str]) -> Iterator[str]:
    """Patterns of half-precision weights that are not needed: those of components that have something better."""
    for component in components:
        names = [name for folder, _, name in (file.rpartition("/") for file in files) if folder == component]
        taken = only_variant(names)
        yield from (f"{component}/*{variant}*" for variant in TWINS if variant != taken)


def _bar(tell: OnFetch) -> type:
    """A progress bar that draws nothing and tells how many bytes are here."""

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **kwargs | {"file": io.StringIO(), "disable": False})

        def display(self, *args: Any, **kwargs: Any) -> None:
            if self.unit == "B" and self.total and "Reconstruct" in (self.desc or "Reconstruct"):
                tell(int(self.n), int(self.total))

    return Bar


def _not_here(spec: ModelSpec) -> str:
    if offline():
        return (
            f"{spec.title} ({spec.location}) is not in the local hub cache, and nothing is fetched here; say "
            f"`hf download {spec.location}` once, give the path of a downloaded folder as --model, or start the studio "
            "with RESOLUTE_DOWNLOAD=1."
        )
    return (
        f"{spec.title} ({spec.location}) is neither in the local hub cache nor could it be fetched; connect once, or "
        "give the path of a downloaded folder as --model."
    )
