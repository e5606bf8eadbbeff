/* The workspace: what a model may be, where the arrays lie, and the tables of its 8 bit numbers. */
#include "workspace.h"

#include <math.h>
#include <string.h>

enum { MAX_CANDIDATES = 1 << 24, ALIGNMENT = 8 };

static int is_between(int64_t value, int64_t low, int64_t high)
{
    return low <= value && value <= high;
}

static int is_quant_valid(const struct seg_quant *quant)
{
    if (!(quant->scale > 0) || !isfinite(quant->scale))
        return 0;
    switch (quant->type) {
    case SEG_INT8:
        return is_between(quant->zero_point, MIN_INT8, MAX_INT8);
    case SEG_UINT8:
        return is_between(quant->zero_point, 0, UINT8_MAX);
    default:
        return quant->type == SEG_FLOAT32;
    }
}

static int is_level_valid(const struct seg_level *level)
{
    return is_between(level->columns, 1, SEG_MAX_ANCHORS) && is_between(level->rows, 1, SEG_MAX_ANCHORS) &&
           is_between(level->stride_px, 0, SEG_MAX_SIDE_PX) && is_quant_valid(&level->boxes.quant) &&
           is_quant_valid(&level->scores.quant) && is_quant_valid(&level->coefficients.quant) &&
           (level->scores.channel_step == 1 || level->scores.anchor_step == 1);
}

/* Return the number of anchors, or an error. */
static int64_t count_anchors(const struct seg_model *model)
{
    int64_t count = 0;
    if (!is_between(model->input_width_px, 1, SEG_MAX_SIDE_PX) || !is_between(model->input_height_px, 1, SEG_MAX_SIDE_PX) ||
        !is_between(model->num_classes, 1, SEG_MAX_CLASSES) ||
        !is_between(model->num_coefficients, 1, SEG_MAX_COEFFICIENTS) ||
        !is_between(model->num_levels, 1, SEG_MAX_LEVELS) || !is_between(model->box_bins, 0, SEG_MAX_BINS) ||
        model->box_bins == 1 || !is_between(model->prototype_columns, 1, SEG_MAX_SIDE_PX) ||
        !is_between(model->prototype_rows, 1, SEG_MAX_SIDE_PX) || !is_quant_valid(&model->prototypes.quant))
        return SEG_BAD_MODEL;
    if (!model->box_bins && model->num_levels != 1)
        return SEG_BAD_MODEL;
    for (int32_t i = 0; i < model->num_levels; i++) {
        if (!is_level_valid(&model->levels[i]))
            return SEG_BAD_MODEL;
        count += (int64_t)model->levels[i].columns * model->levels[i].rows;
    }
    /* A candidate's anchor and class share 32 bits of its key. */
    if (count > SEG_MAX_ANCHORS || count * model->num_classes > UINT32_MAX)
        return SEG_BAD_MODEL;
    return count;
}

static int64_t aligned(int64_t size_bytes)
{
    return (size_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Place the arrays behind the structure; return the bytes of all. With NULL for a workspace they are only added up. */
static int64_t lay_out(struct seg_workspace *workspace, const struct seg_model *model, int64_t num_anchors,
                       int64_t max_candidates)
{
    struct seg_workspace unused, *target = workspace ? workspace : &unused;
    int64_t num_cells = (int64_t)model->prototype_columns * model->prototype_rows;
    const struct {
        void *pointer;
        int64_t count, element_bytes;
    } arrays[] = {
        {&target->tables, model->num_levels, sizeof(struct level_tables)},
        {&target->keys, max_candidates, sizeof(uint64_t)},
        {&target->candidates, max_candidates, sizeof(struct candidate)},
        {&target->logits, num_cells, sizeof(float)},
        {&target->real_coefficients, model->num_coefficients, sizeof(float)},
        {&target->coefficients, model->num_coefficients, sizeof(int16_t)},
        {&target->is_anchor_taken, num_anchors, sizeof(uint8_t)},
    };
    int64_t size = aligned(sizeof(struct seg_workspace));
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        if (workspace) {
            void *start = (uint8_t *)workspace + size;
            memcpy(arrays[i].pointer, &start, sizeof start);
        }
        size += aligned(arrays[i].count * arrays[i].element_bytes);
    }
    return size;
}

int64_t seg_workspace_size(const struct seg_model *model, int32_t max_candidates)
{
    int64_t num_anchors = count_anchors(model);
    if (num_anchors < 0)
        return num_anchors;
    if (!is_between(max_candidates, 1, MAX_CANDIDATES))
        return SEG_BAD_OPTIONS;
    return lay_out(NULL, model, num_anchors, max_candidates);
}

double seg_exponential(double x)
{
    static const double LOG2_E = 1.4426950408889634, LN_2 = 0.6931471805599453;
    if (!(x > -700))
        return 0;
    double power = floor(x * LOG2_E + 0.5), rest = x - power * LN_2, sum = 1;
    for (int32_t term = 12; term > 0; term--)
        sum = 1 + sum * rest / term;
    /* 2^power by its exponent bits. */
    uint64_t bits = (uint64_t)(1023 + (int64_t)power) << 52;
    double factor;
    memcpy(&factor, &bits, sizeof factor);
    return sum * factor;
}

double seg_sigmoid(double x)
{
    double e = seg_exponential(x < 0 ? x : -x);
    return x < 0 ? e / (1 + e) : 1 / (1 + e);
}

float seg_score_of(const struct seg_model *model, float real)
{
    float score = model->box_bins ? (float)seg_sigmoid(real) : real;
    return score < 1 ? score : 1;
}

static void fill_tables(struct level_tables *tables, const struct seg_model *model, const struct seg_level *level)
{
    const struct seg_quant *scores = &level->scores.quant, *boxes = &level->boxes.quant;
    for (int32_t i = 0; i < NUM_BYTE_VALUES; i++) {
        float real = scores->scale * (float)(i + MIN_INT8 - signed_zero_point(scores));
        tables->score[i] = seg_score_of(model, real);
        tables->exponential[i] = (float)seg_exponential(-(double)boxes->scale * i);
    }
}

int32_t seg_init(struct seg_workspace *workspace, int64_t size_bytes, const struct seg_model *model,
                 int32_t max_candidates)
{
    int64_t needed = seg_workspace_size(model, max_candidates);
    if (needed < 0)
        return (int32_t)needed;
    if (!workspace || (uintptr_t)workspace % ALIGNMENT || size_bytes < needed)
        return SEG_BAD_WORKSPACE;
    workspace->model = *model;
    workspace->num_anchors = (int32_t)count_anchors(model);
    workspace->max_candidates = max_candidates;
    lay_out(workspace, model, workspace->num_anchors, max_candidates);
    for (int32_t i = 0; i < model->num_levels; i++)
        fill_tables(&workspace->tables[i], model, &model->levels[i]);
    return 0;
}
