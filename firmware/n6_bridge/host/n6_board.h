/* A board without hardware: the firmware's core with a line of bytes in memory, and a network that the caller runs.
 *
 *   n6_board_init                             once
 *   n6_board_receive, _poll, _send            bytes in, work, bytes out; again and again
 *   n6_board_wanted_run, _input, _output, _end_run   when the core wants the network to run
 *
 * All calls from one thread, except that between n6_board_wanted_run and n6_board_end_run another thread may read the
 * slot's input and write its outputs.
 * This file is also read by cffi, which knows no preprocessor.
 */
#ifndef N6_BOARD_H
#define N6_BOARD_H

#include "model_description.h"

struct n6_board_options {
    const char *device_name;
    uint32_t clock_hz, npu_hz; /* 0: unknown */
    int32_t num_slots;         /* pictures in flight, 1 to 16 */
    int32_t max_candidates, max_instances;
    int32_t max_jpeg_bytes;   /* 0: no JPEG */
    int32_t max_result_bytes; /* of a result without masks left out */
    int32_t line_bytes;       /* that the line holds in each direction, 1 or more */
};

struct n6_board;

/* Return the memory that a board needs, or a number below 0: a model, options or outputs that are refused.
 * output_bytes: the size of each of the network's outputs. */
int64_t n6_board_size(const struct n6_model_description *model, const struct n6_board_options *options,
                      const int64_t *output_bytes, int32_t num_outputs);

/* Make a board in memory of n6_board_size bytes, aligned to 8. Names and class names must stay where they are. Returns 0
 * or a number below 0. */
int32_t n6_board_init(struct n6_board *board, int64_t size_bytes, const struct n6_model_description *model,
                      const struct n6_board_options *options, const int64_t *output_bytes, int32_t num_outputs);

/* Put bytes of the host on the line; returns how many it had room for. */
int32_t n6_board_receive(struct n6_board *board, const uint8_t *bytes, int32_t count);

/* Take bytes for the host from the line; returns how many there were. */
int32_t n6_board_send(struct n6_board *board, uint8_t *bytes, int32_t max_bytes);

/* Do a piece of work; returns 1 if there may be more, 0 if nothing is to be done until bytes come, the line has room, a
 * run ends, or 10 ms have passed. now_us: counts up and wraps; the board's times are measured by it. */
int32_t n6_board_poll(struct n6_board *board, uint32_t now_us);

/* Tell the board that the host has opened its port anew. */
void n6_board_reopen(struct n6_board *board);

/* Return the slot whose input the network is to run on, or -1. */
int32_t n6_board_wanted_run(const struct n6_board *board);

uint8_t *n6_board_input(struct n6_board *board, int32_t slot);

uint8_t *n6_board_output(struct n6_board *board, int32_t slot, int32_t output);

/* End the wanted run. result: 0, or below 0 if the network failed. */
void n6_board_end_run(struct n6_board *board, int32_t result);

#endif
