"""Where strangers come each has what is theirs: who may stop, delete and see, and by which name they are known."""

from __future__ import annotations

import stat

import pytest

from engine.jobs.job_errors import NotAllowed, NotFound, StorageError
from engine.jobs.service import Jobs
from engine.jobs.visitors import Signatures, Visitor
from tests.jobs import shelf

ANN, BOB = Visitor("cookie:ann", "1.1.1.1"), Visitor("cookie:bob", "1.1.1.1")
OPERATOR = Visitor("cookie:op", "1.1.1.2", operator=True)
NAMELESS = (None, Visitor(), Visitor("", "1.1.1.1"))
CHANGES = {
    "cancel": lambda jobs, job, by: jobs.cancel(job, by=by),
    "skip": lambda jobs, job, by: jobs.skip(job, 1, by=by),
    "retry": lambda jobs, job, by: jobs.retry(job, by=by),
    "pin": lambda jobs, job, by: jobs.pin(job, by=by),
    "unpin": lambda jobs, job, by: jobs.pin(job, False, by=by),
    "delete": lambda jobs, job, by: jobs.delete(job, by=by),
    "restore": lambda jobs, job, by: jobs.restore(job, by=by),
}


@pytest.fixture
def public(tmp_path):
    with Jobs(tmp_path / "data", worker=False, public=True) as jobs:
        yield jobs


def ids(views) -> list[str]:
    return [view.id for view in views]


@pytest.mark.parametrize("name", CHANGES)
def test_only_whose_a_job_is_and_the_operator_may_change_it(public, name):
    job = public.submit(shelf.experiment(), by=ANN)
    before = public.view(job)
    for by in (BOB, *NAMELESS):
        with pytest.raises(NotAllowed):
            CHANGES[name](public, job, by)
    assert public.view(job) == before
    if name == "retry":
        public.cancel(job, by=ANN)
    if name == "restore":
        public.delete(job, by=ANN)
    CHANGES[name](public, job, ANN)
    other = public.submit(shelf.experiment(), by=ANN)
    if name in ("retry", "restore"):
        (public.cancel if name == "retry" else public.delete)(other, by=ANN)
    CHANGES[name](public, other, OPERATOR)


def test_a_job_that_is_nobodys_is_the_operators_alone(public):
    job = public.submit(shelf.experiment())
    for by in (ANN, *NAMELESS):
        with pytest.raises(NotAllowed):
            public.delete(job, by=by)
    public.delete(job, by=OPERATOR)


def test_removing_for_good_notices_and_the_worker_are_the_operators(public):
    job = public.submit(shelf.experiment(), by=ANN)
    public.delete(job, by=ANN)
    for by in (ANN, BOB, *NAMELESS):
        for act in (lambda by=by: public.purge(job, by=by), lambda by=by: public.restart_worker(by=by),
                    lambda by=by: public.dismiss(1, by=by)):  # fmt: skip
            with pytest.raises(NotAllowed):
                act()
    public.purge(job, by=OPERATOR)
    with pytest.raises(NotFound):
        public.view(job)


def test_prompts_of_others_are_listed_only_to_those_who_have_opened_their_link(public):
    own, other = (public.submit(shelf.experiment(text), by=by) for text, by in (("mine", ANN), ("a secret", BOB)))
    assert ids(public.library(by=ANN)) == [own]
    assert public.library("secret", by=ANN) == []
    assert (public.library_count(by=ANN), public.library_count(by=OPERATOR), public.library_count()) == (1, 2, 0)
    assert [public.library(by=by) for by in NAMELESS] == [[], [], []]
    revision = public.library_revision()
    public.rights.opened(other, ANN)
    public.rights.opened(other, ANN)
    assert public.library_revision() > revision
    assert sorted(ids(public.library(by=ANN))) == sorted([own, other])
    assert ids(public.library("secret", by=ANN)) == [other]
    with pytest.raises(NotAllowed):
        public.delete(other, by=ANN)
    public.delete(other, by=BOB)
    assert public.library_count(by=ANN) == 1
    assert public.library(deleted=True, by=ANN) == []
    assert ids(public.library(deleted=True, by=BOB)) == [other]


def test_what_goes_first_when_the_disk_is_full_is_not_told_of_others(public):
    job = public.submit(shelf.experiment("a secret"), by=BOB)
    public.cancel(job, by=BOB)
    assert public.first_to_go(by=ANN) is None
    assert public.first_to_go(by=BOB).id == job


def test_openings_that_are_remembered_are_bounded(public, monkeypatch):
    monkeypatch.setattr("engine.jobs.visitors.MOST_OPENED", 3)
    job = public.submit(shelf.experiment(), by=BOB)
    for number in range(9):
        public.rights.opened(job, Visitor(f"cookie:{number}"))
    seen = [public.library_count(by=Visitor(f"cookie:{number}")) for number in range(9)]
    assert seen == [0] * 6 + [1] * 3
    public.delete(job, by=BOB)
    public.purge(job, by=OPERATOR)


def test_an_archive_belongs_to_who_brings_it(public, tmp_path):
    with Jobs(tmp_path / "other", worker=False) as other:
        pass
    job = shelf.put(tmp_path / "other", shelf.experiment("brought"))
    with Jobs(tmp_path / "other", worker=False) as other:
        (tmp_path / "a.zip").write_bytes(b"".join(other.archive(job)))
    taken = public.take_in(tmp_path / "a.zip", by=ANN)
    assert ids(public.library(by=ANN)) == [taken]
    assert public.library(by=BOB) == []


def test_alone_and_in_a_team_everybody_may_do_everything(tmp_path):
    with Jobs(tmp_path / "data", worker=False) as jobs:
        job = jobs.submit(shelf.experiment(), by=ANN)
        assert ids(jobs.library(by=BOB)) == [job]
        jobs.pin(job, by=BOB)
        jobs.pin(job, False)
        jobs.delete(job, by=BOB)
        jobs.purge(job, by=BOB)
        assert not jobs.data.secret.exists()


# ---- names -------------------------------------------------------------------------------------------------------


def test_a_name_is_known_again_and_none_can_be_made_up(tmp_path):
    signatures = Signatures.of(tmp_path / "secret")
    visitor, operator = signatures.give(), signatures.give("operator")
    assert Signatures.of(tmp_path / "secret").read(visitor) == (visitor.split(".")[0], "visitor")
    assert signatures.read(operator) == (operator.split(".")[0], "operator")
    name, signature = visitor.split(".")
    forged = (
        "", ".", name, f"{name}.", f".{signature}", f"x{visitor}", f"{visitor}0", f"{name}.{'0' * 64}", "ü.ü",
        f"{operator.split('.')[0]}.{signature}", f"{name}.{signatures.key}", f"operator.{signatures.key}",
        Signatures(b"x" * 32).give("operator"),
    )  # fmt: skip
    assert [signatures.read(text) for text in forged] == [None] * len(forged)
    assert signatures.is_key(signatures.key)
    assert not any(signatures.is_key(text) for text in ("", "x", operator, "ü", signatures.key[:-1]))


def test_the_secret_is_its_owners_alone_to_read(tmp_path):
    path = tmp_path / "secret"
    Signatures.of(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    Signatures.of(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"short")
    with pytest.raises(StorageError, match="cut off"):
        Signatures.of(path)
