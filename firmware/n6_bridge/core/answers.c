#include "answers.h"

#include "bytes.h"

#include <math.h>

static const float MAX_MASK_LOGIT = 1000.0f;

static int32_t text_bytes(const char *text, int32_t max_bytes)
{
    int32_t count = 0;
    while (text && count < max_bytes && text[count])
        count++;
    /* Not in the middle of a character: those of several bytes go on with 10xxxxxx. */
    while (text && count > 0 && ((uint8_t)text[count] & 0xC0) == 0x80)
        count--;
    return count;
}

static int32_t write_text(uint8_t *payload, const char *text, int32_t max_bytes)
{
    int32_t count = text_bytes(text, max_bytes);
    if (count)
        memcpy(payload, text, (size_t)count);
    return count;
}

int32_t n6_write_status(uint8_t *payload, struct n6_status status)
{
    n6_put_u32(payload, status.released);
    n6_put_u32(payload + 4, status.answered);
    return N6_STATUS_BYTES;
}

int32_t n6_write_welcome(uint8_t *payload, const struct n6_welcome *welcome)
{
    n6_write_status(payload, (struct n6_status){0, 0});
    n6_put_u16(payload + 8, N6_VERSION);
    n6_put_u16(payload + 10, (uint32_t)welcome->credit);
    n6_put_u32(payload + 12, welcome->capabilities);
    n6_put_u32(payload + 16, welcome->max_picture_bytes);
    n6_put_u32(payload + 20, (uint32_t)welcome->max_jpeg_bytes);
    n6_put_u32(payload + 24, (uint32_t)welcome->max_result_bytes);
    n6_put_u16(payload + 28, (uint32_t)welcome->max_instances);
    n6_put_u16(payload + 30, 0);
    n6_put_u32(payload + 32, welcome->clock_hz);
    n6_put_u32(payload + 36, welcome->npu_hz);
    return N6_WELCOME_BYTES + write_text(payload + N6_WELCOME_BYTES, welcome->device_name, N6_MAX_TEXT_BYTES);
}

static const char *text_of(enum n6_error_code code)
{
    switch (code) {
    case N6_NO_SESSION:
        return "not the session of this board: say HELLO";
    case N6_UNSUPPORTED:
        return "unknown type or version";
    case N6_BAD_LENGTH:
        return "a payload of this type has another length";
    case N6_BAD_VALUE:
        return "a field is outside its limits";
    case N6_NOT_CONFIGURED:
        return "a picture came before CONFIGURE";
    case N6_NO_CREDIT:
        return "more pictures than the credit permits";
    case N6_DAMAGED:
        return "damaged on the line";
    case N6_BAD_JPEG:
        return "the JPEG is damaged, not baseline, or of another size";
    case N6_NETWORK_FAILED:
        break;
    }
    return "the network did not run";
}

int32_t n6_write_error(uint8_t *payload, struct n6_status status, const struct n6_error *error)
{
    n6_write_status(payload, status);
    n6_put_u16(payload + 8, (uint32_t)error->code);
    payload[10] = error->request_type;
    payload[11] = 0;
    n6_put_u16(payload + 12, error->request_sequence);
    n6_put_u16(payload + 14, 0);
    n6_put_u32(payload + 16, error->frame);
    n6_put_u32(payload + 20, error->detail);
    return N6_ERROR_BYTES + write_text(payload + N6_ERROR_BYTES, text_of(error->code), N6_MAX_TEXT_BYTES);
}

static const char *class_name(const struct n6_model_description *model, int32_t class_id)
{
    return model->class_names ? model->class_names[class_id] : "";
}

int32_t n6_model_bytes(const struct n6_model_description *model)
{
    int32_t size = N6_MODEL_BYTES + model->seg.num_levels * N6_LEVEL_BYTES;
    size += 1 + text_bytes(model->name, N6_MAX_NAME_BYTES);
    for (int32_t i = 0; i < model->seg.num_classes; i++)
        size += 1 + text_bytes(class_name(model, i), N6_MAX_NAME_BYTES);
    return size;
}

static uint8_t *write_name(uint8_t *at, const char *name)
{
    int32_t count = write_text(at + 1, name, N6_MAX_NAME_BYTES);
    *at = (uint8_t)count;
    return at + 1 + count;
}

int32_t n6_write_model(uint8_t *payload, const struct n6_model_description *model)
{
    const struct seg_model *seg = &model->seg;
    uint8_t *at = payload + N6_MODEL_BYTES;
    memset(payload, 0, N6_MODEL_BYTES);
    n6_put_u16(payload + 8, (uint32_t)seg->input_width_px);
    n6_put_u16(payload + 10, (uint32_t)seg->input_height_px);
    payload[12] = model->input.type == SEG_UINT8;
    payload[13] = (uint8_t)seg->box_bins;
    payload[14] = (uint8_t)seg->num_levels;
    n6_put_f32(payload + 16, model->input.scale);
    n6_put_u32(payload + 20, (uint32_t)model->input.zero_point);
    n6_put_u16(payload + 24, (uint32_t)seg->num_classes);
    n6_put_u16(payload + 26, (uint32_t)seg->num_coefficients);
    n6_put_u16(payload + 28, (uint32_t)seg->prototype_columns);
    n6_put_u16(payload + 30, (uint32_t)seg->prototype_rows);
    memcpy(payload + 32, model->sha256, N6_SHA256_BYTES);
    for (int32_t i = 0; i < seg->num_levels; i++, at += N6_LEVEL_BYTES) {
        const struct seg_level *level = &seg->levels[i];
        n6_put_u16(at, (uint32_t)level->stride_px);
        n6_put_u16(at + 2, seg->box_bins ? (uint32_t)level->columns : 0);
        n6_put_u16(at + 4, seg->box_bins ? (uint32_t)level->rows : 0);
        n6_put_u16(at + 6, 0);
    }
    at = write_name(at, model->name);
    for (int32_t i = 0; i < seg->num_classes; i++)
        at = write_name(at, class_name(model, i));
    return (int32_t)(at - payload);
}

static int is_fraction(float value)
{
    return value >= 0 && value <= 1;
}

static int is_mask_logit(float value)
{
    return isinf(value) || (value >= -MAX_MASK_LOGIT && value <= MAX_MASK_LOGIT);
}

/* Return the offset of the first field that is refused, or -1. */
static int32_t find_bad_field(const uint8_t *payload, const struct n6_configuration_limits *limits)
{
    int32_t max_instances = n6_get_u16(payload + 16), num_classes = n6_get_u16(payload + 20);
    if (n6_get_u32(payload) == 0)
        return 0;
    if (!is_fraction(n6_get_f32(payload + 4)))
        return 4;
    if (!is_fraction(n6_get_f32(payload + 8)))
        return 8;
    if (!is_mask_logit(n6_get_f32(payload + 12)))
        return 12;
    if (max_instances < 1 || max_instances > limits->max_instances)
        return 16;
    if (payload[18] > N6_CONTOURS)
        return 18;
    if (payload[19] & ~N6_SWITCHES)
        return 19;
    if (num_classes != 0 && num_classes != limits->num_classes)
        return 20;
    if (n6_get_u16(payload + 22) != 0)
        return 22;
    /* Bits beyond the last class. */
    int32_t last = N6_CONFIGURE_BYTES + num_classes / 8;
    return num_classes % 8 && payload[last] >> num_classes % 8 ? last : -1;
}

enum n6_error_code n6_read_configuration(const uint8_t *payload, uint32_t length,
                                         const struct n6_configuration_limits *limits,
                                         struct n6_configuration *configuration, uint8_t *is_class_wanted,
                                         uint32_t *detail)
{
    uint32_t num_classes = length >= N6_CONFIGURE_BYTES ? n6_get_u16(payload + 20) : 0;
    *detail = length;
    if (length != N6_CONFIGURE_BYTES + (num_classes + 7) / 8)
        return N6_BAD_LENGTH;
    int32_t bad_field = find_bad_field(payload, limits);
    *detail = (uint32_t)bad_field;
    if (bad_field >= 0)
        return N6_BAD_VALUE;
    const uint8_t *bits = payload + N6_CONFIGURE_BYTES;
    uint8_t switches = payload[19];
    for (int32_t i = 0; i < limits->num_classes; i++)
        is_class_wanted[i] = num_classes == 0 || (bits[i / 8] >> i % 8 & 1);
    *configuration = (struct n6_configuration){
        .number = n6_get_u32(payload),
        .mask_logit = n6_get_f32(payload + 12),
        .masks = (enum n6_masks)payload[18],
        .options =
            {
                .score_threshold = n6_get_f32(payload + 4),
                .iou_threshold = n6_get_f32(payload + 8),
                .max_instances = n6_get_u16(payload + 16),
                .agnostic_nms = (switches & N6_AGNOSTIC_NMS) != 0,
                .multi_label = (switches & N6_MULTI_LABEL) != 0,
                .vote_boxes = (switches & N6_VOTE_BOXES) != 0,
                .is_class_wanted = is_class_wanted,
            },
    };
    return (enum n6_error_code)0;
}
