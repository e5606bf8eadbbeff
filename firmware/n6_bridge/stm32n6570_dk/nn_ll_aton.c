/* The network by ST's LL_ATON interface (ST Edge AI up to 2.x). Not yet run on a board. */
#include "nn_buffers.h"

#include "ll_aton_runtime.h"

#include <stddef.h>

#ifndef N6_NETWORK
#define N6_NETWORK Default
#endif
#define NAMED(name, network) NAMED_(name, network)
#define NAMED_(name, network) name##network
#define DECLARE(network) LL_ATON_DECLARE_NAMED_NN_INSTANCE_AND_INTERFACE(network)
#define NETWORK (&NAMED(NN_Instance_, N6_NETWORK))

DECLARE(N6_NETWORK);

/* Give the runtime the slot's buffers; return whether it takes them. */
static int set_buffers(const struct network *network)
{
    int32_t slot = network->slot;
    if (N6_SLOTS == 1)
        return 1;
    if (LL_ATON_Set_User_Input_Buffer(NETWORK, 0, network->inputs[slot], (uint32_t)input_bytes()) !=
        LL_ATON_User_IO_NOERROR)
        return 0;
    for (int32_t i = 0; i < n6_num_outputs; i++)
        if (LL_ATON_Set_User_Output_Buffer(NETWORK, (uint32_t)i, (void *)(uintptr_t)network->outputs[slot][i],
                                           (uint32_t)n6_output_bytes[i]) != LL_ATON_User_IO_NOERROR)
            return 0;
    return 1;
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
    LL_ATON_RT_RetValues_t result = LL_ATON_RT_RunEpochBlock(NETWORK);
    if (result == LL_ATON_RT_DONE) {
        invalidate_outputs(network);
        LL_ATON_RT_Reset_Network(NETWORK);
        return N6_NN_DONE;
    }
    if (is_late(network))
        return TIMED_OUT;
    return result == LL_ATON_RT_WFE ? N6_NN_RUNNING : N6_NN_STEPPED;
}

static void find_buffers(struct network *network)
{
    const LL_Buffer_InfoTypeDef *in = LL_ATON_Input_Buffers_Info(NETWORK), *out = LL_ATON_Output_Buffers_Info(NETWORK);
    int32_t count = 0;
    if (!in->name || (int32_t)LL_Buffer_len(in) != input_bytes())
        n6_board_stop("the network's input is not that of the described model");
    for (; out[count].name; count++)
        if (count == n6_num_outputs || (int32_t)LL_Buffer_len(&out[count]) != n6_output_bytes[count])
            n6_board_stop("the network's outputs are not those of the described model");
    if (count != n6_num_outputs || count > N6_MAX_OUTPUTS)
        n6_board_stop("the network has another number of outputs than the described model");
    for (int32_t slot = 0; slot < N6_SLOTS; slot++) {
        network->inputs[slot] = N6_SLOTS == 1 ? LL_Buffer_addr_start(in) : n6_board_memory(input_bytes());
        for (int32_t i = 0; i < count; i++)
            network->outputs[slot][i] =
                N6_SLOTS == 1 ? (void *)LL_Buffer_addr_start(&out[i]) : n6_board_memory(n6_output_bytes[i]);
    }
}

const struct n6_nn_port *n6_board_network(void)
{
    static struct network network;
    static const struct n6_nn_port PORT = {&network, N6_SLOTS, input, start, step, outputs};
    LL_ATON_RT_RuntimeInit();
    LL_ATON_RT_Init_Network(NETWORK);
    find_buffers(&network);
    return &PORT;
}
