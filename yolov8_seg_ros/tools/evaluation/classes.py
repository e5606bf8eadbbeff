"""Find out which of a model's classes stands for which of a data set's."""

from __future__ import annotations

from collections.abc import Collection

from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.errors import EvaluationError
from yolov8_seg_ros.tools.evaluation.truth import Truth

#: How many of many a message lists.
_MANY = 10


def match_classes(truth: Truth, spec: ModelSpec, chosen: Collection[int] | None = None) -> dict[int, int]:
    """Give the category id by class index of the model, for the classes that both have.

    Classes are matched by name, whatever their capitals; by number where one side has no names.

    Args:
        truth: what is to be found.
        spec: of the model.
        chosen: class indices of the model to keep; None keeps all, and then none of the truth's may be missing.

    Raises:
        EvaluationError: if classes that have objects are none of the model's.
    """
    are_named = truth.is_named and spec.names_given
    matched = _by_name(truth, spec) if are_named else _by_number(truth, spec)
    if chosen is not None:
        matched = {index: category for index, category in matched.items() if index in chosen}
    missing = [truth.class_names[category] for category in sorted(truth.used - set(matched.values()))]
    if not matched or (missing and chosen is None):
        strangers = _listed(missing or list(truth.class_names.values()))
        raise EvaluationError(
            f"{truth.source}: its classes {strangers} are none of the model's ({_listed(spec.class_names)}); "
            "name the model's as the data set does with --class-names, or choose some of them with --classes"
        )
    return matched


def _by_name(truth: Truth, spec: ModelSpec) -> dict[int, int]:
    ids = sorted(truth.class_names)
    names = [_plain(truth.class_names[category]) for category in ids]
    known = [_plain(name) for name in spec.class_names]
    if names == known:
        return dict(enumerate(ids))
    twice = sorted({name for name in names if names.count(name) > 1 and name in known})
    if twice:
        raise EvaluationError(f"{truth.source}: more than one class is called {_listed(twice)}; give each its own name")
    return {known.index(name): category for category, name in zip(ids, names, strict=True) if name in known}


def _by_number(truth: Truth, spec: ModelSpec) -> dict[int, int]:
    if len(truth.class_names) != len(spec.class_names):
        nameless = "the data set" if spec.names_given else "the model"
        raise EvaluationError(
            f"{truth.source}: {len(truth.class_names)} classes, the model has {len(spec.class_names)}, and {nameless} "
            "does not name its own, so that they cannot be matched; "
            + ("write 'names' into data.yaml" if spec.names_given else "give --class-names")
        )
    return dict(enumerate(sorted(truth.class_names)))


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in list(names)[:_MANY])
    return shown + (f" and {len(names) - _MANY} more" if len(names) > _MANY else "")
