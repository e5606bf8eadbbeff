#include "receiver.h"

#include "bytes.h"

#include <string.h>

void n6_receiver_init(struct n6_receiver *receiver, const struct n6_crc32_tables *tables, uint32_t max_picture_bytes)
{
    receiver->tables = tables;
    receiver->max_picture_bytes = max_picture_bytes;
    receiver->received_bytes = receiver->crc = receiver->last_byte_us = 0;
    receiver->first = receiver->end = 0;
    receiver->is_in_packet = receiver->has_ended = 0;
}

uint8_t *n6_receiver_room(struct n6_receiver *receiver, int32_t *room_bytes)
{
    int32_t count = receiver->end - receiver->first;
    if (receiver->first > 0) {
        memmove(receiver->held, receiver->held + receiver->first, (size_t)count);
        receiver->first = 0;
        receiver->end = count;
    }
    *room_bytes = (int32_t)sizeof receiver->held - count;
    return receiver->held + count;
}

void n6_receiver_add(struct n6_receiver *receiver, int32_t count, uint32_t now_us)
{
    receiver->end += count;
    receiver->last_byte_us = now_us;
}

static int read_header(const struct n6_receiver *receiver, const uint8_t *bytes, struct n6_header *header)
{
    if (bytes[0] != N6_SYNC_0 || bytes[1] != N6_SYNC_1 || n6_crc16(bytes, 12) != n6_get_u16(bytes + 12))
        return 0;
    *header = (struct n6_header){bytes[2], n6_get_u16(bytes + 4), n6_get_u16(bytes + 6), n6_get_u32(bytes + 8)};
    uint32_t limit = header->type == N6_PICTURE ? receiver->max_picture_bytes : N6_MAX_REQUEST_BYTES;
    return header->type > 0 && header->type < N6_FROM_BOARD && bytes[3] == 0 && header->session > 0 &&
           header->length <= limit;
}

/* Find a header among the bytes that are held; those before it are dropped. Returns whether there is one. */
static int find_header(struct n6_receiver *receiver)
{
    for (; receiver->end - receiver->first >= N6_HEADER_BYTES; receiver->first++) {
        const uint8_t *bytes = receiver->held + receiver->first;
        if (!read_header(receiver, bytes, &receiver->header))
            continue;
        receiver->crc = n6_crc32(receiver->tables, bytes, N6_HEADER_BYTES, 0);
        receiver->first += N6_HEADER_BYTES;
        receiver->received_bytes = 0;
        receiver->is_in_packet = 1;
        receiver->has_ended = receiver->header.length == 0;
        return 1;
    }
    return 0;
}

static struct n6_event event_of(const struct n6_receiver *receiver, enum n6_event_kind kind)
{
    return (struct n6_event){.kind = kind, .header = receiver->header, .offset = receiver->received_bytes};
}

static struct n6_event break_off(struct n6_receiver *receiver)
{
    receiver->is_in_packet = 0;
    return event_of(receiver, N6_BROKEN);
}

/* Check the chunk that is held; it must be whole. */
static struct n6_event check_chunk(struct n6_receiver *receiver, int32_t chunk_bytes)
{
    const uint8_t *chunk = receiver->held + receiver->first;
    uint32_t crc = n6_crc32(receiver->tables, chunk, chunk_bytes, receiver->crc);
    if (crc != n6_get_u32(chunk + chunk_bytes))
        return break_off(receiver);
    struct n6_event event = event_of(receiver, N6_CHUNK);
    event.chunk = chunk;
    event.chunk_bytes = chunk_bytes;
    receiver->crc = crc;
    receiver->first += chunk_bytes + N6_CRC_BYTES;
    receiver->received_bytes += (uint32_t)chunk_bytes;
    receiver->has_ended = receiver->received_bytes == receiver->header.length;
    return event;
}

struct n6_event n6_receive(struct n6_receiver *receiver, int is_quiet, uint32_t now_us)
{
    int is_given_up = is_quiet && now_us - receiver->last_byte_us >= N6_GAP_US;
    if (receiver->is_in_packet && receiver->has_ended) {
        receiver->is_in_packet = 0;
        return event_of(receiver, N6_WHOLE);
    }
    if (receiver->is_in_packet) {
        uint32_t left = receiver->header.length - receiver->received_bytes;
        int32_t chunk_bytes = left < N6_CHUNK_BYTES ? (int32_t)left : N6_CHUNK_BYTES;
        if (receiver->end - receiver->first >= chunk_bytes + N6_CRC_BYTES)
            return check_chunk(receiver, chunk_bytes);
        if (is_given_up)
            return break_off(receiver);
    } else if (find_header(receiver)) {
        if (is_given_up)
            receiver->last_byte_us = now_us;
        return event_of(receiver, N6_BEGINS);
    } else if (is_given_up) {
        receiver->first = receiver->end;
    }
    return (struct n6_event){.kind = N6_NOTHING};
}
