/* From an instance to its mask: logits on the grid of the prototypes, and pixels of the image. */
#include "workspace.h"

#include <math.h>
#include <string.h>

enum {
    /* Pixels of a bitmap's row that are worked on at once, so that the memory for them is fixed. */
    TILE_PX = 256,
    /* Of these, pixels that are left out together where nothing is to be interpolated. */
    SPAN_PX = 16
};

/* ------------------------------------------------------------------------------------------------------ mask logits */

static int32_t first_cell(double start_px, double cell_px, int32_t num_cells)
{
    return (int32_t)clamp(floor(start_px / cell_px), 0, num_cells - 1);
}

static int32_t end_cell(double end_px, double cell_px, int32_t first, int32_t num_cells)
{
    return (int32_t)clamp(ceil(end_px / cell_px), first + 1, num_cells);
}

struct seg_window seg_window_of_box(const struct seg_workspace *workspace, const float *xyxy_px)
{
    const struct seg_model *model = &workspace->model;
    double cell_width_px = (double)model->input_width_px / model->prototype_columns;
    double cell_height_px = (double)model->input_height_px / model->prototype_rows;
    int32_t left = first_cell(xyxy_px[0], cell_width_px, model->prototype_columns);
    int32_t top = first_cell(xyxy_px[1], cell_height_px, model->prototype_rows);
    return (struct seg_window){
        .left = left,
        .top = top,
        .columns = end_cell(xyxy_px[2], cell_width_px, left, model->prototype_columns) - left,
        .rows = end_cell(xyxy_px[3], cell_height_px, top, model->prototype_rows) - top,
    };
}

static void read_coefficients(struct seg_workspace *workspace, const void *const *outputs, int32_t anchor)
{
    const struct seg_model *model = &workspace->model;
    const struct seg_part *part = &model->levels[level_of(model, &anchor)].coefficients;
    for (int32_t k = 0; k < model->num_coefficients; k++)
        workspace->real_coefficients[k] = real_at(part, outputs, k, anchor);
    if (part->quant.type == SEG_FLOAT32)
        return;
    const uint8_t *stored = outputs[part->output];
    for (int32_t k = 0; k < model->num_coefficients; k++)
        workspace->coefficients[k] = (int16_t)(signed_value(stored[element_of(part, k, anchor)], sign_flip_of(&part->quant)) -
                                               signed_zero_point(&part->quant));
}

static int32_t dot(const uint8_t *cell, uint8_t flip, const int16_t *coefficients, int32_t count)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < count; k++)
        sum += (int8_t)(cell[k] ^ flip) * coefficients[k];
    return sum;
}

/* Products of integers are exact; scales and zero points are applied once a cell. */
static void integer_logits(const struct seg_workspace *workspace, const uint8_t *prototypes, float coefficient_scale,
                           const struct seg_window *window, float *logits)
{
    const struct seg_model *model = &workspace->model;
    const struct seg_part *part = &model->prototypes;
    int32_t count = model->num_coefficients, total = 0;
    uint8_t flip = sign_flip_of(&part->quant);
    for (int32_t k = 0; k < count; k++)
        total += workspace->coefficients[k];
    int32_t offset = total * signed_zero_point(&part->quant);
    float scale = coefficient_scale * part->quant.scale;
    for (int32_t row = window->top; row < window->top + window->rows; row++) {
        int64_t anchor = (int64_t)row * model->prototype_columns + window->left;
        const uint8_t *cell = prototypes + element_of(part, 0, anchor);
        for (int32_t column = 0; column < window->columns; column++, cell += part->anchor_step) {
            /* A count that the compiler knows is several times faster; 32 is YOLOv8's. */
            int32_t sum = count == 32 ? dot(cell, flip, workspace->coefficients, 32)
                                      : dot(cell, flip, workspace->coefficients, count);
            *logits++ = scale * (float)(sum - offset);
        }
    }
}

static void real_logits(const struct seg_workspace *workspace, const void *const *outputs,
                        const struct seg_window *window, float *logits)
{
    const struct seg_model *model = &workspace->model;
    for (int32_t row = window->top; row < window->top + window->rows; row++)
        for (int32_t column = window->left; column < window->left + window->columns; column++) {
            int64_t anchor = (int64_t)row * model->prototype_columns + column;
            float sum = 0;
            for (int32_t k = 0; k < model->num_coefficients; k++)
                sum += workspace->real_coefficients[k] * real_at(&model->prototypes, outputs, k, anchor);
            *logits++ = sum;
        }
}

void seg_mask_logits(struct seg_workspace *workspace, const void *const *outputs, int32_t anchor,
                     const struct seg_window *window, float *logits)
{
    const struct seg_model *model = &workspace->model;
    int32_t anchor_of_level = anchor;
    const struct seg_quant *coefficients = &model->levels[level_of(model, &anchor_of_level)].coefficients.quant;
    const struct seg_part *prototypes = &model->prototypes;
    read_coefficients(workspace, outputs, anchor);
    if (coefficients->type != SEG_FLOAT32 && prototypes->quant.type != SEG_FLOAT32 && prototypes->channel_step == 1)
        integer_logits(workspace, outputs[prototypes->output], coefficients->scale, window, logits);
    else
        real_logits(workspace, outputs, window, logits);
}

/* -------------------------------------------------------------------------------------------------------- placement */

int32_t seg_place(const struct seg_letterbox *letterbox, struct seg_instance *instances, int32_t count,
                  struct seg_placement *placements)
{
    const double size_px[] = {letterbox->image_width_px, letterbox->image_height_px};
    const double scale[] = {letterbox->scale_x, letterbox->scale_y}, pad_px[] = {letterbox->pad_x_px, letterbox->pad_y_px};
    int32_t num_placed = 0;
    for (int32_t i = 0; i < count; i++) {
        double xyxy_px[4], edges_px[4];
        for (int32_t side = 0; side < 4; side++) {
            int32_t axis = side % 2;
            xyxy_px[side] = clamp((instances[i].xyxy_px[side] - pad_px[axis]) / scale[axis], 0, size_px[axis]);
            edges_px[side] = floor(xyxy_px[side] + 0.5);
        }
        struct seg_placement *placed = &placements[num_placed];
        *placed = (struct seg_placement){
            .xyxy_px = {(float)xyxy_px[0], (float)xyxy_px[1], (float)xyxy_px[2], (float)xyxy_px[3]},
            .left_px = (int32_t)edges_px[0],
            .top_px = (int32_t)edges_px[1],
            .width_px = (int32_t)(edges_px[2] - edges_px[0]),
            .height_px = (int32_t)(edges_px[3] - edges_px[1]),
        };
        if (placed->width_px == 0 || placed->height_px == 0)
            placed->width_px = placed->height_px = 0;
        if (placed->xyxy_px[0] < placed->xyxy_px[2] && placed->xyxy_px[1] < placed->xyxy_px[3])
            instances[num_placed++] = instances[i];
    }
    return num_placed;
}

/* ---------------------------------------------------------------------------------------------------------- drawing */

/* Where the pixels of a bitmap lie on an axis of the grid: pixel i has its centre `start + i * step` cells behind the
 * centre of cell `first`. Of the cells whose logits are known, `count` are needed from there on. */
struct axis {
    int32_t first, count;
    double start, step;
};

static struct axis axis_of(int32_t start_px, int32_t size_px, double scale, double pad_px, double cell_px,
                           int32_t first_known, int32_t num_known)
{
    double step = scale / cell_px, start = ((start_px + 0.5) * scale + pad_px) / cell_px - 0.5;
    double last_known = (double)first_known + num_known - 1;
    double first = clamp(floor(start), first_known, last_known);
    double last = clamp(floor(start + (size_px - 1) * step) + 1, first, last_known);
    return (struct axis){(int32_t)first, (int32_t)(last - first) + 1, start - first, step};
}

/* Return the cell at or before a pixel's centre, and how far the centre is on the way to the next one. Beyond the outer
 * cells their values hold. */
static int32_t cell_before(const struct axis *axis, int32_t pixel, float *fraction)
{
    double position = clamp(axis->start + pixel * axis->step, 0, axis->count - 1);
    int32_t cell = (int32_t)position;
    *fraction = (float)(position - cell);
    return cell;
}

/* The logits that the pixels of a bitmap need. */
struct cells {
    const float *logits;
    int64_t row_step;
    struct axis columns, rows;
};

/* Find where the pixels of a bitmap lie among the cells of a window; the logits are still to be set. */
static struct cells cells_of(const struct seg_letterbox *letterbox, const struct seg_grid *grid,
                             const struct seg_window *known, const struct seg_placement *placed)
{
    double cell_width_px = (double)grid->input_width_px / grid->columns;
    double cell_height_px = (double)grid->input_height_px / grid->rows;
    return (struct cells){
        .columns = axis_of(placed->left_px, placed->width_px, letterbox->scale_x, letterbox->pad_x_px, cell_width_px,
                           known->left, known->columns),
        .rows = axis_of(placed->top_px, placed->height_px, letterbox->scale_y, letterbox->pad_y_px, cell_height_px,
                        known->top, known->rows),
    };
}

/* A row of cells, interpolated at the columns of a tile. */
struct wide_row {
    float logits[TILE_PX];
    int32_t row;
};

/* A tile's columns on the grid. */
struct tile {
    int32_t cell[TILE_PX], next[TILE_PX];
    float fraction[TILE_PX];
    int32_t width_px;
};

static void widen(struct wide_row *wide, int32_t row, const struct cells *cells, const struct tile *tile)
{
    const float *logits = cells->logits + row * cells->row_step;
    if (wide->row == row)
        return;
    wide->row = row;
    for (int32_t x = 0; x < tile->width_px; x++) {
        float here = logits[tile->cell[x]];
        wide->logits[x] = here + (logits[tile->next[x]] - here) * tile->fraction[x];
    }
}

static void compare(const float *restrict upper, const float *restrict lower, float fraction, float mask_logit,
                    int32_t width_px, uint8_t *restrict bitmap)
{
    for (int32_t x = 0; x < width_px; x++)
        bitmap[x] = upper[x] + (lower[x] - upper[x]) * fraction > mask_logit;
}

/* The rows of a bitmap whose centres lie between the same two rows of cells. */
struct band {
    int32_t top, end;
    const float *upper, *lower; /* logits of the two rows of cells, at the columns of a tile */
};

static void draw_rows(const struct band *band, const struct axis *rows, float mask_logit, int32_t top, int32_t end,
                      int32_t left, int32_t width_px, uint8_t *bitmap, int64_t row_step)
{
    for (int32_t y = top; y < end; y++) {
        float fraction;
        cell_before(rows, y, &fraction);
        compare(band->upper + left, band->lower + left, fraction, mask_logit, width_px, bitmap + y * row_step + left);
    }
}

static void draw_band(const struct band *band, const struct axis *rows, float mask_logit, int32_t width_px,
                      uint8_t *bitmap, int64_t row_step)
{
    int32_t top = band->top, last = band->end - 1;
    const uint8_t *first_row = bitmap + top * row_step, *last_row = bitmap + last * row_step;
    draw_rows(band, rows, mask_logit, top, top + 1, 0, width_px, bitmap, row_step);
    draw_rows(band, rows, mask_logit, last, last + 1, 0, width_px, bitmap, row_step);
    for (int32_t y = top + 1; y < last; y++)
        memcpy(bitmap + y * row_step, first_row, (size_t)width_px);
    /* Down a column logits only rise or only fall, even once rounded: where the outer rows agree, so do those between. */
    for (int32_t left = 0; left < width_px; left += SPAN_PX) {
        int32_t span_px = width_px - left < SPAN_PX ? width_px - left : SPAN_PX;
        if (memcmp(first_row + left, last_row + left, (size_t)span_px) != 0)
            draw_rows(band, rows, mask_logit, top + 1, last, left, span_px, bitmap, row_step);
    }
}

static void draw_tile(const struct cells *cells, const struct tile *tile, float mask_logit,
                      const struct seg_placement *placed, uint8_t *bitmap)
{
    struct wide_row both[2];
    both[0].row = both[1].row = -1;
    for (int32_t top = 0, end; top < placed->height_px; top = end) {
        float fraction;
        int32_t row = cell_before(&cells->rows, top, &fraction), next = row + 1 < cells->rows.count ? row + 1 : row;
        end = top + 1;
        while (end < placed->height_px && cell_before(&cells->rows, end, &fraction) == row)
            end++;
        /* A row of cells keeps its place for as long as it is needed. */
        struct wide_row *upper = &both[row % 2], *lower = &both[next % 2];
        widen(upper, row, cells, tile);
        widen(lower, next, cells, tile);
        const struct band band = {top, end, upper->logits, lower->logits};
        draw_band(&band, &cells->rows, mask_logit, tile->width_px, bitmap, placed->width_px);
    }
}

static void draw_mask(const struct cells *cells, float mask_logit, const struct seg_placement *placed, uint8_t *bitmap)
{
    const struct axis *columns = &cells->columns;
    struct tile tile;
    for (int32_t left = 0; left < placed->width_px; left += TILE_PX) {
        tile.width_px = placed->width_px - left < TILE_PX ? placed->width_px - left : TILE_PX;
        for (int32_t x = 0; x < tile.width_px; x++) {
            tile.cell[x] = cell_before(columns, left + x, &tile.fraction[x]);
            tile.next[x] = tile.cell[x] + 1 < columns->count ? tile.cell[x] + 1 : tile.cell[x];
        }
        draw_tile(cells, &tile, mask_logit, placed, bitmap + left);
    }
}

int64_t seg_bitmaps_size(const struct seg_placement *placements, int32_t count)
{
    int64_t size = 0;
    for (int32_t i = 0; i < count; i++)
        size += (int64_t)placements[i].width_px * placements[i].height_px;
    return size;
}

void seg_draw_masks(struct seg_workspace *workspace, const void *const *outputs, const struct seg_letterbox *letterbox,
                    float mask_logit, const struct seg_instance *instances, const struct seg_placement *placements,
                    int32_t count, uint8_t *bitmaps)
{
    const struct seg_model *model = &workspace->model;
    const struct seg_grid grid = {model->input_width_px, model->input_height_px, model->prototype_columns,
                                  model->prototype_rows};
    const struct seg_window all = {0, 0, grid.columns, grid.rows};
    for (int32_t i = 0; i < count; i++) {
        const struct seg_placement *placed = &placements[i];
        if (placed->width_px == 0)
            continue;
        struct cells cells = cells_of(letterbox, &grid, &all, placed);
        struct seg_window window = {cells.columns.first, cells.rows.first, cells.columns.count, cells.rows.count};
        seg_mask_logits(workspace, outputs, instances[i].anchor, &window, workspace->logits);
        cells.logits = workspace->logits;
        cells.row_step = window.columns;
        draw_mask(&cells, mask_logit, placed, bitmaps);
        bitmaps += (int64_t)placed->width_px * placed->height_px;
    }
}

void seg_draw_windows(const struct seg_letterbox *letterbox, const struct seg_grid *grid, float mask_logit,
                      const struct seg_window *windows, const float *logits, const int32_t *numbers,
                      const struct seg_placement *placements, int32_t count, uint8_t *bitmaps)
{
    int32_t number = 0;
    for (int32_t i = 0; i < count; i++) {
        const struct seg_placement *placed = &placements[i];
        for (; number < numbers[i]; number++)
            logits += (int64_t)windows[number].columns * windows[number].rows;
        const struct seg_window *window = &windows[number];
        struct cells cells = cells_of(letterbox, grid, window, placed);
        cells.row_step = window->columns;
        cells.logits = logits + (cells.rows.first - window->top) * cells.row_step + (cells.columns.first - window->left);
        draw_mask(&cells, mask_logit, placed, bitmaps);
        bitmaps += (int64_t)placed->width_px * placed->height_px;
    }
}

/* --------------------------------------------------------------------------------------------------------- painting */

static void paint_row(uint8_t *restrict image, const uint8_t *restrict bitmap, int32_t width_px, uint8_t value)
{
    for (int32_t x = 0; x < width_px; x++)
        image[x] = bitmap[x] ? value : image[x];
}

static void paint_stamp(uint8_t *image, int64_t row_step, const struct seg_stamp *stamp)
{
    for (int32_t y = 0; y < stamp->height_px; y++)
        paint_row(image + (stamp->top_px + y) * row_step + stamp->left_px, stamp->bitmap + y * stamp->row_step,
                  stamp->width_px, (uint8_t)stamp->value);
}

void seg_paint(uint8_t *image, int64_t row_step, const struct seg_stamp *stamps, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        paint_stamp(image, row_step, &stamps[i]);
}

void seg_paint_masks(uint8_t *image, int64_t row_step, const struct seg_placement *placements, const uint8_t *bitmaps,
                     const uint8_t *values, int32_t count)
{
    const uint8_t *bitmap = bitmaps + seg_bitmaps_size(placements, count);
    for (int32_t i = count; i-- > 0;) {
        const struct seg_placement *placed = &placements[i];
        bitmap -= (int64_t)placed->width_px * placed->height_px;
        const struct seg_stamp stamp = {bitmap,           placed->width_px,  placed->left_px, placed->top_px,
                                        placed->width_px, placed->height_px, values[i]};
        paint_stamp(image, row_step, &stamp);
    }
}
