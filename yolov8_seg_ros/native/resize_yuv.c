/* Halve and interpolate an image in YUV, in one pass.
 *
 * Luma and colour differences are interpolated, and only the few new pixels are converted. The image is halved in any
 * case, so that a halved pixel has a colour of its own. */
#include "bands.h"

enum {
    BLACK = 16, /* the luma of black, and the colour difference of grey */
    GREY = 128
};

/* Return the upper 16 of the product's 32 bits: for the compiler one instruction. */
static inline uint16_t high_product(uint16_t a, uint16_t b)
{
    return (uint16_t)(((uint32_t)a * b) >> 16);
}

/* Interpolate between two columns, in 1/128. */
static inline uint16_t between(uint16_t left, uint16_t right, uint16_t left_weight, uint16_t right_weight)
{
    return (uint16_t)(high_product(left, left_weight) + high_product(right, right_weight));
}

/* The weights of two columns, in 1/65536: for the compiler a column of a band like others. */
struct column_weights {
    uint16_t left[BAND], right[BAND];
};

/* Set those of each weight that seg_axis knows. */
static void set_weights(struct column_weights weights[UNIT])
{
    for (int32_t weight = 0; weight < UNIT; weight++) {
        /* With a weight of 0 both columns are the same one. */
        uint16_t right = (uint16_t)((weight ? weight : UNIT / 2) * (65536 / UNIT));
        for (int32_t row = 0; row < BAND; row++) {
            weights[weight].left[row] = (uint16_t)-right;
            weights[weight].right[row] = right;
        }
    }
}

static inline uint16_t to_byte(int16_t thirty_seconds)
{
    enum { HALF = 16, WHITE = 255 * 32 + 31 };
    int16_t rounded = (int16_t)(thirty_seconds + HALF);
    rounded = rounded < 0 ? 0 : rounded;
    rounded = rounded > WHITE ? WHITE : rounded;
    return (uint16_t)((uint16_t)rounded >> 5);
}

/* Convert a pixel. luma, u, v: in 1/128. colors: red, green and blue, BAND apart. Source of the factors: ITU-R BT.601. */
static inline void to_colors(uint16_t luma, uint16_t u, uint16_t v, uint16_t *restrict colors)
{
    /* In 1/16384 for luma, in 1/8192 for the others; high_product makes 1/32 of either. */
    enum { OF_LUMA = 19077, RED_OF_V = 13075, GREEN_OF_U = 3203, GREEN_OF_V = 6660, BLUE_OF_U = 16531 };
    enum { RED_OF_GREY = RED_OF_V * GREY / 256, GREEN_OF_GREY = (GREEN_OF_U + GREEN_OF_V) * GREY / 256,
           BLUE_OF_GREY = BLUE_OF_U * GREY / 256 };
    uint16_t above_black = (uint16_t)((luma > BLACK * 128 ? luma : BLACK * 128) - BLACK * 128);
    uint16_t u256 = (uint16_t)(u * 2), v256 = (uint16_t)(v * 2);
    int16_t white = (int16_t)high_product(above_black, OF_LUMA);
    int16_t red = (int16_t)(high_product(v256, RED_OF_V) - RED_OF_GREY);
    int16_t green = (int16_t)(GREEN_OF_GREY - high_product(u256, GREEN_OF_U) - high_product(v256, GREEN_OF_V));
    int16_t blue = (int16_t)(high_product(u256, BLUE_OF_U) - BLUE_OF_GREY);
    colors[0] = to_byte((int16_t)(white + red));
    colors[BAND] = to_byte((int16_t)(white + green));
    colors[2 * BAND] = to_byte((int16_t)(white + blue));
}

/* Where the numbers of a block's halved pixels lie, BAND side by side. */
struct yuv_columns {
    const uint16_t *luma, *u, *v;
    int32_t luma_step, chroma_step; /* numbers from pixel to pixel */
};

/* Write new columns `column` to `end` of a band, red, green and blue of each. Called with constants.
 * is_pairs: 1: in 1/64, and the other half of the luma lies two numbers after the first; 0: in 1/128. */
static inline void write_columns_of_yuv(const struct seg_axis *axis, const struct column_weights *weights_of,
                                        const struct yuv_columns *columns, int32_t is_pairs, int32_t column,
                                        int32_t end, uint16_t *restrict colors)
{
    int32_t first = axis->first[column], luma_step = columns->luma_step, chroma_step = columns->chroma_step;
    uint16_t scale = is_pairs ? 2 : 1;
    for (; column < end; column++, colors += NUM_COLORS * BAND) {
        uint16_t weight = axis->next_weight[column];
        const struct column_weights *weights = &weights_of[weight];
        int32_t left = axis->first[column] - first, right = weight ? left + 1 : left;
        const uint16_t *luma = columns->luma + left * luma_step, *next_luma = columns->luma + right * luma_step;
        const uint16_t *u = columns->u + left * chroma_step, *next_u = columns->u + right * chroma_step;
        const uint16_t *v = columns->v + left * chroma_step, *next_v = columns->v + right * chroma_step;
        for (int32_t row = 0; row < BAND; row++) {
            uint16_t left_luma = is_pairs ? (uint16_t)(luma[row] + luma[2 * BAND + row]) : luma[row];
            uint16_t right_luma = is_pairs ? (uint16_t)(next_luma[row] + next_luma[2 * BAND + row]) : next_luma[row];
            uint16_t left_u = (uint16_t)(scale * u[row]), right_u = (uint16_t)(scale * next_u[row]);
            uint16_t left_v = (uint16_t)(scale * v[row]), right_v = (uint16_t)(scale * next_v[row]);
            to_colors(between(left_luma, right_luma, weights->left[row], weights->right[row]),
                      between(left_u, right_u, weights->left[row], weights->right[row]),
                      between(left_v, right_v, weights->left[row], weights->right[row]), colors + row);
        }
    }
}

/* -------------------------------------------------------------------------------------------------- pairs of pixels */

enum { PAIR_BYTES = 4 };

/* Interpolate between two rows, each the sum of two old ones. mixed: in 1/64. */
static void mix_row_pairs(const uint8_t *restrict upper, const uint8_t *restrict upper_next,
                          const uint8_t *restrict lower, const uint8_t *restrict lower_next, uint16_t lower_weight,
                          int32_t count, uint16_t *restrict mixed)
{
    uint16_t upper_weight = (uint16_t)(UNIT - lower_weight);
    for (int32_t i = 0; i < count; i++) {
        uint16_t above = (uint16_t)(upper[i] + upper_next[i]), below = (uint16_t)(lower[i] + lower_next[i]);
        mixed[i] = (uint16_t)((uint16_t)(above * upper_weight) + (uint16_t)(below * lower_weight));
    }
}

static void mix_band_of_pairs(const struct band *band, const struct band *ahead, const uint8_t *image, int64_t row_step,
                              int32_t count, uint16_t *mixed)
{
    uint16_t rows[BAND][BLOCK_BYTES];
    for (int32_t i = 0; i < BAND; i++) {
        const uint8_t *upper = image + band->upper[i] * row_step, *lower = image + band->lower[i] * row_step;
        const uint8_t *upper_ahead = image + ahead->upper[i] * row_step, *lower_ahead = image + ahead->lower[i] * row_step;
        fetch(upper_ahead, count);
        fetch(upper_ahead + row_step, count);
        fetch(lower_ahead, count);
        fetch(lower_ahead + row_step, count);
        mix_row_pairs(upper, upper + row_step, lower, lower + row_step, band->lower_weights[i], count, rows[i]);
    }
    interleave(rows, count, mixed);
}

void seg_resize_pairs(const struct seg_resize *plan, const uint8_t *image, int64_t row_step, uint8_t *target,
                      int64_t target_step)
{
    struct band band, ahead;
    struct column_weights weights[UNIT];
    uint16_t mixed[BLOCK_PX * PAIR_BYTES * BAND], colors[BLOCK_PX * NUM_COLORS * BAND];
    const struct yuv_columns columns = {mixed + plan->rgb[0] * BAND, mixed + plan->rgb[1] * BAND,
                                        mixed + plan->rgb[2] * BAND, PAIR_BYTES * BAND, PAIR_BYTES * BAND};
    set_weights(weights);
    for (int32_t first = 0; first < plan->rows.size_px; first += BAND) {
        int32_t num_rows = plan->rows.size_px - first < BAND ? plan->rows.size_px - first : BAND, num_pixels = 0;
        place_band(&plan->rows, 2, first, &band);
        place_band(&plan->rows, 2, first + BAND, &ahead);
        for (int32_t column = 0, end; column < plan->columns.size_px; column = end) {
            end = end_of_block(&plan->columns, column, &num_pixels);
            const uint8_t *from = image + (int64_t)plan->columns.first[column] * PAIR_BYTES;
            mix_band_of_pairs(&band, &ahead, from, row_step, num_pixels * PAIR_BYTES, mixed);
            write_columns_of_yuv(&plan->columns, weights, &columns, 1, column, end, colors);
            write_rows(colors, (end - column) * NUM_COLORS, (uint8_t)plan->flip,
                       target + first * target_step + column * NUM_COLORS, target_step, num_rows);
        }
    }
}

/* ----------------------------------------------------------------------------------------------------------- planes */

/* Return the sum of a byte and the next one: for the compiler without a step between 8 and 16 bits. */
static inline uint16_t sum_of_two(const uint8_t *bytes)
{
    uint16_t word;
    memcpy(&word, bytes, sizeof word);
    return (uint16_t)((word & 255) + (word >> 8));
}

/* Interpolate between two rows, each the sum of two old ones, halved along the row, too. mixed: in 1/128. */
static void mix_luma(const uint8_t *restrict upper, const uint8_t *restrict upper_next, const uint8_t *restrict lower,
                     const uint8_t *restrict lower_next, uint16_t lower_weight, int32_t count, uint16_t *restrict mixed)
{
    uint16_t upper_weight = (uint16_t)(UNIT - lower_weight);
    for (int32_t i = 0; i < count; i++) {
        uint16_t above = (uint16_t)(sum_of_two(upper + 2 * i) + sum_of_two(upper_next + 2 * i));
        uint16_t below = (uint16_t)(sum_of_two(lower + 2 * i) + sum_of_two(lower_next + 2 * i));
        mixed[i] = (uint16_t)((uint16_t)(above * upper_weight) + (uint16_t)(below * lower_weight));
    }
}

/* Interpolate between two rows. mixed: in 1/128. */
static void mix_chroma(const uint8_t *restrict upper, const uint8_t *restrict lower, uint16_t lower_weight, int32_t count,
                       uint16_t *restrict mixed)
{
    uint16_t upper_weight = (uint16_t)(4 * (UNIT - lower_weight));
    lower_weight = (uint16_t)(4 * lower_weight);
    for (int32_t i = 0; i < count; i++)
        mixed[i] = (uint16_t)((uint16_t)(upper[i] * upper_weight) + (uint16_t)(lower[i] * lower_weight));
}

static void mix_band_of_luma(const struct band *band, const struct band *ahead, const uint8_t *luma, int64_t row_step,
                             int32_t count, uint16_t *mixed)
{
    uint16_t rows[BAND][BLOCK_BYTES];
    for (int32_t i = 0; i < BAND; i++) {
        const uint8_t *upper = luma + band->upper[i] * row_step, *lower = luma + band->lower[i] * row_step;
        const uint8_t *upper_ahead = luma + ahead->upper[i] * row_step, *lower_ahead = luma + ahead->lower[i] * row_step;
        fetch(upper_ahead, 2 * count);
        fetch(upper_ahead + row_step, 2 * count);
        fetch(lower_ahead, 2 * count);
        fetch(lower_ahead + row_step, 2 * count);
        mix_luma(upper, upper + row_step, lower, lower + row_step, band->lower_weights[i], count, rows[i]);
    }
    interleave(rows, count, mixed);
}

static void mix_band_of_chroma(const struct band *band, const struct band *ahead, const uint8_t *chroma,
                               int64_t row_step, int32_t count, uint16_t *mixed)
{
    uint16_t rows[BAND][BLOCK_BYTES];
    for (int32_t i = 0; i < BAND; i++) {
        /* A row of chroma belongs to two of luma. */
        fetch(chroma + ahead->upper[i] / 2 * row_step, count);
        fetch(chroma + ahead->lower[i] / 2 * row_step, count);
        mix_chroma(chroma + band->upper[i] / 2 * row_step, chroma + band->lower[i] / 2 * row_step,
                   band->lower_weights[i], count, rows[i]);
    }
    interleave(rows, count, mixed);
}

void seg_resize_planes(const struct seg_resize *plan, const struct seg_planes *image, uint8_t *target,
                       int64_t target_step)
{
    struct band band, ahead;
    struct column_weights weights[UNIT];
    uint16_t luma[BLOCK_PX * BAND], chroma[2 * BLOCK_PX * BAND], colors[BLOCK_PX * NUM_COLORS * BAND];
    struct yuv_columns columns = {luma, chroma, chroma + BLOCK_PX * BAND, BAND, image->chroma_step * BAND};
    const uint8_t *planes[] = {image->u, image->v};
    int32_t num_planes = 2;
    if (image->chroma_step == 2) {
        int32_t is_v_first = image->v < image->u;
        num_planes = 1;
        planes[0] = is_v_first ? image->v : image->u;
        columns.u = is_v_first ? chroma + BAND : chroma;
        columns.v = is_v_first ? chroma : chroma + BAND;
    }
    set_weights(weights);
    for (int32_t first = 0; first < plan->rows.size_px; first += BAND) {
        int32_t num_rows = plan->rows.size_px - first < BAND ? plan->rows.size_px - first : BAND, num_pixels = 0;
        place_band(&plan->rows, 2, first, &band);
        place_band(&plan->rows, 2, first + BAND, &ahead);
        for (int32_t column = 0, end; column < plan->columns.size_px; column = end) {
            end = end_of_block(&plan->columns, column, &num_pixels);
            int64_t from = plan->columns.first[column];
            mix_band_of_luma(&band, &ahead, image->luma + 2 * from, image->luma_row_step, num_pixels, luma);
            for (int32_t i = 0; i < num_planes; i++)
                mix_band_of_chroma(&band, &ahead, planes[i] + image->chroma_step * from, image->chroma_row_step,
                                   image->chroma_step * num_pixels, chroma + i * BLOCK_PX * BAND);
            write_columns_of_yuv(&plan->columns, weights, &columns, 0, column, end, colors);
            write_rows(colors, (end - column) * NUM_COLORS, (uint8_t)plan->flip,
                       target + first * target_step + column * NUM_COLORS, target_step, num_rows);
        }
    }
}
