"""How the studio is started: which names it answers to, whom it lets in, what it tells its operator."""

from __future__ import annotations

import pytest
import uvicorn
from fastapi.testclient import TestClient

from engine.jobs.service import Jobs
from ui import main


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Starts it without a worker and without a network; comes back with what the server would have run."""
    monkeypatch.delenv("RESOLUTE_HOSTS", raising=False)
    monkeypatch.setattr(Jobs, "open", classmethod(lambda cls, folder, public: cls(folder, worker=False, public=public)))
    ran: list[tuple] = []

    def run(app, **options):
        with TestClient(app, base_url="http://box.local", raise_server_exceptions=False) as client:
            answers = [client.get("/", headers={"host": host}) for host in ("box.local:7860", "evil.example")]
            ran.append((options, [answer.status_code for answer in answers], answers[0].headers.get("set-cookie")))

    monkeypatch.setattr(uvicorn, "run", run)

    def start(**options):
        main.serve(port=7860, data_dir=tmp_path, **options)
        return ran[-1]

    return start


def test_the_host_that_is_given_is_answered_and_no_forwarded_header_is_read_by_the_server(started, capsys):
    options, statuses, cookie = started(host="box.local", public=False)
    assert statuses == [200, 421]
    assert options["proxy_headers"] is False
    assert options["limit_concurrency"] == 1000
    assert cookie is None
    assert "operator" not in capsys.readouterr().out


def test_where_strangers_come_the_operator_is_told_an_address_of_their_own(started, capsys):
    _, _, cookie = started(host="box.local", public=True)
    assert "HttpOnly" in cookie
    assert "http://box.local:7860/operator/" in capsys.readouterr().out


def test_a_setting_that_means_nothing_ends_the_start_with_a_sentence(started, monkeypatch, capsys):
    monkeypatch.setenv("RESOLUTE_HOSTS", "https://a.org")
    with pytest.raises(SystemExit) as ended:
        started(host="127.0.0.1", public=False)
    assert ended.value.code == 2
    assert "RESOLUTE_HOSTS holds 'https://a.org'" in capsys.readouterr().err
