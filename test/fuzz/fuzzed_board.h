/* A board for bridge_fuzzer.c: each piece of memory is allocated for itself, and bytes of the input are in the outputs. */
#ifndef FUZZED_BOARD_H
#define FUZZED_BOARD_H

#include "baseline_jpeg.h"
#include "bytes.h"
#include "n6_bridge.h"

#include <stdlib.h>

enum {
    SIDE_PX = 32,
    INPUT_BYTES = SIDE_PX * SIDE_PX * 3,
    NUM_CLASSES = 3,
    BINS = 4,
    COEFFICIENTS = 4,
    LEVELS = 3,
    GRID = SIDE_PX / 4,
    NUM_OUTPUTS = 3 * LEVELS + 1,
    NUM_SLOTS = 2,
    MAX_CANDIDATES = 64,
    MAX_INSTANCES = 16,
    MAX_JPEG_BYTES = 2000,
    MAX_RESULT_BYTES = 1500,
    MAX_LINE_BYTES = 1 << 16,
    MAX_FRAMES = 256
};

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

/* ------------------------------------------------------------------------------------------------------------- input */

struct input {
    const uint8_t *data;
    size_t size, at;
};

static uint8_t next_byte(struct input *input)
{
    return input->at < input->size ? input->data[input->at++] : 0;
}

static uint16_t next_u16(struct input *input)
{
    uint16_t low = next_byte(input);
    return (uint16_t)(low | next_byte(input) << 8);
}

/* Copy up to `count` bytes of the input; return how many there were. */
static int32_t next_bytes(struct input *input, uint8_t *bytes, int32_t count)
{
    int32_t taken = 0;
    while (taken < count && input->at < input->size)
        bytes[taken++] = input->data[input->at++];
    return taken;
}

/* ------------------------------------------------------------------------------------------------------------- board */

struct board {
    struct n6_bridge *bridge;
    struct n6_model_description model;
    struct n6_nn_port nn;
    struct n6_link_port link;
    struct n6_jpeg_port jpeg;
    struct n6_baseline_jpeg *decoder;
    uint8_t *inputs[NUM_SLOTS];
    uint8_t *outputs[NUM_SLOTS][NUM_OUTPUTS];
    const void *pointers[NUM_SLOTS][NUM_OUTPUTS];
    int64_t output_bytes[NUM_OUTPUTS];

    uint8_t line[MAX_LINE_BYTES];
    int32_t first, end, write_room, has_reopened, has_lost, running_slot, run_result;
    uint32_t now_us;
    struct input *input;

    /* What comes from the core. */
    struct n6_crc32_tables tables;
    uint8_t sent[MAX_LINE_BYTES];
    int32_t num_sent;
    uint16_t session, next_sequence;
    uint32_t released, answered;
    uint8_t is_answered[MAX_FRAMES];
};

static int32_t link_read(void *context, uint8_t *bytes, int32_t max_bytes)
{
    struct board *board = context;
    int32_t count = board->end - board->first < max_bytes ? board->end - board->first : max_bytes;
    memcpy(bytes, board->line + board->first, (size_t)count);
    board->first += count;
    return count;
}

static int32_t link_write(void *context, const uint8_t *bytes, int32_t count)
{
    struct board *board = context;
    count = count < board->write_room ? count : board->write_room;
    CHECK(board->num_sent + count <= MAX_LINE_BYTES);
    memcpy(board->sent + board->num_sent, bytes, (size_t)count);
    board->num_sent += count;
    return count;
}

static int32_t link_has_reopened(void *context)
{
    struct board *board = context;
    int32_t has_reopened = board->has_reopened;
    board->has_reopened = 0;
    return has_reopened;
}

static uint32_t link_now_us(void *context)
{
    return ((struct board *)context)->now_us;
}

static uint8_t *nn_input(void *context, int32_t slot)
{
    return ((struct board *)context)->inputs[slot];
}

static int32_t nn_start(void *context, int32_t slot)
{
    struct board *board = context;
    CHECK(board->running_slot < 0);
    if (board->run_result == -2)
        return -2;
    board->running_slot = slot;
    return 0;
}

static int32_t nn_step(void *context)
{
    struct board *board = context;
    CHECK(board->running_slot >= 0);
    if (board->run_result == 0)
        return N6_NN_RUNNING;
    for (int32_t i = 0; board->run_result == N6_NN_DONE && i < NUM_OUTPUTS; i++)
        for (int64_t k = 0; k < board->output_bytes[i]; k++)
            board->outputs[board->running_slot][i][k] = (uint8_t)(k % 7 == 0 ? next_byte(board->input) : k * 37);
    board->running_slot = -1;
    return board->run_result;
}

static const void *const *nn_outputs(void *context, int32_t slot)
{
    struct board *board = context;
    CHECK(board->running_slot != slot);
    return board->pointers[slot];
}

static struct seg_part part(int32_t output, int32_t channels)
{
    return (struct seg_part){
        .output = output, .channel_step = 1, .anchor_step = channels, .quant = {SEG_INT8, 0.1f, -20}};
}

static void describe_model(struct board *board)
{
    static const char *const CLASS_NAMES[] = {"a", "", "\xc3\xa4"};
    struct seg_model *model = &board->model.seg;
    *model = (struct seg_model){SIDE_PX, SIDE_PX, NUM_CLASSES, COEFFICIENTS, BINS, LEVELS, {{0}}, {0}, GRID, GRID};
    for (int32_t i = 0; i < LEVELS; i++) {
        int32_t stride_px = 8 << i, side = SIDE_PX / stride_px;
        model->levels[i] = (struct seg_level){part(3 * i, 4 * BINS), part(3 * i + 1, NUM_CLASSES),
                                              part(3 * i + 2, COEFFICIENTS), stride_px, side, side};
        board->output_bytes[3 * i] = 4 * BINS * side * side;
        board->output_bytes[3 * i + 1] = NUM_CLASSES * side * side;
        board->output_bytes[3 * i + 2] = COEFFICIENTS * side * side;
    }
    model->prototypes = part(NUM_OUTPUTS - 1, COEFFICIENTS);
    board->output_bytes[NUM_OUTPUTS - 1] = COEFFICIENTS * GRID * GRID;
    board->model.input = (struct seg_quant){SEG_INT8, 1 / 255.0f, -128};
    board->model.name = "fuzzed";
    board->model.class_names = CLASS_NAMES;
}

static void make_board(struct board *board, struct input *input, int has_jpeg)
{
    describe_model(board);
    board->input = input;
    board->running_slot = -1;
    board->decoder = malloc(sizeof *board->decoder);
    board->bridge = malloc(sizeof *board->bridge);
    for (int32_t slot = 0; slot < NUM_SLOTS; slot++) {
        board->inputs[slot] = malloc(INPUT_BYTES);
        for (int32_t i = 0; i < NUM_OUTPUTS; i++)
            board->pointers[slot][i] = board->outputs[slot][i] = calloc(1, (size_t)board->output_bytes[i]);
    }
    board->nn = (struct n6_nn_port){board, NUM_SLOTS, nn_input, nn_start, nn_step, nn_outputs};
    board->link = (struct n6_link_port){board, link_read, link_write, link_has_reopened, link_now_us};
    board->jpeg = n6_baseline_jpeg_port(board->decoder);
    n6_crc32_init(&board->tables);
    struct n6_bridge_setup setup = {
        .model = &board->model,
        .nn = &board->nn,
        .link = &board->link,
        .jpeg = has_jpeg ? &board->jpeg : NULL,
        .device_name = "fuzzed board",
        .workspace_bytes = seg_workspace_size(&board->model.seg, MAX_CANDIDATES),
        .max_candidates = MAX_CANDIDATES,
        .instances = malloc(MAX_INSTANCES * sizeof(struct seg_instance)),
        .max_instances = MAX_INSTANCES,
        .logits = malloc(GRID * GRID * sizeof(float)),
        .is_class_wanted = malloc(NUM_CLASSES),
        .jpegs = malloc(NUM_SLOTS * MAX_JPEG_BYTES),
        .max_jpeg_bytes = has_jpeg ? MAX_JPEG_BYTES : 0,
        .results = malloc(N6_NUM_RESULTS * MAX_RESULT_BYTES),
        .max_result_bytes = MAX_RESULT_BYTES,
    };
    setup.workspace = malloc((size_t)setup.workspace_bytes);
    CHECK(n6_bridge_init(board->bridge, &setup) == N6_SETUP_OK);
}

static void free_board(struct board *board)
{
    const struct n6_bridge_setup *setup = &board->bridge->setup;
    free(setup->workspace);
    free(setup->instances);
    free(setup->logits);
    free(setup->is_class_wanted);
    free(setup->jpegs);
    free(setup->results);
    for (int32_t slot = 0; slot < NUM_SLOTS; slot++) {
        free(board->inputs[slot]);
        for (int32_t i = 0; i < NUM_OUTPUTS; i++)
            free(board->outputs[slot][i]);
    }
    free(board->decoder);
    free(board->bridge);
}

#endif
