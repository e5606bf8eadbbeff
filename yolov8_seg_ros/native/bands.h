/* What resize.c and resize_yuv.c share: a band of new rows, and the blocks of columns that it is worked on in.
 *
 * Loops are such that a compiler can use vector registers: eight new rows are worked on at once, and their numbers for
 * one column lie side by side. All numbers fit 16 bits. */
#ifndef SEG_BANDS_H
#define SEG_BANDS_H

#include "seg.h"

#include <string.h>

/* Rows of an image are far apart in memory: the next ones are fetched while these are worked on. */
#ifdef __GNUC__
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) (void)(address)
#endif

enum {
    BAND = 8,      /* new rows that are worked on at once */
    BLOCK_PX = 64, /* old columns, once halved, that are worked on at once */
    MAX_CHANNELS = 4,
    NUM_COLORS = 3,
    BLOCK_BYTES = 2 * BLOCK_PX * MAX_CHANNELS, /* of an old row, at most */
    UNIT = 32,                                 /* the sum of the weights of two pixels */
    LINE_BYTES = 64                            /* of a processor's cache */
};

/* The old rows that a band of new ones lies between. */
struct band {
    int32_t upper[BAND], lower[BAND];
    uint16_t upper_weights[MAX_CHANNELS * BAND], lower_weights[MAX_CHANNELS * BAND];
    int32_t is_between; /* 0 where upper rows alone matter */
};

/* height: old rows of the image to a row of the axis, 2 where it is halved. */
static inline void place_band(const struct seg_axis *axis, int32_t height, int32_t first, struct band *band)
{
    band->is_between = 0;
    for (int32_t i = 0; i < BAND; i++) {
        /* Of a last band with fewer rows, the last row is computed several times. */
        int32_t row = first + i < axis->size_px ? first + i : axis->size_px - 1;
        uint16_t weight = axis->next_weight[row];
        band->upper[i] = axis->first[row] * height;
        band->lower[i] = weight ? band->upper[i] + height : band->upper[i];
        band->is_between |= weight > 0;
        for (int32_t channel = 0; channel < MAX_CHANNELS; channel++) {
            band->upper_weights[channel * BAND + i] = (uint16_t)(UNIT - weight);
            band->lower_weights[channel * BAND + i] = weight;
        }
    }
}

/* Return a quarter of a sum, rounded. */
static inline uint16_t quarter_of(uint16_t sum)
{
    /* Without the conversion a compiler computes in 32 bits, and half as many at once. */
    return (uint16_t)((uint16_t)(sum + 2) >> 2);
}

static inline void fetch(const uint8_t *row, int32_t num_bytes)
{
    for (int32_t at = 0; at < num_bytes; at += LINE_BYTES)
        PREFETCH(row + at);
}

/* Write the numbers of rows side by side, BAND for each column. */
static inline void interleave(const uint16_t *const rows[BAND], int32_t count, uint16_t *restrict band)
{
    const uint16_t *row_0 = rows[0], *row_1 = rows[1], *row_2 = rows[2], *row_3 = rows[3];
    const uint16_t *row_4 = rows[4], *row_5 = rows[5], *row_6 = rows[6], *row_7 = rows[7];
    for (int32_t i = 0; i < count; i++, band += BAND) {
        band[0] = row_0[i];
        band[1] = row_1[i];
        band[2] = row_2[i];
        band[3] = row_3[i];
        band[4] = row_4[i];
        band[5] = row_5[i];
        band[6] = row_6[i];
        band[7] = row_7[i];
    }
}

/* Return where the new columns end that a block of old ones beginning with the first of `column` is enough for. */
static inline int32_t end_of_block(const struct seg_axis *columns, int32_t column, int32_t *num_pixels)
{
    int32_t first = columns->first[column], end = column;
    while (end < columns->size_px && end - column < BLOCK_PX) {
        int32_t needed = columns->first[end] - first + (columns->next_weight[end] ? 2 : 1);
        if (needed > BLOCK_PX)
            break;
        *num_pixels = needed;
        end++;
    }
    return end;
}

/* Write the first of a band's rows, of `count` bytes each. */
static inline void write_rows(const uint16_t *restrict colors, int32_t count, uint8_t flip, uint8_t *target,
                              int64_t target_step, int32_t num_rows)
{
    uint8_t bytes[BLOCK_PX * NUM_COLORS * BAND], rows[BAND][BLOCK_PX * NUM_COLORS];
    for (int32_t i = 0; i < count * BAND; i++)
        bytes[i] = (uint8_t)(colors[i] ^ flip);
    for (int32_t i = 0; i < count; i++)
        for (int32_t row = 0; row < BAND; row++)
            rows[row][i] = bytes[i * BAND + row];
    for (int32_t row = 0; row < num_rows; row++)
        memcpy(target + row * target_step, rows[row], (size_t)count);
}

/* Do seg_resize for pixels that share u and v in pairs. */
void seg_resize_pairs(const struct seg_resize *plan, const uint8_t *image, int64_t row_step, uint8_t *target,
                      int64_t target_step);

#endif
