/* The parts of the JPEG decoder: bits to coefficients, and coefficients to pixels. Used by it alone. */
#ifndef N6_JPEG_PARTS_H
#define N6_JPEG_PARTS_H

#include "baseline_jpeg.h"

/* Of the order in which coefficients are stored: the place in the block, row by row. */
extern const uint8_t n6_jpeg_zigzag[N6_JPEG_BLOCK];

/* Make a table from the number of codes of each length, 1 to 16, and the symbols. Returns whether the codes exist. */
int n6_huffman_init(struct n6_huffman *table, const uint8_t *counts, const uint8_t *symbols, int32_t num_symbols);

/* Forget the bits that were read ahead. */
void n6_jpeg_drop_bits(struct n6_baseline_jpeg *decoder);

/* Read a block's coefficients, multiplied by their quantization; return whether they were readable. */
int n6_jpeg_read_block(struct n6_baseline_jpeg *decoder, struct n6_jpeg_component *component, int16_t *coefficients);

/* Turn a block's coefficients into 64 samples of 0 to 255. */
void n6_jpeg_transform(const int16_t *coefficients, uint8_t *samples);

/* Write the pixels of the unit whose samples are at hand. */
void n6_jpeg_write_unit(const struct n6_baseline_jpeg *decoder, int32_t left_px, int32_t top_px);

#endif
