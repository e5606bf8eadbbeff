/* The bridge in ST's project NPU_Validation, in place of its validation.
 *
 * ST's main sets the board up: clocks, voltages, external memory, NPU, console. Then it calls aiValidationInit and, for
 * ever, aiValidationProcess. The linker leads both here (--wrap), so none of ST's files is changed; ST's loader finds its
 * breakpoint in aiValidationInit, which is still called. Not yet run on a board.
 */
#include "baseline_jpeg.h"
#include "board_ports.h"
#include "described_model.h"
#include "n6_bridge.h"
#include "stm32n6xx_hal.h"

#include <stdio.h>

enum {
    MAX_CANDIDATES = 2048,
    MAX_INSTANCES = 100,
    MAX_CLASSES = 1000,
    MAX_JPEG_BYTES = 48 << 10,
    MAX_RESULT_BYTES = 48 << 10,
    /* HCONF1, and its bits that let VDDIO2 and VDDIO3 be fast at 1.8 V. */
    FUSE_WORD = 124,
    STOP_PAUSE_MS = 2000
};

static const uint32_t FUSE_BITS = 3u << 15;

int __real_aiValidationInit(void);
int __wrap_aiValidationInit(void);
int __wrap_aiValidationProcess(void);
void __wrap_fuse_vddio(void);

void n6_board_stop(const char *reason)
{
    for (;;) {
        printf("bridge: %s\r\n", reason);
        HAL_Delay(STOP_PAUSE_MS);
    }
}

uint32_t n6_board_now_us(void *context)
{
    static uint32_t last_cycles, cycles, now_us;
    uint32_t count = DWT->CYCCNT, cycles_per_us = SystemCoreClock / 1000000u;
    (void)context;
    cycles += count - last_cycles;
    last_cycles = count;
    now_us += cycles / cycles_per_us;
    cycles %= cycles_per_us;
    return now_us;
}

void *n6_board_memory(int32_t size_bytes)
{
    static int32_t used_bytes;
    uint8_t *piece = (uint8_t *)N6_WORK_START + used_bytes;
    used_bytes += (size_bytes + N6_CACHE_LINE_BYTES - 1) / N6_CACHE_LINE_BYTES * N6_CACHE_LINE_BYTES;
    if (used_bytes > N6_WORK_BYTES)
        n6_board_stop("N6_WORK_BYTES is too small for this model");
    return piece;
}

/* ST's project burns fuses here, which cannot be undone. This firmware never does. */
void __wrap_fuse_vddio(void)
{
}

int __wrap_aiValidationInit(void)
{
    int result = __real_aiValidationInit();
    if ((BSEC->FVRw[FUSE_WORD] & FUSE_BITS) != FUSE_BITS)
        n6_board_stop("fuses 15 and 16 of OTP word 124 are not set: external memory is unreliable at this speed");
    return result;
}

static void start_clock(void)
{
    CoreDebug->DEMCR |= CoreDebug_DEMCR_TRCENA_Msk;
    DWT->CYCCNT = 0;
    DWT->CTRL |= DWT_CTRL_CYCCNTENA_Msk;
}

int __wrap_aiValidationProcess(void)
{
    static struct n6_bridge bridge;
    static struct n6_baseline_jpeg decoder;
    static struct seg_instance instances[MAX_INSTANCES];
    static uint8_t is_class_wanted[MAX_CLASSES], jpegs[N6_SLOTS * MAX_JPEG_BYTES];
    static uint8_t results[N6_NUM_RESULTS * MAX_RESULT_BYTES];
    const struct seg_model *model = &n6_model.seg;
    const struct n6_jpeg_port jpeg = n6_baseline_jpeg_port(&decoder);
    int64_t workspace_bytes = seg_workspace_size(model, MAX_CANDIDATES);
    start_clock();
    if (workspace_bytes < 0 || model->num_classes > MAX_CLASSES)
        n6_board_stop("the model is beyond the limits");
    const struct n6_bridge_setup setup = {
        .model = &n6_model,
        .nn = n6_board_network(),
        .link = n6_board_link(),
        .jpeg = &jpeg,
        .device_name = "STM32N6570-DK",
        .clock_hz = SystemCoreClock,
        .workspace = n6_board_memory((int32_t)workspace_bytes),
        .workspace_bytes = workspace_bytes,
        .max_candidates = MAX_CANDIDATES,
        .instances = instances,
        .max_instances = MAX_INSTANCES,
        .logits = n6_board_memory((int32_t)sizeof(float) * model->prototype_columns * model->prototype_rows),
        .is_class_wanted = is_class_wanted,
        .jpegs = jpegs,
        .max_jpeg_bytes = MAX_JPEG_BYTES,
        .results = results,
        .max_result_bytes = MAX_RESULT_BYTES,
    };
    if (n6_bridge_init(&bridge, &setup) != N6_SETUP_OK)
        n6_board_stop("the model does not fit the firmware's memory");
    for (;;)
        n6_bridge_poll(&bridge);
}
