/* From coefficients to pixels. */
#include "jpeg_parts.h"

enum {
    SIDE = 8,
    SCALE_BITS = 13,
    /* Binary places that numbers have between columns and rows. */
    EXTRA_BITS = 3,
    COLOR_BITS = 16
};

/* cos((2 x + 1) k pi / 16) / 2, for k = 0 divided by the root of 2, times 2^13: of even and odd k apart, x of 0 to 3. Of
 * x of 4 to 7 the even ones are mirrored, the odd ones mirrored and negative. */
static const int16_t EVEN[4][4] = {
    {2896, 2896, 2896, 2896},
    {3784, 1567, -1567, -3784},
    {2896, -2896, -2896, 2896},
    {1567, -3784, 3784, -1567},
};
static const int16_t ODD[4][4] = {
    {4017, 3406, 2276, 799},
    {3406, -799, -4017, -2276},
    {2276, -4017, 799, 3406},
    {799, -2276, 3406, -4017},
};

/* Transform eight numbers; `step` lies between them. */
static void transform_line(const int32_t *in, int32_t *out, int32_t step, int32_t shift)
{
    int32_t half = 1 << (shift - 1);
    for (int32_t x = 0; x < SIDE / 2; x++) {
        int32_t even = 0, odd = 0;
        for (int32_t k = 0; k < 4; k++) {
            even += in[2 * k * step] * EVEN[k][x];
            odd += in[(2 * k + 1) * step] * ODD[k][x];
        }
        out[x * step] = (even + odd + half) >> shift;
        out[(SIDE - 1 - x) * step] = (even - odd + half) >> shift;
    }
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
    int32_t width_px = decoder->width_px - left_px < SIDE * columns ? decoder->width_px - left_px : SIDE * columns;
    int32_t height_px = decoder->height_px - top_px < SIDE * rows ? decoder->height_px - top_px : SIDE * rows;
    for (int32_t y = 0; y < height_px; y++) {
        uint8_t *rgb = decoder->rgb + ((top_px + y) * decoder->width_px + left_px) * 3;
        for (int32_t x = 0; x < width_px; x++, rgb += 3) {
            int32_t block = y / SIDE * columns + x / SIDE, place = y / rows * SIDE + x / columns;
            int32_t sample = decoder->samples[block][y % SIDE * SIDE + x % SIDE];
            if (decoder->num_components == 1)
                write_color(sample, 0, 0, rgb);
            else
                write_color(sample, decoder->samples[chroma][place] - 128, decoder->samples[chroma + 1][place] - 128,
                            rgb);
        }
    }
}
