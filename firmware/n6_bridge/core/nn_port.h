/* What the core needs of a network's runtime. Both of ST's interfaces fit: LL_ATON and stai. */
#ifndef N6_NN_PORT_H
#define N6_NN_PORT_H

#include <stdint.h>

enum n6_nn_state {
    N6_NN_RUNNING = 0, /* nothing to do until an interrupt; or a number below 0: the run failed */
    N6_NN_DONE = 1,
    N6_NN_STEPPED = 2 /* the next step can be done at once */
};

/* A slot is an input buffer together with a set of outputs. With two slots the next picture arrives, and the last outputs
 * are decoded, while the network runs. No function waits.
 *
 * Order: the core writes input(slot), calls start(slot), then step() until it is done, then reads outputs(slot). One run
 * at a time. From `start` to done, only the port touches input(slot) and outputs(slot). Meanwhile the core writes the
 * other slot's input, and reads the other slot's outputs. start(slot) never comes before the core has done with
 * outputs(slot).
 *
 * Cache, of a Cortex-M55 with an NPU that is a bus master of its own:
 *   start   cleans the data cache over input(slot), which the CPU has written, before the NPU starts; and invalidates
 *           outputs(slot), so that no dirty line of theirs is evicted over what the NPU writes.
 *   step    on done, invalidates outputs(slot) before it returns: the core reads them next.
 *   Buffers are aligned to 32 bytes and multiples of 32 long, or neighbours suffer from cleaning and invalidating.
 *   The NPU's own cache matters only for buffers in external memory. Maintenance inside the network is generated
 *   (`--cache-maintenance`).
 *
 * LL_ATON: input(slot) by LL_ATON_Set_User_Input_Buffer_<network>, or one slot at LL_Buffer_addr_start. start does
 * LL_ATON_RT_Reset_Network after the first run; step is one LL_ATON_RT_RunEpochBlock, without LL_ATON_OSAL_WFE:
 * LL_ATON_RT_WFE is N6_NN_RUNNING, LL_ATON_RT_NO_WFE is N6_NN_STEPPED, LL_ATON_RT_DONE is N6_NN_DONE.
 * stai: stai_<network>_set_inputs and _set_outputs; step is stai_<network>_run(STAI_MODE_ASYNC); start calls
 * stai_ext_<network>_new_inference.
 * Inputs and outputs of one's own need `stedgeai generate --no-inputs-allocation --no-outputs-allocation`. Without, they
 * lie among the activations, which the next run overwrites: such a port has one slot.
 */
struct n6_nn_port {
    void *context;
    int32_t num_slots; /* 1 to N6_MAX_CREDIT; 2 are enough */

    /* Return the input tensor: width * height * 3 bytes. */
    uint8_t *(*input)(void *context, int32_t slot);

    /* Start a run. Returns 0, or a number below 0 if it cannot. */
    int32_t (*start)(void *context, int32_t slot);

    /* Go on with the run; takes 0.5 ms at most. Returns one of enum n6_nn_state, or a number below 0. A port that
     * gets no interrupt of the NPU in time returns such a number, rather than N6_NN_RUNNING for ever. */
    int32_t (*step)(void *context);

    /* Return a pointer for each output, in the order of the model's description. */
    const void *const *(*outputs)(void *context, int32_t slot);
};

#endif
