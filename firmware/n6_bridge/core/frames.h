/* The way of a picture through the bridge: received, prepared, run, decoded. Used by the core alone. */
#ifndef N6_FRAMES_H
#define N6_FRAMES_H

#include "n6_bridge.h"

enum { N6_NO_SLOT = -1 };

uint32_t n6_now_us(const struct n6_bridge *bridge);

/* Return the status of a packet that is sent now. */
struct n6_status n6_status_of(const struct n6_bridge *bridge);

/* Queue an error; the oldest is dropped where there are too many. */
void n6_add_fault(struct n6_bridge *bridge, struct n6_fault fault);

void n6_refuse_picture(struct n6_bridge *bridge, struct n6_error error);

/* Free a slot whose picture comes to nothing, and say why. */
void n6_give_up_slot(struct n6_bridge *bridge, struct n6_slot *slot, enum n6_error_code code, uint32_t detail);

/* Return the slot in a state that has the oldest frame, or N6_NO_SLOT. */
int32_t n6_oldest_slot(const struct n6_bridge *bridge, enum n6_slot_state state);

/* Drop all pictures and results; a run of the network goes on, its outputs will be dropped. */
void n6_forget_frames(struct n6_bridge *bridge);

/* A PICTURE comes in: its header, its chunks, its end. */
void n6_picture_begins(struct n6_bridge *bridge, const struct n6_header *header);
void n6_picture_chunk(struct n6_bridge *bridge, const struct n6_event *event);
void n6_picture_is_whole(struct n6_bridge *bridge);
void n6_picture_is_broken(struct n6_bridge *bridge);

/* Do what can be done at once in each stage; return whether there was anything to do. */
int n6_prepare(struct n6_bridge *bridge);
int n6_run_network(struct n6_bridge *bridge);
int n6_decode(struct n6_bridge *bridge);

#endif
