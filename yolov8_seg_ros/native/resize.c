/* Halve an image and interpolate it linearly, in one pass. */
#include "bands.h"

/* ------------------------------------------------------------------------------------------------------------- rows */

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

static void sum_row(const struct seg_resize *plan, const uint8_t *row, int64_t row_step, int32_t count, uint16_t *sums)
{
    if (plan->num_halvings)
        add_rows(row, row + row_step, count, sums);
    else
        copy_row(row, count, sums);
}

static void fetch_row(const struct seg_resize *plan, const uint8_t *row, int64_t row_step, int32_t count)
{
    fetch(row, count);
    if (plan->num_halvings)
        fetch(row + row_step, count);
}

/* Collect the old rows of a band of new ones, a row or the sum of two for each: the upper ones, and the lower ones where
 * new rows lie between them. Most often a lower row is the next upper one, and need not be summed again. */
static void collect_rows(const struct seg_resize *plan, const uint8_t *image, int64_t row_step, const struct band *band,
                         const struct band *ahead, int32_t count, uint16_t *upper, uint16_t *lower)
{
    uint16_t sums[2][BAND][BLOCK_BYTES];
    const uint16_t *rows[BAND];
    for (int32_t i = 0; i < BAND; i++) {
        fetch_row(plan, image + ahead->upper[i] * row_step, row_step, count);
        sum_row(plan, image + band->upper[i] * row_step, row_step, count, sums[0][i]);
        rows[i] = sums[0][i];
    }
    interleave(rows, count, upper);
    if (!band->is_between)
        return;
    for (int32_t i = 0; i < BAND; i++) {
        int32_t next = i + 1 < BAND && band->lower[i] == band->upper[i + 1] ? i + 1 : i;
        rows[i] = sums[0][next];
        if (band->lower[i] != band->upper[next]) {
            sum_row(plan, image + band->lower[i] * row_step, row_step, count, sums[1][i]);
            rows[i] = sums[1][i];
        }
        if (i + 1 == BAND || ahead->lower[i] != ahead->upper[i + 1])
            fetch_row(plan, image + ahead->lower[i] * row_step, row_step, count);
    }
    interleave(rows, count, lower);
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
        collect_rows(plan, from, row_step, band, ahead, num_pixels * pixel_bytes, upper, lower);
        if (band->is_between)
            mix_rows(band, upper, lower, is_halved, 1, num_channels, num_pixels, mixed);
        else
            mix_rows(band, upper, upper, is_halved, 0, num_channels, num_pixels, mixed);
        write_columns(plan, mixed, num_channels, column, end, colors);
        write_rows(colors, (end - column) * NUM_COLORS, (uint8_t)plan->flip, target + column * NUM_COLORS, target_step,
                   num_rows);
    }
}

void seg_resize(const struct seg_resize *plan, const uint8_t *image, int64_t row_step, uint8_t *target,
                int64_t target_step)
{
    if (plan->num_channels == 2) {
        seg_resize_pairs(plan, image, row_step, target, target_step);
        return;
    }
    struct band band, ahead;
    for (int32_t first = 0; first < plan->rows.size_px; first += BAND) {
        int32_t num_rows = plan->rows.size_px - first < BAND ? plan->rows.size_px - first : BAND;
        place_band(&plan->rows, plan->num_halvings ? 2 : 1, first, &band);
        place_band(&plan->rows, plan->num_halvings ? 2 : 1, first + BAND, &ahead);
        uint8_t *to = target + first * target_step;
        if (plan->num_channels == 3 && plan->num_halvings)
            resize_band(plan, &band, &ahead, image, row_step, 1, 3, to, target_step, num_rows);
        else if (plan->num_channels == 4 && plan->num_halvings)
            resize_band(plan, &band, &ahead, image, row_step, 1, 4, to, target_step, num_rows);
        else
            resize_band(plan, &band, &ahead, image, row_step, plan->num_halvings, plan->num_channels, to, target_step,
                        num_rows);
    }
}
