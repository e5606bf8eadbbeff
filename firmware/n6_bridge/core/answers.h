/* Payloads of requests and of short answers. */
#ifndef N6_ANSWERS_H
#define N6_ANSWERS_H

#include "model_description.h"
#include "protocol.h"

/* Frames that need no room any more, and those to which no answer will come. */
struct n6_status {
    uint32_t released, answered;
};

struct n6_welcome {
    int32_t credit, max_jpeg_bytes, max_result_bytes, max_instances;
    uint32_t capabilities, max_picture_bytes, clock_hz, npu_hz;
    const char *device_name;
};

struct n6_configuration {
    uint32_t number;
    float mask_logit;
    enum n6_masks masks;
    struct seg_options options;
};

struct n6_error {
    enum n6_error_code code;
    uint8_t request_type;
    uint16_t request_sequence;
    uint32_t frame, detail;
};

/* What a board permits in a configuration. */
struct n6_configuration_limits {
    int32_t num_classes, max_instances;
};

/* All of these return the number of bytes written. */
int32_t n6_write_status(uint8_t *payload, struct n6_status status);
int32_t n6_write_welcome(uint8_t *payload, const struct n6_welcome *welcome);
int32_t n6_write_error(uint8_t *payload, struct n6_status status, const struct n6_error *error);
int32_t n6_write_model(uint8_t *payload, const struct n6_model_description *model);

/* Return how long n6_write_model's payload is. */
int32_t n6_model_bytes(const struct n6_model_description *model);

/* Read a configuration. Returns 0, or an error code with the offset of the field or the length in `detail`; then nothing
 * is changed. is_class_wanted: a byte for each class. */
enum n6_error_code n6_read_configuration(const uint8_t *payload, uint32_t length,
                                         const struct n6_configuration_limits *limits,
                                         struct n6_configuration *configuration, uint8_t *is_class_wanted,
                                         uint32_t *detail);

#endif
