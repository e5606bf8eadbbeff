/* From bytes to packets: search for a header, check chunk after chunk, and search again after damage. */
#ifndef N6_RECEIVER_H
#define N6_RECEIVER_H

#include "checksums.h"
#include "protocol.h"

struct n6_header {
    uint8_t type;
    uint16_t session, sequence;
    uint32_t length;
};

enum n6_event_kind {
    N6_NOTHING, /* more bytes are needed */
    N6_BEGINS,  /* a valid header came */
    N6_CHUNK,   /* a chunk whose checksum is right */
    N6_WHOLE,   /* the packet's last chunk was right */
    N6_BROKEN   /* a chunk was damaged, or the packet was given up */
};

struct n6_event {
    enum n6_event_kind kind;
    struct n6_header header;
    const uint8_t *chunk; /* valid until the next call */
    int32_t chunk_bytes;
    uint32_t offset; /* of the chunk in the payload; of N6_BROKEN: payload bytes that were right */
};

struct n6_receiver {
    const struct n6_crc32_tables *tables;
    struct n6_header header;
    uint32_t max_picture_bytes;
    uint32_t received_bytes; /* of the payload, checked */
    uint32_t crc;
    uint32_t last_byte_us;
    int32_t first, end; /* of the bytes that are held */
    int is_in_packet, has_ended;
    /* A whole chunk, since after damage it is searched for a header. */
    uint8_t held[N6_CHUNK_BYTES + 512];
};

void n6_receiver_init(struct n6_receiver *receiver, const struct n6_crc32_tables *tables, uint32_t max_picture_bytes);

/* Return where the next bytes of the line are to be written, and for how many there is room: at least 1 after
 * n6_receive has returned N6_NOTHING. */
uint8_t *n6_receiver_room(struct n6_receiver *receiver, int32_t *room_bytes);

/* Take bytes that were written there. */
void n6_receiver_add(struct n6_receiver *receiver, int32_t count, uint32_t now_us);

/* Return what the bytes so far amount to; call it until it returns N6_NOTHING.
 * is_quiet: 1 if the line had no byte at the time now_us. */
struct n6_event n6_receive(struct n6_receiver *receiver, int is_quiet, uint32_t now_us);

#endif
