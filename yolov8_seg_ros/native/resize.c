/* Halve an image and interpolate it linearly, in one pass.
 *
 * Loops are such that a compiler can use vector registers: eight new rows are worked on at once, and their numbers for
 * one column lie side by side. All numbers fit 16 bits.
 *
 * Of an image whose pixels share their colour in pairs, luma and colour differences are interpolated, and only the few
 * new pixels are converted. It is halved in any case, so that a halved pixel is a pair, with a colour of its own. */
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

/* ------------------------------------------------------------------------------------------------------------- rows */

static void fetch(const uint8_t *row, int32_t num_bytes)
{
    for (int32_t at = 0; at < num_bytes; at += LINE_BYTES)
        PREFETCH(row + at);
}

static void copy_row(const uint8_t *restrict row, int32_t count, uint16_t *restrict sums)
{
    for (int32_t i = 0; i < count; i++)
        sums[i] = row[i];
}

static void add_rows(const uint8_t *restrict row, const uint8_t *restrict next, int32_t count, uint16_t *restrict sums)
{
    for (int32_t i = 0; i < count; i++)
        sums[i] = (uint16_t)(row[i] + next[i]);
}

static void interleave(uint16_t rows[BAND][BLOCK_BYTES], int32_t count, uint16_t *restrict band)
{
    for (int32_t i = 0; i < count; i++)
        for (int32_t row = 0; row < BAND; row++)
            band[i * BAND + row] = rows[row][i];
}

/* Collect the old rows of a band of new ones, a row or the sum of two for each. rows: their numbers. */
static void collect_rows(const struct seg_resize *plan, const uint8_t *image, int64_t row_step, const int32_t *rows,
                         const int32_t *rows_ahead, int32_t count, uint16_t *band)
{
    uint16_t sums[BAND][BLOCK_BYTES];
    for (int32_t i = 0; i < BAND; i++) {
        const uint8_t *row = image + rows[i] * row_step, *ahead = image + rows_ahead[i] * row_step;
        fetch(ahead, count);
        if (plan->is_halved) {
            fetch(ahead + row_step, count);
            add_rows(row, row + row_step, count, sums[i]);
        } else {
            copy_row(row, count, sums[i]);
        }
    }
    interleave(sums, count, band);
}

/* The old rows that a band of new ones lies between. */
struct band {
    int32_t upper[BAND], lower[BAND];
    uint16_t upper_weights[MAX_CHANNELS * BAND], lower_weights[MAX_CHANNELS * BAND];
    int32_t is_between; /* 0 where upper rows alone matter */
};

static void place_band(const struct seg_resize *plan, int32_t first, struct band *band)
{
    int32_t height = plan->is_halved ? 2 : 1;
    band->is_between = 0;
    for (int32_t i = 0; i < BAND; i++) {
        /* Of a last band with fewer rows, the last row is computed several times. */
        int32_t row = first + i < plan->rows.size_px ? first + i : plan->rows.size_px - 1;
        uint16_t weight = plan->rows.next_weight[row];
        band->upper[i] = plan->rows.first[row] * height;
        band->lower[i] = weight ? band->upper[i] + height : band->upper[i];
        band->is_between |= weight > 0;
        for (int32_t channel = 0; channel < MAX_CHANNELS; channel++) {
            band->upper_weights[channel * BAND + i] = (uint16_t)(UNIT - weight);
            band->lower_weights[channel * BAND + i] = weight;
        }
    }
}

/* Return the mean of four bytes, rounded. */
static inline uint16_t quarter_of(uint16_t sum)
{
    /* Without the conversion a compiler computes in 32 bits, and half as many at once. */
    return (uint16_t)((uint16_t)(sum + 2) >> 2);
}

/* Halve the columns of both, and interpolate between them. Called with constants, with which it is several times faster.
 * mixed: in 1/32. */
static inline void mix_rows(const struct band *band, const uint16_t *restrict upper, const uint16_t *restrict lower,
                            int32_t is_halved, int32_t is_between, int32_t num_channels, int32_t num_pixels,
                            uint16_t *restrict mixed)
{
    int32_t length = num_channels * BAND;
    for (int32_t pixel = 0; pixel < num_pixels; pixel++) {
        for (int32_t i = 0; i < length; i++) {
            uint16_t above = is_halved ? quarter_of((uint16_t)(upper[i] + upper[length + i])) : upper[i];
            uint16_t below = is_halved ? quarter_of((uint16_t)(lower[i] + lower[length + i])) : lower[i];
            mixed[i] = is_between ? (uint16_t)(above * band->upper_weights[i] + below * band->lower_weights[i])
                                  : (uint16_t)(above * UNIT);
        }
        upper += is_halved ? 2 * length : length;
        lower += is_halved ? 2 * length : length;
        mixed += length;
    }
}

/* ---------------------------------------------------------------------------------------------------------- columns */

/* Interpolate between two columns; round once. In 1/1024 the sum would need 18 bits. */
static inline void mix_columns(const uint16_t *restrict left, const uint16_t *restrict right, uint16_t right_weight,
                               int32_t num_channels, uint16_t *restrict pixel)
{
    uint16_t left_weight = (uint16_t)(UNIT - right_weight);
    for (int32_t i = 0; i < num_channels * BAND; i++) {
        uint16_t whole = (uint16_t)((left[i] >> 5) * left_weight + (right[i] >> 5) * right_weight);
        uint16_t rest = (uint16_t)((left[i] & 31) * left_weight + (right[i] & 31) * right_weight);
        uint16_t rounded = (uint16_t)(whole + ((uint16_t)(rest + 512) >> 5));
        pixel[i] = (uint16_t)(rounded >> 5);
    }
}

/* Write new columns `column` to `end` of a band, red, green and blue of each. */
static inline void write_columns(const struct seg_resize *plan, const uint16_t *mixed, int32_t num_channels, int32_t column,
                                 int32_t end, uint16_t *colors)
{
    int32_t length = num_channels * BAND, first = plan->columns.first[column];
    for (; column < end; column++) {
        uint16_t pixel[MAX_CHANNELS * BAND], weight = plan->columns.next_weight[column];
        const uint16_t *left = mixed + (plan->columns.first[column] - first) * length;
        if (weight)
            mix_columns(left, left + length, weight, num_channels, pixel);
        else
            mix_columns(left, left, 0, num_channels, pixel);
        for (int32_t color = 0; color < NUM_COLORS; color++, colors += BAND)
            memcpy(colors, pixel + plan->rgb[color] * BAND, BAND * sizeof *colors);
    }
}

static void write_rows(const uint16_t *restrict colors, int32_t count, uint8_t flip, uint8_t *target, int64_t target_step,
                       int32_t num_rows)
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

/* Return where the new columns end that a block of old ones beginning with the first of `column` is enough for. */
static int32_t end_of_block(const struct seg_axis *columns, int32_t column, int32_t *num_pixels)
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

/* Called with constants, as its parts. */
static inline void resize_band(const struct seg_resize *plan, const struct band *band, const struct band *ahead,
                               const uint8_t *image, int64_t row_step, int32_t is_halved, int32_t num_channels,
                               uint8_t *target, int64_t target_step, int32_t num_rows)
{
    uint16_t upper[BLOCK_BYTES * BAND], lower[BLOCK_BYTES * BAND], mixed[BLOCK_PX * MAX_CHANNELS * BAND];
    uint16_t colors[BLOCK_PX * NUM_COLORS * BAND];
    int32_t num_pixels = 0, pixel_bytes = is_halved ? 2 * num_channels : num_channels;
    for (int32_t column = 0, end; column < plan->columns.size_px; column = end) {
        end = end_of_block(&plan->columns, column, &num_pixels);
        const uint8_t *from = image + (int64_t)plan->columns.first[column] * pixel_bytes;
        collect_rows(plan, from, row_step, band->upper, ahead->upper, num_pixels * pixel_bytes, upper);
        if (band->is_between)
            collect_rows(plan, from, row_step, band->lower, ahead->lower, num_pixels * pixel_bytes, lower);
        if (band->is_between)
            mix_rows(band, upper, lower, is_halved, 1, num_channels, num_pixels, mixed);
        else
            mix_rows(band, upper, upper, is_halved, 0, num_channels, num_pixels, mixed);
        write_columns(plan, mixed, num_channels, column, end, colors);
        write_rows(colors, (end - column) * NUM_COLORS, (uint8_t)plan->flip, target + column * NUM_COLORS, target_step,
                   num_rows);
    }
}

/* -------------------------------------------------------------------------------------------- pairs of pixels in YUV */

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

static void resize_band_of_pairs(const struct seg_resize *plan, const struct band *band, const struct band *ahead,
                                 const uint8_t *image, int64_t row_step, uint8_t *target, int64_t target_step,
                                 int32_t num_rows)
{
    uint16_t mixed[BLOCK_PX * PAIR_BYTES * BAND], colors[BLOCK_PX * NUM_COLORS * BAND];
    int32_t num_pixels = 0;
    for (int32_t column = 0, end; column < plan->columns.size_px; column = end) {
        end = end_of_block(&plan->columns, column, &num_pixels);
        const uint8_t *from = image + (int64_t)plan->columns.first[column] * PAIR_BYTES;
        mix_band_of_pairs(band, ahead, from, row_step, num_pixels * PAIR_BYTES, mixed);
        write_columns_of_pairs(plan, mixed, column, end, colors);
        write_rows(colors, (end - column) * NUM_COLORS, (uint8_t)plan->flip, target + column * NUM_COLORS, target_step,
                   num_rows);
    }
}

void seg_resize(const struct seg_resize *plan, const uint8_t *image, int64_t row_step, uint8_t *target,
                int64_t target_step)
{
    struct band band, ahead;
    for (int32_t first = 0; first < plan->rows.size_px; first += BAND) {
        int32_t num_rows = plan->rows.size_px - first < BAND ? plan->rows.size_px - first : BAND;
        place_band(plan, first, &band);
        place_band(plan, first + BAND, &ahead);
        uint8_t *to = target + first * target_step;
        if (plan->num_channels == 2)
            resize_band_of_pairs(plan, &band, &ahead, image, row_step, to, target_step, num_rows);
        else if (plan->num_channels == 3 && plan->is_halved)
            resize_band(plan, &band, &ahead, image, row_step, 1, 3, to, target_step, num_rows);
        else if (plan->num_channels == 4 && plan->is_halved)
            resize_band(plan, &band, &ahead, image, row_step, 1, 4, to, target_step, num_rows);
        else
            resize_band(plan, &band, &ahead, image, row_step, plan->is_halved, plan->num_channels, to, target_step,
                        num_rows);
    }
}
