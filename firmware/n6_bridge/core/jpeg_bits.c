/* From bits to coefficients. */
#include "jpeg_parts.h"

#include <string.h>

enum { MARKER = 0xFF, MAX_DC_BITS = 11, MAX_AC_BITS = 10, MAX_COEFFICIENT = 2047, ZERO_RUN = 0xF0 };

const uint8_t n6_jpeg_zigzag[N6_JPEG_BLOCK] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
};

int n6_huffman_init(struct n6_huffman *table, const uint8_t *counts, const uint8_t *symbols, int32_t num_symbols)
{
    int32_t code = 0, index = 0;
    memset(table, 0, sizeof *table);
    memcpy(table->symbols, symbols, (size_t)num_symbols);
    for (int32_t length = 1; length <= N6_JPEG_MAX_CODE_BITS; length++) {
        int32_t count = counts[length - 1], spare_bits = N6_JPEG_FAST_BITS - length;
        /* A code of ones alone is not allowed, so that there are fewer than 2^length. */
        if (code + count >= 1 << length && count > 0)
            return 0;
        table->symbol_offset[length] = index - code;
        for (int32_t i = 0; i < count; i++, code++, index++)
            for (int32_t rest = 0; spare_bits >= 0 && rest < 1 << spare_bits; rest++)
                table->fast[code << spare_bits | rest] = (uint16_t)(length << 8 | symbols[index]);
        table->end_code[length] = code;
        code <<= 1;
    }
    table->is_defined = 1;
    return 1;
}

void n6_jpeg_drop_bits(struct n6_baseline_jpeg *decoder)
{
    decoder->bits = 0;
    decoder->num_bits = 0;
    decoder->num_missing_bits = 0;
}

/* Hold at least 16 bits; behind the data, which a marker ends, they are 0. */
static void fill_bits(struct n6_baseline_jpeg *decoder)
{
    while (decoder->num_bits <= 24) {
        const uint8_t *next = decoder->bytes + decoder->at;
        int32_t left = decoder->num_bytes - decoder->at;
        uint32_t byte = 0;
        if (left >= 1 && next[0] != MARKER) {
            byte = next[0];
            decoder->at++;
        } else if (left >= 2 && next[1] == 0) {
            byte = MARKER;
            decoder->at += 2;
        } else {
            decoder->num_missing_bits += 8;
        }
        decoder->bits |= byte << (24 - decoder->num_bits);
        decoder->num_bits += 8;
    }
}

static void skip_bits(struct n6_baseline_jpeg *decoder, int32_t count)
{
    decoder->bits <<= count;
    decoder->num_bits -= count;
}

/* Return the next symbol, or -1 where no code fits. */
static int32_t read_symbol(struct n6_baseline_jpeg *decoder, const struct n6_huffman *table)
{
    fill_bits(decoder);
    uint16_t fast = table->fast[decoder->bits >> (32 - N6_JPEG_FAST_BITS)];
    if (fast) {
        skip_bits(decoder, fast >> 8);
        return fast & 0xFF;
    }
    for (int32_t length = N6_JPEG_FAST_BITS + 1; length <= N6_JPEG_MAX_CODE_BITS; length++) {
        int32_t code = (int32_t)(decoder->bits >> (32 - length));
        if (code < table->end_code[length]) {
            skip_bits(decoder, length);
            return table->symbols[code + table->symbol_offset[length]];
        }
    }
    return -1;
}

/* Read a number of so many bits, 1 to 11, whose upper half is positive. */
static int32_t read_number(struct n6_baseline_jpeg *decoder, int32_t count)
{
    fill_bits(decoder);
    int32_t value = (int32_t)(decoder->bits >> (32 - count));
    skip_bits(decoder, count);
    return value < 1 << (count - 1) ? value - (1 << count) + 1 : value;
}

/* A picture's coefficients lie within +-1100 or so; the bound keeps the transform's sums in 32 bits. */
static int16_t limited(int32_t value)
{
    return (int16_t)(value > MAX_COEFFICIENT ? MAX_COEFFICIENT : value < -MAX_COEFFICIENT ? -MAX_COEFFICIENT : value);
}

static int read_dc(struct n6_baseline_jpeg *decoder, struct n6_jpeg_component *component, int32_t step,
                   int16_t *coefficients)
{
    int32_t count = read_symbol(decoder, &decoder->huffman[0][component->dc]);
    if (count < 0 || count > MAX_DC_BITS)
        return 0;
    if (count > 0)
        component->last_dc = limited(component->last_dc + read_number(decoder, count));
    coefficients[0] = limited(component->last_dc * step);
    return 1;
}

int n6_jpeg_read_block(struct n6_baseline_jpeg *decoder, struct n6_jpeg_component *component, int16_t *coefficients)
{
    const uint8_t *steps = decoder->quants[component->quant];
    const struct n6_huffman *table = &decoder->huffman[1][component->ac];
    memset(coefficients, 0, N6_JPEG_BLOCK * sizeof *coefficients);
    if (!read_dc(decoder, component, steps[0], coefficients))
        return 0;
    for (int32_t k = 1; k < N6_JPEG_BLOCK; k++) {
        int32_t symbol = read_symbol(decoder, table), count = symbol & 0xF;
        if (symbol == 0)
            break;
        if (symbol < 0 || count > MAX_AC_BITS || (count == 0 && symbol != ZERO_RUN))
            return 0;
        k += symbol >> 4;
        if (k >= N6_JPEG_BLOCK)
            return 0;
        if (count > 0)
            coefficients[n6_jpeg_zigzag[k]] = limited(read_number(decoder, count) * steps[k]);
    }
    /* What was read ahead of the end does not count. */
    return decoder->num_missing_bits <= decoder->num_bits;
}
