"""Test that sequences are read, and that the figures are those of the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.errors import EvaluationError
from yolov8_seg_ros.tools.evaluation.tracks import TrackedBoxes, draw_tracks, measure_tracks, read_mot

INFO = "[Sequence]\nname=walk\nimDir=img1\nframeRate=10\nimExt=.png\n"
MOT15 = "1,7,10,20,30,40,1,0,0,0\n3,7,12,20,30,40,1,0,0,0\n3,9,50,60,10,20,0,0,0,0\n"
MOT16 = "1,7,10,20,30,40,1,1,1.0\n1,8,10,20,30,40,1,3,1.0\n3,7,12,20,30,40,1,1,0.2\n"


@pytest.fixture
def sequence(tmp_path):
    """Return a function that writes a sequence of three images."""

    def write(info=INFO, truth=MOT15):
        for folder in ("img1", "gt"):
            (tmp_path / folder).mkdir()
        for number in (1, 2, 3):
            (tmp_path / "img1" / f"{number:06d}.png").touch()
        (tmp_path / "seqinfo.ini").write_text(info)
        (tmp_path / "gt" / "gt.txt").write_text(truth)
        return tmp_path

    return write


@pytest.mark.parametrize("truth", [MOT15, MOT16], ids=["MOT15", "MOT16"])
def test_a_sequence_is_read(sequence, truth):
    read = read_mot(sequence(truth=truth))

    assert (read.name, read.fps, len(read.images)) == ("walk", 10.0, 3)
    assert [boxes.track_id.tolist() for boxes in read.truth] == [[7], [], [7]]
    assert read.truth[2].xyxy.tolist() == [[12, 20, 42, 60]]


def test_images_can_be_left_out(sequence):
    thinned = read_mot(sequence()).every(2)
    assert thinned.fps == 5.0
    assert [path.name for path in thinned.images] == ["000001.png", "000003.png"]
    assert [len(boxes.track_id) for boxes in thinned.truth] == [1, 1]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"info": "nothing"}, "seqinfo.ini"),
        ({"info": "[Sequence]\nframeRate=fast\n"}, "frameRate"),
        ({"info": "[Sequence]\nframeRate=0\nimExt=.png\n"}, "frameRate"),
        ({"info": "[Sequence]\nimExt=.bmp\n"}, "no images"),
        ({"truth": "1,2,3\n"}, "columns"),
        ({"truth": "one,2,3,4,5,6\n"}, "gt.txt"),
        ({"truth": "1,2,nan,4,5,6\n"}, "expected numbers between"),
        ({"truth": "1,2,3,4,inf,6\n"}, "expected numbers between"),
        ({"truth": "1,99999999999999999999,3,4,5,6\n"}, "expected numbers between"),
        ({"truth": "1,2,3,4,5,0\n"}, "widths and heights above 0"),
    ],
    ids=[
        "no description",
        "no number",
        "no rate",
        "no images",
        "too few columns",
        "no numbers",
        "not a number",
        "infinite",
        "large id",
        "no height",
    ],
)
def test_what_is_no_sequence_is_refused(sequence, files, message):
    with pytest.raises(EvaluationError, match=message):
        read_mot(sequence(**files))


@pytest.mark.parametrize(
    ("name", "read"),
    [("100%(x)", "100%(x)"), ("../../walk", ".._.._walk"), ("\x1b[31mwalk", "\ufffd[31mwalk")],
    ids=ascii,
)
def test_a_name_names_a_file(sequence, name, read):
    assert read_mot(sequence(info=INFO.replace("name=walk", f"name={name}"))).name == read


def test_a_folder_without_anything_is_refused(tmp_path):
    with pytest.raises(EvaluationError, match=r"seqinfo\.ini"):
        read_mot(tmp_path)


def walk(*ids, shift=0.0):
    """Build one object in as many images as there are ids; None where it is missing."""
    box = np.array([[10 + shift, 10, 30 + shift, 60]], np.float32)
    none = TrackedBoxes(np.empty(0, np.int64), np.empty((0, 4), np.float32))
    return [none if one is None else TrackedBoxes(np.array([one], np.int64), box) for one in ids]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(walk(5, 5, 5, 5), {"hota": 1, "idf1": 1, "mota": 1, "switches": 0}, id="all right"),
        # Half of the associations of each image are right: AssA 1 / 2, HOTA its root.
        pytest.param(
            walk(5, 5, 6, 6),
            {"hota": 0.5**0.5, "deta": 1, "assa": 0.5, "idf1": 0.5, "mota": 0.75, "switches": 1},
            id="a switch",
        ),
        pytest.param(
            walk(5, None, 5, 5),
            {"deta": 0.75, "idf1": 6 / 7, "mota": 0.75, "switches": 0},
            id="a gap",
        ),
        pytest.param(walk(5, 5, 5, 5, shift=100), {"hota": 0, "idf1": 0, "mota": -1}, id="somewhere else"),
        pytest.param(walk(None, None, None, None), {"hota": 0, "mota": 0, "tracks": 0}, id="nothing"),
    ],
)
def test_figures_are_those_of_the_definitions(found, expected):
    pytest.importorskip("trackeval")
    figures = measure_tracks(walk(1, 1, 1, 1), found)
    assert {name: getattr(figures, name) for name in expected} == pytest.approx(expected)


def test_a_path_is_drawn_for_each_track():
    image = np.zeros((100, 100, 3), np.uint8)
    moving = [
        TrackedBoxes(np.array([3], np.int64), np.array([[x, 20, x + 20, 50]], np.float32)) for x in range(10, 60, 10)
    ]
    drawn = draw_tracks(image, moving)
    assert not image.any()
    assert drawn[50, 25:55].any(axis=-1).all()
