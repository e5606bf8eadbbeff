#include "n6_board.h"

#include "baseline_jpeg.h"
#include "n6_bridge.h"

#include <string.h>

enum { ALIGNMENT = 8, MAX_OUTPUTS = 64 };

/* Bytes on the line in one direction. */
struct line {
    uint8_t *bytes;
    int32_t first, count, room;
};

struct n6_board {
    struct n6_bridge bridge;
    struct n6_model_description model;
    struct n6_nn_port nn;
    struct n6_link_port link;
    struct n6_jpeg_port jpeg;
    struct n6_baseline_jpeg decoder;
    struct line in, out;
    int32_t has_reopened, wanted_slot, run_result, num_outputs;
    uint32_t now_us;
    uint8_t *inputs[N6_MAX_CREDIT];
    const void *outputs[N6_MAX_CREDIT][MAX_OUTPUTS];
};

/* ------------------------------------------------------------------------------------------------------------- ports */

static int32_t put(struct line *line, const uint8_t *bytes, int32_t count)
{
    int32_t taken = count < line->room - line->count ? count : line->room - line->count;
    for (int32_t i = 0; i < taken;) {
        int32_t end = (line->first + line->count) % line->room, part = line->room - end;
        part = part < taken - i ? part : taken - i;
        memcpy(line->bytes + end, bytes + i, (size_t)part);
        line->count += part;
        i += part;
    }
    return taken;
}

static int32_t take(struct line *line, uint8_t *bytes, int32_t max_bytes)
{
    int32_t taken = max_bytes < line->count ? max_bytes : line->count;
    for (int32_t i = 0; i < taken;) {
        int32_t part = line->room - line->first;
        part = part < taken - i ? part : taken - i;
        memcpy(bytes + i, line->bytes + line->first, (size_t)part);
        line->first = (line->first + part) % line->room;
        line->count -= part;
        i += part;
    }
    return taken;
}

static int32_t link_read(void *context, uint8_t *bytes, int32_t max_bytes)
{
    struct n6_board *board = context;
    return take(&board->in, bytes, max_bytes);
}

static int32_t link_write(void *context, const uint8_t *bytes, int32_t count)
{
    struct n6_board *board = context;
    return put(&board->out, bytes, count);
}

static int32_t link_has_reopened(void *context)
{
    struct n6_board *board = context;
    int32_t has_reopened = board->has_reopened;
    board->has_reopened = 0;
    return has_reopened;
}

static uint32_t link_now_us(void *context)
{
    const struct n6_board *board = context;
    return board->now_us;
}

static uint8_t *nn_input(void *context, int32_t slot)
{
    struct n6_board *board = context;
    return board->inputs[slot];
}

static int32_t nn_start(void *context, int32_t slot)
{
    struct n6_board *board = context;
    board->wanted_slot = slot;
    return 0;
}

static int32_t nn_step(void *context)
{
    struct n6_board *board = context;
    if (board->wanted_slot >= 0)
        return N6_NN_RUNNING;
    return board->run_result < 0 ? board->run_result : N6_NN_DONE;
}

static const void *const *nn_outputs(void *context, int32_t slot)
{
    struct n6_board *board = context;
    return board->outputs[slot];
}

/* ------------------------------------------------------------------------------------------------------------ memory */

/* Memory that is handed out piece by piece; with NULL it is only added up. */
struct arena {
    uint8_t *memory;
    int64_t used_bytes;
};

static void *get(struct arena *arena, int64_t size_bytes)
{
    void *piece = arena->memory ? arena->memory + arena->used_bytes : NULL;
    arena->used_bytes += (size_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return piece;
}

static int is_between(int64_t value, int64_t low, int64_t high)
{
    return low <= value && value <= high;
}

static int are_arguments_valid(const struct n6_board_options *options, const int64_t *output_bytes, int32_t num_outputs)
{
    for (int32_t i = 0; i < num_outputs && i < MAX_OUTPUTS; i++)
        if (!is_between(output_bytes[i], 1, INT32_MAX))
            return 0;
    return is_between(options->num_slots, 1, N6_MAX_CREDIT) && is_between(num_outputs, 1, MAX_OUTPUTS) &&
           is_between(options->max_instances, 1, UINT16_MAX) &&
           is_between(options->max_jpeg_bytes, 0, N6_MAX_PAYLOAD_BYTES) &&
           is_between(options->max_result_bytes, 1, N6_MAX_PAYLOAD_BYTES) && is_between(options->line_bytes, 1, 1 << 24);
}

/* Hand memory out to all parts of a board. */
static void lay_out(struct arena *arena, struct n6_board *board, struct n6_bridge_setup *setup,
                    const struct n6_model_description *model, const struct n6_board_options *options,
                    const int64_t *output_bytes, int32_t num_outputs)
{
    const struct seg_model *seg = &model->seg;
    int64_t input_bytes = (int64_t)seg->input_width_px * seg->input_height_px * 3;
    setup->workspace = get(arena, setup->workspace_bytes);
    setup->instances = get(arena, (int64_t)sizeof *setup->instances * options->max_instances);
    setup->logits = get(arena, (int64_t)sizeof(float) * seg->prototype_columns * seg->prototype_rows);
    setup->is_class_wanted = get(arena, seg->num_classes);
    setup->jpegs = get(arena, (int64_t)options->max_jpeg_bytes * options->num_slots);
    setup->results = get(arena, (int64_t)options->max_result_bytes * N6_NUM_RESULTS);
    board->in.bytes = get(arena, options->line_bytes);
    board->out.bytes = get(arena, options->line_bytes);
    for (int32_t slot = 0; slot < options->num_slots; slot++) {
        board->inputs[slot] = get(arena, input_bytes);
        for (int32_t i = 0; i < num_outputs; i++)
            board->outputs[slot][i] = get(arena, output_bytes[i]);
    }
}

int64_t n6_board_size(const struct n6_model_description *model, const struct n6_board_options *options,
                      const int64_t *output_bytes, int32_t num_outputs)
{
    if (!are_arguments_valid(options, output_bytes, num_outputs))
        return N6_BAD_SETUP;
    struct n6_board unused;
    struct n6_bridge_setup setup = {.workspace_bytes = seg_workspace_size(&model->seg, options->max_candidates)};
    if (setup.workspace_bytes < 0)
        return N6_BAD_MODEL;
    struct arena arena = {NULL, 0};
    get(&arena, sizeof(struct n6_board));
    lay_out(&arena, &unused, &setup, model, options, output_bytes, num_outputs);
    return arena.used_bytes;
}

int32_t n6_board_init(struct n6_board *board, int64_t size_bytes, const struct n6_model_description *model,
                      const struct n6_board_options *options, const int64_t *output_bytes, int32_t num_outputs)
{
    int64_t needed_bytes = n6_board_size(model, options, output_bytes, num_outputs);
    if (needed_bytes < 0)
        return (int32_t)needed_bytes;
    if (size_bytes < needed_bytes || (uintptr_t)board % ALIGNMENT)
        return N6_BAD_SETUP;
    memset(board, 0, sizeof *board);
    board->model = *model;
    board->wanted_slot = -1;
    board->num_outputs = num_outputs;
    board->in.room = board->out.room = options->line_bytes;
    board->nn = (struct n6_nn_port){board, options->num_slots, nn_input, nn_start, nn_step, nn_outputs};
    board->link = (struct n6_link_port){board, link_read, link_write, link_has_reopened, link_now_us};
    board->jpeg = n6_baseline_jpeg_port(&board->decoder);
    struct n6_bridge_setup setup = {
        .model = &board->model,
        .nn = &board->nn,
        .link = &board->link,
        .jpeg = options->max_jpeg_bytes ? &board->jpeg : NULL,
        .device_name = options->device_name,
        .clock_hz = options->clock_hz,
        .npu_hz = options->npu_hz,
        .workspace_bytes = seg_workspace_size(&model->seg, options->max_candidates),
        .max_candidates = options->max_candidates,
        .max_instances = options->max_instances,
        .max_jpeg_bytes = options->max_jpeg_bytes,
        .max_result_bytes = options->max_result_bytes,
    };
    struct arena arena = {(uint8_t *)board, 0};
    get(&arena, sizeof *board);
    lay_out(&arena, board, &setup, &board->model, options, output_bytes, num_outputs);
    return n6_bridge_init(&board->bridge, &setup);
}

/* -------------------------------------------------------------------------------------------------------------- use */

int32_t n6_board_receive(struct n6_board *board, const uint8_t *bytes, int32_t count)
{
    return put(&board->in, bytes, count);
}

int32_t n6_board_send(struct n6_board *board, uint8_t *bytes, int32_t max_bytes)
{
    return take(&board->out, bytes, max_bytes);
}

int32_t n6_board_poll(struct n6_board *board, uint32_t now_us)
{
    board->now_us = now_us;
    return n6_bridge_poll(&board->bridge);
}

void n6_board_reopen(struct n6_board *board)
{
    board->has_reopened = 1;
    board->in.count = board->out.count = 0;
}

int32_t n6_board_wanted_run(const struct n6_board *board)
{
    return board->wanted_slot;
}

uint8_t *n6_board_input(struct n6_board *board, int32_t slot)
{
    return board->inputs[slot];
}

uint8_t *n6_board_output(struct n6_board *board, int32_t slot, int32_t output)
{
    return (uint8_t *)(uintptr_t)board->outputs[slot][output];
}

void n6_board_end_run(struct n6_board *board, int32_t result)
{
    board->run_result = result;
    board->wanted_slot = -1;
}
