/* Fuzz target for seg.h, of clang's libFuzzer: the input's bytes choose a model, options, an image and the outputs.
 *
 * All memory is allocated as small as the manual allows, so that the address sanitizer sees any byte beyond it. What is
 * returned is compared with what the manual promises. `make fuzz` builds and runs it.
 */
#include "seg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_FUZZED_CANDIDATES = 512,
    MAX_FUZZED_INSTANCES = 64,
    MAX_FUZZED_SIDE_PX = 400,
    MAX_FUZZED_BYTES = 1 << 20,
    MAX_FILLED_BYTES = 64,
    NUM_PARTS = 3,
    MAX_OUTPUTS = NUM_PARTS * SEG_MAX_LEVELS + 1,
    NUM_IMAGES = 2
};

/* ------------------------------------------------------------------------------------------------------------- input */

struct input {
    const uint8_t *data;
    size_t size, at;
};

/* Return the next byte; 0 behind the end. */
static uint8_t next_byte(struct input *input)
{
    return input->at < input->size ? input->data[input->at++] : 0;
}

static uint32_t next_word(struct input *input)
{
    uint32_t word = 0;
    for (int i = 0; i < 4; i++)
        word = word << 8 | next_byte(input);
    return word;
}

/* Return a number from low to high; one time in 64 any number at all. */
static int32_t next_number(struct input *input, int32_t low, int32_t high)
{
    uint8_t byte = next_byte(input);
    if (byte >= 252)
        return (int32_t)next_word(input);
    return low + (byte | next_byte(input) << 8) % (high - low + 1);
}

/* Return one of some likely numbers, or any number, NaN and infinity included. */
static float next_float(struct input *input)
{
    static const float LIKELY[] = {0.0f, 1.0f, 0.5f, 0.25f, 0.02f, 0.2f, 1e-38f, 1e38f, 1e-6f, 3.0f, -1.0f};
    uint8_t byte = next_byte(input);
    if (byte < 128)
        return LIKELY[byte % (sizeof LIKELY / sizeof LIKELY[0])];
    uint32_t word = next_word(input);
    float number;
    memcpy(&number, &word, sizeof number);
    return number;
}

/* Make an output's bytes of some bytes of input, which are followed by pseudorandom ones. */
static void fill(struct input *input, uint8_t *bytes, size_t count)
{
    uint32_t state = next_word(input) | 1;
    for (size_t i = 0; i < count; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes[i] = i < MAX_FILLED_BYTES && input->at < input->size ? next_byte(input) : (uint8_t)(state >> 8);
    }
}

static void require(int condition)
{
    if (!condition)
        abort();
}

/* Allocate; of 0 bytes too, since the sanitizer knows where these end. */
static void *allocate(size_t size_bytes)
{
    void *memory = malloc(size_bytes);
    require(memory != NULL);
    return memory;
}

/* ------------------------------------------------------------------------------------------------------------- model */

struct network {
    struct seg_model model;
    void *outputs[MAX_OUTPUTS];
    int32_t num_outputs;
};

static void choose_quant(struct input *input, struct seg_quant *quant)
{
    quant->type = next_number(input, SEG_INT8, SEG_FLOAT32);
    quant->scale = next_float(input);
    quant->zero_point = quant->type == SEG_UINT8    ? next_number(input, 0, 255)
                        : quant->type == SEG_INT8 ? next_number(input, -128, 127)
                                                  : 0;
}

/* Lay a part out as an output of its own, channels or anchors side by side. */
static void choose_part(struct input *input, struct seg_part *part, int32_t output, int64_t channels, int64_t anchors)
{
    part->output = output;
    part->first = next_byte(input) % 4;
    if (next_byte(input) % 2) {
        part->channel_step = 1;
        part->anchor_step = channels + next_byte(input) % 2;
    } else {
        part->channel_step = anchors + next_byte(input) % 2;
        part->anchor_step = 1;
    }
    choose_quant(input, &part->quant);
}

static void choose_model(struct input *input, struct network *network)
{
    struct seg_model *model = &network->model;
    model->input_width_px = next_number(input, 1, 128);
    model->input_height_px = next_number(input, 1, 128);
    model->num_classes = next_number(input, 1, 90);
    model->num_coefficients = next_number(input, 1, 40);
    model->box_bins = next_byte(input) % 3 ? next_number(input, 0, SEG_MAX_BINS) : 0;
    model->num_levels = model->box_bins ? next_number(input, 1, 4) : next_number(input, 1, 2);
    model->prototype_columns = next_number(input, 1, 40);
    model->prototype_rows = next_number(input, 1, 40);
    int64_t box_channels = model->box_bins ? 4 * (int64_t)model->box_bins : 4;
    for (int32_t i = 0; i < SEG_MAX_LEVELS; i++) {
        struct seg_level *level = &model->levels[i];
        if (i >= model->num_levels)
            break;
        level->stride_px = model->box_bins ? next_number(input, 1, 64) : 0;
        level->columns = next_number(input, 1, 12);
        level->rows = next_number(input, 1, 12);
        int64_t anchors = (int64_t)level->columns * level->rows;
        choose_part(input, &level->boxes, network->num_outputs++, box_channels, anchors);
        choose_part(input, &level->scores, network->num_outputs++, model->num_classes, anchors);
        choose_part(input, &level->coefficients, network->num_outputs++, model->num_coefficients, anchors);
    }
    choose_part(input, &model->prototypes, network->num_outputs++, model->num_coefficients,
                (int64_t)model->prototype_columns * model->prototype_rows);
}

/* Allocate an output up to the last element of its part; return 0 where that would be much. */
static int add_output(struct input *input, struct network *network, const struct seg_part *part, int64_t channels,
                      int64_t anchors)
{
    size_t element_bytes = part->quant.type == SEG_FLOAT32 ? sizeof(float) : 1;
    int64_t count = part->first + (channels - 1) * part->channel_step + (anchors - 1) * part->anchor_step + 1;
    if (count * (int64_t)element_bytes > MAX_FUZZED_BYTES)
        return 0;
    network->outputs[part->output] = allocate((size_t)count * element_bytes);
    fill(input, network->outputs[part->output], (size_t)count * element_bytes);
    return 1;
}

static int add_outputs(struct input *input, struct network *network)
{
    const struct seg_model *model = &network->model;
    for (int32_t i = 0; i < model->num_levels; i++) {
        const struct seg_level *level = &model->levels[i];
        int64_t anchors = (int64_t)level->columns * level->rows;
        if (!add_output(input, network, &level->boxes, model->box_bins ? 4 * model->box_bins : 4, anchors) ||
            !add_output(input, network, &level->scores, model->num_classes, anchors) ||
            !add_output(input, network, &level->coefficients, model->num_coefficients, anchors))
            return 0;
    }
    return add_output(input, network, &model->prototypes, model->num_coefficients,
                      (int64_t)model->prototype_columns * model->prototype_rows);
}

static int64_t count_anchors(const struct seg_model *model)
{
    int64_t count = 0;
    for (int32_t i = 0; i < model->num_levels; i++)
        count += (int64_t)model->levels[i].columns * model->levels[i].rows;
    return count;
}

/* -------------------------------------------------------------------------------------------------------------- calls */

static void check_instances(const struct seg_model *model, const struct seg_options *options,
                            const struct seg_instance *instances, int32_t count)
{
    require(count >= 0 && count <= options->max_instances);
    for (int32_t i = 0; i < count; i++) {
        const struct seg_instance *instance = &instances[i];
        require(instance->score >= options->score_threshold && instance->score <= 1);
        require(i == 0 || instance->score <= instances[i - 1].score);
        require(instance->class_id >= 0 && instance->class_id < model->num_classes);
        require(!options->is_class_wanted || options->is_class_wanted[instance->class_id]);
        require(instance->anchor >= 0 && instance->anchor < count_anchors(model));
        for (int32_t side = 0; side < 4; side++)
            require(isfinite(instance->xyxy_px[side]));
        require(instance->xyxy_px[0] <= instance->xyxy_px[2] && instance->xyxy_px[1] <= instance->xyxy_px[3]);
    }
}

static void compute_logits(struct seg_workspace *workspace, const struct network *network,
                           const struct seg_instance *instance)
{
    const struct seg_model *model = &network->model;
    struct seg_window window = seg_window_of_box(workspace, instance->xyxy_px);
    require(window.columns >= 1 && window.rows >= 1 && window.left >= 0 && window.top >= 0);
    require(window.left + window.columns <= model->prototype_columns && window.top + window.rows <= model->prototype_rows);
    float *logits = allocate((size_t)window.columns * (size_t)window.rows * sizeof *logits);
    seg_mask_logits(workspace, (const void *const *)network->outputs, instance->anchor, &window, logits);
    free(logits);
}

static void choose_letterbox(struct input *input, struct seg_letterbox *letterbox)
{
    letterbox->image_width_px = 1 + (next_byte(input) | next_byte(input) << 8) % MAX_FUZZED_SIDE_PX;
    letterbox->image_height_px = 1 + (next_byte(input) | next_byte(input) << 8) % MAX_FUZZED_SIDE_PX;
    letterbox->scale_x = fabs((double)next_float(input));
    letterbox->scale_y = fabs((double)next_float(input));
    if (!(letterbox->scale_x > 0))
        letterbox->scale_x = 0.3;
    if (!(letterbox->scale_y > 0))
        letterbox->scale_y = 3;
    letterbox->pad_x_px = next_float(input);
    letterbox->pad_y_px = next_float(input);
}

static void paint_all(const struct seg_letterbox *letterbox, const struct seg_placement *placements, int32_t count,
                      const uint8_t *bitmaps)
{
    size_t width = (size_t)letterbox->image_width_px, height = (size_t)letterbox->image_height_px;
    uint8_t *image = allocate(width * height);
    struct seg_stamp *stamps = allocate((size_t)count * sizeof *stamps);
    uint8_t *values = allocate((size_t)count);
    memset(image, 0, width * height);
    memset(values, 1, (size_t)count);
    seg_paint_masks(image, letterbox->image_width_px, placements, bitmaps, values, count);
    for (int32_t i = 0; i < count; i++) {
        const struct seg_placement *placed = &placements[i];
        stamps[i] = (struct seg_stamp){bitmaps,           placed->width_px,  placed->left_px, placed->top_px,
                                       placed->width_px, placed->height_px, 1 + i};
        bitmaps += (int64_t)placed->width_px * placed->height_px;
    }
    seg_paint(image, letterbox->image_width_px, stamps, count);
    free(stamps);
    free(values);
    free(image);
}

static void draw(struct input *input, struct seg_workspace *workspace, const struct network *network,
                 struct seg_instance *instances, int32_t count)
{
    struct seg_letterbox letterbox;
    choose_letterbox(input, &letterbox);
    struct seg_placement *placements = allocate((size_t)count * sizeof *placements);
    count = seg_place(&letterbox, instances, count, placements);
    size_t num_pixels = 0;
    for (int32_t i = 0; i < count; i++) {
        const struct seg_placement *placed = &placements[i];
        require(placed->left_px >= 0 && placed->top_px >= 0 && placed->width_px >= 0 && placed->height_px >= 0);
        require(placed->left_px + placed->width_px <= letterbox.image_width_px);
        require(placed->top_px + placed->height_px <= letterbox.image_height_px);
        num_pixels += (size_t)placed->width_px * (size_t)placed->height_px;
    }
    uint8_t *bitmaps = allocate(num_pixels);
    memset(bitmaps, 2, num_pixels);
    seg_draw_masks(workspace, (const void *const *)network->outputs, &letterbox, next_float(input), instances, placements,
                   count, bitmaps);
    for (size_t i = 0; i < num_pixels; i++)
        require(bitmaps[i] <= 1);
    paint_all(&letterbox, placements, count, bitmaps);
    free(bitmaps);
    free(placements);
}

static void decode(struct input *input, struct seg_workspace *workspace, const struct network *network)
{
    const struct seg_model *model = &network->model;
    struct seg_options options = {
        .score_threshold = next_float(input),
        .iou_threshold = next_float(input),
        .max_instances = MAX_FUZZED_INSTANCES - next_byte(input) % (MAX_FUZZED_INSTANCES + 1),
        .agnostic_nms = next_byte(input) % 2,
        .multi_label = next_byte(input) % 2,
        .vote_boxes = next_byte(input) % 2,
    };
    uint8_t *is_class_wanted = NULL;
    if (next_byte(input) % 2) {
        is_class_wanted = allocate((size_t)model->num_classes);
        for (int32_t i = 0; i < model->num_classes; i++)
            is_class_wanted[i] = next_byte(input) % 4 > 0;
        options.is_class_wanted = is_class_wanted;
    }
    struct seg_instance *instances = allocate((size_t)options.max_instances * sizeof *instances);
    int32_t count = seg_decode(workspace, (const void *const *)network->outputs, &options, instances);
    if (count != SEG_BAD_OPTIONS) {
        check_instances(model, &options, instances, count);
        for (int32_t i = 0; i < count && i < 8; i++)
            compute_logits(workspace, network, &instances[i]);
        draw(input, workspace, network, instances, count);
    }
    free(instances);
    free(is_class_wanted);
}

/* ------------------------------------------------------------------------------------------------------------ resize */

/* Choose ascending places among `size` old pixels. */
static void choose_axis(struct input *input, int32_t size, int32_t *first, uint16_t *next_weight, struct seg_axis *axis)
{
    int32_t place = 0, last = (size - 1) * 32;
    axis->first = first;
    axis->next_weight = next_weight;
    for (int32_t i = 0; i < axis->size_px; i++) {
        first[i] = place / 32;
        next_weight[i] = (uint16_t)(place % 32);
        place += next_byte(input);
        place = place < last ? place : last;
    }
}

/* Resize planes of `rows` rows of `columns` once halved, each in memory of its own no larger than it must be. */
static void resize_planes(struct input *input, struct seg_resize plan, int32_t columns, int32_t rows, uint8_t *target)
{
    plan.num_halvings = 1 + next_byte(input) % 2;
    columns *= plan.num_halvings;
    rows *= plan.num_halvings;
    int32_t layout = next_byte(input) % 3; /* u alone and v alone, or both in turns, beginning with either */
    size_t luma_bytes = (size_t)columns * (size_t)rows * 4, chroma_bytes = (size_t)columns * (size_t)rows;
    uint8_t *luma = allocate(luma_bytes), *first = allocate(layout ? 2 * chroma_bytes : chroma_bytes);
    uint8_t *second = allocate(chroma_bytes);
    fill(input, luma, luma_bytes);
    fill(input, first, layout ? 2 * chroma_bytes : chroma_bytes);
    fill(input, second, chroma_bytes);
    struct seg_planes image = {luma, first, second, 2 * columns, columns, 1};
    if (layout) {
        image.u = layout == 1 ? first : first + 1;
        image.v = layout == 1 ? first + 1 : first;
        image.chroma_row_step = 2 * columns;
        image.chroma_step = 2;
    }
    seg_resize_planes(&plan, &image, target, (int64_t)plan.columns.size_px * 3);
    free(second);
    free(first);
    free(luma);
}

static void resize(struct input *input)
{
    static const int32_t CHANNELS[] = {1, 3, 4, 2};
    struct seg_resize plan = {
        .num_halvings = next_byte(input) % 2,
        .columns.size_px = 1 + next_byte(input),
        .rows.size_px = 1 + next_byte(input) % 32,
        .num_channels = CHANNELS[next_byte(input) % 4],
        .flip = next_byte(input),
    };
    for (int32_t color = 0; color < 3; color++)
        plan.rgb[color] = next_byte(input) % plan.num_channels;
    /* A pair of pixels that share u and v has four bytes. */
    if (plan.num_channels == 2) {
        plan.num_halvings++;
        plan.rgb[1] += 2;
        plan.rgb[2] = 3 - plan.rgb[0];
    }
    int32_t columns = 1 + next_byte(input), rows = 1 + next_byte(input) % 64, height = 1 << plan.num_halvings;
    size_t num_columns = (size_t)plan.columns.size_px, num_rows = (size_t)plan.rows.size_px;
    int32_t *first_column = allocate(num_columns * sizeof *first_column);
    int32_t *first_row = allocate(num_rows * sizeof *first_row);
    uint16_t *column_weight = allocate(num_columns * sizeof *column_weight);
    uint16_t *row_weight = allocate(num_rows * sizeof *row_weight);
    choose_axis(input, columns, first_column, column_weight, &plan.columns);
    choose_axis(input, rows, first_row, row_weight, &plan.rows);
    int64_t row_step = (int64_t)columns * height * plan.num_channels;
    uint8_t *image = allocate((size_t)(row_step * rows * height)), *target = allocate(num_columns * num_rows * 3);
    fill(input, image, (size_t)(row_step * rows * height));
    seg_resize(&plan, image, row_step, target, (int64_t)num_columns * 3);
    resize_planes(input, plan, columns, rows, target);
    free(target);
    free(image);
    free(row_weight);
    free(column_weight);
    free(first_row);
    free(first_column);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size, 0};
    if (next_byte(&input) % 4 == 0) {
        resize(&input);
        return 0;
    }
    struct network network = {.num_outputs = 0};
    choose_model(&input, &network);
    int32_t max_candidates = next_number(&input, 1, MAX_FUZZED_CANDIDATES);
    int64_t size_bytes = seg_workspace_size(&network.model, max_candidates);
    require(size_bytes > 0 || size_bytes == SEG_BAD_MODEL || size_bytes == SEG_BAD_OPTIONS);
    if (size_bytes < 0 || size_bytes > MAX_FUZZED_BYTES)
        return 0;
    struct seg_workspace *workspace = allocate((size_t)size_bytes);
    require(seg_init(workspace, size_bytes, &network.model, max_candidates) == 0);
    if (add_outputs(&input, &network))
        for (int32_t image = 0; image < NUM_IMAGES; image++)
            decode(&input, workspace, &network);
    for (int32_t i = 0; i < MAX_OUTPUTS; i++)
        free(network.outputs[i]);
    free(workspace);
    return 0;
}
