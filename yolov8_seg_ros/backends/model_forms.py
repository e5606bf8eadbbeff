"""Read a .tflite file in the forms in which a runtime may run it, the best one first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from yolov8_seg_ros.errors import BackendError, ModelError, NoDecodedHeadError, one_line
from yolov8_seg_ros.model_files.cpu_graph import for_cpu
from yolov8_seg_ros.model_files.raw_head import expose
from yolov8_seg_ros.model_files.tflite_schema import FILE_IDENTIFIER

Opened = TypeVar("Opened")


@dataclass(frozen=True)
class ModelForm:
    """A form of a model file.

    Attributes:
        path: the file.
        content: the bytes that run.
        name: of the form, for a person.
        head: what became of the decoded head, for a person.
        input_shape: of the file's input, where that of `content` may be another one; else None.
    """

    path: Path
    content: bytes
    name: str
    head: str
    input_shape: tuple[int, ...] | None = None


def read_forms(model_path: Path, raw_head: bool = True) -> list[ModelForm]:
    """Read a model file; return it as it is, and before it the same model with a raw head where it can be had.

    Raises:
        ModelError: if the file cannot be read, or is not a .tflite file.
    """
    content = read_tflite(model_path)
    published = ModelForm(model_path, content, "file as it is", "as in the file")
    if not raw_head:
        return [replace(published, head="as in the file, as asked for")]
    try:
        cut = expose(content)
    except NoDecodedHeadError as error:
        return [replace(published, head=f"as in the file: {error}")]
    return [ModelForm(model_path, cut, "raw head", "raw, cut out of the file"), published]


def read_forms_for_cpu(model_path: Path, raw_head: bool = True) -> list[ModelForm]:
    """Read a model file as `read_forms` does; return before the rest what LiteRT runs faster, if it may be changed.

    Raises:
        ModelError: if the file cannot be read, or is not a .tflite file.
    """
    forms = read_forms(model_path, raw_head)
    faster = for_cpu(forms[0].content) if raw_head else None
    if faster is None:
        return forms
    best = replace(forms[0], content=faster.content, name="graph for the CPU", input_shape=faster.input_shape)
    return [best, *forms]


def first_that_opens(forms: Sequence[ModelForm], open_form: Callable[[ModelForm], Opened]) -> tuple[ModelForm, Opened]:
    """Open the first of several forms of a model; the next one where a runtime or a delegate refuses it.

    Raises:
        UserError: what the last form raises.
    """
    *preferred, last = forms
    reason = ""
    for form in preferred:
        try:
            return replace(form, head=form.head + reason), open_form(form)
        except (ModelError, BackendError) as error:
            reason = f", since its {form.name} does not run here: {one_line(error)}"
    return replace(last, head=last.head + reason), open_form(last)


def read_tflite(model_path: Path) -> bytes:
    """Return the bytes of a .tflite file.

    Raises:
        ModelError: if the file cannot be read, or is not a .tflite file.
    """
    try:
        content = model_path.read_bytes()
    except OSError as error:
        raise ModelError(f"{model_path}: the model cannot be read: {error.strerror}") from error
    if content[4:8] != FILE_IDENTIFIER:
        remedy = "make one of it with 'yolov8_seg export'" if model_path.suffix == ".pt" else "give a .tflite file"
        raise ModelError(f"{model_path}: this is no TensorFlow Lite model; {remedy}")
    return content
