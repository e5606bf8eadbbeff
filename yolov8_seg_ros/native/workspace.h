/* What decode.c and masks.c share: the workspace, and how stored numbers are read. */
#ifndef SEG_WORKSPACE_H
#define SEG_WORKSPACE_H

#include "seg.h"

enum { NUM_BYTE_VALUES = 256, MIN_INT8 = -128, MAX_INT8 = 127 };

/* For each number that a level's 8 bit tensors can store; unused for float32. */
struct level_tables {
    float score[NUM_BYTE_VALUES];       /* of the class logit or probability i + MIN_INT8 */
    float exponential[NUM_BYTE_VALUES]; /* of a box logit that lies i steps below the largest */
};

struct candidate {
    float xyxy_px[4];
    float score;
    int32_t class_id, anchor, is_suppressed;
};

struct seg_workspace {
    struct seg_model model;
    int32_t num_anchors, max_candidates;
    struct level_tables *tables;  /* num_levels */
    uint64_t *keys;               /* max_candidates */
    struct candidate *candidates; /* max_candidates */
    float *logits;                /* of all cells of the prototypes' grid */
    float *real_coefficients;     /* num_coefficients */
    int16_t *coefficients;        /* num_coefficients, less their zero point */
    uint8_t *is_anchor_taken;     /* num_anchors */
};

/* An 8 bit number as a signed one: a uint8 becomes the int8 that is 128 less. */
static inline int32_t signed_value(uint8_t stored, uint8_t sign_flip)
{
    return (int8_t)(stored ^ sign_flip);
}

static inline uint8_t sign_flip_of(const struct seg_quant *quant)
{
    return quant->type == SEG_UINT8 ? 0x80 : 0;
}

/* The zero point that goes with signed_value. */
static inline int32_t signed_zero_point(const struct seg_quant *quant)
{
    return quant->zero_point - (quant->type == SEG_UINT8 ? 128 : 0);
}

static inline int64_t element_of(const struct seg_part *part, int64_t channel, int64_t anchor)
{
    return part->first + channel * part->channel_step + anchor * part->anchor_step;
}

static inline float real_at(const struct seg_part *part, const void *const *outputs, int64_t channel, int64_t anchor)
{
    int64_t element = element_of(part, channel, anchor);
    if (part->quant.type == SEG_FLOAT32)
        return ((const float *)outputs[part->output])[element];
    uint8_t stored = ((const uint8_t *)outputs[part->output])[element];
    int32_t value = signed_value(stored, sign_flip_of(&part->quant));
    return part->quant.scale * (float)(value - signed_zero_point(&part->quant));
}

/* Find the level of an anchor over all levels; `anchor` becomes the anchor of that level. */
static inline int32_t level_of(const struct seg_model *model, int32_t *anchor)
{
    int32_t level = 0;
    while (level + 1 < model->num_levels && *anchor >= model->levels[level].columns * model->levels[level].rows) {
        *anchor -= model->levels[level].columns * model->levels[level].rows;
        level++;
    }
    return level;
}

static inline double clamp(double value, double low, double high)
{
    /* Written so that NaN becomes `low`. */
    return value > low ? (value < high ? value : high) : low;
}

/* exp(x) for x <= 0, to float's precision. Libraries differ in the last bit; this is the same on any machine. */
double seg_exponential(double x);

double seg_sigmoid(double x);

/* Return the score, at most 1, of a class logit, or of a probability where the head is decoded. */
float seg_score_of(const struct seg_model *model, float real);

#endif
