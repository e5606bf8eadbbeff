/* The bridge on a Cortex-M55 without NPU, in QEMU: a network that knows the outputs for some pictures. */
#include "baseline_jpeg.h"
#include "described_model.h"
#include "n6_bridge.h"
#include "recording.h"

#include <stddef.h>

enum {
    NUM_SLOTS = 2,
    MAX_OUTPUTS = 32,
    MAX_CANDIDATES = 2048,
    MAX_INSTANCES = 100,
    MAX_JPEG_BYTES = 64 << 10,
    MAX_RESULT_BYTES = 128 << 10,
    CLOCK_HZ = 32000000,
    TICKS_PER_US = 32,
    UNKNOWN_PICTURE = -1
};

extern uint8_t work_start[], work_end[];

/* ------------------------------------------------------------------------------------------------------------- UART0 */

struct uart {
    volatile uint32_t data, state, control, interrupts, divisor;
};

enum { TX_FULL = 1, RX_FULL = 2, TX_RX_ON = 3, SMALLEST_DIVISOR = 16 };

static struct uart *const UART0 = (struct uart *)0x49303000;

static int32_t link_read(void *context, uint8_t *bytes, int32_t max_bytes)
{
    int32_t count = 0;
    (void)context;
    while (count < max_bytes && UART0->state & RX_FULL)
        bytes[count++] = (uint8_t)UART0->data;
    return count;
}

static int32_t link_write(void *context, const uint8_t *bytes, int32_t count)
{
    int32_t taken = 0;
    (void)context;
    while (taken < count && !(UART0->state & TX_FULL))
        UART0->data = bytes[taken++];
    return taken;
}

/* -------------------------------------------------------------------------------------------------------------- time */

struct systick {
    volatile uint32_t control, reload, value;
};

static struct systick *const SYSTICK = (struct systick *)0xE000E010;

struct clock {
    uint32_t last_value, ticks, now_us;
};

/* The counter has 24 bits and counts down: it must be read each half second. */
static uint32_t now_us(void *context)
{
    struct clock *clock = context;
    uint32_t value = SYSTICK->value;
    clock->ticks += (clock->last_value - value) & 0xFFFFFF;
    clock->last_value = value;
    clock->now_us += clock->ticks / TICKS_PER_US;
    clock->ticks %= TICKS_PER_US;
    return clock->now_us;
}

/* ----------------------------------------------------------------------------------------------------------- network */

struct network {
    struct n6_crc32_tables tables;
    uint8_t *inputs[NUM_SLOTS];
    const void *outputs[NUM_SLOTS][MAX_OUTPUTS];
};

static int32_t input_bytes(void)
{
    return n6_model.seg.input_width_px * n6_model.seg.input_height_px * 3;
}

static uint8_t *nn_input(void *context, int32_t slot)
{
    return ((struct network *)context)->inputs[slot];
}

static int32_t nn_start(void *context, int32_t slot)
{
    struct network *network = context;
    const uint8_t *recorded = n6_recorded_outputs;
    uint32_t crc = n6_crc32(&network->tables, network->inputs[slot], input_bytes(), 0);
    for (int32_t picture = 0; picture < n6_num_recordings; picture++)
        for (int32_t i = 0; i < n6_num_outputs; i++, recorded += (n6_output_bytes[i - 1] + 7) & ~7) {
            if (n6_recorded_crcs[picture] == crc)
                network->outputs[slot][i] = recorded;
            if (n6_recorded_crcs[picture] == crc && i == n6_num_outputs - 1)
                return 0;
        }
    return UNKNOWN_PICTURE;
}

static int32_t nn_step(void *context)
{
    (void)context;
    return N6_NN_DONE;
}

static const void *const *nn_outputs(void *context, int32_t slot)
{
    return ((struct network *)context)->outputs[slot];
}

/* ------------------------------------------------------------------------------------------------------------- setup */

/* Hand out a piece of the work memory, or stop. */
static void *get(uint8_t **free_memory, int64_t size_bytes)
{
    void *piece = *free_memory;
    if (size_bytes > work_end - *free_memory)
        for (;;)
            continue;
    *free_memory += (size_bytes + 7) / 8 * 8;
    return piece;
}

int main(void)
{
    static struct n6_bridge bridge;
    static struct n6_baseline_jpeg decoder;
    static struct network network;
    static struct clock clock;
    uint8_t *free_memory = work_start;
    const struct seg_model *model = &n6_model.seg;

    UART0->divisor = SMALLEST_DIVISOR;
    UART0->control = TX_RX_ON;
    SYSTICK->reload = 0xFFFFFF;
    SYSTICK->value = 0;
    SYSTICK->control = 5;
    n6_crc32_init(&network.tables);
    for (int32_t slot = 0; slot < NUM_SLOTS; slot++)
        network.inputs[slot] = get(&free_memory, input_bytes());

    const struct n6_nn_port nn = {&network, NUM_SLOTS, nn_input, nn_start, nn_step, nn_outputs};
    const struct n6_link_port link = {&clock, link_read, link_write, NULL, now_us};
    const struct n6_jpeg_port jpeg = n6_baseline_jpeg_port(&decoder);
    int64_t workspace_bytes = seg_workspace_size(model, MAX_CANDIDATES);
    const struct n6_bridge_setup setup = {
        .model = &n6_model,
        .nn = &nn,
        .link = &link,
        .jpeg = &jpeg,
        .device_name = "MPS3 AN547",
        .clock_hz = CLOCK_HZ,
        .workspace = get(&free_memory, workspace_bytes),
        .workspace_bytes = workspace_bytes,
        .max_candidates = MAX_CANDIDATES,
        .instances = get(&free_memory, MAX_INSTANCES * sizeof(struct seg_instance)),
        .max_instances = MAX_INSTANCES,
        .logits = get(&free_memory, (int64_t)sizeof(float) * model->prototype_columns * model->prototype_rows),
        .is_class_wanted = get(&free_memory, model->num_classes),
        .jpegs = get(&free_memory, NUM_SLOTS * MAX_JPEG_BYTES),
        .max_jpeg_bytes = MAX_JPEG_BYTES,
        .results = get(&free_memory, N6_NUM_RESULTS * MAX_RESULT_BYTES),
        .max_result_bytes = MAX_RESULT_BYTES,
    };
    static const uint8_t BOOT_TEXT[] = "bridge firmware on MPS3 AN547\r\n";
    for (int32_t sent = 0; sent < (int32_t)sizeof BOOT_TEXT - 1;)
        sent += link_write(NULL, BOOT_TEXT + sent, (int32_t)sizeof BOOT_TEXT - 1 - sent);
    if (n6_bridge_init(&bridge, &setup) != N6_SETUP_OK)
        return 1;
    for (;;)
        n6_bridge_poll(&bridge);
}
