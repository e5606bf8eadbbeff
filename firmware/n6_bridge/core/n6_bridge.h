/* The board's side of the bridge protocol: pictures come in over a line, instances go out. C99, no heap, no globals.
 *
 *   n6_bridge_init   once, with ports, a model's description and memory
 *   n6_bridge_poll   again and again; never waits
 *
 * Two pictures are in flight: one arrives while the network works on the other, and the last result leaves. The caller
 * owns all memory, and calls from one thread.
 */
#ifndef N6_BRIDGE_H
#define N6_BRIDGE_H

#include "answers.h"
#include "checksums.h"
#include "jpeg_port.h"
#include "link_port.h"
#include "nn_port.h"
#include "receiver.h"
#include "results.h"
#include "sender.h"

enum {
    N6_NUM_RESULTS = 2,
    N6_NUM_ERRORS = 4,
    N6_MAX_KEPT_BYTES = N6_CONFIGURE_BYTES + SEG_MAX_CLASSES / 8 /* of a request; PING is shorter */
};

/* Ports, model and memory. All of it must stay where it is. */
struct n6_bridge_setup {
    const struct n6_model_description *model;
    const struct n6_nn_port *nn;
    const struct n6_link_port *link;
    const struct n6_jpeg_port *jpeg; /* NULL: no JPEG */
    const char *device_name;         /* UTF-8, at most N6_MAX_TEXT_BYTES are sent */
    uint32_t clock_hz, npu_hz;       /* 0: unknown */

    struct seg_workspace *workspace; /* seg_workspace_size(model, max_candidates) bytes, aligned to 8 */
    int64_t workspace_bytes;
    int32_t max_candidates;
    struct seg_instance *instances; /* max_instances */
    int32_t max_instances;          /* 1 to 65535, so that their records fit into a result */
    float *logits;                  /* as many as the prototypes' grid has cells */
    uint8_t *is_class_wanted;       /* as many as there are classes */
    uint8_t *jpegs;                 /* max_jpeg_bytes for each slot of the network's port; NULL without JPEG */
    int32_t max_jpeg_bytes;
    uint8_t *results; /* N6_NUM_RESULTS times max_result_bytes, a multiple of 4; room for n6_model_bytes as well */
    int32_t max_result_bytes;
};

enum n6_setup_result {
    N6_SETUP_OK = 0,
    N6_BAD_SETUP = -1, /* a number out of its limits, or memory that is missing or too small */
    N6_BAD_MODEL = -2  /* seg_init refuses the model, or its input is not 8 bits */
};

/* What a slot's input is for; a slot's outputs are pending after a run until they are decoded. */
enum n6_slot_state { N6_FREE, N6_RECEIVING, N6_RECEIVED, N6_PREPARING, N6_PREPARED, N6_IN_NETWORK };

struct n6_slot {
    enum n6_slot_state state;
    int has_outputs;
    uint32_t frame;         /* that the input is for; 0: not known yet, or of a session that has ended */
    uint32_t outputs_frame; /* that the outputs are of; 0 as well */
    enum n6_format format;
    uint16_t sequence;
    int32_t picture_bytes;
    uint32_t mark_us; /* when the current stage began */
    struct n6_times times, outputs_times;
};

/* An error that is still to be sent. */
struct n6_fault {
    struct n6_error error;
    uint16_t session;
    int is_counted; /* 0: about HELLO, or NO_SESSION */
};

enum n6_result_state { N6_RESULT_FREE, N6_RESULT_READY, N6_RESULT_LEAVING };

struct n6_result_buffer {
    enum n6_result_state state;
    enum n6_type type; /* RESULT or MODEL */
    uint32_t frame;    /* 0 of a MODEL */
    int32_t num_bytes;
};

struct n6_bridge {
    struct n6_bridge_setup setup;
    struct n6_crc32_tables tables;
    struct n6_receiver receiver;
    struct n6_sender sender;
    uint8_t input_of_pixel[256];
    struct n6_slot slots[N6_MAX_CREDIT];
    struct n6_result_buffer results[N6_NUM_RESULTS];
    struct n6_fault faults[N6_NUM_ERRORS];
    int32_t num_faults;
    int32_t filling_result, leaving_result; /* indices of the next to be filled and the next to leave */

    uint16_t session, expected_sequence, own_sequence; /* session 0: none */
    uint32_t newest_frame, sent_released;
    int is_configured;
    struct n6_configuration configuration;

    /* The packet that is being received. */
    int is_packet_wanted;
    int32_t receiving_slot; /* -1: none */
    struct n6_error picture_error; /* code 0: none */
    uint8_t picture_head[N6_PICTURE_HEAD_BYTES];
    uint8_t request[N6_MAX_KEPT_BYTES];
    struct n6_header waiting_header;
    int is_configure_waiting; /* until the result at hand is decoded */

    int32_t answer; /* N6_WELCOME, N6_CONFIGURED, N6_PONG or N6_MODEL; 0: none */
    int32_t echo_bytes;
    uint8_t small[N6_STATUS_BYTES + N6_MAX_ECHO_BYTES];

    int32_t preparing_slot, running_slot, decoding_slot; /* -1: none */
    struct n6_result_writer writer;
    uint32_t decoding_began_us;
};

/* Return one of enum n6_setup_result. */
int32_t n6_bridge_init(struct n6_bridge *bridge, const struct n6_bridge_setup *setup);

/* Do what can be done at once. Returns 1 if there was anything to do, 0 if the caller may rest until a byte, an
 * interrupt of the network, or 10 ms have passed. On a board one call takes some milliseconds at most. */
int32_t n6_bridge_poll(struct n6_bridge *bridge);

#endif
