/* The numbers of the bridge protocol; docs/n6_bridge_protocol.md explains them. */
#ifndef N6_PROTOCOL_H
#define N6_PROTOCOL_H

enum {
    N6_VERSION = 1,
    N6_SYNC_0 = 0xC5,
    N6_SYNC_1 = 0x6E,
    N6_HEADER_BYTES = 14,
    N6_CHUNK_BYTES = 8192,
    N6_CRC_BYTES = 4,
    N6_MAX_PAYLOAD_BYTES = 1 << 24,
    N6_MAX_REQUEST_BYTES = 16384,
    N6_GAP_US = 50000,
    N6_MAX_AHEAD = 1023,
    N6_FROM_BOARD = 0x80 /* set in the types of the board's packets */
};

static const unsigned N6_MAGIC = 0x4252364Eu;

enum n6_type {
    N6_HELLO = 0x01,
    N6_DESCRIBE = 0x02,
    N6_CONFIGURE = 0x03,
    N6_PICTURE = 0x04,
    N6_PING = 0x05,
    N6_WELCOME = 0x81,
    N6_MODEL = 0x82,
    N6_CONFIGURED = 0x83,
    N6_RESULT = 0x84,
    N6_PONG = 0x85,
    N6_CREDIT = 0x86,
    N6_ERROR = 0x87
};

enum n6_error_code {
    N6_NO_SESSION = 1,
    N6_UNSUPPORTED = 2,
    N6_BAD_LENGTH = 3,
    N6_BAD_VALUE = 4,
    N6_NOT_CONFIGURED = 5,
    N6_NO_CREDIT = 6,
    N6_DAMAGED = 7,
    N6_BAD_JPEG = 8,
    N6_NETWORK_FAILED = 9
};

enum n6_capability { N6_CAN_RGB = 1, N6_CAN_TENSOR = 2, N6_CAN_JPEG = 4, N6_CAN_MASKS = 8 };

enum n6_format { N6_FORMAT_RGB = 0, N6_FORMAT_TENSOR = 1, N6_FORMAT_JPEG = 2 };

enum n6_masks { N6_NO_MASKS = 0, N6_SIGNS = 1, N6_CONTOURS = 2 };

enum n6_switch { N6_AGNOSTIC_NMS = 1, N6_MULTI_LABEL = 2, N6_VOTE_BOXES = 4, N6_SWITCHES = 7 };

enum n6_result_flag { N6_MASKS_LEFT_OUT = 1 };

/* Sizes and limits of payloads. */
enum {
    N6_STATUS_BYTES = 8,
    N6_HELLO_BYTES = 8,
    N6_CONFIGURE_BYTES = 24,
    N6_PICTURE_HEAD_BYTES = 16,
    N6_PING_HEAD_BYTES = 4,
    N6_MAX_ECHO_BYTES = 1024,
    N6_WELCOME_BYTES = 40,
    N6_MODEL_BYTES = 64,
    N6_LEVEL_BYTES = 8,
    N6_CONFIGURED_BYTES = 12,
    N6_RESULT_HEAD_BYTES = 40,
    N6_RECORD_BYTES = 36,
    N6_ERROR_BYTES = 24,
    N6_MAX_TEXT_BYTES = 128,
    N6_MAX_NAME_BYTES = 255,
    N6_SHA256_BYTES = 32,
    N6_MAX_CREDIT = 16
};

#endif
