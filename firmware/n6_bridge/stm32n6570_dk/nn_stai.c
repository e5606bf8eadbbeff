/* The network by ST's stai interface (ST Edge AI 3.0). Not yet run on a board.
 *
 * Built for a network that was generated with the name N6_NETWORK, `network` if nothing else is said.
 */
#include "nn_buffers.h"

#include "stai.h"

#include N6_NETWORK_HEADER

#ifndef N6_NETWORK
#define N6_NETWORK network
#endif
#define NAMED(before, network, after) NAMED_(before, network, after)
#define NAMED_(before, network, after) before##network##after

enum { FAILED = -3 };

STAI_NETWORK_CONTEXT_DECLARE(network_context, N6_CONTEXT_SIZE)

/* Give the runtime the slot's buffers; return whether it takes them. */
static int set_buffers(struct network *network)
{
    int32_t slot = network->slot;
    stai_ptr pointers[N6_MAX_OUTPUTS];
    if (N6_SLOTS == 1)
        return 1;
    for (int32_t i = 0; i < n6_num_outputs; i++)
        pointers[i] = (stai_ptr)(uintptr_t)network->outputs[slot][i];
    return NAMED(stai_, N6_NETWORK, _set_inputs)(network_context, &network->inputs[slot], 1) == STAI_SUCCESS &&
           NAMED(stai_, N6_NETWORK, _set_outputs)(network_context, pointers, (stai_size)n6_num_outputs) == STAI_SUCCESS;
}

static int32_t start(void *context, int32_t slot)
{
    struct network *network = context;
    begin(network, slot);
    return set_buffers(network) ? 0 : BAD_BUFFER;
}

static int32_t step(void *context)
{
    const struct network *network = context;
    stai_return_code result = NAMED(stai_, N6_NETWORK, _run)(network_context, STAI_MODE_ASYNC);
    if (result == STAI_DONE) {
        invalidate_outputs(network);
        return NAMED(stai_ext_, N6_NETWORK, _new_inference)(network_context) == STAI_SUCCESS ? N6_NN_DONE : FAILED;
    }
    if (result != STAI_RUNNING_WFE && result != STAI_RUNNING_NO_WFE)
        return FAILED;
    if (is_late(network))
        return TIMED_OUT;
    return result == STAI_RUNNING_WFE ? N6_NN_RUNNING : N6_NN_STEPPED;
}

/* Find the buffers that the runtime has allocated, which serve one slot. */
static void find_buffers(struct network *network)
{
    stai_ptr pointers[N6_MAX_OUTPUTS];
    stai_size num_inputs = 1, num_outputs = N6_MAX_OUTPUTS;
    if (NAMED(stai_, N6_NETWORK, _get_inputs)(network_context, network->inputs, &num_inputs) != STAI_SUCCESS ||
        NAMED(stai_, N6_NETWORK, _get_outputs)(network_context, pointers, &num_outputs) != STAI_SUCCESS ||
        num_inputs != 1 || (int32_t)num_outputs != n6_num_outputs)
        n6_board_stop("the network's inputs and outputs are not those of the described model");
    for (int32_t i = 0; i < n6_num_outputs; i++)
        network->outputs[0][i] = pointers[i];
}

static void allocate_buffers(struct network *network)
{
    for (int32_t slot = 0; slot < N6_SLOTS; slot++) {
        network->inputs[slot] = n6_board_memory(input_bytes());
        for (int32_t i = 0; i < n6_num_outputs; i++)
            network->outputs[slot][i] = n6_board_memory(n6_output_bytes[i]);
    }
}

const struct n6_nn_port *n6_board_network(void)
{
    static struct network network;
    static const struct n6_nn_port PORT = {&network, N6_SLOTS, input, start, step, outputs};
    if (stai_runtime_init() != STAI_SUCCESS || NAMED(stai_, N6_NETWORK, _init)(network_context) != STAI_SUCCESS)
        n6_board_stop("the network's runtime does not start");
    if (N6_SLOTS == 1)
        find_buffers(&network);
    else
        allocate_buffers(&network);
    return &PORT;
}
