/* From a packet to a network's input: received, checked, converted. */
#include "bytes.h"
#include "frames.h"

/* -------------------------------------------------------------------------------------------------------- reception */

void n6_picture_begins(struct n6_bridge *bridge, const struct n6_header *header)
{
    int32_t found = n6_oldest_slot(bridge, N6_FREE);
    bridge->receiving_slot = found;
    bridge->picture_error = (struct n6_error){.request_sequence = header->sequence};
    if (header->length < N6_PICTURE_HEAD_BYTES) {
        bridge->picture_error.code = N6_BAD_LENGTH;
        bridge->picture_error.detail = header->length;
        bridge->receiving_slot = N6_NO_SLOT;
    } else if (found != N6_NO_SLOT) {
        struct n6_slot *slot = &bridge->slots[found];
        slot->state = N6_RECEIVING;
        slot->frame = 0;
        slot->sequence = header->sequence;
        slot->times = (struct n6_times){0};
        slot->mark_us = n6_now_us(bridge);
    }
}

static int32_t tensor_bytes(const struct n6_bridge *bridge)
{
    const struct seg_model *model = &bridge->setup.model->seg;
    return model->input_width_px * model->input_height_px * 3;
}

/* Return the offset of the first field of a picture's head that is refused, or -1. */
static int32_t find_bad_field(const struct n6_bridge *bridge, uint32_t frame)
{
    const uint8_t *head = bridge->picture_head;
    if (frame <= bridge->newest_frame)
        return 0;
    if (head[4] > N6_FORMAT_JPEG || (head[4] == N6_FORMAT_JPEG && !bridge->setup.jpeg))
        return 4;
    for (int32_t i = 5; i < N6_PICTURE_HEAD_BYTES; i++)
        if (head[i] != 0)
            return i < 8 ? 5 : i & ~3;
    return -1;
}

static int is_size_right(const struct n6_bridge *bridge, enum n6_format format, uint32_t picture_bytes)
{
    if (format == N6_FORMAT_JPEG)
        return picture_bytes > 0 && picture_bytes <= (uint32_t)bridge->setup.max_jpeg_bytes;
    return picture_bytes == (uint32_t)tensor_bytes(bridge);
}

static void free_receiving_slot(struct n6_bridge *bridge)
{
    if (bridge->receiving_slot != N6_NO_SLOT)
        bridge->slots[bridge->receiving_slot].state = N6_FREE;
    bridge->receiving_slot = N6_NO_SLOT;
}

/* Check a picture's head, which has come with the first chunk. */
static void read_picture_head(struct n6_bridge *bridge, const struct n6_header *header)
{
    struct n6_error *error = &bridge->picture_error;
    uint32_t frame = n6_get_u32(bridge->picture_head), picture_bytes = header->length - N6_PICTURE_HEAD_BYTES;
    enum n6_format format = (enum n6_format)bridge->picture_head[4];
    int32_t bad_field = find_bad_field(bridge, frame);
    if (frame > bridge->newest_frame)
        bridge->newest_frame = error->frame = frame;
    if (bad_field >= 0) {
        error->code = N6_BAD_VALUE;
        error->detail = (uint32_t)bad_field;
    } else if (!is_size_right(bridge, format, picture_bytes)) {
        error->code = N6_BAD_LENGTH;
        error->detail = header->length;
    } else if (!bridge->is_configured) {
        error->code = N6_NOT_CONFIGURED;
    } else if (bridge->receiving_slot == N6_NO_SLOT) {
        error->code = N6_NO_CREDIT;
        error->detail = (uint32_t)bridge->setup.nn->num_slots;
    } else {
        struct n6_slot *slot = &bridge->slots[bridge->receiving_slot];
        slot->frame = frame;
        slot->format = format;
        slot->picture_bytes = (int32_t)picture_bytes;
        return;
    }
    free_receiving_slot(bridge);
}

static uint8_t *jpeg_of(const struct n6_bridge *bridge, int32_t slot)
{
    return bridge->setup.jpegs + slot * bridge->setup.max_jpeg_bytes;
}

static uint8_t *input_of(const struct n6_bridge *bridge, int32_t slot)
{
    return bridge->setup.nn->input(bridge->setup.nn->context, slot);
}

void n6_picture_chunk(struct n6_bridge *bridge, const struct n6_event *event)
{
    const uint8_t *bytes = event->chunk;
    int32_t count = event->chunk_bytes, offset = (int32_t)event->offset - N6_PICTURE_HEAD_BYTES;
    if (bridge->picture_error.code)
        return;
    if (event->offset == 0) {
        memcpy(bridge->picture_head, bytes, N6_PICTURE_HEAD_BYTES);
        read_picture_head(bridge, &event->header);
        bytes += N6_PICTURE_HEAD_BYTES;
        count -= N6_PICTURE_HEAD_BYTES;
        offset = 0;
    }
    int32_t slot = bridge->receiving_slot;
    if (slot == N6_NO_SLOT)
        return;
    uint8_t *target = bridge->slots[slot].format == N6_FORMAT_JPEG ? jpeg_of(bridge, slot) : input_of(bridge, slot);
    memcpy(target + offset, bytes, (size_t)count);
}

void n6_picture_is_whole(struct n6_bridge *bridge)
{
    struct n6_error error = bridge->picture_error;
    bridge->picture_error.frame = 0;
    if (error.code) {
        n6_refuse_picture(bridge, error);
        return;
    }
    struct n6_slot *slot = &bridge->slots[bridge->receiving_slot];
    slot->state = N6_RECEIVED;
    slot->times.receive_us = n6_now_us(bridge) - slot->mark_us;
    bridge->receiving_slot = N6_NO_SLOT;
}

void n6_picture_is_broken(struct n6_bridge *bridge)
{
    bridge->picture_error.frame = 0;
    free_receiving_slot(bridge);
}

/* ------------------------------------------------------------------------------------------------------ preparation */

static void quantize(const struct n6_bridge *bridge, int32_t slot)
{
    uint8_t *input = input_of(bridge, slot);
    for (int32_t i = 0; i < tensor_bytes(bridge); i++)
        input[i] = bridge->input_of_pixel[input[i]];
}

/* Record that an input is prepared, and that it waits now. */
static void end_preparation(struct n6_bridge *bridge, int32_t index)
{
    struct n6_slot *slot = &bridge->slots[index];
    if (slot->format != N6_FORMAT_TENSOR)
        quantize(bridge, index);
    uint32_t now_us = n6_now_us(bridge);
    slot->times.prepare_us = now_us - slot->mark_us;
    slot->mark_us = now_us;
    slot->state = N6_PREPARED;
    bridge->preparing_slot = N6_NO_SLOT;
}

static void go_on_with_jpeg(struct n6_bridge *bridge, int32_t index, int32_t state)
{
    if (state == N6_JPEG_DONE) {
        end_preparation(bridge, index);
    } else if (state < 0) {
        bridge->preparing_slot = N6_NO_SLOT;
        n6_give_up_slot(bridge, &bridge->slots[index], N6_BAD_JPEG, (uint32_t)-state);
    }
}

int n6_prepare(struct n6_bridge *bridge)
{
    const struct n6_jpeg_port *jpeg = bridge->setup.jpeg;
    const struct seg_model *model = &bridge->setup.model->seg;
    int32_t index = bridge->preparing_slot;
    if (index != N6_NO_SLOT) {
        go_on_with_jpeg(bridge, index, jpeg->step(jpeg->context));
        return 1;
    }
    index = n6_oldest_slot(bridge, N6_RECEIVED);
    if (index == N6_NO_SLOT)
        return 0;
    struct n6_slot *slot = &bridge->slots[index];
    slot->mark_us = n6_now_us(bridge);
    if (slot->format != N6_FORMAT_JPEG) {
        end_preparation(bridge, index);
        return 1;
    }
    slot->state = N6_PREPARING;
    bridge->preparing_slot = index;
    go_on_with_jpeg(bridge, index,
                    jpeg->start(jpeg->context, jpeg_of(bridge, index), slot->picture_bytes, input_of(bridge, index),
                                model->input_width_px, model->input_height_px));
    return 1;
}
