/* From coefficients to pixels. */
#include "jpeg_parts.h"

enum {
    SIDE = 8,
    SCALE_BITS = 13,
    /* Binary places that numbers have between columns and rows. */
    EXTRA_BITS = 3,
    COLOR_BITS = 16
};

/* C_k = cos(k pi / 16) / 2 times 2^13; C_4 serves k = 0 as well, which is divided by the root of 2. */
enum { C1 = 4017, C2 = 3784, C3 = 3406, C4 = 2896, C5 = 2276, C6 = 1567, C7 = 799 };

/* Transform eight numbers that lie `step` apart: sum over k of in[k] C_k(x), cos((2 x + 1) k pi / 16) being even in x for
 * even k and odd for odd k, so that outputs x and 7 - x share their sums. */
static inline void transform_line(const int32_t *in, int32_t *out, int32_t step, int32_t shift)
{
    int32_t half = 1 << (shift - 1), i1 = in[step], i3 = in[3 * step], i5 = in[5 * step], i7 = in[7 * step];
    int32_t sum = C4 * (in[0] + in[4 * step]) + half, difference = C4 * (in[0] - in[4 * step]) + half;
    int32_t outer = C2 * in[2 * step] + C6 * in[6 * step], inner = C6 * in[2 * step] - C2 * in[6 * step];
    int32_t odd0 = C1 * i1 + C3 * i3 + C5 * i5 + C7 * i7, odd1 = C3 * i1 - C7 * i3 - C1 * i5 - C5 * i7;
    int32_t odd2 = C5 * i1 - C1 * i3 + C7 * i5 + C3 * i7, odd3 = C7 * i1 - C5 * i3 + C3 * i5 - C1 * i7;
    out[0] = (sum + outer + odd0) >> shift;
    out[7 * step] = (sum + outer - odd0) >> shift;
    out[step] = (difference + inner + odd1) >> shift;
    out[6 * step] = (difference + inner - odd1) >> shift;
    out[2 * step] = (difference - inner + odd2) >> shift;
    out[5 * step] = (difference - inner - odd2) >> shift;
    out[3 * step] = (sum - outer + odd3) >> shift;
    out[4 * step] = (sum - outer - odd3) >> shift;
}

static uint8_t limited(int32_t value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

void n6_jpeg_transform(const int16_t *coefficients, uint8_t *samples)
{
    int32_t first[N6_JPEG_BLOCK], second[N6_JPEG_BLOCK];
    for (int32_t i = 0; i < N6_JPEG_BLOCK; i++)
        first[i] = coefficients[i];
    for (int32_t column = 0; column < SIDE; column++)
        transform_line(first + column, second + column, SIDE, SCALE_BITS - EXTRA_BITS);
    for (int32_t row = 0; row < SIDE; row++)
        transform_line(second + row * SIDE, first + row * SIDE, 1, SCALE_BITS + EXTRA_BITS);
    for (int32_t i = 0; i < N6_JPEG_BLOCK; i++)
        samples[i] = limited(first[i] + 128);
}

/* Write a pixel of JFIF's YCbCr, which is that of BT.601 with all 256 values. */
static void write_color(int32_t y, int32_t cb, int32_t cr, uint8_t *rgb)
{
    int32_t luma = (y << COLOR_BITS) + (1 << (COLOR_BITS - 1));
    rgb[0] = limited((luma + 91881 * cr) >> COLOR_BITS);
    rgb[1] = limited((luma - 22554 * cb - 46802 * cr) >> COLOR_BITS);
    rgb[2] = limited((luma + 116130 * cb) >> COLOR_BITS);
}

void n6_jpeg_write_unit(const struct n6_baseline_jpeg *decoder, int32_t left_px, int32_t top_px)
{
    const struct n6_jpeg_component *luma = &decoder->components[0];
    int32_t columns = luma->columns, rows = luma->rows, chroma = columns * rows;
    /* A block has 8 columns and rows, a component 1 or 2 blocks: shifts instead of divisions. */
    int32_t shift_x = columns - 1, shift_y = rows - 1;
    int32_t width_px = decoder->width_px - left_px < SIDE * columns ? decoder->width_px - left_px : SIDE * columns;
    int32_t height_px = decoder->height_px - top_px < SIDE * rows ? decoder->height_px - top_px : SIDE * rows;
    for (int32_t y = 0; y < height_px; y++) {
        uint8_t *rgb = decoder->rgb + ((top_px + y) * decoder->width_px + left_px) * 3;
        const uint8_t *samples = decoder->samples + (y >> 3) * columns * N6_JPEG_BLOCK + (y & 7) * SIDE;
        const uint8_t *cb = decoder->samples + chroma * N6_JPEG_BLOCK + (y >> shift_y) * SIDE, *cr = cb + N6_JPEG_BLOCK;
        for (int32_t x = 0; x < width_px; x++, rgb += 3) {
            int32_t sample = samples[(x >> 3) * N6_JPEG_BLOCK + (x & 7)];
            if (decoder->num_components == 1)
                rgb[0] = rgb[1] = rgb[2] = (uint8_t)sample;
            else
                write_color(sample, cb[x >> shift_x] - 128, cr[x >> shift_x] - 128, rgb);
        }
    }
}
