/* A decoder of baseline JPEG in software: 8 bits, Huffman, grey or YCbCr with 1x1 chroma, restart intervals.
 *
 * Source: ITU-T T.81 (1992); JFIF 1.02 for the colours. Chroma is enlarged by repetition.
 */
#ifndef N6_BASELINE_JPEG_H
#define N6_BASELINE_JPEG_H

#include "jpeg_port.h"

enum {
    N6_JPEG_BLOCK = 64,        /* coefficients of a block */
    N6_JPEG_FAST_BITS = 8,     /* codes up to so long are looked up at once */
    N6_JPEG_MAX_CODE_BITS = 16,
    N6_JPEG_MAX_BLOCKS = 6,    /* of a minimum coded unit */
    N6_JPEG_UNITS_A_STEP = 8   /* 8 units of 16x16 pixels take about 400,000 instructions */
};

struct n6_huffman {
    uint8_t symbols[256];
    uint16_t fast[1 << N6_JPEG_FAST_BITS];               /* length << 8 | symbol; 0: longer */
    int32_t end_code[N6_JPEG_MAX_CODE_BITS + 1];         /* one behind the last code of a length */
    int32_t symbol_offset[N6_JPEG_MAX_CODE_BITS + 1];    /* symbol = symbols[code + offset] */
    int is_defined;
};

struct n6_jpeg_component {
    uint8_t id, columns, rows; /* blocks in a unit */
    uint8_t quant, dc, ac;     /* tables */
    int32_t last_dc;
};

struct n6_baseline_jpeg {
    const uint8_t *bytes;
    int32_t num_bytes, at;
    uint8_t *rgb;
    int32_t width_px, height_px;

    uint8_t quants[4][N6_JPEG_BLOCK]; /* in the order of the file */
    int is_quant_defined[4];
    struct n6_huffman huffman[2][2]; /* DC and AC */
    struct n6_jpeg_component components[3];
    int32_t num_components;
    int32_t restart_interval, units_until_restart, next_restart;
    int32_t unit_columns, unit_rows, unit; /* unit: the next one */

    uint32_t bits; /* the next ones are the highest */
    int32_t num_bits;
    int32_t num_missing_bits; /* read behind the end of the data */
    uint8_t samples[N6_JPEG_MAX_BLOCKS * N6_JPEG_BLOCK]; /* of a unit, block after block */
};

/* Return the port of a decoder, which must stay where it is. */
struct n6_jpeg_port n6_baseline_jpeg_port(struct n6_baseline_jpeg *decoder);

#endif
