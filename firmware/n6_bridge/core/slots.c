/* The slots of pictures, and what the host is told about them. */
#include "frames.h"

#include <string.h>

uint32_t n6_now_us(const struct n6_bridge *bridge)
{
    return bridge->setup.link->now_us(bridge->setup.link->context);
}

static int32_t num_slots(const struct n6_bridge *bridge)
{
    return bridge->setup.nn->num_slots;
}

/* Lower `answered` so that a pending frame is above it. */
static void count_pending(uint32_t *until, uint32_t frame)
{
    if (frame > 0 && frame - 1 < *until)
        *until = frame - 1;
}

struct n6_status n6_status_of(const struct n6_bridge *bridge)
{
    struct n6_status status = {bridge->newest_frame, bridge->newest_frame};
    for (int32_t i = 0; i < num_slots(bridge); i++) {
        const struct n6_slot *slot = &bridge->slots[i];
        if (slot->state != N6_FREE) {
            count_pending(&status.released, slot->frame);
            count_pending(&status.answered, slot->frame);
        }
        if (slot->has_outputs)
            count_pending(&status.answered, slot->outputs_frame);
    }
    for (int32_t i = 0; i < N6_NUM_RESULTS; i++)
        if (bridge->results[i].state == N6_RESULT_READY)
            count_pending(&status.answered, bridge->results[i].frame);
    /* A picture that is refused is answered when all of it has come. */
    count_pending(&status.answered, bridge->picture_error.frame);
    for (int32_t i = 0; i < bridge->num_faults; i++)
        count_pending(&status.answered, bridge->faults[i].error.frame);
    return status;
}

void n6_add_fault(struct n6_bridge *bridge, struct n6_fault fault)
{
    if (bridge->num_faults == N6_NUM_ERRORS) {
        bridge->num_faults--;
        memmove(bridge->faults, bridge->faults + 1, sizeof fault * (size_t)bridge->num_faults);
    }
    bridge->faults[bridge->num_faults++] = fault;
}

void n6_refuse_picture(struct n6_bridge *bridge, struct n6_error error)
{
    error.request_type = N6_PICTURE;
    n6_add_fault(bridge, (struct n6_fault){error, bridge->session, 1});
}

void n6_give_up_slot(struct n6_bridge *bridge, struct n6_slot *slot, enum n6_error_code code, uint32_t detail)
{
    slot->state = N6_FREE;
    if (slot->frame > 0)
        n6_refuse_picture(bridge, (struct n6_error){.code = code,
                                                 .request_sequence = slot->sequence,
                                                 .frame = slot->frame,
                                                 .detail = detail});
}

void n6_forget_frames(struct n6_bridge *bridge)
{
    for (int32_t i = 0; i < num_slots(bridge); i++) {
        struct n6_slot *slot = &bridge->slots[i];
        slot->frame = 0;
        slot->has_outputs = 0;
        if (slot->state != N6_IN_NETWORK)
            slot->state = N6_FREE;
    }
    for (int32_t i = 0; i < N6_NUM_RESULTS; i++)
        if (bridge->results[i].state == N6_RESULT_READY)
            bridge->results[i].state = N6_RESULT_FREE;
    bridge->leaving_result = bridge->filling_result;
    bridge->num_faults = 0;
    bridge->picture_error = (struct n6_error){0};
    bridge->receiving_slot = bridge->preparing_slot = bridge->decoding_slot = N6_NO_SLOT;
}

int32_t n6_oldest_slot(const struct n6_bridge *bridge, enum n6_slot_state state)
{
    int32_t oldest = N6_NO_SLOT;
    for (int32_t i = 0; i < num_slots(bridge); i++)
        if (bridge->slots[i].state == state &&
            (oldest == N6_NO_SLOT || bridge->slots[i].frame < bridge->slots[oldest].frame))
            oldest = i;
    return oldest;
}
