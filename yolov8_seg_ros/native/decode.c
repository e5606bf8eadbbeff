/* From a network's outputs to instances in network pixels. */
#include "workspace.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* So many scores are compared with the threshold at once: few of them reach it. */
enum { BLOCK = 64 };

/* --------------------------------------------------------------------------------- candidates: the heap of the best */

/* A candidate as one number, so that the largest is the best: score, then later anchor, then earlier class. */
static uint64_t key_of(float score, int64_t anchor, int64_t class_id, int64_t num_classes)
{
    uint32_t bits;
    /* Of numbers from 0 on, the order of the bits is theirs; -0 becomes 0. */
    score += 0.0f;
    memcpy(&bits, &score, sizeof bits);
    return (uint64_t)bits << 32 | (uint64_t)(anchor * num_classes + (num_classes - 1 - class_id));
}

/* Restore a heap whose root is the least key. */
static void sift_down(uint64_t *keys, int64_t at, int64_t count)
{
    for (;;) {
        int64_t least = at;
        for (int64_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (keys[child] < keys[least])
                least = child;
        if (least == at)
            return;
        uint64_t moved = keys[at];
        keys[at] = keys[least];
        keys[least] = moved;
        at = least;
    }
}

static void make_heap(uint64_t *keys, int64_t count)
{
    for (int64_t at = count / 2; at-- > 0;)
        sift_down(keys, at, count);
}

/* In-place heapsort, largest first; O(n log n) in the worst case. */
static void sort_heap_descending(uint64_t *keys, int64_t count)
{
    for (int64_t last = count - 1; last > 0; last--) {
        uint64_t least = keys[0];
        keys[0] = keys[last];
        keys[last] = least;
        sift_down(keys, 0, last);
    }
}

/* The keys of the best candidates found so far; a heap once there are as many as fit. */
struct best_keys {
    uint64_t *keys;
    int64_t count, max;
};

static void add_key(struct best_keys *best, uint64_t key)
{
    if (best->count < best->max) {
        best->keys[best->count++] = key;
        if (best->count == best->max)
            make_heap(best->keys, best->count);
    } else if (key > best->keys[0]) {
        best->keys[0] = key;
        sift_down(best->keys, 0, best->count);
    }
}

static void sort_best(struct best_keys *best)
{
    if (best->count < best->max)
        make_heap(best->keys, best->count);
    sort_heap_descending(best->keys, best->count);
}

/* ---------------------------------------------------------------------- candidates: scores that reach the threshold */

/* The scores of a level as rows of numbers side by side. */
struct score_rows {
    int64_t num_rows, length, row_step;
    int are_anchors_inner;
};

static struct score_rows rows_of(const struct seg_part *scores, int64_t num_anchors, int64_t num_classes)
{
    if (scores->anchor_step == 1)
        return (struct score_rows){num_classes, num_anchors, scores->channel_step, 1};
    return (struct score_rows){num_anchors, num_classes, scores->anchor_step, 0};
}

struct scan {
    const struct seg_model *model;
    const struct seg_options *options;
    struct best_keys best;
    int32_t level;
    int64_t first_anchor; /* of the level, over all levels */
};

static void add_candidate(struct scan *scan, const struct score_rows *rows, int64_t row, int64_t column, float score)
{
    int64_t class_id = rows->are_anchors_inner ? row : column, anchor = rows->are_anchors_inner ? column : row;
    const uint8_t *is_wanted = scan->options->is_class_wanted;
    if (!is_wanted || is_wanted[class_id])
        add_key(&scan->best, key_of(score, scan->first_anchor + anchor, class_id, scan->model->num_classes));
}

static int any_byte_reaches(const uint8_t *stored, int64_t count, uint8_t sign_flip, int8_t lowest)
{
    uint8_t any = 0;
    for (int64_t i = 0; i < count; i++)
        any |= (int8_t)(stored[i] ^ sign_flip) >= lowest;
    return any;
}

/* Return the lowest 8 bit number whose score reaches the threshold; MAX_INT8 + 1 if none does. */
static int32_t lowest_reaching(const struct level_tables *tables, float threshold)
{
    int32_t value = MIN_INT8;
    while (value <= MAX_INT8 && !(tables->score[value - MIN_INT8] >= threshold))
        value++;
    return value;
}

static void scan_bytes(struct scan *scan, const struct level_tables *tables, const void *const *outputs)
{
    const struct seg_level *level = &scan->model->levels[scan->level];
    const struct seg_part *scores = &level->scores;
    struct score_rows rows = rows_of(scores, (int64_t)level->columns * level->rows, scan->model->num_classes);
    uint8_t flip = sign_flip_of(&scores->quant);
    int32_t lowest = lowest_reaching(tables, scan->options->score_threshold);
    if (lowest > MAX_INT8)
        return;
    for (int64_t i = 0; i < rows.num_rows; i++) {
        const uint8_t *row = (const uint8_t *)outputs[scores->output] + scores->first + i * rows.row_step;
        for (int64_t start = 0; start < rows.length; start += BLOCK) {
            int64_t end = start + BLOCK < rows.length ? start + BLOCK : rows.length;
            if (!any_byte_reaches(row + start, end - start, flip, (int8_t)lowest))
                continue;
            for (int64_t k = start; k < end; k++) {
                int32_t value = signed_value(row[k], flip);
                if (value >= lowest)
                    add_candidate(scan, &rows, i, k, tables->score[value - MIN_INT8]);
            }
        }
    }
}

/* Return a number that no real score below the threshold exceeds: for a raw head the logit of the threshold. */
static float lowest_real(const struct seg_model *model, float threshold)
{
    double low = -128, high = 128;
    if (!model->box_bins)
        return threshold;
    for (int32_t step = 0; step < 64; step++) {
        double middle = low + (high - low) / 2;
        if ((float)seg_sigmoid(middle) >= threshold)
            high = middle;
        else
            low = middle;
    }
    return threshold > 0 ? (float)low - 1e-3f : -INFINITY;
}

static void scan_floats(struct scan *scan, const void *const *outputs)
{
    const struct seg_level *level = &scan->model->levels[scan->level];
    const struct seg_part *scores = &level->scores;
    struct score_rows rows = rows_of(scores, (int64_t)level->columns * level->rows, scan->model->num_classes);
    float threshold = scan->options->score_threshold, lowest = lowest_real(scan->model, threshold);
    for (int64_t i = 0; i < rows.num_rows; i++) {
        const float *row = (const float *)outputs[scores->output] + scores->first + i * rows.row_step;
        for (int64_t k = 0; k < rows.length; k++) {
            if (!(row[k] >= lowest))
                continue;
            float score = seg_score_of(scan->model, row[k]);
            if (score >= threshold)
                add_candidate(scan, &rows, i, k, score);
        }
    }
}

/* Write the keys of the best candidates, best first; return how many there are. */
static int64_t find_keys(struct seg_workspace *workspace, const void *const *outputs, const struct seg_options *options)
{
    const struct seg_model *model = &workspace->model;
    struct scan scan = {.model = model, .options = options, .best = {workspace->keys, 0, workspace->max_candidates}};
    for (; scan.level < model->num_levels; scan.level++) {
        const struct seg_level *level = &model->levels[scan.level];
        if (level->scores.quant.type == SEG_FLOAT32)
            scan_floats(&scan, outputs);
        else
            scan_bytes(&scan, &workspace->tables[scan.level], outputs);
        scan.first_anchor += (int64_t)level->columns * level->rows;
    }
    sort_best(&scan.best);
    return scan.best.count;
}

/* ------------------------------------------------------------------------------------------------------------ boxes */

/* Return the distance from an anchor point to a side of its box, in strides: the mean of the softmax over the bins.
 * Source: Li et al., Generalized Focal Loss, 2020 (distribution focal loss). */
static double expected_distance(const struct seg_workspace *workspace, const void *const *outputs, int32_t level_index,
                                int64_t anchor, int64_t side)
{
    const struct seg_part *part = &workspace->model.levels[level_index].boxes;
    const float *exponentials = workspace->tables[level_index].exponential;
    int32_t bins = workspace->model.box_bins, is_float = part->quant.type == SEG_FLOAT32;
    float logits[SEG_MAX_BINS], largest = -FLT_MAX;
    for (int32_t bin = 0; bin < bins; bin++) {
        int64_t element = element_of(part, side * bins + bin, anchor);
        /* Of 8 bit numbers the steps below the largest are enough. */
        logits[bin] = is_float ? ((const float *)outputs[part->output])[element]
                               : (float)signed_value(((const uint8_t *)outputs[part->output])[element],
                                                     sign_flip_of(&part->quant));
        largest = logits[bin] > largest ? logits[bin] : largest;
    }
    double sum = 0, total = 0;
    for (int32_t bin = 0; bin < bins; bin++) {
        double weight = is_float ? seg_exponential((double)logits[bin] - largest)
                                 : exponentials[(int32_t)(largest - logits[bin])];
        sum += weight * bin;
        total += weight;
    }
    return sum / total;
}

static void read_raw_box(const struct seg_workspace *workspace, const void *const *outputs, int32_t anchor, float *xyxy_px)
{
    int32_t level_index = level_of(&workspace->model, &anchor);
    const struct seg_level *level = &workspace->model.levels[level_index];
    const double centre_px[] = {(anchor % level->columns + 0.5) * level->stride_px,
                                (anchor / level->columns + 0.5) * level->stride_px};
    for (int32_t side = 0; side < 4; side++) {
        double distance_px = expected_distance(workspace, outputs, level_index, anchor, side) * level->stride_px;
        xyxy_px[side] = (float)(centre_px[side % 2] + (side < 2 ? -distance_px : distance_px));
    }
}

static void read_decoded_box(const struct seg_model *model, const void *const *outputs, int32_t anchor, float *xyxy_px)
{
    const struct seg_part *boxes = &model->levels[0].boxes;
    const float size_px[] = {(float)model->input_width_px, (float)model->input_height_px};
    for (int32_t axis = 0; axis < 2; axis++) {
        float centre = real_at(boxes, outputs, axis, anchor) * size_px[axis];
        float half = real_at(boxes, outputs, axis + 2, anchor) * (size_px[axis] / 2);
        xyxy_px[axis] = centre - half;
        xyxy_px[axis + 2] = centre + half;
    }
}

/* Sizes of 0 or less, infinity and NaN occur in outputs. */
static int has_area(const float *xyxy_px)
{
    return xyxy_px[0] < xyxy_px[2] && xyxy_px[1] < xyxy_px[3] && isfinite(xyxy_px[2] - xyxy_px[0]) &&
           isfinite(xyxy_px[3] - xyxy_px[1]);
}

/* Write the candidates of `count` sorted keys; return how many have a box. */
static int64_t read_candidates(struct seg_workspace *workspace, const void *const *outputs,
                               const struct seg_options *options, int64_t count)
{
    const struct seg_model *model = &workspace->model;
    int64_t num_read = 0;
    if (!options->multi_label)
        memset(workspace->is_anchor_taken, 0, (size_t)workspace->num_anchors);
    for (int64_t i = 0; i < count; i++) {
        uint32_t place = (uint32_t)workspace->keys[i], num_classes = (uint32_t)model->num_classes;
        uint32_t bits = (uint32_t)(workspace->keys[i] >> 32);
        struct candidate *candidate = &workspace->candidates[num_read];
        *candidate = (struct candidate){
            .class_id = (int32_t)(num_classes - 1 - place % num_classes),
            .anchor = (int32_t)(place / num_classes),
        };
        memcpy(&candidate->score, &bits, sizeof bits);
        if (!options->multi_label) {
            if (workspace->is_anchor_taken[candidate->anchor])
                continue;
            workspace->is_anchor_taken[candidate->anchor] = 1;
        }
        if (model->box_bins)
            read_raw_box(workspace, outputs, candidate->anchor, candidate->xyxy_px);
        else
            read_decoded_box(model, outputs, candidate->anchor, candidate->xyxy_px);
        num_read += has_area(candidate->xyxy_px);
    }
    return num_read;
}

/* ------------------------------------------------------------------------------------------- suppression and voting */

/* Unlike fminf and fmaxf, these are no calls. */
static float min_float(float a, float b)
{
    return a < b ? a : b;
}

static float max_float(float a, float b)
{
    return a > b ? a : b;
}

static int is_same_object(const struct candidate *a, const struct candidate *b, const struct seg_options *options)
{
    const float *p = a->xyxy_px, *q = b->xyxy_px;
    if (!options->agnostic_nms && a->class_id != b->class_id)
        return 0;
    float width = min_float(p[2], q[2]) - max_float(p[0], q[0]);
    float height = min_float(p[3], q[3]) - max_float(p[1], q[1]);
    if (!(width > 0 && height > 0))
        return 0;
    float overlap = width * height, areas = (p[2] - p[0]) * (p[3] - p[1]) + (q[2] - q[0]) * (q[3] - q[1]);
    return overlap / (areas - overlap) > options->iou_threshold;
}

struct weighted_mean {
    double xyxy_px[4], weight;
};

static void add_box(struct weighted_mean *mean, const struct candidate *box)
{
    /* A score of 0 counts where no other does. */
    double weight = max_float(box->score, FLT_MIN);
    for (int32_t side = 0; side < 4; side++)
        mean->xyxy_px[side] += weight * box->xyxy_px[side];
    mean->weight += weight;
}

/* Greedy non-maximum suppression with box voting; return the number of instances.
 * Source: Gidaris and Komodakis, Object detection via a multi-region CNN, 2015 (box voting). */
static int32_t suppress(struct seg_workspace *workspace, const struct seg_options *options, int64_t count,
                        struct seg_instance *instances)
{
    struct candidate *candidates = workspace->candidates;
    int32_t num_kept = 0;
    for (int64_t i = 0; i < count && num_kept < options->max_instances; i++) {
        struct candidate *best = &candidates[i];
        if (best->is_suppressed)
            continue;
        struct weighted_mean mean = {{0}, 0};
        add_box(&mean, best);
        /* Better boxes vote too: they stand for another object, but agree about this one. */
        for (int64_t j = options->vote_boxes ? 0 : i + 1; j < count; j++) {
            if (j == i || !is_same_object(best, &candidates[j], options))
                continue;
            candidates[j].is_suppressed = 1;
            add_box(&mean, &candidates[j]);
        }
        struct seg_instance *instance = &instances[num_kept++];
        *instance = (struct seg_instance){.score = best->score, .class_id = best->class_id, .anchor = best->anchor};
        for (int32_t side = 0; side < 4; side++)
            instance->xyxy_px[side] =
                options->vote_boxes ? (float)(mean.xyxy_px[side] / mean.weight) : best->xyxy_px[side];
    }
    return num_kept;
}

int32_t seg_decode(struct seg_workspace *workspace, const void *const *outputs, const struct seg_options *options,
                   struct seg_instance *instances)
{
    /* Written so that NaN is out of any range. */
    if (!(options->score_threshold >= 0 && options->score_threshold <= 1) ||
        !(options->iou_threshold >= 0 && options->iou_threshold <= 1) || options->max_instances < 1)
        return SEG_BAD_OPTIONS;
    int64_t num_keys = find_keys(workspace, outputs, options);
    int64_t num_candidates = read_candidates(workspace, outputs, options, num_keys);
    return suppress(workspace, options, num_candidates, instances);
}
