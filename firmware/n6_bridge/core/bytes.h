/* Numbers as little-endian bytes. */
#ifndef N6_BYTES_H
#define N6_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t n6_get_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint32_t n6_get_u32(const uint8_t *bytes)
{
    return (uint32_t)n6_get_u16(bytes) | (uint32_t)n6_get_u16(bytes + 2) << 16;
}

static inline float n6_get_f32(const uint8_t *bytes)
{
    uint32_t bits = n6_get_u32(bytes);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline void n6_put_u16(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static inline void n6_put_u32(uint8_t *bytes, uint32_t value)
{
    n6_put_u16(bytes, value);
    n6_put_u16(bytes + 2, value >> 16);
}

static inline void n6_put_f32(uint8_t *bytes, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    n6_put_u32(bytes, bits);
}

#endif
