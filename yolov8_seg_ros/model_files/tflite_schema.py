"""Numbers of the fields and kinds of a .tflite file that this package reads or writes.

Source: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from __future__ import annotations

from enum import IntEnum

#: What identifies a .tflite file, at byte 4.
FILE_IDENTIFIER = b"TFL3"


class ModelField(IntEnum):
    """Fields of the root table."""

    VERSION, OPERATOR_CODES, SUBGRAPHS, DESCRIPTION = 0, 1, 2, 3
    BUFFERS, METADATA_BUFFER, METADATA, SIGNATURES = 4, 5, 6, 7


class SubGraphField(IntEnum):
    """Fields of a graph."""

    TENSORS, INPUTS, OUTPUTS, OPERATORS, NAME = 0, 1, 2, 3, 4


class TensorField(IntEnum):
    """Fields of a tensor."""

    SHAPE, TYPE, BUFFER, NAME, QUANTIZATION = 0, 1, 2, 3, 4


class QuantizationField(IntEnum):
    """Fields of a tensor's quantization."""

    SCALE, ZERO_POINT, AXIS = 2, 3, 6


class OperatorField(IntEnum):
    """Fields of an operator."""

    CODE, INPUTS, OUTPUTS, OPTIONS_TYPE, OPTIONS, INTERMEDIATES = 0, 1, 2, 3, 4, 8


class OperatorCodeField(IntEnum):
    """Fields of an operator's kind."""

    SHORT_BUILTIN, VERSION, BUILTIN = 0, 2, 3


class BufferField(IntEnum):
    """Fields of a constant's bytes."""

    DATA, OFFSET, SIZE = 0, 1, 2


class MetadataField(IntEnum):
    """Fields of an entry of metadata."""

    BUFFER = 1


class ConvolutionField(IntEnum):
    """Fields of a convolution's options."""

    PADDING, STRIDE_X, STRIDE_Y, ACTIVATION, DILATION_X, DILATION_Y = 0, 1, 2, 3, 4, 5


class Op(IntEnum):
    """The operators that a decoded head consists of, and those that are replaced, as `BuiltinOperator` numbers them."""

    ADD = 0
    CONCATENATION = 2
    CONV_2D = 3
    DEPTH_TO_SPACE = 5
    DEQUANTIZE = 6
    FULLY_CONNECTED = 9
    LOGISTIC = 14
    MUL = 18
    RESHAPE = 22
    SOFTMAX = 25
    CUSTOM = 32
    PAD = 34
    GATHER = 36
    TRANSPOSE = 39
    SUB = 41
    DIV = 42
    SQUEEZE = 43
    STRIDED_SLICE = 45
    SPLIT = 49
    CAST = 53
    SLICE = 65
    TRANSPOSE_CONV = 67
    EXPAND_DIMS = 70
    SUM = 74
    PACK = 83
    UNPACK = 88
    RESIZE_NEAREST_NEIGHBOR = 97
    SPLIT_V = 102
    QUANTIZE = 114
    BATCH_MATMUL = 126


class OptionsType(IntEnum):
    """Kinds of an operator's options."""

    CONVOLUTION, CONCATENATION, PAD, DEPTH_TO_SPACE = 1, 10, 22, 94


#: A convolution's padding: none.
VALID = 1
