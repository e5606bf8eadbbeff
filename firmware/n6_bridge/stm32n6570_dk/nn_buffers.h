/* What both of ST's runtime interfaces need of the slots' buffers. Included by one file of a program: nn_ll_aton.c or
 * nn_stai.c. Not yet run on a board. */
#ifndef NN_BUFFERS_H
#define NN_BUFFERS_H

#include "board_ports.h"
#include "described_model.h"

#include "ll_aton_caches_interface.h"
#include "stm32n6xx_hal.h"

enum { RUN_LIMIT_MS = 2000, TIMED_OUT = -1, BAD_BUFFER = -2 };

struct network {
    uint8_t *inputs[N6_SLOTS];
    const void *outputs[N6_SLOTS][N6_MAX_OUTPUTS];
    int32_t slot;
    uint32_t started_ms;
};

static int32_t input_bytes(void)
{
    return n6_model.seg.input_width_px * n6_model.seg.input_height_px * 3;
}

static uint8_t *input(void *context, int32_t slot)
{
    return ((struct network *)context)->inputs[slot];
}

static const void *const *outputs(void *context, int32_t slot)
{
    return ((struct network *)context)->outputs[slot];
}

static void invalidate_outputs(const struct network *network)
{
    for (int32_t i = 0; i < n6_num_outputs; i++)
        LL_ATON_Cache_MCU_Invalidate_Range((uintptr_t)network->outputs[network->slot][i], (uint32_t)n6_output_bytes[i]);
}

/* Note the start of a slot's inference, and make its input and outputs ready for the NPU, which does not see the caches. */
static void begin(struct network *network, int32_t slot)
{
    network->slot = slot;
    network->started_ms = HAL_GetTick();
    LL_ATON_Cache_MCU_Clean_Range((uintptr_t)network->inputs[slot], (uint32_t)input_bytes());
    invalidate_outputs(network);
}

static int is_late(const struct network *network)
{
    return HAL_GetTick() - network->started_ms > RUN_LIMIT_MS;
}

#endif
