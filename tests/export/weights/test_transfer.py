"""Transfers from a server on 127.0.0.1: resumed, retried, never glued."""

from __future__ import annotations

import errno
import io
import socket
from pathlib import Path

import pytest

from trufor_onnx import files
from trufor_onnx.errors import StorageError
from trufor_onnx.export.weights import transfer as module
from trufor_onnx.export.weights.transfer import TransferError, transfer, version_file

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes
OTHER = CONTENT[::-1]


@pytest.fixture
def part(tmp_path):
    return tmp_path / "weights.zip.part"


@pytest.fixture
def pauses():
    return []


def test_whole_file_in_one_go(make_server, part):
    server = make_server(content=CONTENT)
    seen = []
    arrived = transfer(server.url, part, progress=lambda d, t: seen.append((d, t)))
    assert part.read_bytes() == CONTENT
    assert (arrived.size, arrived.fetched) == (len(CONTENT), len(CONTENT))
    assert arrived.content_type == "application/zip"
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert server.ranges == [None]


def test_connection_cut_twice_goes_on_where_it_stopped(make_server, part, pauses):
    server = make_server(content=CONTENT, cut_after=[100_000, 50_000])
    arrived = transfer(server.url, part, sleep=pauses.append)
    assert part.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert [headers.get("if-range") for _, headers in server.requests] == [None, '"v1"', '"v1"']
    assert arrived.fetched == len(CONTENT)
    assert pauses == [1.0, 2.0]


def test_interrupted_then_continued_by_the_next_call(make_server, part):
    server = make_server(content=CONTENT)

    def interrupt(done, _):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transfer(server.url, part, progress=interrupt)
    have = part.stat().st_size
    assert 0 < have < len(CONTENT)
    arrived = transfer(server.url, part)
    assert part.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={have}-"]
    assert arrived.fetched == len(CONTENT) - have


def test_last_modified_is_a_validator_where_there_is_no_strong_etag(make_server, part, pauses):
    when = "Wed, 21 Oct 2015 07:28:00 GMT"
    server = make_server(content=CONTENT, etag='W/"v1"', last_modified=when, cut_after=[9000])
    transfer(server.url, part, sleep=pauses.append)
    assert part.read_bytes() == CONTENT
    assert server.requests[1][1]["if-range"] == when


def test_without_any_validator_it_starts_again(make_server, part, pauses):
    server = make_server(content=CONTENT, etag=None, cut_after=[9000])
    transfer(server.url, part, sleep=pauses.append)
    assert part.read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_server_without_range_starts_again(make_server, part, pauses):
    server = make_server(content=CONTENT, honours_range=False, cut_after=[200_000])
    arrived = transfer(server.url, part, sleep=pauses.append)
    assert part.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=200000-"]
    assert arrived.fetched == len(CONTENT) + 200_000


@pytest.mark.parametrize("honours_if_range", [True, False])
def test_changed_file_is_not_glued_to_the_old_one(make_server, part, honours_if_range):
    server = make_server(content=CONTENT, cut_after=[200_000], honours_if_range=honours_if_range)

    def change_while_waiting(_):
        server.content, server.etag = OTHER, '"v2"'

    transfer(server.url, part, sleep=change_while_waiting)
    assert part.read_bytes() == OTHER


def test_file_that_became_shorter_than_the_part(make_server, part):
    server = make_server(content=CONTENT, cut_after=[200_000], honours_if_range=False)

    def change_while_waiting(_):
        server.content, server.etag = OTHER[:1000], '"v2"'

    transfer(server.url, part, sleep=change_while_waiting)
    assert part.read_bytes() == OTHER[:1000]


def test_part_of_another_address_is_not_continued(make_server, part):
    first = make_server(content=CONTENT, cut_after=[1000] * 9)
    with pytest.raises(TransferError):
        transfer(first.url, part, sleep=lambda _: None)
    second = make_server(content=OTHER)
    transfer(second.url, part)
    assert part.read_bytes() == OTHER
    assert second.ranges == [None]


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"url": 1}'])
def test_unreadable_version_file_means_start_again(make_server, part, damage):
    server = make_server(content=CONTENT)
    part.write_bytes(b"rubbish")
    version_file(part).write_bytes(damage)
    transfer(server.url, part)
    assert part.read_bytes() == CONTENT


def test_complete_part_needs_no_request(make_server, part):
    server = make_server(content=CONTENT)
    transfer(server.url, part)
    arrived = transfer(server.url, part)
    assert (arrived.size, arrived.fetched) == (len(CONTENT), 0)
    assert len(server.requests) == 1


def test_always_cut_short_gives_up_and_keeps_the_part(make_server, part, pauses):
    server = make_server(content=CONTENT, cut_after=[1000] * 9)
    with pytest.raises(TransferError, match="ended after 4,000 of 512,000 bytes") as caught:
        transfer(server.url, part, sleep=pauses.append)
    assert "run the command again" in caught.value.hint
    assert part.read_bytes() == CONTENT[:4000]
    assert pauses == [1.0, 2.0, 4.0]


def test_real_progress_starts_the_count_of_failures_again(make_server, part, pauses, monkeypatch):
    monkeypatch.setattr(module, "REAL_PROGRESS_BYTES", 50_000)
    server = make_server(content=CONTENT, cut_after=[60_000] * 7)
    transfer(server.url, part, sleep=pauses.append)
    assert part.read_bytes() == CONTENT
    assert pauses == [1.0] * 7


def test_busy_server_is_asked_again(make_server, part, pauses):
    server = make_server(content=CONTENT, statuses=[503, 429])
    transfer(server.url, part, sleep=pauses.append)
    assert part.read_bytes() == CONTENT
    assert pauses == [1.0, 2.0]


def test_missing_file_is_not_asked_for_again(make_server, part, pauses):
    server = make_server(content=CONTENT, statuses=[404])
    with pytest.raises(TransferError, match="404"):
        transfer(server.url, part, sleep=pauses.append)
    assert len(server.requests) == 1
    assert pauses == []


def test_redirect_is_followed_with_the_range(make_server, part, pauses):
    target = make_server(content=CONTENT, cut_after=[5000])
    server = make_server(redirect_to=target.url)
    transfer(server.url, part, sleep=pauses.append)
    assert part.read_bytes() == CONTENT
    assert target.ranges == [None, "bytes=5000-"]


def test_redirect_to_a_local_file_is_refused(make_server, part, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    server = make_server(redirect_to=secret.as_uri())
    with pytest.raises(TransferError):
        transfer(server.url, part, sleep=lambda _: None)
    assert not part.exists()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "weights.zip"])
def test_only_http(part, url):
    with pytest.raises(TransferError, match="not an http or https address"):
        transfer(url, part)


def test_closed_port(make_server, part, pauses):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: a connection is refused
        make_server()  # no proxies
        with pytest.raises(TransferError, match="refused") as caught:
            transfer(f"http://127.0.0.1:{closed.getsockname()[1]}/x", part, sleep=pauses.append)
    assert "network" in caught.value.hint
    assert pauses == [1.0, 2.0, 4.0]
    assert not part.exists()


def test_silent_server_times_out(make_server, part, pauses):
    make_server()  # no proxies
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/x"
        with pytest.raises(TransferError, match="timed out"):
            transfer(url, part, tries=2, timeout_s=0.05, sleep=pauses.append)
    assert pauses == [1.0]


def test_http_proxy_is_used(make_server, part, monkeypatch):
    proxy = make_server(content=CONTENT)
    monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")
    transfer("http://weights.invalid/weights.zip", part)
    assert part.read_bytes() == CONTENT
    path, headers = proxy.requests[0]
    assert path == "http://weights.invalid/weights.zip"
    assert headers["host"] == "weights.invalid"
    assert headers["proxy-authorization"].startswith("Basic ")


def test_https_goes_through_the_proxys_tunnel(make_server, part, monkeypatch):
    proxy = make_server()
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
    with pytest.raises(TransferError, match="403"):
        transfer("https://weights.invalid/x", part, sleep=lambda _: None)
    assert proxy.requests[0][0] == "weights.invalid:443"


def test_no_proxy_goes_round_it(make_server, part, monkeypatch):
    server, proxy = make_server(content=CONTENT), make_server(content=OTHER)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    transfer(server.url, part)
    assert part.read_bytes() == CONTENT
    assert proxy.requests == []


def test_disk_that_cannot_hold_it_is_reported_before_writing(make_server, part, monkeypatch):
    server = make_server(content=CONTENT)
    monkeypatch.setattr(files, "free_bytes", lambda _: 1000)
    with pytest.raises(StorageError, match=r"no space left in .*500\.0 KiB needed, 1000 B free"):
        transfer(server.url, part)
    assert not part.exists()


def test_disk_full_while_writing_keeps_the_part(make_server, part, pauses, monkeypatch):
    server = make_server(content=CONTENT)
    real_open = Path.open

    class FullDisk(io.FileIO):
        def write(self, data):
            if self.tell() >= 100_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(bytes(data)[:60_000])  # and short writes on the way

    def full_open(self, mode="r", *args, **kwargs):
        return FullDisk(self, mode) if "a" in mode else real_open(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full_open)
    with pytest.raises(StorageError, match="no space left") as caught:
        transfer(server.url, part, sleep=pauses.append)
    assert "free some space" in caught.value.hint
    assert pauses == []
    monkeypatch.undo()
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    have = part.stat().st_size
    assert 100_000 <= have < len(CONTENT)
    transfer(server.url, part)
    assert part.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={have}-"]


def test_length_unknown_is_accepted(make_server, part):
    server = make_server(content=CONTENT, says_length=False)
    seen = []
    transfer(server.url, part, progress=lambda _, t: seen.append(t))
    assert part.read_bytes() == CONTENT
    assert set(seen) == {None}
