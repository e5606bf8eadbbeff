/* From a network's input to a result. */
#include "frames.h"

/* ---------------------------------------------------------------------------------------------------------- network */

static void start_network(struct n6_bridge *bridge, int32_t index)
{
    const struct n6_nn_port *nn = bridge->setup.nn;
    struct n6_slot *slot = &bridge->slots[index];
    uint32_t now_us = n6_now_us(bridge);
    slot->times.wait_us = now_us - slot->mark_us;
    slot->mark_us = now_us;
    int32_t result = nn->start(nn->context, index);
    if (result < 0) {
        n6_give_up_slot(bridge, slot, N6_NETWORK_FAILED, (uint32_t)-result);
        return;
    }
    slot->state = N6_IN_NETWORK;
    bridge->running_slot = index;
}

static void end_network(struct n6_bridge *bridge, struct n6_slot *slot)
{
    bridge->running_slot = N6_NO_SLOT;
    slot->state = N6_FREE;
    if (slot->frame == 0)
        return;
    slot->times.inference_us = n6_now_us(bridge) - slot->mark_us;
    slot->has_outputs = 1;
    slot->outputs_frame = slot->frame;
    slot->outputs_times = slot->times;
}

int n6_run_network(struct n6_bridge *bridge)
{
    const struct n6_nn_port *nn = bridge->setup.nn;
    if (bridge->running_slot == N6_NO_SLOT) {
        int32_t index = n6_oldest_slot(bridge, N6_PREPARED);
        if (index == N6_NO_SLOT || bridge->slots[index].has_outputs)
            return 0;
        start_network(bridge, index);
        return 1;
    }
    struct n6_slot *slot = &bridge->slots[bridge->running_slot];
    int32_t state = nn->step(nn->context);
    if (state == N6_NN_DONE) {
        end_network(bridge, slot);
    } else if (state < 0) {
        bridge->running_slot = N6_NO_SLOT;
        n6_give_up_slot(bridge, slot, N6_NETWORK_FAILED, (uint32_t)-state);
    }
    return state != N6_NN_RUNNING;
}

/* --------------------------------------------------------------------------------------------------------- decoding */

static int32_t oldest_outputs(const struct n6_bridge *bridge)
{
    int32_t oldest = N6_NO_SLOT;
    for (int32_t i = 0; i < bridge->setup.nn->num_slots; i++)
        if (bridge->slots[i].has_outputs &&
            (oldest == N6_NO_SLOT || bridge->slots[i].outputs_frame < bridge->slots[oldest].outputs_frame))
            oldest = i;
    return oldest;
}

static const void *const *outputs_of(const struct n6_bridge *bridge, int32_t slot)
{
    return bridge->setup.nn->outputs(bridge->setup.nn->context, slot);
}

/* Hand a filled result buffer on to be sent. */
static void pass_on(struct n6_bridge *bridge, enum n6_type type, uint32_t frame, int32_t num_bytes)
{
    bridge->results[bridge->filling_result] = (struct n6_result_buffer){N6_RESULT_READY, type, frame, num_bytes};
    bridge->filling_result = (bridge->filling_result + 1) % N6_NUM_RESULTS;
}

static void begin_decoding(struct n6_bridge *bridge, int32_t slot, uint8_t *payload)
{
    const struct n6_bridge_setup *setup = &bridge->setup;
    bridge->decoding_slot = slot;
    bridge->decoding_began_us = n6_now_us(bridge);
    /* The options were checked when they came. */
    int32_t count =
        seg_decode(setup->workspace, outputs_of(bridge, slot), &bridge->configuration.options, setup->instances);
    n6_begin_result(&bridge->writer, payload, setup->max_result_bytes, setup->instances, count);
}

static void add_next_mask(struct n6_bridge *bridge)
{
    const struct n6_bridge_setup *setup = &bridge->setup;
    const struct seg_model *model = &setup->model->seg;
    const struct seg_grid grid = {model->input_width_px, model->input_height_px, model->prototype_columns,
                                  model->prototype_rows};
    n6_add_mask(&bridge->writer, setup->workspace, outputs_of(bridge, bridge->decoding_slot), &grid,
                &bridge->configuration, &setup->instances[bridge->writer.num_masks], setup->logits);
}

static void end_decoding(struct n6_bridge *bridge)
{
    struct n6_slot *slot = &bridge->slots[bridge->decoding_slot];
    slot->outputs_times.decode_us = n6_now_us(bridge) - bridge->decoding_began_us;
    slot->has_outputs = 0;
    bridge->decoding_slot = N6_NO_SLOT;
    pass_on(bridge, N6_RESULT, slot->outputs_frame,
            n6_end_result(&bridge->writer, slot->outputs_frame, bridge->configuration.number, &slot->outputs_times));
}

int n6_decode(struct n6_bridge *bridge)
{
    if (bridge->decoding_slot != N6_NO_SLOT) {
        if (bridge->configuration.masks == N6_NO_MASKS || bridge->writer.num_masks == bridge->writer.num_instances)
            end_decoding(bridge);
        else
            add_next_mask(bridge);
        return 1;
    }
    int32_t slot = oldest_outputs(bridge);
    if (bridge->results[bridge->filling_result].state != N6_RESULT_FREE ||
        (slot == N6_NO_SLOT && bridge->answer != N6_MODEL))
        return 0;
    uint8_t *payload = bridge->setup.results + bridge->filling_result * bridge->setup.max_result_bytes;
    if (bridge->answer == N6_MODEL) {
        bridge->answer = 0;
        pass_on(bridge, N6_MODEL, 0, n6_write_model(payload, bridge->setup.model));
    } else {
        begin_decoding(bridge, slot, payload);
    }
    return 1;
}
