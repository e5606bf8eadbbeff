/* From the head's scores and boxes to one box an object. */
#include "postprocess.h"

#include <float.h>
#include <math.h>

/* So many scores are looked at together first: few of them are high. */
enum { BLOCK = 64 };

/* A candidate as one number, so that the largest is the best: score, then later anchor, then earlier class. */
static uint64_t code_of(int32_t value, int64_t anchor, int64_t class_id)
{
    return (uint64_t)(value + 128) << 56 | (uint64_t)anchor << 24 | (uint64_t)(0xFFFFFF - class_id);
}

static int64_t anchor_of(uint64_t code)
{
    return (int64_t)(code >> 24 & 0xFFFFFFFF);
}

static int32_t class_of(uint64_t code)
{
    return (int32_t)(0xFFFFFF - (code & 0xFFFFFF));
}

static int any_reaches(const uint8_t *stored, int64_t count, int32_t sign_flip, int32_t lowest)
{
    uint8_t any = 0;
    int8_t least = (int8_t)lowest;
    for (int64_t i = 0; i < count; i++)
        any |= (int8_t)(stored[i] ^ sign_flip) >= least;
    return any;
}

/* Write the codes of all scores that are high enough, as far as there is room; give how many there are. */
static int64_t scan(const struct seg_outputs *outputs, const struct seg_options *options, uint64_t *codes, int64_t max)
{
    const struct seg_part *scores = &outputs->scores;
    int32_t flip = scores->quant.sign_flip, lowest = options->lowest_value;
    int are_anchors_inner = scores->anchor_step == 1;
    int64_t num_inner = are_anchors_inner ? outputs->num_anchors : outputs->num_classes;
    int64_t num_outer = are_anchors_inner ? outputs->num_classes : outputs->num_anchors;
    int64_t step = are_anchors_inner ? scores->channel_step : scores->anchor_step;
    int64_t found = 0;
    if (lowest > INT8_MAX)
        return 0;
    for (int64_t outer = 0; outer < num_outer; outer++) {
        const uint8_t *row = scores->stored + outer * step;
        for (int64_t start = 0; start < num_inner; start += BLOCK) {
            int64_t end = start + BLOCK < num_inner ? start + BLOCK : num_inner;
            if (!any_reaches(row + start, end - start, flip, lowest))
                continue;
            for (int64_t inner = start; inner < end; inner++) {
                int32_t value = seg_value(row[inner], flip);
                int64_t class_id = are_anchors_inner ? outer : inner, anchor = are_anchors_inner ? inner : outer;
                if (value < lowest || !options->is_class_wanted[class_id])
                    continue;
                if (found < max)
                    codes[found] = code_of(value, anchor, class_id);
                found++;
            }
        }
    }
    return found;
}

static void sift_down(uint64_t *codes, int64_t at, int64_t count)
{
    for (;;) {
        int64_t least = at;
        for (int64_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (codes[child] < codes[least])
                least = child;
        if (least == at)
            return;
        uint64_t moved = codes[at];
        codes[at] = codes[least];
        codes[least] = moved;
        at = least;
    }
}

/* Heapsort, largest first: it needs no memory and no luck. */
static void sort_descending(uint64_t *codes, int64_t count)
{
    for (int64_t at = count / 2; at-- > 0;)
        sift_down(codes, at, count);
    for (int64_t last = count - 1; last > 0; last--) {
        uint64_t least = codes[0];
        codes[0] = codes[last];
        codes[last] = least;
        sift_down(codes, 0, last);
    }
}

static struct seg_box box_of(const struct seg_outputs *outputs, uint64_t code)
{
    const struct seg_part *boxes = &outputs->boxes;
    int64_t anchor = anchor_of(code);
    float width_px = (float)outputs->network_width_px, height_px = (float)outputs->network_height_px;
    float x = seg_real(boxes, 0, anchor) * width_px, half_width = seg_real(boxes, 2, anchor) * (width_px / 2);
    float y = seg_real(boxes, 1, anchor) * height_px, half_height = seg_real(boxes, 3, anchor) * (height_px / 2);
    int32_t class_id = class_of(code);
    return (struct seg_box){
        .left = x - half_width,
        .top = y - half_height,
        .right = x + half_width,
        .bottom = y + half_height,
        .score = seg_real(&outputs->scores, class_id, anchor),
        .class_id = class_id,
        .anchor = (int32_t)anchor,
    };
}

/* A network may store a size of 0 or less, and an absurd scale make it infinite. */
static int has_area(const struct seg_box *box)
{
    return box->left < box->right && box->top < box->bottom && isfinite(box->right - box->left) &&
           isfinite(box->bottom - box->top);
}

int64_t seg_candidates(const struct seg_outputs *outputs, const struct seg_options *options, struct seg_memory *memory)
{
    int64_t found = scan(outputs, options, memory->codes, memory->candidates_max);
    if (found > memory->candidates_max) {
        memory->candidates_needed = found;
        return -1;
    }
    sort_descending(memory->codes, found);
    if (!options->is_multi_label)
        for (int64_t anchor = 0; anchor < outputs->num_anchors; anchor++)
            memory->is_anchor_taken[anchor] = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < found; i++) {
        int64_t anchor = anchor_of(memory->codes[i]);
        if (!options->is_multi_label) {
            if (memory->is_anchor_taken[anchor])
                continue;
            memory->is_anchor_taken[anchor] = 1;
        }
        struct seg_box box = box_of(outputs, memory->codes[i]);
        if (has_area(&box))
            memory->candidates[count++] = box;
    }
    return count;
}

/* Unlike fminf and fmaxf, these are no calls. */
static float lower(float a, float b)
{
    return a < b ? a : b;
}

static float higher(float a, float b)
{
    return a > b ? a : b;
}

static int is_same_object(const struct seg_box *a, const struct seg_box *b, const struct seg_options *options)
{
    if (!options->is_agnostic && a->class_id != b->class_id)
        return 0;
    float width = lower(a->right, b->right) - higher(a->left, b->left);
    float height = lower(a->bottom, b->bottom) - higher(a->top, b->top);
    if (width <= 0 || height <= 0)
        return 0;
    float overlap = width * height;
    float areas = (a->right - a->left) * (a->bottom - a->top) + (b->right - b->left) * (b->bottom - b->top);
    return overlap / (areas - overlap) > (float)options->iou_threshold;
}

/* Where boxes of the same object agree about it: their mean, weighted by score. */
struct poll {
    double left, top, right, bottom, weight;
};

static void vote(struct poll *poll, const struct seg_box *box)
{
    /* A score of 0 votes too, where no other does. */
    double weight = higher(box->score, FLT_MIN);
    poll->left += weight * box->left;
    poll->top += weight * box->top;
    poll->right += weight * box->right;
    poll->bottom += weight * box->bottom;
    poll->weight += weight;
}

static void move_to_mean(struct seg_box *box, const struct poll *poll)
{
    box->left = (float)(poll->left / poll->weight);
    box->top = (float)(poll->top / poll->weight);
    box->right = (float)(poll->right / poll->weight);
    box->bottom = (float)(poll->bottom / poll->weight);
}

int32_t seg_suppress(const struct seg_options *options, struct seg_memory *memory, int64_t count)
{
    struct seg_box *candidates = memory->candidates;
    int32_t num_kept = 0;
    for (int64_t i = 0; i < count && num_kept < options->max_instances; i++) {
        if (candidates[i].is_suppressed)
            continue;
        struct poll poll = {0};
        vote(&poll, &candidates[i]);
        /* Better boxes vote as well: they belong to another object, but agree about this one. */
        for (int64_t j = options->votes ? 0 : i + 1; j < count; j++) {
            if (j == i || !is_same_object(&candidates[i], &candidates[j], options))
                continue;
            candidates[j].is_suppressed |= j > i;
            vote(&poll, &candidates[j]);
        }
        memory->kept[num_kept] = candidates[i];
        if (options->votes)
            move_to_mean(&memory->kept[num_kept], &poll);
        num_kept++;
    }
    return num_kept;
}
