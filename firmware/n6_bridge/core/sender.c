#include "sender.h"

#include "bytes.h"

void n6_sender_init(struct n6_sender *sender, const struct n6_crc32_tables *tables)
{
    *sender = (struct n6_sender){.tables = tables};
}

int n6_sender_is_busy(const struct n6_sender *sender)
{
    return sender->part_bytes > 0;
}

void n6_sender_begin(struct n6_sender *sender, enum n6_type type, uint16_t session, uint16_t sequence,
                     const uint8_t *payload, uint32_t length)
{
    uint8_t *header = sender->frame;
    header[0] = N6_SYNC_0;
    header[1] = N6_SYNC_1;
    header[2] = (uint8_t)type;
    header[3] = 0;
    n6_put_u16(header + 4, session);
    n6_put_u16(header + 6, sequence);
    n6_put_u32(header + 8, length);
    n6_put_u16(header + 12, n6_crc16(header, 12));
    sender->payload = payload;
    sender->length = length;
    sender->offset = 0;
    sender->chunk_bytes = 0;
    sender->crc = n6_crc32(sender->tables, header, N6_HEADER_BYTES, 0);
    sender->part = header;
    sender->part_bytes = N6_HEADER_BYTES;
}

/* Take up the next part: a chunk's checksum after it, else the next chunk; none at the end. */
static void next_part(struct n6_sender *sender)
{
    if (sender->chunk_bytes) {
        sender->crc = n6_crc32(sender->tables, sender->payload + sender->offset, sender->chunk_bytes, sender->crc);
        n6_put_u32(sender->frame, sender->crc);
        sender->offset += (uint32_t)sender->chunk_bytes;
        sender->chunk_bytes = 0;
        sender->part = sender->frame;
        sender->part_bytes = N6_CRC_BYTES;
        return;
    }
    uint32_t left = sender->length - sender->offset;
    sender->chunk_bytes = left < N6_CHUNK_BYTES ? (int32_t)left : N6_CHUNK_BYTES;
    sender->part = sender->payload + sender->offset;
    sender->part_bytes = sender->chunk_bytes;
}

int n6_sender_continue(struct n6_sender *sender, const struct n6_link_port *link)
{
    int has_sent = 0;
    while (n6_sender_is_busy(sender)) {
        int32_t taken = link->write(link->context, sender->part, sender->part_bytes);
        if (taken <= 0)
            break;
        has_sent = 1;
        sender->part += taken;
        sender->part_bytes -= taken;
        if (sender->part_bytes == 0)
            next_part(sender);
    }
    return has_sent;
}
