/* From prototypes and mask coefficients to logits, and from logits to the pixels of a mask. */
#include "postprocess.h"

#include <math.h>

void seg_logits(const struct seg_outputs *outputs, const struct seg_memory *memory, int32_t anchor,
                const struct seg_cells *cells)
{
    const struct seg_part *part = &outputs->coefficients, *prototypes = &outputs->prototypes;
    int32_t count = outputs->num_coefficients, total = 0;
    for (int32_t k = 0; k < count; k++) {
        uint8_t stored = part->stored[k * part->channel_step + anchor * part->anchor_step];
        memory->coefficients[k] = (int16_t)(seg_value(stored, part->quant.sign_flip) - part->quant.zero_point);
        total += memory->coefficients[k];
    }
    const int16_t *coefficients = memory->coefficients;
    uint8_t flip = (uint8_t)prototypes->quant.sign_flip;
    int32_t offset = total * prototypes->quant.zero_point;
    float scale = part->quant.scale * prototypes->quant.scale;
    float *logit = memory->cells + cells->first;
    for (int32_t row = cells->top; row < cells->top + cells->rows; row++) {
        const uint8_t *cell = prototypes->stored + ((int64_t)row * outputs->plane_columns + cells->left) * count;
        for (int32_t column = 0; column < cells->columns; column++, cell += count) {
            int32_t sum = 0;
            for (int32_t k = 0; k < count; k++)
                sum += (int8_t)(cell[k] ^ flip) * coefficients[k];
            *logit++ = scale * (float)(sum - offset);
        }
    }
}

/* An axis of a mask: which cells it needs, and where its pixels lie among them. */
struct axis {
    int32_t first, count; /* cells */
    double start, step;   /* of the pixels' centres, in cells from the centre of `first` */
};

static struct axis axis_of(int32_t start_px, int32_t size_px, double scale, double pad_px, int32_t window_start,
                           int32_t window_size)
{
    double cells_per_px = scale / SEG_STRIDE_PX;
    /* Where cell 0 of the window has its outer edge is 0. */
    double pad = pad_px / SEG_STRIDE_PX - window_start;
    double start = start_px * cells_per_px + pad, stop = (start_px + size_px) * cells_per_px + pad;
    /* The two cells around the centres of the first and of the last pixel; where a pixel is larger than a cell, all
     * that it covers. */
    double half_px = cells_per_px / 2, spare = ceil(cells_per_px) - 1, end = window_size - 1;
    double first = fmin(fmax(0, floor(start + half_px - 0.5) - spare), end);
    double last = fmax(first, fmin(end, floor(stop - half_px + 0.5) + spare));
    double count = last - first + 1;
    /* Whole pixels are cut out of the cells once they are enlarged. */
    double enlarged_px = rint(count / cells_per_px), before_px = rint((start - first) / cells_per_px);
    before_px = fmin(before_px, enlarged_px - size_px);
    return (struct axis){(int32_t)first, (int32_t)count, (before_px + 0.5) * cells_per_px - 0.5, cells_per_px};
}

/* Give the cell before a position, and how far the position is from it towards the next one; beyond the outer cells
 * their values hold. */
static int32_t cell_before(const struct axis *axis, int32_t pixel, float *fraction)
{
    float position = (float)(axis->start + pixel * axis->step);
    int32_t last = axis->count - 1;
    if (!(position > 0)) {
        *fraction = 0;
        return 0;
    }
    if (position >= (float)last) {
        *fraction = 0;
        return last;
    }
    int32_t cell = (int32_t)position;
    *fraction = position - (float)cell;
    return cell;
}

/* A row of cells, widened to the pixels of a mask. */
struct line {
    float *logits;
    int32_t row;
};

static void widen(struct line *line, int32_t row, const float *cells, int32_t last, int32_t width_px,
                  const struct seg_memory *memory)
{
    if (line->row == row)
        return;
    line->row = row;
    for (int32_t x = 0; x < width_px; x++) {
        int32_t cell = memory->place[x], next = cell < last ? cell + 1 : last;
        line->logits[x] = cells[cell] + (cells[next] - cells[cell]) * memory->fraction[x];
    }
}

static void compare(const float *upper, const float *lower, float fraction, int32_t width_px, uint8_t *bitmap)
{
    for (int32_t x = 0; x < width_px; x++)
        bitmap[x] = upper[x] * (1 - fraction) + lower[x] * fraction > 0;
}

void seg_draw_mask(const struct seg_letterbox *letterbox, const struct seg_memory *memory,
                   const struct seg_instance *instance, uint8_t *bitmap)
{
    const struct seg_cells *window = &instance->cells;
    int32_t width_px = instance->mask_width_px, height_px = instance->mask_height_px;
    struct axis columns = axis_of(instance->mask_left_px, width_px, letterbox->scale_x, letterbox->pad_x_px,
                                  window->left, window->columns);
    struct axis rows = axis_of(instance->mask_top_px, height_px, letterbox->scale_y, letterbox->pad_y_px, window->top,
                               window->rows);
    const float *cells = memory->cells + window->first + (int64_t)rows.first * window->columns + columns.first;
    struct line upper = {memory->upper, -1}, lower = {memory->lower, -1};
    for (int32_t x = 0; x < width_px; x++)
        memory->place[x] = cell_before(&columns, x, &memory->fraction[x]);
    for (int32_t y = 0; y < height_px; y++, bitmap += width_px) {
        float fraction;
        int32_t row = cell_before(&rows, y, &fraction), next = row < rows.count - 1 ? row + 1 : row;
        if (lower.row == row) {
            struct line spare = upper;
            upper = lower;
            lower = spare;
        }
        widen(&upper, row, cells + (int64_t)row * window->columns, columns.count - 1, width_px, memory);
        widen(&lower, next, cells + (int64_t)next * window->columns, columns.count - 1, width_px, memory);
        compare(upper.logits, lower.logits, fraction, width_px, bitmap);
    }
}

static void paint_row(uint8_t *restrict image, const uint8_t *restrict bitmap, int32_t width_px, uint8_t value)
{
    for (int32_t x = 0; x < width_px; x++)
        image[x] = bitmap[x] ? value : image[x];
}

void seg_paint(uint8_t *image, int64_t row_step, const struct seg_stamp *stamps, int32_t count)
{
    for (const struct seg_stamp *stamp = stamps; stamp < stamps + count; stamp++)
        for (int32_t y = 0; y < stamp->height_px; y++)
            paint_row(image + (stamp->top_px + y) * row_step + stamp->left_px, stamp->bitmap + y * stamp->row_step,
                      stamp->width_px, (uint8_t)stamp->value);
}
