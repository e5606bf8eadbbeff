#include "checksums.h"

#include "bytes.h"

void n6_crc32_init(struct n6_crc32_tables *tables)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int32_t bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
        tables->of_byte[0][byte] = crc;
    }
    for (uint32_t byte = 0; byte < 256; byte++)
        for (int32_t step = 1; step < 4; step++) {
            uint32_t crc = tables->of_byte[step - 1][byte];
            tables->of_byte[step][byte] = crc >> 8 ^ tables->of_byte[0][crc & 0xFF];
        }
}

uint32_t n6_crc32(const struct n6_crc32_tables *tables, const uint8_t *bytes, int32_t count, uint32_t before)
{
    uint32_t crc = ~before;
    for (; count >= 4; count -= 4, bytes += 4) {
        crc ^= n6_get_u32(bytes);
        crc = tables->of_byte[3][crc & 0xFF] ^ tables->of_byte[2][crc >> 8 & 0xFF] ^
              tables->of_byte[1][crc >> 16 & 0xFF] ^ tables->of_byte[0][crc >> 24];
    }
    for (; count > 0; count--)
        crc = crc >> 8 ^ tables->of_byte[0][(crc ^ *bytes++) & 0xFF];
    return ~crc;
}

uint16_t n6_crc16(const uint8_t *bytes, int32_t count)
{
    uint32_t crc = 0xFFFF;
    for (int32_t i = 0; i < count; i++) {
        crc ^= (uint32_t)bytes[i] << 8;
        for (int32_t bit = 0; bit < 8; bit++)
            crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
    }
    return (uint16_t)crc;
}
