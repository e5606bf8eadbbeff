/* From a network's stored outputs to instances: what the Python modules head, boxes, evidence and masks do, compiled.
 *
 * The caller, core/compiled.py, owns all memory and mirrors these structures. Coordinates are continuous: pixel 0
 * spans 0.0 to 1.0, xyxy is left, top, right, bottom. A cell is an element of a prototype's plane, 4 network pixels.
 */
#ifndef SEG_POSTPROCESS_H
#define SEG_POSTPROCESS_H

#include <stdint.h>

/* Network pixels per cell. */
#define SEG_STRIDE_PX 4.0

/* real = scale * (value - zero_point); value is the byte as a signed number once the bits of `sign_flip` are flipped:
 * 0 for int8, 0x80 for uint8. */
struct seg_quant {
    float scale;
    int32_t zero_point;
    int32_t sign_flip;
};

/* Boxes, scores or coefficients: channel c of anchor a is stored[c * channel_step + a * anchor_step]. */
struct seg_part {
    const uint8_t *stored;
    int64_t channel_step, anchor_step;
    struct seg_quant quant;
};

/* What the network gave for an image. */
struct seg_outputs {
    struct seg_part boxes, scores, coefficients;
    struct seg_part prototypes; /* channel_step 1, cells row by row for anchors */
    int32_t num_classes, num_anchors, num_coefficients;
    int32_t plane_rows, plane_columns;
    int32_t network_width_px, network_height_px;
};

struct seg_options {
    double iou_threshold;
    double lowest_score;
    const uint8_t *is_class_wanted; /* of each class */
    int32_t lowest_value;           /* of a stored score that is looked at, -128 to 128 */
    int32_t max_instances;
    int32_t is_agnostic, is_multi_label, votes, rescores, refines;
};

/* network = image * scale + pad */
struct seg_letterbox {
    double scale_x, scale_y, pad_x_px, pad_y_px;
    int32_t image_width_px, image_height_px;
    int32_t halo_cells; /* how far beyond its box a mask is looked at */
};

/* A box in network pixels. */
struct seg_box {
    float left, top, right, bottom;
    float score;
    int32_t class_id, anchor, is_suppressed;
};

/* Logits of the cells of a rectangle, row by row. */
struct seg_cells {
    int64_t first; /* where they begin among all cells in memory */
    int32_t left, top, columns, rows;
};

/* What was found: box in image pixels, and the rectangle of the image that its mask covers. */
struct seg_instance {
    float xyxy[4];
    float score;
    int32_t class_id;
    int32_t mask_left_px, mask_top_px, mask_width_px, mask_height_px;
    struct seg_cells cells;
};

/* Room to work in. */
struct seg_memory {
    uint64_t *codes;             /* candidates_max */
    struct seg_box *candidates;  /* candidates_max */
    struct seg_box *kept;        /* max_instances */
    struct seg_instance *found;  /* max_instances */
    uint8_t *is_anchor_taken;    /* num_anchors */
    int16_t *coefficients;       /* num_coefficients */
    float *cells;                /* cells_max */
    float *upper, *lower;        /* image_width_px each */
    float *fraction;             /* image_width_px */
    int32_t *place;              /* image_width_px */
    int64_t candidates_max, cells_max;
    int64_t candidates_needed, cells_needed; /* what did not fit, set where seg_find gives -1 */
};

/* A bitmap, a byte a pixel, and the value that is painted where it is not 0. */
struct seg_stamp {
    const uint8_t *bitmap;
    int64_t row_step;
    int32_t left_px, top_px, width_px, height_px, value;
};

/* The size of all structures together, by which the caller knows that it means the same ones. */
int64_t seg_layout(void);

/* Find the instances of an image, best score first; give their number, or -1 where memory must grow first. */
int32_t seg_find(const struct seg_outputs *outputs, const struct seg_options *options,
                 const struct seg_letterbox *letterbox, struct seg_memory *memory);

/* Draw the masks of what seg_find found last: a byte a pixel, 0 or 1, row by row, mask after mask. */
void seg_draw_masks(const struct seg_letterbox *letterbox, const struct seg_memory *memory, int32_t count,
                    uint8_t *bitmaps);

/* Paint over an image of a byte a pixel; later stamps end on top. */
void seg_paint(uint8_t *image, int64_t row_step, const struct seg_stamp *stamps, int32_t count);

/* Sort the boxes that reach the lowest score, best first; give their number, or -1 where memory must grow first. */
int64_t seg_candidates(const struct seg_outputs *outputs, const struct seg_options *options,
                       struct seg_memory *memory);

/* Keep the best box of each object, in memory->kept; give their number. */
int32_t seg_suppress(const struct seg_options *options, struct seg_memory *memory, int64_t count);

/* Compute the logits of an instance in a rectangle of cells. */
void seg_logits(const struct seg_outputs *outputs, const struct seg_memory *memory, int32_t anchor,
                const struct seg_cells *cells);

/* Draw one mask, mask_width_px * mask_height_px bytes. */
void seg_draw_mask(const struct seg_letterbox *letterbox, const struct seg_memory *memory,
                   const struct seg_instance *instance, uint8_t *bitmap);

static inline int32_t seg_value(uint8_t stored, int32_t sign_flip)
{
    return (int8_t)(stored ^ sign_flip);
}

static inline float seg_real(const struct seg_part *part, int64_t channel, int64_t anchor)
{
    uint8_t stored = part->stored[channel * part->channel_step + anchor * part->anchor_step];
    return part->quant.scale * (float)(seg_value(stored, part->quant.sign_flip) - part->quant.zero_point);
}

#endif
