/* Halve and interpolate an image in YUV, in one pass.
 *
 * Luma and colour differences are interpolated, and only the few new pixels are converted. The image is halved in any
 * case, so that a halved pixel has a colour of its own. */
#include "bands.h"

enum {
    PAIR_BYTES = 4,
    BLACK = 16, /* the luma of black, and the colour difference of grey */
    GREY = 128
};

/* Return the upper 16 of the product's 32 bits: for the compiler one instruction. */
static inline uint16_t high_product(uint16_t a, uint16_t b)
{
    return (uint16_t)(((uint32_t)a * b) >> 16);
}

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

/* Interpolate between two columns, in 1/128. */
static inline uint16_t between(uint16_t left, uint16_t right, uint16_t left_weight, uint16_t right_weight)
{
    return (uint16_t)(high_product(left, left_weight) + high_product(right, right_weight));
}

/* The weights of two columns, in 1/65536: for the compiler a column of a band like others. */
struct column_weights {
    uint16_t left[BAND], right[BAND];
};

static inline void set_weights(uint16_t next_weight, struct column_weights *weights)
{
    /* With a weight of 0 both columns are the same one. */
    uint16_t right = (uint16_t)((next_weight ? next_weight : UNIT / 2) * (65536 / UNIT));
    for (int32_t row = 0; row < BAND; row++) {
        weights->left[row] = (uint16_t)-right;
        weights->right[row] = right;
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

/* Convert one column of a band. luma, u, v: in 1/128. Source of the factors: ITU-R BT.601. */
static inline void to_colors(const uint16_t *restrict luma, const uint16_t *restrict u, const uint16_t *restrict v,
                             uint16_t *restrict colors)
{
    /* In 1/16384 for luma, in 1/8192 for the others; high_product makes 1/32 of either. */
    enum { OF_LUMA = 19077, RED_OF_V = 13075, GREEN_OF_U = 3203, GREEN_OF_V = 6660, BLUE_OF_U = 16531 };
    enum { RED_OF_GREY = RED_OF_V * GREY / 256, GREEN_OF_GREY = (GREEN_OF_U + GREEN_OF_V) * GREY / 256,
           BLUE_OF_GREY = BLUE_OF_U * GREY / 256 };
    for (int32_t row = 0; row < BAND; row++) {
        uint16_t above_black = (uint16_t)((luma[row] > BLACK * 128 ? luma[row] : BLACK * 128) - BLACK * 128);
        uint16_t u256 = (uint16_t)(u[row] * 2), v256 = (uint16_t)(v[row] * 2);
        int16_t white = (int16_t)high_product(above_black, OF_LUMA);
        int16_t red = (int16_t)(high_product(v256, RED_OF_V) - RED_OF_GREY);
        int16_t green = (int16_t)(GREEN_OF_GREY - high_product(u256, GREEN_OF_U) - high_product(v256, GREEN_OF_V));
        int16_t blue = (int16_t)(high_product(u256, BLUE_OF_U) - BLUE_OF_GREY);
        colors[row] = to_byte((int16_t)(white + red));
        colors[BAND + row] = to_byte((int16_t)(white + green));
        colors[2 * BAND + row] = to_byte((int16_t)(white + blue));
    }
}

/* Write new columns `column` to `end` of a band, red, green and blue of each. */
static void write_columns_of_pairs(const struct seg_resize *plan, const uint16_t *mixed, int32_t column, int32_t end,
                                   uint16_t *restrict colors)
{
    enum { LENGTH = PAIR_BYTES * BAND };
    const uint16_t *luma = mixed + plan->rgb[0] * BAND, *other_luma = luma + 2 * BAND;
    const uint16_t *u = mixed + plan->rgb[1] * BAND, *v = mixed + plan->rgb[2] * BAND;
    int32_t first = plan->columns.first[column];
    for (; column < end; column++, colors += NUM_COLORS * BAND) {
        uint16_t weight = plan->columns.next_weight[column], yuv[NUM_COLORS][BAND];
        int32_t left = (plan->columns.first[column] - first) * LENGTH, right = weight ? left + LENGTH : left;
        struct column_weights weights;
        set_weights(weight, &weights);
        for (int32_t row = 0; row < BAND; row++) {
            uint16_t left_luma = (uint16_t)(luma[left + row] + other_luma[left + row]);
            uint16_t right_luma = (uint16_t)(luma[right + row] + other_luma[right + row]);
            yuv[0][row] = between(left_luma, right_luma, weights.left[row], weights.right[row]);
            yuv[1][row] = between((uint16_t)(2 * u[left + row]), (uint16_t)(2 * u[right + row]), weights.left[row], weights.right[row]);
            yuv[2][row] = between((uint16_t)(2 * v[left + row]), (uint16_t)(2 * v[right + row]), weights.left[row], weights.right[row]);
        }
        to_colors(yuv[0], yuv[1], yuv[2], colors);
    }
}

void seg_resize_pairs(const struct seg_resize *plan, const uint8_t *image, int64_t row_step, uint8_t *target,
                      int64_t target_step)
{
    struct band band, ahead;
    uint16_t mixed[BLOCK_PX * PAIR_BYTES * BAND], colors[BLOCK_PX * NUM_COLORS * BAND];
    for (int32_t first = 0; first < plan->rows.size_px; first += BAND) {
        int32_t num_rows = plan->rows.size_px - first < BAND ? plan->rows.size_px - first : BAND, num_pixels = 0;
        place_band(&plan->rows, 2, first, &band);
        place_band(&plan->rows, 2, first + BAND, &ahead);
        for (int32_t column = 0, end; column < plan->columns.size_px; column = end) {
            end = end_of_block(&plan->columns, column, &num_pixels);
            const uint8_t *from = image + (int64_t)plan->columns.first[column] * PAIR_BYTES;
            mix_band_of_pairs(&band, &ahead, from, row_step, num_pixels * PAIR_BYTES, mixed);
            write_columns_of_pairs(plan, mixed, column, end, colors);
            write_rows(colors, (end - column) * NUM_COLORS, (uint8_t)plan->flip,
                       target + first * target_step + column * NUM_COLORS, target_step, num_rows);
        }
    }
}
