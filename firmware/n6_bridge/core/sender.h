/* From packets to bytes, as many at a time as the line takes. */
#ifndef N6_SENDER_H
#define N6_SENDER_H

#include "checksums.h"
#include "link_port.h"
#include "protocol.h"

struct n6_sender {
    const struct n6_crc32_tables *tables;
    const uint8_t *payload; /* must stay as it is until the packet has left */
    uint32_t length, offset; /* offset: of the chunk that is being sent, or that comes next */
    uint32_t crc;
    const uint8_t *part; /* what is being sent now: header, chunk, or checksum */
    int32_t part_bytes, chunk_bytes;
    uint8_t frame[N6_HEADER_BYTES]; /* header or checksum */
};

void n6_sender_init(struct n6_sender *sender, const struct n6_crc32_tables *tables);

int n6_sender_is_busy(const struct n6_sender *sender);

/* Begin to send a packet; the sender must not be busy. */
void n6_sender_begin(struct n6_sender *sender, enum n6_type type, uint16_t session, uint16_t sequence,
                     const uint8_t *payload, uint32_t length);

/* Send what the line takes; return whether it took anything. */
int n6_sender_continue(struct n6_sender *sender, const struct n6_link_port *link);

#endif
