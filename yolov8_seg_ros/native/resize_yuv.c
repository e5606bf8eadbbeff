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

/* Where the numbers of a block's halved pixels lie, BAND side by side. Steps are in numbers. */
struct yuv_columns {
    const uint16_t *luma, *u, *v;
    int32_t luma_step, chroma_step;           /* from pixel to pixel */
    int32_t luma_part_step, chroma_part_step; /* from part to part of a pixel: numbers whose sum is that of the pixel */
};

static inline uint16_t sum_of_parts(const uint16_t *part, int32_t num_parts, int32_t step)
{
    uint16_t sum = num_parts > 1 ? (uint16_t)(part[0] + part[step]) : part[0];
    return num_parts > 2 ? (uint16_t)(sum + part[2 * step] + part[3 * step]) : sum;
}

/* Write new columns `column` to `end` of a band, red, green and blue of each. Called with constants.
 * The sum of a pixel's parts of luma is in 1/128; so is that of its parts of u, and of v, once multiplied by scale. */
static inline void write_columns_of_yuv(const struct seg_axis *axis, const struct column_weights *weights_of,
                                        const struct yuv_columns *columns, int32_t luma_parts, int32_t chroma_parts,
                                        uint16_t scale, int32_t column, int32_t end, uint16_t *restrict colors)
{
    int32_t first = axis->first[column], luma_step = columns->luma_step, chroma_step = columns->chroma_step;
    int32_t luma_part = columns->luma_part_step, chroma_part = columns->chroma_part_step;
    for (; column < end; column++, colors += NUM_COLORS * BAND) {
        uint16_t weight = axis->next_weight[column];
        const struct column_weights *weights = &weights_of[weight];
        int32_t left = axis->first[column] - first, right = weight ? left + 1 : left;
        const uint16_t *luma = columns->luma + left * luma_step, *next_luma = columns->luma + right * luma_step;
        const uint16_t *u = columns->u + left * chroma_step, *next_u = columns->u + right * chroma_step;
        const uint16_t *v = columns->v + left * chroma_step, *next_v = columns->v + right * chroma_step;
        for (int32_t row = 0; row < BAND; row++) {
            uint16_t left_luma = sum_of_parts(luma + row, luma_parts, luma_part);
            uint16_t right_luma = sum_of_parts(next_luma + row, luma_parts, luma_part);
            uint16_t left_u = (uint16_t)(scale * sum_of_parts(u + row, chroma_parts, chroma_part));
            uint16_t right_u = (uint16_t)(scale * sum_of_parts(next_u + row, chroma_parts, chroma_part));
            uint16_t left_v = (uint16_t)(scale * sum_of_parts(v + row, chroma_parts, chroma_part));
            uint16_t right_v = (uint16_t)(scale * sum_of_parts(next_v + row, chroma_parts, chroma_part));
            to_colors(between(left_luma, right_luma, weights->left[row], weights->right[row]),
                      between(left_u, right_u, weights->left[row], weights->right[row]),
                      between(left_v, right_v, weights->left[row], weights->right[row]), colors + row);
        }
    }
}

/* Interpolate between two sums, and divide by four, rounded, where they are so large that their sum would not fit. */
static inline uint16_t mix(uint16_t above, uint16_t below, uint16_t upper_weight, uint16_t lower_weight, int32_t is_quartered)
{
    uint16_t mixed = (uint16_t)((uint16_t)(above * upper_weight) + (uint16_t)(below * lower_weight));
    return is_quartered ? quarter_of(mixed) : mixed;
}

static inline void fetch_rows(const uint8_t *row, int64_t row_step, int32_t num_rows, int32_t num_bytes)
{
    for (int32_t i = 0; i < num_rows; i++)
        fetch(row + i * row_step, num_bytes);
}

/* Interpolate between two rows of the halved image. upper, lower: where they begin in the image. */
typedef void mix_row(const uint8_t *restrict upper, const uint8_t *restrict lower, int64_t row_step,
                     int32_t num_halvings, uint16_t lower_weight, int32_t count, uint16_t *restrict mixed);

/* Interpolate between the rows of a band. Called with constants.
 * rows_a_halving: 2; 1 where a row belongs to two of luma. bytes_a_number: that a row has for each of `count` numbers. */
static inline void mix_band(const struct band *band, const struct band *ahead, mix_row *mix_row_of, const uint8_t *image,
                            int64_t row_step, int32_t rows_a_halving, int32_t bytes_a_number, int32_t num_halvings,
                            int32_t count, uint16_t *mixed)
{
    uint16_t numbers[BAND][BLOCK_BYTES];
    const uint16_t *rows[BAND];
    for (int32_t i = 0; i < BAND; i++) {
        /* Rows of a band are those of luma. */
        const uint8_t *upper_ahead = image + ahead->upper[i] * rows_a_halving / 2 * row_step;
        const uint8_t *lower_ahead = image + ahead->lower[i] * rows_a_halving / 2 * row_step;
        fetch_rows(upper_ahead, row_step, rows_a_halving * num_halvings, bytes_a_number * count);
        fetch_rows(lower_ahead, row_step, rows_a_halving * num_halvings, bytes_a_number * count);
        mix_row_of(image + band->upper[i] * rows_a_halving / 2 * row_step,
                   image + band->lower[i] * rows_a_halving / 2 * row_step, row_step, num_halvings,
                   band->lower_weights[i], count, numbers[i]);
        rows[i] = numbers[i];
    }
    interleave(rows, count, mixed);
}

/* -------------------------------------------------------------------------------------------------- pairs of pixels */

enum { PAIR_BYTES = 4 };

/* Interpolate between two rows, each the sum of two old ones, or of four. mixed: in 1/64 of two, in 1/32 of four. */
static inline void mix_row_of_pairs(const uint8_t *restrict upper, const uint8_t *restrict lower, int64_t row_step,
                                    int32_t num_halvings, uint16_t lower_weight, int32_t count,
                                    uint16_t *restrict mixed)
{
    uint16_t upper_weight = (uint16_t)(UNIT - lower_weight);
    const uint8_t *upper_end = upper + 2 * row_step, *lower_end = lower + 2 * row_step;
    for (int32_t i = 0; i < count; i++) {
        uint16_t above = (uint16_t)(upper[i] + upper[row_step + i]), below = (uint16_t)(lower[i] + lower[row_step + i]);
        if (num_halvings == 2) {
            above = (uint16_t)(above + upper_end[i] + upper_end[row_step + i]);
            below = (uint16_t)(below + lower_end[i] + lower_end[row_step + i]);
        }
        mixed[i] = mix(above, below, upper_weight, lower_weight, num_halvings == 2);
    }
}

void seg_resize_pairs(const struct seg_resize *plan, const uint8_t *image, int64_t row_step, uint8_t *target,
                      int64_t target_step)
{
    struct band band, ahead;
    struct column_weights weights[UNIT];
    uint16_t mixed[BLOCK_BYTES * BAND], colors[BLOCK_PX * NUM_COLORS * BAND];
    int32_t pixel_bytes = PAIR_BYTES * plan->num_halvings, step = pixel_bytes * BAND;
    const struct yuv_columns columns = {mixed + plan->rgb[0] * BAND, mixed + plan->rgb[1] * BAND,
                                        mixed + plan->rgb[2] * BAND, step, step, 2 * BAND, PAIR_BYTES * BAND};
    set_weights(weights);
    for (int32_t first = 0; first < plan->rows.size_px; first += BAND) {
        int32_t num_rows = plan->rows.size_px - first < BAND ? plan->rows.size_px - first : BAND, num_pixels = 0;
        place_band(&plan->rows, 2 * plan->num_halvings, first, &band);
        place_band(&plan->rows, 2 * plan->num_halvings, first + BAND, &ahead);
        for (int32_t column = 0, end; column < plan->columns.size_px; column = end) {
            end = end_of_block(&plan->columns, column, &num_pixels);
            const uint8_t *from = image + (int64_t)plan->columns.first[column] * pixel_bytes;
            if (plan->num_halvings == 2) {
                mix_band(&band, &ahead, mix_row_of_pairs, from, row_step, 2, 1, 2, num_pixels * pixel_bytes, mixed);
                write_columns_of_yuv(&plan->columns, weights, &columns, 4, 2, 2, column, end, colors);
            } else {
                mix_band(&band, &ahead, mix_row_of_pairs, from, row_step, 2, 1, 1, num_pixels * pixel_bytes, mixed);
                write_columns_of_yuv(&plan->columns, weights, &columns, 2, 1, 2, column, end, colors);
            }
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

/* Interpolate between two rows, each the sum of two old ones, or of four, halved along the row, too.
 * mixed: in 1/128 of two, in 1/64 of four. */
static inline void mix_row_of_luma(const uint8_t *restrict upper, const uint8_t *restrict lower, int64_t row_step,
                                   int32_t num_halvings, uint16_t lower_weight, int32_t count, uint16_t *restrict mixed)
{
    uint16_t upper_weight = (uint16_t)(UNIT - lower_weight);
    const uint8_t *upper_end = upper + 2 * row_step, *lower_end = lower + 2 * row_step;
    for (int32_t i = 0; i < count; i++) {
        uint16_t above = (uint16_t)(sum_of_two(upper + 2 * i) + sum_of_two(upper + row_step + 2 * i));
        uint16_t below = (uint16_t)(sum_of_two(lower + 2 * i) + sum_of_two(lower + row_step + 2 * i));
        if (num_halvings == 2) {
            above = (uint16_t)(above + sum_of_two(upper_end + 2 * i) + sum_of_two(upper_end + row_step + 2 * i));
            below = (uint16_t)(below + sum_of_two(lower_end + 2 * i) + sum_of_two(lower_end + row_step + 2 * i));
        }
        mixed[i] = mix(above, below, upper_weight, lower_weight, num_halvings == 2);
    }
}

/* Interpolate between two rows, each an old one, or the sum of two. mixed: in 1/128 of one, in 1/64 of two. */
static inline void mix_row_of_chroma(const uint8_t *restrict upper, const uint8_t *restrict lower, int64_t row_step,
                                     int32_t num_halvings, uint16_t lower_weight, int32_t count,
                                     uint16_t *restrict mixed)
{
    uint16_t scale = num_halvings == 2 ? 1 : 4;
    uint16_t upper_weight = (uint16_t)(scale * (UNIT - lower_weight));
    lower_weight = (uint16_t)(scale * lower_weight);
    for (int32_t i = 0; i < count; i++) {
        uint16_t above = upper[i], below = lower[i];
        if (num_halvings == 2) {
            above = (uint16_t)(above + upper[row_step + i]);
            below = (uint16_t)(below + lower[row_step + i]);
        }
        mixed[i] = mix(above, below, upper_weight, lower_weight, 0);
    }
}

enum { V_PLANE = 2 * BLOCK_PX * BAND }; /* where the numbers of a plane of v follow those of u */

static inline void mix_block_of_planes(const struct band *band, const struct band *ahead, const struct seg_planes *image,
                                       int32_t num_halvings, int64_t column, int32_t num_pixels, uint16_t *luma,
                                       uint16_t *chroma)
{
    int64_t row_step = image->chroma_row_step, from = num_halvings * column;
    int32_t count = num_halvings * num_pixels;
    mix_band(band, ahead, mix_row_of_luma, image->luma + 2 * from, image->luma_row_step, 2, 2, num_halvings, count, luma);
    if (image->chroma_step == 2) {
        const uint8_t *both = image->v < image->u ? image->v : image->u;
        mix_band(band, ahead, mix_row_of_chroma, both + 2 * from, row_step, 1, 1, num_halvings, 2 * count, chroma);
    } else {
        mix_band(band, ahead, mix_row_of_chroma, image->u + from, row_step, 1, 1, num_halvings, count, chroma);
        mix_band(band, ahead, mix_row_of_chroma, image->v + from, row_step, 1, 1, num_halvings, count, chroma + V_PLANE);
    }
}

void seg_resize_planes(const struct seg_resize *plan, const struct seg_planes *image, uint8_t *target,
                       int64_t target_step)
{
    struct band band, ahead;
    struct column_weights weights[UNIT];
    uint16_t luma[2 * BLOCK_PX * BAND], chroma[2 * V_PLANE], colors[BLOCK_PX * NUM_COLORS * BAND];
    int32_t part_step = image->chroma_step * BAND, height = 2 * plan->num_halvings;
    struct yuv_columns columns = {luma, chroma, chroma + V_PLANE, plan->num_halvings * BAND,
                                  plan->num_halvings * part_step, BAND, part_step};
    if (image->chroma_step == 2) {
        int32_t is_v_first = image->v < image->u;
        columns.u = is_v_first ? chroma + BAND : chroma;
        columns.v = is_v_first ? chroma : chroma + BAND;
    }
    set_weights(weights);
    for (int32_t first = 0; first < plan->rows.size_px; first += BAND) {
        int32_t num_rows = plan->rows.size_px - first < BAND ? plan->rows.size_px - first : BAND, num_pixels = 0;
        place_band(&plan->rows, height, first, &band);
        place_band(&plan->rows, height, first + BAND, &ahead);
        for (int32_t column = 0, end; column < plan->columns.size_px; column = end) {
            end = end_of_block(&plan->columns, column, &num_pixels);
            int32_t from = plan->columns.first[column];
            if (plan->num_halvings == 2) {
                mix_block_of_planes(&band, &ahead, image, 2, from, num_pixels, luma, chroma);
                write_columns_of_yuv(&plan->columns, weights, &columns, 2, 2, 1, column, end, colors);
            } else {
                mix_block_of_planes(&band, &ahead, image, 1, from, num_pixels, luma, chroma);
                write_columns_of_yuv(&plan->columns, weights, &columns, 1, 1, 1, column, end, colors);
            }
            write_rows(colors, (end - column) * NUM_COLORS, (uint8_t)plan->flip,
                       target + first * target_step + column * NUM_COLORS, target_step, num_rows);
        }
    }
}
