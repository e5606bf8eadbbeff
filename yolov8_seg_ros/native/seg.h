/* Decode the outputs of a YOLOv8-seg network into instances, and draw their masks. C99, no heap, no globals.
 *
 * The robot's host and the firmware of a board build the same files. decode.c works in pixels of the network's input and
 * knows no image; masks.c draws at the resolution of the image; resize.c fits an image into the network's input.
 *
 *   seg_workspace_size, seg_init   once a model
 *   seg_decode                     outputs -> instances, in network pixels
 *   seg_mask_logits                an instance -> its mask logits on the grid of the prototypes
 *   seg_place, seg_draw_masks      instances -> boxes and bitmaps in the image
 *   seg_paint, seg_paint_masks     bitmaps -> an image of numbers
 *   seg_resize, seg_resize_planes  an image -> another size, in RGB
 *
 * Where outputs and image are on two machines, a mask travels between them packed:
 *
 *   seg_drawing_window, seg_mask_logits, seg_pack_mask   an instance -> bytes
 *   seg_unpack_masks, seg_draw_windows                   bytes -> the bitmaps that seg_draw_masks would draw
 *
 * Coordinates are continuous: pixel 0 spans 0.0 to 1.0. A box is left, top, right, bottom.
 * Built with -ffp-contract=off it computes the same bits on any machine.
 * Functions that return an int return 0 or a count, or one of enum seg_error. The caller owns all memory. Calls that use
 * one workspace must not run at the same time.
 *
 * This file is also read by cffi, which knows no preprocessor: constants are enums.
 */
#ifndef SEG_H
#define SEG_H

#include <stdint.h>

enum seg_limit {
    SEG_MAX_LEVELS = 8,
    SEG_MAX_BINS = 64,
    SEG_MAX_CLASSES = 10000,
    /* So that a sum of products of two 9 bit integers fits 32 bits. */
    SEG_MAX_COEFFICIENTS = 4096,
    SEG_MAX_ANCHORS = 1048576,
    /* Side of the network's input, and of an image. */
    SEG_MAX_SIDE_PX = 65536
};

enum seg_error {
    SEG_BAD_MODEL = -1,     /* a size, count or quantization out of its limits */
    SEG_BAD_OPTIONS = -2,   /* a threshold outside 0 to 1, or a count below 1 */
    SEG_BAD_WORKSPACE = -3, /* smaller than seg_workspace_size, or not aligned to 8 bytes */
    SEG_NO_ROOM = -4,       /* a packed mask is longer than its room */
    SEG_BAD_MASK = -5       /* a packed mask does not fill its window exactly */
};

enum seg_type { SEG_INT8 = 0, SEG_UINT8 = 1, SEG_FLOAT32 = 2 };

/* How a tensor stores real numbers: real = scale * (stored - zero_point). */
struct seg_quant {
    int32_t type;       /* enum seg_type */
    float scale;        /* above 0 and finite; 1 for float32 */
    int32_t zero_point; /* inside the type's range; 0 for float32 */
};

/* Where numbers lie: channel c of anchor a is element first + c * channel_step + a * anchor_step of an output. */
struct seg_part {
    int32_t output; /* index into `outputs` of the calls below */
    int64_t first, channel_step, anchor_step;
    struct seg_quant quant;
};

/* The anchors of one stride, row by row; of a decoded head, all anchors together. */
struct seg_level {
    struct seg_part boxes;        /* channels: 4 * box_bins logits, side by side; decoded: centre x and y, width, height */
    struct seg_part scores;       /* channels: a class logit each; decoded: a probability each; one of the steps is 1 */
    struct seg_part coefficients; /* channels: num_coefficients mask coefficients */
    int32_t stride_px;            /* network pixels from anchor to anchor; 0 for a decoded head */
    int32_t columns, rows;        /* of anchors; columns = all anchors and rows = 1 for a decoded head */
};

/* What the outputs of a network mean. */
struct seg_model {
    int32_t input_width_px, input_height_px;
    int32_t num_classes;
    int32_t num_coefficients;
    int32_t box_bins;   /* bins a side of the distribution over distances (DFL), 2 or more; 0: decoded head, whose boxes
                           are fractions of the input's width and height */
    int32_t num_levels; /* 1 for a decoded head */
    struct seg_level levels[SEG_MAX_LEVELS]; /* by stride, finest first */
    struct seg_part prototypes; /* channels: num_coefficients; an anchor is a cell of the grid, row by row */
    int32_t prototype_columns, prototype_rows;
};

/* Which instances are kept. */
struct seg_options {
    float score_threshold; /* 0 to 1; an instance of this very score is kept */
    float iou_threshold;   /* 0 to 1; boxes that overlap by more are one object */
    int32_t max_instances; /* 1 or more; the best are kept */
    int32_t agnostic_nms;  /* 1: boxes of different classes suppress each other too */
    int32_t multi_label;   /* 1: an anchor stands for each class that reaches the threshold; 0: for its best one */
    int32_t vote_boxes;    /* 1: a box is the mean, weighted by score, of all boxes that overlap it as one object */
    const uint8_t *is_class_wanted; /* num_classes bytes, 0 for a class that is left out; NULL: all classes */
};

/* An instance in pixels of the network's input. */
struct seg_instance {
    float xyxy_px[4];
    float score; /* 0 to 1 */
    int32_t class_id;
    int32_t anchor; /* over all levels; names the mask coefficients */
};

/* A rectangle of cells of the prototypes' grid, inside it. */
struct seg_window {
    int32_t left, top, columns, rows;
};

/* The prototypes' grid, and the network's input that it covers. */
struct seg_grid {
    int32_t input_width_px, input_height_px, columns, rows; /* 1 or more */
};

/* The map from image to network pixels: network = image * scale + pad. */
struct seg_letterbox {
    double scale_x, scale_y;     /* above 0 */
    double pad_x_px, pad_y_px;   /* network pixels left of and above the image */
    int32_t image_width_px, image_height_px;
};

/* Where an instance lies in the image. */
struct seg_placement {
    float xyxy_px[4];                         /* clipped to the image */
    int32_t left_px, top_px;                  /* of the bitmap's first pixel */
    int32_t width_px, height_px;              /* of the bitmap; 0 where no pixel's centre lies in the box */
};

/* A bitmap and the value that is painted where it is not 0. */
struct seg_stamp {
    const uint8_t *bitmap; /* a byte a pixel */
    int64_t row_step;      /* bytes from row to row */
    int32_t left_px, top_px, width_px, height_px;
    int32_t value; /* 0 to 255 */
};

/* Tables of a model and room to work in; opaque. */
struct seg_workspace;

/* Return the bytes that a workspace needs, or an error.
 * max_candidates: so many boxes are compared with each other, the best ones; 1 to 2^24. */
int64_t seg_workspace_size(const struct seg_model *model, int32_t max_candidates);

/* Compute the tables of a model into a workspace; the model need not be kept. Returns 0 or an error.
 * size_bytes: at least seg_workspace_size of the same arguments. */
int32_t seg_init(struct seg_workspace *workspace, int64_t size_bytes, const struct seg_model *model,
                 int32_t max_candidates);

/* Find the instances of one image, best score first. Returns their number or an error.
 * Of equal scores the later anchor comes first, which belongs to the larger stride, then the earlier class.
 * outputs: a pointer for each output of the model. instances: room for options->max_instances. */
int32_t seg_decode(struct seg_workspace *workspace, const void *const *outputs, const struct seg_options *options,
                   struct seg_instance *instances);

/* Return the cells that a box in network pixels touches, at least one. */
struct seg_window seg_window_of_box(const struct seg_workspace *workspace, const float *xyxy_px);

/* Compute the mask logits of an instance in a window of the grid, row by row.
 * logits: room for window->columns * window->rows. */
void seg_mask_logits(struct seg_workspace *workspace, const void *const *outputs, int32_t anchor,
                     const struct seg_window *window, float *logits);

/* Map instances into an image. Those that lie outside are removed from `instances`. Returns how many are left.
 * A pixel belongs to the bitmap when its centre lies in the box. placements: room for `count`. */
int32_t seg_place(const struct seg_letterbox *letterbox, struct seg_instance *instances, int32_t count,
                  struct seg_placement *placements);

/* Return the bytes that the bitmaps of placements take together. */
int64_t seg_bitmaps_size(const struct seg_placement *placements, int32_t count);

/* Draw the masks of placed instances, 0 or 1 a pixel, row by row, bitmap after bitmap: a pixel is 1 where the logits,
 * interpolated linearly at its centre, are above mask_logit. A logit of 0 is a probability of 0.5.
 * bitmaps: room for seg_bitmaps_size bytes. */
void seg_draw_masks(struct seg_workspace *workspace, const void *const *outputs, const struct seg_letterbox *letterbox,
                    float mask_logit, const struct seg_instance *instances, const struct seg_placement *placements,
                    int32_t count, uint8_t *bitmaps);

/* Return the cells that the pixels of a box in network pixels need, at least one: those whose centres lie around the
 * centres of the pixels. */
struct seg_window seg_drawing_window(const struct seg_grid *grid, const float *xyxy_px);

/* Draw the masks of placed instances of which the logits in a window are known, as seg_draw_masks does. Where a pixel
 * needs a cell outside the window, the nearest one in it counts.
 * windows: of all instances. logits: columns * rows of each window, row by row, window after window.
 * numbers: of the placements' windows, ascending. bitmaps: room for seg_bitmaps_size bytes. */
void seg_draw_windows(const struct seg_letterbox *letterbox, const struct seg_grid *grid, float mask_logit,
                      const struct seg_window *windows, const float *logits, const int32_t *numbers,
                      const struct seg_placement *placements, int32_t count, uint8_t *bitmaps);

/* Pack the logits in a window into few bytes, with the logits of the cells at the contour, which alone decide how a mask
 * is drawn, or with signs alone. Returns the bytes written, or SEG_NO_ROOM. docs/n6_bridge_protocol.md has the format.
 * has_contour: 1 with logits, 0 with signs alone. packed: room for max_bytes. */
int64_t seg_pack_mask(const struct seg_window *window, const float *logits, float mask_logit, int32_t has_contour,
                      uint8_t *packed, int64_t max_bytes);

/* Write logits that are drawn as those that were packed. Returns 0 or SEG_BAD_MASK; bytes from anywhere do no harm.
 * window: of columns and rows of 1 or more. logits: room for columns * rows. */
int32_t seg_unpack_mask(const uint8_t *packed, int64_t size_bytes, const struct seg_window *window, float mask_logit,
                        float *logits);

/* Unpack masks one after the other. Returns how many there are before the first SEG_BAD_MASK, `count` without any.
 * sizes_bytes: of each mask in `packed`, 0 or more. logits: room for columns * rows of each window. */
int32_t seg_unpack_masks(const uint8_t *packed, const int32_t *sizes_bytes, const struct seg_window *windows,
                         int32_t count, float mask_logit, float *logits);

/* Where new pixels lie along one axis of an image: between an old one and the next. */
struct seg_axis {
    int32_t size_px;             /* new pixels */
    const int32_t *first;        /* size_px numbers of old pixels, ascending */
    const uint16_t *next_weight; /* size_px weights of the old pixel after it, 0 to 31; the rest of 32 is the first one's.
                                    With 0 there need not be a next one */
};

/* How an image is resized. */
struct seg_resize {
    int32_t num_halvings; /* 1: each old pixel below is the mean, rounded, of two by two pixels of the image; of YUV it is 1,
                             or 2, of four by four pixels */
    struct seg_axis columns, rows;
    int32_t num_channels; /* bytes of a pixel: 1, 3 or 4; 2 for YUV of which two pixels side by side share u and v, which is
                             halved, not rounded then, and converted after it is interpolated (ITU-R BT.601, 16 to 235) */
    int32_t rgb[3];       /* which of them are red, green and blue; of the four bytes of such a pair, the first luma, u and
                             v. The other luma is two bytes after the first */
    int32_t flip;         /* new bytes are combined with this by exclusive or; 0x80 makes them int8 */
};

/* Write an image, interpolated linearly, as three bytes a pixel: red, green, blue. A new pixel is rounded once.
 * row_step, target_step: bytes from row to row. */
void seg_resize(const struct seg_resize *plan, const uint8_t *image, int64_t row_step, uint8_t *target,
                int64_t target_step);

/* An image in YUV, an even number of pixels wide and high, of which two by two pixels share u and v. */
struct seg_planes {
    const uint8_t *luma, *u, *v;
    int64_t luma_row_step, chroma_row_step; /* bytes from row to row; u and v have half as many rows */
    int32_t chroma_step;                    /* bytes from one u to the next, as from v to v: 1, or 2 where they alternate */
};

/* Do as seg_resize does with pixels that share u and v in pairs. u and v are halved once already.
 * plan: its num_channels and rgb do not count. */
void seg_resize_planes(const struct seg_resize *plan, const struct seg_planes *image, uint8_t *target,
                       int64_t target_step);

/* Paint stamps over an image of a byte a pixel; later ones end on top. row_step: bytes from row to row. */
void seg_paint(uint8_t *image, int64_t row_step, const struct seg_stamp *stamps, int32_t count);

/* Paint masks that seg_draw_masks drew over an image of a byte a pixel, the last one first: the best score ends on top.
 * values: one for each mask. row_step: bytes from row to row. */
void seg_paint_masks(uint8_t *image, int64_t row_step, const struct seg_placement *placements, const uint8_t *bitmaps,
                     const uint8_t *values, int32_t count);

#endif
