"""Test the reading of class names: every form exporters and users write, and every kind of damage."""

from __future__ import annotations

import json
import os
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from yolov8_seg_ros.errors import ModelError
from yolov8_seg_ros.model_files import class_names as metadata
from yolov8_seg_ros.model_files.class_names import read_class_names, read_metadata, read_model_class_names

#: Nine aliases of nine aliases and so on: 9**12 names where it is written out.
ALIASES = b"a0: &a0 [x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 13)
)
ALIASES += b"names: [*a12]\n"
MERGES = ALIASES.replace(b"[x]", b"{x: 1}").replace(b"[", b"{<<: [").replace(b"]", b"]}")
FLATBUFFER = b"\x1c\0\0\0TFL3" + bytes(range(256)) * 8


def model_file(folder: Path, text: str | bytes | None, member: str = "metadata.txt", deflate: bool = False) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(FLATBUFFER)
    if text is not None:
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED) as archive:
            archive.writestr(member, text)
    return path


@pytest.mark.parametrize(
    ("text", "member", "expected"),
    [
        pytest.param("{'names': {0: 'cat', 1: 'dog'}}", "temp_meta.txt", ("cat", "dog"), id="literal"),
        pytest.param("{'names': {1: 'dog', 0: 'cat'}}", "metadata.txt", ("cat", "dog"), id="literal-unordered"),
        pytest.param('{"names": {"0": "cat", "1": "dog"}}', "metadata.json", ("cat", "dog"), id="json-text-keys"),
        pytest.param('{"names": ["cat", "dog"]}', "metadata.json", ("cat", "dog"), id="json-list"),
        pytest.param("{'names': ('cat',)}", "metadata.txt", ("cat",), id="tuple"),
        pytest.param("{'names': {0: 'Katze ü 猫'}}", "metadata.txt", ("Katze ü 猫",), id="unicode"),
        pytest.param("{'names': {0: 7}}", "metadata.txt", ("7",), id="number-as-name"),
        pytest.param("{'task': 'segment'}", "metadata.txt", None, id="no-names"),
        pytest.param("{'names': {0: 'cat'}}", "labels.bin", None, id="no-text-member"),
        pytest.param(None, "", None, id="no-archive"),
    ],
)
@pytest.mark.parametrize("deflate", [False, True], ids=["stored", "deflated"])
def test_names_of_a_model(tmp_path, text, member, expected, deflate):
    assert read_model_class_names(model_file(tmp_path, text, member, deflate)) == expected


@pytest.mark.parametrize(
    ("text", "member", "message"),
    [
        pytest.param("{'names': {0: 'cat', 2: 'dog'}}", "m.txt", "numbered from 0 without gaps, got [0, 2]", id="gap"),
        pytest.param(
            "{'names': {1: 'cat', 2: 'dog'}}", "m.txt", "numbered from 0 without gaps, got [1, 2]", id="from-1"
        ),
        pytest.param("{'names': {0: 'cat', '0': 'dog'}}", "m.txt", "without gaps", id="number-twice"),
        pytest.param("{'names': {'cat': 0}}", "m.txt", "must be numbered, got the key 'cat'", id="inverted"),
        pytest.param("{'names': 'cat'}", "m.txt", "must be a list or a numbered map, got str", id="names-text"),
        pytest.param("{'names': 3}", "m.txt", "must be a list or a numbered map, got int", id="names-number"),
        pytest.param("['cat', 'dog']", "m.txt", "not a table of names and values", id="list"),
        pytest.param("names: [cat]", "m.txt", "cannot be read", id="not-a-literal"),
        pytest.param("{'names': ", "m.txt", "cannot be read", id="cut-literal"),
        pytest.param("", "m.txt", "cannot be read", id="empty"),
        pytest.param('{"names": ["cat"', "m.json", "cannot be read", id="cut-json"),
        pytest.param(b"{'names': {0: '\xff'}}", "m.txt", "cannot be read", id="not-utf8"),
        pytest.param("[" * 60_000, "m.json", "cannot be read", id="json-nested"),
        pytest.param("[" * 60_000, "m.txt", "cannot be read", id="literal-nested"),
        pytest.param("1+" * 30_000 + "1", "m.txt", "cannot be read", id="literal-sum"),
        pytest.param("-" * 60_000 + "1", "m.txt", "cannot be read", id="literal-signs"),
        pytest.param("9" * 60_000, "m.txt", "cannot be read", id="long-number"),
        pytest.param(" " * 70_000, "m.txt", "has more than 65536 bytes", id="oversize"),
        pytest.param('{"names": {"1e999": "cat"}}', "m.json", "got the key '1e999'", id="key-infinite"),
        pytest.param("{'names': {1e999: 'cat'}}", "m.txt", "got the key inf", id="key-overflow"),
        pytest.param("{'names': [['cat']]}", "m.txt", "the name of class 0 must be a text, got list", id="nested"),
        pytest.param("{'names': {0: None}}", "m.txt", "the name of class 0 must be a text", id="no-name"),
    ],
)
def test_refused_metadata(tmp_path, text, member, message):
    path = model_file(tmp_path, text, member)
    with pytest.raises(ModelError) as caught:
        read_model_class_names(path)
    assert message in str(caught.value)
    assert str(caught.value).count(str(path)) == 1


@pytest.mark.parametrize(
    "code",
    [
        "__import__('os').system('touch {mark}')",
        "open('{mark}', 'w')",
        "[open('{mark}', 'w') for _ in (1,)]",
        "{{'names': open('{mark}', 'w')}}",
        "{{'names': (lambda: open('{mark}', 'w'))()}}",
    ],
)
def test_code_in_metadata_is_not_executed(tmp_path, code):
    mark = tmp_path / "executed"
    with pytest.raises(ModelError, match="cannot be read"):
        read_metadata(model_file(tmp_path, code.format(mark=mark)))
    assert not mark.exists()


def test_a_member_that_lies_about_its_size_is_read_no_further(tmp_path):
    path = model_file(tmp_path, "{'a': '" + "x" * 200_000 + "'}", deflate=True)
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        read_metadata(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bz2", "lzma"])
def test_other_compressions_are_refused(tmp_path, compression):
    path = model_file(tmp_path, None)
    with zipfile.ZipFile(path, "a", compression) as archive:
        archive.writestr("metadata.txt", "{'names': {0: 'cat'}}")
    with pytest.raises(ModelError, match="expected stored or deflated"):
        read_metadata(path)


def test_what_unpacks_to_much_more_is_read_no_further(tmp_path):
    path = model_file(tmp_path, " " * 50_000_000, deflate=True)
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (60_000).to_bytes(4, "little")
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError):
            read_metadata(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_messages_stay_short(tmp_path):
    for text in ("{'names': {'" + "x" * 60_000 + "': 0}}", "'" + "x" * 60_000, "[" + "0," * 20_000):
        with pytest.raises(ModelError) as caught:
            read_model_class_names(model_file(tmp_path, text))
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("fish \ud83d\udc1f", "fish 🐟", id="surrogate-pair"),
        pytest.param("a\ud800b", "a�b", id="single-surrogate"),
        pytest.param("a\x1b[2Jb\n", "a�[2Jb", id="control-characters"),
        pytest.param("x" * 1000, "x" * 199 + "…", id="long"),
    ],
)
def test_names_are_fit_to_be_printed_and_drawn(tmp_path, name, expected):
    names_yaml = tmp_path / "data.yaml"
    names_yaml.write_text(json.dumps({"names": [name]}))
    assert read_class_names(names_yaml) == (expected,)
    assert read_model_class_names(model_file(tmp_path, json.dumps({"names": [name]}), "metadata.json")) == (expected,)
    assert read_model_class_names(model_file(tmp_path, ascii({"names": [name]}))) == (expected,)


def test_a_member_said_to_begin_at_the_end(tmp_path):
    path = model_file(tmp_path, "{'names': {0: 'cat'}}")
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 42 : entry + 46] = (len(content) - 10).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        read_metadata(path)


@pytest.mark.parametrize("deflate", [False, True], ids=["stored", "deflated"])
def test_an_archive_cut_short_anywhere_is_reported(tmp_path, deflate):
    path = model_file(tmp_path, repr({"names": {0: "cat"}, "stride": 32}), deflate=deflate)
    content = path.read_bytes()
    # Of a member's start the first six bytes must be there to tell it from weights.
    for length in range(len(FLATBUFFER) + 6, len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ModelError, match="cut short inside the metadata"):
            read_metadata(path)


@pytest.mark.parametrize("deflate", [False, True], ids=["stored", "deflated"])
def test_a_damaged_archive_never_raises_anything_else(tmp_path, rng, deflate):
    path = model_file(tmp_path, json.dumps({"names": ["cat", "dog"] * 20}), "metadata.json", deflate=deflate)
    content = path.read_bytes()
    refused = 0
    for _ in range(600):
        damaged = bytearray(content)
        for position in rng.integers(len(FLATBUFFER), len(content), rng.integers(1, 5)):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_model_class_names(path)
        except ModelError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        pytest.param("names.txt", b"cat\ndog\n", ("cat", "dog"), id="text"),
        pytest.param("names.txt", b"cat\ndog", ("cat", "dog"), id="text-no-last-newline"),
        pytest.param("names.txt", b"\xef\xbb\xbfcat\r\ndog\r\n", ("cat", "dog"), id="text-bom-crlf"),
        pytest.param("names.txt", b"\n traffic light \n\n\tdog\n", ("traffic light", "dog"), id="text-blank-lines"),
        pytest.param("labels", "Käse\n".encode(), ("Käse",), id="text-without-suffix"),
        pytest.param("data.yaml", b"names: [cat, dog]\nnc: 2\n", ("cat", "dog"), id="yaml-list"),
        pytest.param("data.yml", b"names:\n  0: cat\n  1: dog\n", ("cat", "dog"), id="yaml-map"),
        pytest.param("DATA.YAML", b"names:\n- cat\n", ("cat",), id="yaml-upper-case-suffix"),
        pytest.param("data.yaml", b"\xef\xbb\xbfnames:\r\n- cat\r\n- 7\r\n", ("cat", "7"), id="yaml-bom-crlf-number"),
    ],
)
def test_class_names_file(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content)
    assert read_class_names(path) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("names.txt", b"", "holds no names: write one name a line", id="text-empty"),
        pytest.param("names.txt", b" \r\n\r\n", "holds no names", id="text-blank"),
        pytest.param("names.txt", "cat\n".encode("utf-16"), "cannot be read", id="text-utf16"),
        pytest.param("data.yaml", b"names: []\n", "holds no names", id="yaml-no-names"),
        pytest.param("data.yaml", b"nc: 2\n", "has no entry 'names'", id="yaml-without-names"),
        pytest.param("data.yaml", b"- cat\n", "has no entry 'names'", id="yaml-bare-list"),
        pytest.param("data.yaml", b"", "has no entry 'names'", id="yaml-empty"),
        pytest.param("data.yaml", b"names: [cat\n", "is not YAML", id="yaml-unclosed"),
        pytest.param("data.yaml", b"names: 2020-13-45\n", "is not YAML", id="yaml-impossible-date"),
        pytest.param("data.yaml", b"names: " + b"[" * 5000, "is not YAML", id="yaml-nested"),
        pytest.param("data.yaml", b"names: !!python/object/apply:os.getcwd []\n", "is not YAML", id="yaml-code"),
        pytest.param("data.yaml", b"names: {1: cat}\n", "numbered from 0", id="yaml-gap"),
        pytest.param("data.yaml", b"names:\n", "got NoneType", id="yaml-null"),
        pytest.param("data.yaml", ALIASES, "the name of class 0 must be a text, got list", id="yaml-aliases"),
        pytest.param("data.yaml", MERGES, "is not YAML", id="yaml-merge-keys"),
        pytest.param("data.yaml", b"names: {? 2020-01-01 : cat}\n", "got the key date", id="yaml-date-key"),
    ],
)
def test_refused_class_names_file(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_class_names(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"class names file '{path}'")


@pytest.mark.parametrize(
    "make",
    [
        lambda path: None,
        Path.mkdir,
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.write_bytes(b"cat\n" * 300_000),
    ],
    ids=["missing", "folder", "pipe", "device", "too large"],
)
def test_a_class_names_file_that_is_none(tmp_path, make):
    path = tmp_path / "names.txt"
    make(path)
    with pytest.raises(ModelError, match="cannot be read"):
        read_class_names(path)


def test_the_limit_leaves_room_for_real_metadata():
    assert len(repr({index: f"a long class name {index}" for index in range(1000)})) < metadata.MAX_METADATA_BYTES


def test_names_of_published_models(st_model_256, st_model_320, fish_model):
    for path in (st_model_256, st_model_320):
        names = read_model_class_names(path)
        assert (len(names), names[0], names[79]) == (80, "person", "toothbrush")
        assert read_metadata(path)["task"] == "segment"
    assert read_model_class_names(fish_model) == ("fish", "redfish")
