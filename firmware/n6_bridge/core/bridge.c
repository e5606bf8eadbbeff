#include "n6_bridge.h"

#include "bytes.h"
#include "frames.h"

/* -------------------------------------------------------------------------------------------------------- reception */

static uint16_t ahead_of(const struct n6_bridge *bridge, const struct n6_header *header)
{
    return (uint16_t)(header->sequence - bridge->expected_sequence);
}

static int is_of_session(const struct n6_bridge *bridge, const struct n6_header *header)
{
    return bridge->session != 0 && header->session == bridge->session;
}

/* Return whether a packet counts if it arrives whole: HELLO of a new session, or a new packet of this one, which has begun
 * when WELCOME was said. */
static int is_wanted(const struct n6_bridge *bridge, const struct n6_header *header)
{
    if (header->type == N6_HELLO)
        return !is_of_session(bridge, header);
    return is_of_session(bridge, header) && bridge->answer != N6_WELCOME && ahead_of(bridge, header) <= N6_MAX_AHEAD;
}

static struct n6_error error_about(const struct n6_header *header, enum n6_error_code code, uint32_t detail)
{
    return (struct n6_error){
        .code = code, .request_type = header->type, .request_sequence = header->sequence, .detail = detail};
}

static void refuse(struct n6_bridge *bridge, const struct n6_header *header, enum n6_error_code code, uint32_t detail)
{
    n6_add_fault(bridge, (struct n6_fault){error_about(header, code, detail), bridge->session, 1});
}

/* Refuse outside a session: such an error is not counted. */
static void refuse_session(struct n6_bridge *bridge, const struct n6_header *header, enum n6_error_code code,
                           uint32_t detail)
{
    n6_add_fault(bridge, (struct n6_fault){error_about(header, code, detail), header->session, 0});
}

static void begin_session(struct n6_bridge *bridge, uint16_t session)
{
    n6_forget_frames(bridge);
    bridge->session = session;
    bridge->expected_sequence = 1;
    bridge->own_sequence = 0;
    bridge->newest_frame = bridge->sent_released = 0;
    bridge->is_configured = bridge->is_configure_waiting = 0;
    bridge->answer = session ? N6_WELCOME : 0;
}

static void take_hello(struct n6_bridge *bridge, const struct n6_header *header)
{
    const uint8_t *hello = bridge->request;
    int is_length_right = header->length == N6_HELLO_BYTES;
    begin_session(bridge, 0);
    if (!is_length_right)
        refuse_session(bridge, header, N6_BAD_LENGTH, header->length);
    else if (n6_get_u32(hello) != N6_MAGIC || n6_get_u16(hello + 6) != 0)
        refuse_session(bridge, header, N6_BAD_VALUE, n6_get_u32(hello) != N6_MAGIC ? 0 : 6);
    else if (n6_get_u16(hello + 4) != N6_VERSION)
        refuse_session(bridge, header, N6_UNSUPPORTED, N6_VERSION);
    else
        begin_session(bridge, header->session);
}

static void take_ping(struct n6_bridge *bridge, const struct n6_header *header)
{
    if (header->length < N6_PING_HEAD_BYTES || header->length > N6_PING_HEAD_BYTES + N6_MAX_ECHO_BYTES) {
        refuse(bridge, header, N6_BAD_LENGTH, header->length);
        return;
    }
    uint32_t last_frame = n6_get_u32(bridge->request);
    if (last_frame > bridge->newest_frame)
        bridge->newest_frame = last_frame;
    bridge->echo_bytes = (int32_t)header->length - N6_PING_HEAD_BYTES;
    bridge->answer = N6_PONG;
}

static void take_configuration(struct n6_bridge *bridge)
{
    const struct n6_configuration_limits limits = {bridge->setup.model->seg.num_classes, bridge->setup.max_instances};
    uint32_t detail;
    enum n6_error_code code =
        n6_read_configuration(bridge->request, bridge->waiting_header.length, &limits, &bridge->configuration,
                              bridge->setup.is_class_wanted, &detail);
    bridge->is_configure_waiting = 0;
    if (code) {
        refuse(bridge, &bridge->waiting_header, code, detail);
        return;
    }
    bridge->is_configured = 1;
    bridge->answer = N6_CONFIGURED;
}

static void take_request(struct n6_bridge *bridge, const struct n6_header *header)
{
    switch (header->type) {
    case N6_PICTURE:
        n6_picture_is_whole(bridge);
        break;
    case N6_DESCRIBE:
        if (header->length != 0)
            refuse(bridge, header, N6_BAD_LENGTH, header->length);
        else
            bridge->answer = N6_MODEL;
        break;
    case N6_CONFIGURE:
        bridge->waiting_header = *header;
        bridge->is_configure_waiting = 1;
        break;
    case N6_PING:
        take_ping(bridge, header);
        break;
    default:
        refuse(bridge, header, N6_UNSUPPORTED, N6_VERSION);
    }
}

static void take_packet(struct n6_bridge *bridge, const struct n6_header *header)
{
    if (!bridge->is_packet_wanted) {
        if (header->type != N6_HELLO && !is_of_session(bridge, header))
            refuse_session(bridge, header, N6_NO_SESSION, bridge->session);
    } else if (header->type == N6_HELLO) {
        take_hello(bridge, header);
    } else {
        bridge->expected_sequence = (uint16_t)(header->sequence + 1);
        take_request(bridge, header);
    }
}

static void take_chunk(struct n6_bridge *bridge, const struct n6_event *event)
{
    if (!bridge->is_packet_wanted)
        return;
    if (event->header.type == N6_PICTURE)
        n6_picture_chunk(bridge, event);
    else if (event->offset == 0)
        /* No request that is kept is longer than a chunk. */
        memcpy(bridge->request, event->chunk,
               event->chunk_bytes < N6_MAX_KEPT_BYTES ? (size_t)event->chunk_bytes : (size_t)N6_MAX_KEPT_BYTES);
}

static void take_broken(struct n6_bridge *bridge, const struct n6_event *event)
{
    int is_picture = event->header.type == N6_PICTURE;
    if (!bridge->is_packet_wanted)
        return;
    if (event->header.type != N6_HELLO) {
        struct n6_error error = error_about(&event->header, N6_DAMAGED, event->offset);
        error.frame = is_picture ? bridge->picture_error.frame : 0;
        n6_add_fault(bridge, (struct n6_fault){error, bridge->session, 1});
    }
    if (is_picture)
        n6_picture_is_broken(bridge);
}

/* Return whether the event was anything. */
static int take_event(struct n6_bridge *bridge, const struct n6_event *event)
{
    switch (event->kind) {
    case N6_NOTHING:
        return 0;
    case N6_BEGINS:
        bridge->is_packet_wanted = is_wanted(bridge, &event->header);
        if (bridge->is_packet_wanted && event->header.type == N6_PICTURE)
            n6_picture_begins(bridge, &event->header);
        break;
    case N6_CHUNK:
        take_chunk(bridge, event);
        break;
    case N6_WHOLE:
        take_packet(bridge, &event->header);
        break;
    case N6_BROKEN:
        take_broken(bridge, event);
        break;
    }
    return 1;
}

static void drop_halves(struct n6_bridge *bridge)
{
    n6_picture_is_broken(bridge);
    n6_receiver_init(&bridge->receiver, &bridge->tables, bridge->receiver.max_picture_bytes);
    n6_sender_init(&bridge->sender, &bridge->tables);
}

static int receive(struct n6_bridge *bridge)
{
    const struct n6_link_port *link = bridge->setup.link;
    if (link->has_reopened && link->has_reopened(link->context))
        drop_halves(bridge);
    /* A new configuration must not meet a result that is half decoded. */
    if (bridge->is_configure_waiting && bridge->decoding_slot != N6_NO_SLOT)
        return 0;
    if (bridge->is_configure_waiting)
        take_configuration(bridge);
    int32_t room_bytes;
    uint8_t *room = n6_receiver_room(&bridge->receiver, &room_bytes);
    int32_t count = room_bytes > 0 ? link->read(link->context, room, room_bytes) : 0;
    uint32_t now_us = n6_now_us(bridge);
    if (count > 0)
        n6_receiver_add(&bridge->receiver, count, now_us);
    int is_quiet = count <= 0 && room_bytes > 0, has_event = 1, has_worked = count > 0;
    while (has_event && !bridge->is_configure_waiting) {
        struct n6_event event = n6_receive(&bridge->receiver, is_quiet, now_us);
        has_event = take_event(bridge, &event);
        has_worked |= has_event;
    }
    return has_worked;
}

/* ------------------------------------------------------------------------------------------------------ transmission */

static void begin_packet(struct n6_bridge *bridge, enum n6_type type, uint8_t *payload, int32_t num_bytes)
{
    struct n6_status status = n6_status_of(bridge);
    n6_write_status(payload, status);
    bridge->sent_released = status.released;
    n6_sender_begin(&bridge->sender, type, bridge->session, bridge->own_sequence++, payload, (uint32_t)num_bytes);
}

static int32_t write_welcome(struct n6_bridge *bridge)
{
    const struct n6_bridge_setup *setup = &bridge->setup;
    const struct n6_welcome welcome = {
        .credit = setup->nn->num_slots,
        .max_jpeg_bytes = setup->max_jpeg_bytes,
        .max_result_bytes = setup->max_result_bytes,
        .max_instances = setup->max_instances,
        .capabilities = N6_CAN_RGB | N6_CAN_TENSOR | N6_CAN_MASKS | (setup->jpeg ? N6_CAN_JPEG : 0),
        .max_picture_bytes = bridge->receiver.max_picture_bytes,
        .clock_hz = setup->clock_hz,
        .npu_hz = setup->npu_hz,
        .device_name = setup->device_name,
    };
    return n6_write_welcome(bridge->small, &welcome);
}

/* Send the answer to a request; return whether there was one. The answer to DESCRIBE goes the way of results. */
static int send_answer(struct n6_bridge *bridge)
{
    int32_t answer = bridge->answer, num_bytes = 0;
    if (answer == N6_WELCOME) {
        num_bytes = write_welcome(bridge);
    } else if (answer == N6_CONFIGURED) {
        n6_put_u32(bridge->small + N6_STATUS_BYTES, bridge->configuration.number);
        num_bytes = N6_CONFIGURED_BYTES;
    } else if (answer == N6_PONG) {
        memcpy(bridge->small + N6_STATUS_BYTES, bridge->request + N6_PING_HEAD_BYTES, (size_t)bridge->echo_bytes);
        num_bytes = N6_STATUS_BYTES + bridge->echo_bytes;
    }
    if (num_bytes == 0)
        return 0;
    bridge->answer = 0;
    begin_packet(bridge, (enum n6_type)answer, bridge->small, num_bytes);
    return 1;
}

static int send_fault(struct n6_bridge *bridge)
{
    if (bridge->num_faults == 0)
        return 0;
    struct n6_fault fault = bridge->faults[0];
    bridge->num_faults--;
    memmove(bridge->faults, bridge->faults + 1, sizeof fault * (size_t)bridge->num_faults);
    int32_t num_bytes = n6_write_error(bridge->small, (struct n6_status){0, 0}, &fault.error);
    if (fault.is_counted)
        begin_packet(bridge, N6_ERROR, bridge->small, num_bytes);
    else
        n6_sender_begin(&bridge->sender, N6_ERROR, fault.session, 0, bridge->small, (uint32_t)num_bytes);
    return 1;
}

static int send_result(struct n6_bridge *bridge)
{
    int32_t index = bridge->leaving_result;
    struct n6_result_buffer *result = &bridge->results[index];
    if (result->state != N6_RESULT_READY)
        return 0;
    result->state = N6_RESULT_LEAVING;
    bridge->leaving_result = (index + 1) % N6_NUM_RESULTS;
    begin_packet(bridge, result->type, bridge->setup.results + index * bridge->setup.max_result_bytes,
                 result->num_bytes);
    return 1;
}

static int send_credit(struct n6_bridge *bridge)
{
    if (bridge->session == 0 || n6_status_of(bridge).released == bridge->sent_released)
        return 0;
    begin_packet(bridge, N6_CREDIT, bridge->small, N6_STATUS_BYTES);
    return 1;
}

static int send(struct n6_bridge *bridge)
{
    int has_worked = n6_sender_continue(&bridge->sender, bridge->setup.link);
    if (n6_sender_is_busy(&bridge->sender))
        return has_worked;
    for (int32_t i = 0; i < N6_NUM_RESULTS; i++)
        if (bridge->results[i].state == N6_RESULT_LEAVING)
            bridge->results[i].state = N6_RESULT_FREE;
    /* A session begins with WELCOME; until a run of the last session is over, its slot is not free. */
    if (bridge->answer == N6_WELCOME && bridge->running_slot != N6_NO_SLOT)
        return has_worked;
    return send_answer(bridge) || send_fault(bridge) || send_result(bridge) || send_credit(bridge) || has_worked;
}

/* ---------------------------------------------------------------------------------------------------------- polling */

int32_t n6_bridge_poll(struct n6_bridge *bridge)
{
    int has_worked = receive(bridge);
    has_worked |= n6_run_network(bridge);
    has_worked |= n6_prepare(bridge);
    has_worked |= n6_decode(bridge);
    has_worked |= send(bridge);
    return has_worked;
}
