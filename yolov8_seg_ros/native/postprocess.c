/* The way from a network's outputs to instances. Each object's mask is asked for a better box and score: those of an
 * int8 head come in coarse steps, the logits of a mask are sums of many products. */
#include "postprocess.h"

#include <math.h>

/* A box may be this fraction of its size too small on each side. */
#define BOX_MARGIN 0.05

struct xyxy {
    double left, top, right, bottom;
};

/* Cells of a rectangle inside those of a wider one. */
struct near {
    const float *cells;
    int32_t columns, rows, row_step;
};

static struct xyxy edges_of(const struct seg_box *box)
{
    return (struct xyxy){box->left, box->top, box->right, box->bottom};
}

static double clamp(double value, double low, double high)
{
    return fmin(fmax(value, low), high);
}

static void cells_between(double start_px, double end_px, int32_t num_cells, int32_t *first, int32_t *end)
{
    *first = (int32_t)clamp(floor(start_px / SEG_STRIDE_PX), 0, num_cells - 1);
    *end = (int32_t)clamp(ceil(end_px / SEG_STRIDE_PX), *first + 1, num_cells);
}

/* The cells near a box, at least one. */
static struct seg_cells window_around(const struct xyxy *box, const struct seg_outputs *outputs)
{
    double margin_x = (box->right - box->left) * BOX_MARGIN, margin_y = (box->bottom - box->top) * BOX_MARGIN;
    int32_t left, right, top, bottom;
    cells_between(box->left - margin_x, box->right + margin_x, outputs->plane_columns, &left, &right);
    cells_between(box->top - margin_y, box->bottom + margin_y, outputs->plane_rows, &top, &bottom);
    return (struct seg_cells){.left = left, .top = top, .columns = right - left, .rows = bottom - top};
}

static struct seg_cells with_halo(const struct seg_cells *window, int32_t halo, const struct seg_outputs *outputs)
{
    int32_t left = window->left > halo ? window->left - halo : 0;
    int32_t top = window->top > halo ? window->top - halo : 0;
    int32_t right = window->left + window->columns + halo, bottom = window->top + window->rows + halo;
    right = right < outputs->plane_columns ? right : outputs->plane_columns;
    bottom = bottom < outputs->plane_rows ? bottom : outputs->plane_rows;
    return (struct seg_cells){.left = left, .top = top, .columns = right - left, .rows = bottom - top};
}

/* The mean probability of the cells inside a mask; 0 where there is no mask. */
static double mask_confidence(const struct near *near)
{
    double sum = 0;
    int64_t count = 0;
    for (int32_t row = 0; row < near->rows; row++)
        for (int32_t column = 0; column < near->columns; column++) {
            float logit = near->cells[(int64_t)row * near->row_step + column];
            if (logit > 0) {
                sum += 1 / (1 + expf(-logit));
                count++;
            }
        }
    return count ? sum / (double)count : 0;
}

static double largest(const float *cells, int32_t count, int32_t step)
{
    float most = cells[0];
    for (int32_t i = 1; i < count; i++) {
        float cell = cells[(int64_t)i * step];
        most = cell > most ? cell : most;
    }
    return most;
}

/* How many lines, from a rectangle's edge, lie before the mask's own edge, interpolated between the centres of cells. */
static double lines_outside(const float *edge, int32_t num_lines, int32_t line_step, int32_t length, int32_t step)
{
    double outside = 0;
    for (int32_t line = 0; line < num_lines; line++) {
        double logit = largest(edge + (int64_t)line * line_step, length, step);
        /* Where the rectangle ends, the mask fills its last cell. */
        if (logit > 0)
            return line ? line + 0.5 - logit / (logit - outside) : 0;
        outside = logit;
    }
    return num_lines;
}

/* A box averaged with the extent of its own mask, which is not empty. */
static struct xyxy refine_box(const struct xyxy *box, const struct near *near, const struct seg_cells *window)
{
    int32_t columns = near->columns, rows = near->rows, step = near->row_step;
    const float *cells = near->cells, *last_row = cells + (int64_t)(rows - 1) * step;
    double margin_x = (box->right - box->left) * BOX_MARGIN, margin_y = (box->bottom - box->top) * BOX_MARGIN;
    double left = (window->left + lines_outside(cells, columns, 1, rows, step)) * SEG_STRIDE_PX;
    double top = (window->top + lines_outside(cells, rows, step, columns, 1)) * SEG_STRIDE_PX;
    double right = (window->left + columns - lines_outside(cells + columns - 1, columns, -1, rows, step)) * SEG_STRIDE_PX;
    double bottom = (window->top + rows - lines_outside(last_row, rows, -step, columns, 1)) * SEG_STRIDE_PX;
    return (struct xyxy){
        (box->left + fmax(left, box->left - margin_x)) / 2,
        (box->top + fmax(top, box->top - margin_y)) / 2,
        (box->right + fmin(right, box->right + margin_x)) / 2,
        (box->bottom + fmin(bottom, box->bottom + margin_y)) / 2,
    };
}

static struct xyxy to_image(const struct xyxy *box, const struct seg_letterbox *letterbox)
{
    double width = letterbox->image_width_px, height = letterbox->image_height_px;
    return (struct xyxy){
        clamp((box->left - letterbox->pad_x_px) / letterbox->scale_x, 0, width),
        clamp((box->top - letterbox->pad_y_px) / letterbox->scale_y, 0, height),
        clamp((box->right - letterbox->pad_x_px) / letterbox->scale_x, 0, width),
        clamp((box->bottom - letterbox->pad_y_px) / letterbox->scale_y, 0, height),
    };
}

/* Insert by score behind those that are as good. */
static void insert(struct seg_instance *found, int32_t count, const struct seg_instance *instance)
{
    for (; count > 0 && found[count - 1].score < instance->score; count--)
        found[count] = found[count - 1];
    found[count] = *instance;
}

/* Ask a box's mask about it; tell whether an instance of the image is left, whose cells lie at cells->first. */
static int judge(const struct seg_box *kept, const struct seg_options *options, const struct seg_letterbox *letterbox,
                 const struct seg_memory *memory, const struct seg_cells *window, const struct seg_cells *cells,
                 struct seg_instance *instance)
{
    struct xyxy box = edges_of(kept), refined = box;
    struct near near = {
        .cells = memory->cells + cells->first + (int64_t)(window->top - cells->top) * cells->columns +
                 (window->left - cells->left),
        .columns = window->columns,
        .rows = window->rows,
        .row_step = cells->columns,
    };
    double confidence = mask_confidence(&near), score = kept->score * (options->rescores ? confidence : 1);
    if (options->refines && confidence > 0)
        refined = refine_box(&box, &near, window);
    struct xyxy published = to_image(&refined, letterbox);
    if (!(score >= options->lowest_score && published.left < published.right && published.top < published.bottom))
        return 0;
    /* A mask ends where the network drew the box: what a refined box adds is another object as often as not. A pixel
     * belongs to the box when its centre does. */
    struct xyxy drawn = to_image(&box, letterbox);
    double left = floor(drawn.left + 0.5), top = floor(drawn.top + 0.5);
    double width = fmax(0, floor(drawn.right + 0.5) - left), height = fmax(0, floor(drawn.bottom + 0.5) - top);
    int is_empty = width == 0 || height == 0;
    *instance = (struct seg_instance){
        .xyxy = {(float)published.left, (float)published.top, (float)published.right, (float)published.bottom},
        .score = (float)score,
        .class_id = kept->class_id,
        .mask_left_px = (int32_t)left,
        .mask_top_px = (int32_t)top,
        .mask_width_px = is_empty ? 0 : (int32_t)width,
        .mask_height_px = is_empty ? 0 : (int32_t)height,
        .cells = *cells,
    };
    return 1;
}

int64_t seg_layout(void)
{
    return (int64_t)(sizeof(struct seg_outputs) + sizeof(struct seg_options) + sizeof(struct seg_letterbox) +
                     sizeof(struct seg_box) + sizeof(struct seg_instance) + sizeof(struct seg_memory) +
                     sizeof(struct seg_stamp));
}

int32_t seg_find(const struct seg_outputs *outputs, const struct seg_options *options,
                 const struct seg_letterbox *letterbox, struct seg_memory *memory)
{
    int64_t num_candidates = seg_candidates(outputs, options, memory);
    if (num_candidates < 0)
        return -1;
    int32_t num_kept = seg_suppress(options, memory, num_candidates), count = 0;
    int64_t num_cells = 0;
    for (int32_t i = 0; i < num_kept; i++) {
        const struct seg_box *kept = &memory->kept[i];
        struct xyxy box = edges_of(kept);
        struct seg_cells window = window_around(&box, outputs);
        struct seg_cells cells = with_halo(&window, letterbox->halo_cells, outputs);
        cells.first = num_cells;
        num_cells += (int64_t)cells.rows * cells.columns;
        /* Where they do not all fit, the caller is told how many there are. */
        if (num_cells > memory->cells_max)
            continue;
        seg_logits(outputs, memory, kept->anchor, &cells);
        struct seg_instance instance;
        if (judge(kept, options, letterbox, memory, &window, &cells, &instance))
            insert(memory->found, count++, &instance);
    }
    memory->cells_needed = num_cells;
    return num_cells > memory->cells_max ? -1 : count;
}

void seg_draw_masks(const struct seg_letterbox *letterbox, const struct seg_memory *memory, int32_t count,
                    uint8_t *bitmaps)
{
    for (const struct seg_instance *instance = memory->found; instance < memory->found + count; instance++) {
        seg_draw_mask(letterbox, memory, instance, bitmaps);
        bitmaps += (int64_t)instance->mask_width_px * instance->mask_height_px;
    }
}
