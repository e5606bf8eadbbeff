"""Judge what was found on a drive of the simulated robot, object by object."""

from __future__ import annotations

from collections import defaultdict

#: An object of which less is visible is not asked for.
MIN_VISIBLE = 0.9
MAX_LOST_IN_A_ROW = 3
#: Nodes may leave images out where the machine is busy.
MIN_PROCESSED = 0.5


def class_of(detection):
    """Return the name of a detection's class, in the image or in space."""
    return detection.results[0].hypothesis.class_id


def visible_spells(stamps, truth, look):
    """Return what was found of each object, image by image, for each time that it was visible without a break.

    Args:
        stamps: of the images, in order.
        truth: the ground truth, by stamp; its scores are the visible parts.
        look: returns what was found of an object of the ground truth, given the image's stamp and the object.
    """
    spells, visible_before = defaultdict(list), set()
    for stamp in stamps:
        visible = {one.id: one for one in truth[stamp] if one.results[0].hypothesis.score >= MIN_VISIBLE}
        for number, wanted in visible.items():
            if number not in visible_before:
                spells[number].append([])
            spells[number][-1].append(look(stamp, wanted))
        visible_before = set(visible)
    return [spell for of_one_object in spells.values() for spell in of_one_object]


def longest_run(flags):
    """Return the largest number of flags in a row that are set."""
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest


def id_switches(ids_of_spells):
    """Return how often an object got another id while it was visible; empty ids do not count."""
    return sum(max(0, len(set(filter(None, ids))) - 1) for ids in ids_of_spells)
