/* Masks as few bytes, for a line between the network and whoever draws: runs of cells, and the logits at the contour. */
#include "workspace.h"

#include <math.h>
#include <string.h>

/* The kinds of an item, in bits 6 and 7 of its first byte; bits 0 to 5 are the number of its cells less 1. */
enum { OUTSIDE = 0, INSIDE = 1, CONTOUR = 2, KIND_SHIFT = 6, MAX_COUNT = 64, COUNT_MASK = MAX_COUNT - 1 };

static void window_on_axis(double start_px, double end_px, double cell_px, int32_t num_cells, int32_t *first,
                           int32_t *count)
{
    *first = (int32_t)clamp(floor(start_px / cell_px - 0.5), 0, num_cells - 1);
    *count = (int32_t)clamp(floor(end_px / cell_px - 0.5) + 1, *first, num_cells - 1) - *first + 1;
}

struct seg_window seg_drawing_window(const struct seg_grid *grid, const float *xyxy_px)
{
    struct seg_window window;
    window_on_axis(xyxy_px[0], xyxy_px[2], (double)grid->input_width_px / grid->columns, grid->columns, &window.left,
                   &window.columns);
    window_on_axis(xyxy_px[1], xyxy_px[3], (double)grid->input_height_px / grid->rows, grid->rows, &window.top,
                   &window.rows);
    return window;
}

/* Return whether a cell has a neighbour on the other side of the threshold. */
static int is_at_contour(const struct seg_window *window, const float *logits, float mask_logit, int32_t row,
                         int32_t column)
{
    int32_t first_row = row > 0 ? row - 1 : row, last_row = row + 1 < window->rows ? row + 1 : row;
    int32_t first_column = column > 0 ? column - 1 : column;
    int32_t last_column = column + 1 < window->columns ? column + 1 : column;
    int is_inside = logits[(int64_t)row * window->columns + column] > mask_logit;
    for (int32_t y = first_row; y <= last_row; y++)
        for (int32_t x = first_column; x <= last_column; x++)
            if ((logits[(int64_t)y * window->columns + x] > mask_logit) != is_inside)
                return 1;
    return 0;
}

/* What is being written: the last item may still grow. */
struct packing {
    uint8_t *packed;
    int64_t size_bytes, max_bytes;
    int64_t item; /* where the last item begins; -1: none */
};

/* Add a cell; return whether there was room. */
static int add_cell(struct packing *packing, int32_t kind, float logit)
{
    uint8_t *packed = packing->packed;
    int64_t item = packing->item, value_bytes = kind == CONTOUR ? (int64_t)sizeof logit : 0;
    int is_new = item < 0 || packed[item] >> KIND_SHIFT != kind || (packed[item] & COUNT_MASK) == COUNT_MASK;
    if (packing->size_bytes + is_new + value_bytes > packing->max_bytes)
        return 0;
    if (is_new) {
        packing->item = packing->size_bytes++;
        packed[packing->item] = (uint8_t)(kind << KIND_SHIFT);
    } else {
        packed[item]++;
    }
    if (kind == CONTOUR) {
        uint32_t bits;
        memcpy(&bits, &logit, sizeof bits);
        for (int32_t shift = 0; shift < 32; shift += 8)
            packed[packing->size_bytes++] = (uint8_t)(bits >> shift);
    }
    return 1;
}

int64_t seg_pack_mask(const struct seg_window *window, const float *logits, float mask_logit, int32_t has_contour,
                      uint8_t *packed, int64_t max_bytes)
{
    struct packing packing = {packed, 0, max_bytes, -1};
    for (int32_t row = 0; row < window->rows; row++)
        for (int32_t column = 0; column < window->columns; column++) {
            float logit = logits[(int64_t)row * window->columns + column];
            int32_t kind = logit > mask_logit ? INSIDE : OUTSIDE;
            if (has_contour && is_at_contour(window, logits, mask_logit, row, column))
                kind = CONTOUR;
            if (!add_cell(&packing, kind, logit))
                return SEG_NO_ROOM;
        }
    return packing.size_bytes;
}

static float read_float(const uint8_t *bytes)
{
    uint32_t bits = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int32_t seg_unpack_mask(const uint8_t *packed, int64_t size_bytes, const struct seg_window *window, float mask_logit,
                        float *logits)
{
    int64_t num_cells = (int64_t)window->columns * window->rows, filled = 0, at = 0;
    /* An infinite threshold has all cells on one side, where 0 is as well. */
    float step = isfinite(mask_logit) ? 1.0f : 0.0f, base = isfinite(mask_logit) ? mask_logit : 0.0f;
    const float fill[] = {base - step, base + step};
    while (at < size_bytes) {
        int32_t kind = packed[at] >> KIND_SHIFT, count = (packed[at] & COUNT_MASK) + 1;
        int64_t value_bytes = kind == CONTOUR ? (int64_t)sizeof(float) : 0;
        at++;
        if (kind > CONTOUR || count > num_cells - filled || count * value_bytes > size_bytes - at)
            return SEG_BAD_MASK;
        for (int32_t i = 0; i < count; i++, at += value_bytes)
            logits[filled++] = kind == CONTOUR ? read_float(packed + at) : fill[kind];
    }
    return filled == num_cells ? 0 : SEG_BAD_MASK;
}

int32_t seg_unpack_masks(const uint8_t *packed, const int32_t *sizes_bytes, const struct seg_window *windows,
                         int32_t count, float mask_logit, float *logits)
{
    for (int32_t i = 0; i < count; i++) {
        if (seg_unpack_mask(packed, sizes_bytes[i], &windows[i], mask_logit, logits) != 0)
            return i;
        packed += sizes_bytes[i];
        logits += (int64_t)windows[i].columns * windows[i].rows;
    }
    return count;
}
