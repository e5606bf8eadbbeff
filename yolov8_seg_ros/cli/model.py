"""Verb `model`: show what a model is, download the published ones, list what is there, write a raw head."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.cli.arguments import add_settings
from yolov8_seg_ros.cli.output import print_table
from yolov8_seg_ros.commands import tool_command
from yolov8_seg_ros.core.backend import TensorBackend
from yolov8_seg_ros.core.model_spec import HEAD_PARTS, STRIDES_PX, HeadPart, Level, ModelSpec
from yolov8_seg_ros.errors import CommandError, ModelError, NoDecodedHeadError
from yolov8_seg_ros.files import replacing
from yolov8_seg_ros.model_files.download import URL_VARIABLE, download_model, downloaded, model_url
from yolov8_seg_ros.model_files.raw_head import expose, summarize
from yolov8_seg_ros.model_files.store import (
    FOLDERS_VARIABLE,
    PUBLISHED_MODELS,
    available_models,
    cache_folder,
    find_model,
    model_folders,
    published_model,
)
from yolov8_seg_ros.settings.tables import MODEL

_EPILOG = """\
examples:
  yolov8_seg model list
  yolov8_seg model download yolov8n_256
  yolov8_seg model info yolov8n_256"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its own verbs."""
    parser = subparsers.add_parser(
        "model",
        description="Show, download, list and cut models.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_info(verbs)
    _add_download(verbs)
    _add_list(verbs)
    _add_raw(verbs)


def _add_info(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "info",
        help="show sizes, quantization and classes of a model",
        description="Show sizes, quantization and classes of a model.",
        epilog="example: yolov8_seg model info yolov8n_256",
    )
    parser.add_argument("model", metavar="FILE_OR_NAME", help="path or name of a model")
    add_settings(parser, MODEL, ["class_names_file"])
    parser.set_defaults(run=run_info)


def _add_download(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "download",
        help="download a published model",
        description=(
            f"Download a published model into {cache_folder()}, or go on with a download that was interrupted. "
            f"${URL_VARIABLE} may name a mirror: the address of the folder that holds the files."
        ),
        epilog="example: yolov8_seg model download yolov8n_256",
    )
    names = ", ".join(model.name for model in PUBLISHED_MODELS)
    parser.add_argument("name", metavar="NAME", help=f"one of {names}")
    parser.set_defaults(run=run_download)


def _add_list(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "list",
        help="list the models that are found by name",
        description=f"List the models that are found by name; add folders of your own in ${FOLDERS_VARIABLE}.",
        epilog="example: yolov8_seg model list",
    )
    parser.set_defaults(run=run_list)


def _add_raw(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "raw",
        help="write a model without the operators that decode its head",
        description=(
            "Write a model without the operators that decode its head: its outputs are the logits before, which are "
            "finer. cpu and npu do this by themselves when they load a model; the file is for ST's compilers."
        ),
        epilog="example: yolov8_seg model raw yolov8n_256 -o yolov8n_256_raw.tflite",
    )
    parser.add_argument("model", metavar="FILE", help="path or name of a model")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where to write it")
    parser.set_defaults(run=run_raw)


def run_info(args: argparse.Namespace) -> int:
    """Print a model's description."""
    path = find_model(args.model)
    with open_backend(str(path), "cpu", num_threads=1, class_names_file=args.class_names_file) as backend:
        assert isinstance(backend, TensorBackend)
        rows = [("file", f"{path}  ({path.stat().st_size} bytes)"), *describe(backend.spec)]
    print_table(rows, of_text=True)
    return 0


def run_download(args: argparse.Namespace) -> int:
    """Download a model, and print where it is."""
    model = published_model(args.name)
    if model is None:
        names = ", ".join(model.name for model in PUBLISHED_MODELS)
        raise ModelError(f"'{args.name}' is not a published model; expected one of {names}")
    present = downloaded(model, cache_folder())
    if present is not None:
        print(f"{present}  (there already; licence {model.licence}; use it with --model {model.name})")
        return 0
    print(f"{model_url(model)}\n{model.size_bytes} bytes, licence {model.licence}: its terms bind you when you use it")
    with tqdm(total=model.size_bytes, unit="B", unit_scale=True, disable=None, leave=False) as bar:

        def show(size_bytes: int) -> None:
            bar.update(size_bytes - bar.n)

        path = download_model(model, cache_folder(), show)
    print(f"{path}  (sha256 is right; use it with --model {model.name})")
    return 0


def run_list(args: argparse.Namespace) -> int:
    """Print the models that are there, and those that can be."""
    found = available_models()
    rows = [(name, str(path)) for name, path in found.items()]
    rows += [
        (model.name, "not here: " + tool_command(f"model download {model.name}"))
        for model in PUBLISHED_MODELS
        if model.name not in found
    ]
    print_table(rows, of_text=True)
    print("looked in " + ", ".join(map(str, model_folders())))
    return 0


def run_raw(args: argparse.Namespace) -> int:
    """Write a model with a raw head, and print what changed."""
    path, output = find_model(args.model), args.output
    if output.exists() and output.samefile(path):
        raise CommandError(f"{output} is the model itself, which is not overwritten; name another file")
    content = path.read_bytes()
    try:
        raw = expose(content)
        before, after = summarize(content), summarize(raw)
    except NoDecodedHeadError as error:
        raise NoDecodedHeadError(
            f"{path}: there is no decoded head to cut off: {error}; use the file as it is"
        ) from error
    with replacing(output) as temporary:
        temporary.write_bytes(raw)
    print_table(
        [
            ("file", f"{output}  ({len(raw)} bytes)"),
            ("operators", f"{after.num_operators}, before {before.num_operators}"),
            ("outputs", str(after.outputs[0])),
            *(("", str(tensor)) for tensor in after.outputs[1:]),
        ],
        of_text=True,
    )
    return 0


def describe(spec: ModelSpec) -> list[tuple[str, str]]:
    """Return the rows of a table that says what a model is."""
    height, width = spec.input_hw
    rows, columns, count = spec.prototypes.shape[1:]
    return [
        ("input", f"{width}x{height} RGB"),
        ("tensors", f"input {spec.input}"),
        *(("", f"output {tensor}") for tensor in spec.outputs),
        ("head", f"raw, {spec.box_bins} bins a side" if spec.is_raw else "decoded"),
        ("anchors", f"{spec.num_anchors} (strides {', '.join(map(str, STRIDES_PX))} px)"),
        *(row for level in spec.levels for row in _level_rows(level, max(height, width))),
        ("prototypes", f"{count} of {columns}x{rows} cells"),
        ("classes", _classes(spec)),
    ]


def _level_rows(level: Level, size_px: int) -> list[tuple[str, str]]:
    """Return where the parts of a level are; of a decoded head also how coarse its steps are."""
    if level.stride_px:
        parts = ", ".join(f"{name} output {getattr(level, name).output_index}" for name in HEAD_PARTS)
        return [(f"stride {level.stride_px}", parts)]
    return [
        ("boxes", f"{_part(level.boxes)}{_step(level.boxes, size_px, ' px of the input')}"),
        ("scores", f"{_part(level.scores)}{_step(level.scores, 1, '')}"),
        ("coefficients", _part(level.coefficients)),
    ]


def _part(part: HeadPart) -> str:
    layout = "channels first" if part.channels_first else "anchors first"
    return f"output {part.output_index}, channels {part.channels.start} to {part.channels.stop - 1}, {layout}"


def _step(part: HeadPart, factor: int, unit: str) -> str:
    """Return how coarse quantization makes a number."""
    return "" if part.quant.is_float else f", in steps of {part.quant.scale * factor:.2g}{unit}"


def _classes(spec: ModelSpec) -> str:
    names = ", ".join(spec.class_names)
    given = "" if spec.names_given else " (numbered: the model has no names; give --class-names-file)"
    return f"{len(spec.class_names)}{given}: {names}"
