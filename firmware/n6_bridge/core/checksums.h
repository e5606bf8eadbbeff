/* The protocol's two checksums. */
#ifndef N6_CHECKSUMS_H
#define N6_CHECKSUMS_H

#include <stdint.h>

/* Four bytes at a time: 1 to 2 cycles a byte. */
struct n6_crc32_tables {
    uint32_t of_byte[4][256];
};

void n6_crc32_init(struct n6_crc32_tables *tables);

/* Return zlib's CRC-32 of what was before and of more bytes; `before` is 0 at the beginning. */
uint32_t n6_crc32(const struct n6_crc32_tables *tables, const uint8_t *bytes, int32_t count, uint32_t before);

/* Return CRC-16/IBM-3740: polynomial 0x1021, begins with 0xFFFF, not reflected. */
uint16_t n6_crc16(const uint8_t *bytes, int32_t count);

#endif
