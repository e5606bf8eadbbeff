"""Test downloads against a server of our own on the loopback: good, broken off, wrong and missing content."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from yolov8_seg_ros.errors import DownloadError
from yolov8_seg_ros.model_files import download
from yolov8_seg_ros.model_files.download import download_model
from yolov8_seg_ros.model_files.store import PublishedModel

CONTENT = bytes(range(256)) * 1200
MODEL = PublishedModel("tiny", "tiny.tflite", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


@dataclass
class Behaviour:
    """Behaviour of the server."""

    content: bytes = CONTENT
    honours_range: bool = True
    closes_after: int | None = None
    status: int = 200
    announces_size: bool = True
    trickles: bool = False
    requested_ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch):
    """Return the behaviour of a running server from which files are downloaded."""
    behaviour = Behaviour()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            behaviour.requested_ranges.append(asked)
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and behaviour.honours_range else 0
            if behaviour.status != 200 or self.path != "/models/tiny.tflite":
                self.send_error(behaviour.status if behaviour.status != 200 else 404)
                return
            body = behaviour.content[start:]
            self.send_response(206 if start else 200)
            if start:
                total = len(behaviour.content)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            if behaviour.announces_size:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if behaviour.trickles:
                with contextlib.suppress(OSError):
                    for place in range(len(body)):
                        self.wfile.write(body[place : place + 1])
                        time.sleep(0.01)
                return
            self.wfile.write(body[: behaviour.closes_after])

        def log_message(self, *_):
            pass

    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("YOLOV8_SEG_MODEL_URL", f"http://127.0.0.1:{http_server.server_port}/models")
    yield behaviour
    http_server.shutdown()
    thread.join()
    http_server.server_close()


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_good_file_is_downloaded_once(server, tmp_path):
    progress = []

    for _ in range(2):
        path = download_model(MODEL, tmp_path / "cache", progress.append)

    assert path.read_bytes() == CONTENT
    assert names(tmp_path / "cache") == ["tiny.tflite"]
    assert server.requested_ranges == [None]
    assert progress[0] == 0
    assert progress[-1] == len(CONTENT)
    assert progress == sorted(progress)


@pytest.mark.parametrize("announces_size", [True, False], ids=["size_announced", "size_not_announced"])
@pytest.mark.parametrize("honours_range", [True, False], ids=["range_honoured", "range_ignored"])
def test_a_broken_download_goes_on_where_it_stopped(honours_range, announces_size, server, tmp_path):
    server.closes_after, server.announces_size = 100_000, announces_size
    with pytest.raises(DownloadError, match=f"closed after 100000 of {len(CONTENT)} bytes; run the command again"):
        download_model(MODEL, tmp_path)
    assert names(tmp_path) == ["tiny.tflite.part"]

    server.closes_after, server.honours_range = None, honours_range
    path = download_model(MODEL, tmp_path)

    assert path.read_bytes() == CONTENT
    assert server.requested_ranges == [None, "bytes=100000-"]
    assert names(tmp_path) == ["tiny.tflite"]


def test_wrong_content_of_the_right_size_is_removed(server, tmp_path):
    server.content = CONTENT[::-1]

    with pytest.raises(DownloadError, match=f"wrong content, removed: sha256 .* expected {MODEL.sha256}"):
        download_model(MODEL, tmp_path)

    assert names(tmp_path) == []


def test_wrong_content_after_a_good_beginning_is_removed(server, tmp_path):
    (tmp_path / "tiny.tflite.part").write_bytes(b"x" * 1000)

    with pytest.raises(DownloadError, match="wrong content, removed"):
        download_model(MODEL, tmp_path)
    assert names(tmp_path) == []

    assert download_model(MODEL, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"<html>Please sign in</html>", CONTENT + b"more"], ids=["shorter", "longer"])
@pytest.mark.parametrize("honours_range", [True, False], ids=["range_honoured", "range_ignored"])
def test_another_file_does_not_spoil_what_is_there(content, honours_range, server, tmp_path):
    (tmp_path / "tiny.tflite.part").write_bytes(CONTENT[:10])
    server.content, server.honours_range = content, honours_range

    with pytest.raises(DownloadError, match=rf"offers {len(content)} bytes, the published file has {len(CONTENT)}"):
        download_model(MODEL, tmp_path)

    assert (tmp_path / "tiny.tflite.part").read_bytes() == CONTENT[:10]


def test_more_than_the_file_is_never_kept(server, tmp_path):
    server.content, server.announces_size = CONTENT + b"more" * 100_000, False

    assert download_model(MODEL, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("extra", [b"", b"x"], ids=["whole", "too_long"])
def test_what_is_left_of_an_earlier_run_is_used_or_begun_anew(extra, server, tmp_path):
    (tmp_path / "tiny.tflite.part").write_bytes(CONTENT + extra)

    assert download_model(MODEL, tmp_path).read_bytes() == CONTENT
    assert server.requested_ranges == ([None] if extra else [])


def test_a_damaged_file_is_downloaded_again(server, tmp_path):
    (tmp_path / "tiny.tflite").write_bytes(CONTENT[:-1])

    assert download_model(MODEL, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 503])
def test_an_error_of_the_server_is_reported(status, server, tmp_path):
    server.status = status

    with pytest.raises(DownloadError, match=f"the server answers {status} .*YOLOV8_SEG_MODEL_URL"):
        download_model(MODEL, tmp_path)


def test_no_server_is_reported(tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setenv("YOLOV8_SEG_MODEL_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")

        with pytest.raises(DownloadError, match=r"cannot be reached .*refused.* copy the file from another machine"):
            download_model(MODEL, tmp_path)


@pytest.mark.parametrize("url", ["nonsense", "file:///etc", "http://[::1", "http://127.0.0.1:port/"])
def test_an_address_that_is_none_is_reported(url, tmp_path, monkeypatch):
    monkeypatch.setenv("YOLOV8_SEG_MODEL_URL", url)

    with pytest.raises(DownloadError, match=re.escape(url)):
        download_model(MODEL, tmp_path)


def test_a_server_that_speaks_no_http_is_reported(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setenv("YOLOV8_SEG_MODEL_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")

        def answer():
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(b"SSH-2.0-OpenSSH\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DownloadError, match="cannot be reached"):
            download_model(MODEL, tmp_path)
        thread.join()


def test_two_downloads_of_one_file_do_not_mix(server, tmp_path):
    other_error = []

    def download_too(size_bytes):
        if not other_error:
            with pytest.raises(DownloadError, match="another process is downloading this file") as caught:
                download_model(MODEL, tmp_path)
            other_error.append(caught)

    assert download_model(MODEL, tmp_path, download_too).read_bytes() == CONTENT
    assert other_error


def test_a_link_is_not_written_through(server, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    (tmp_path / "tiny.tflite.part").symlink_to(other)

    with pytest.raises(DownloadError, match=r"tiny\.tflite\.part: this is a link"):
        download_model(MODEL, tmp_path)

    assert other.read_bytes() == b"mine"


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_DURATION_S", 0.2)
    server.trickles = True

    with pytest.raises(DownloadError, match=r"not complete after 0.2 s; run the command again"):
        download_model(MODEL, tmp_path)

    assert 0 < (tmp_path / "tiny.tflite.part").stat().st_size < len(CONTENT)


def test_a_password_is_never_printed(monkeypatch, tmp_path):
    monkeypatch.setenv("YOLOV8_SEG_MODEL_URL", "https://me:secret@127.0.0.1/models")

    with pytest.raises(DownloadError, match="a user name or password, which is not supported") as caught:
        download_model(MODEL, tmp_path)

    assert "secret" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_an_os_error(server, tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match="file"):
        download_model(MODEL, tmp_path / "file" / "cache")
