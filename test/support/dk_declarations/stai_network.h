/* What is generated for a network of this name. */
#ifndef STAI_NETWORK_H
#define STAI_NETWORK_H

#include "stai.h"

#define STAI_NETWORK_CONTEXT_SIZE 64

stai_return_code stai_network_init(stai_network *context);
stai_return_code stai_network_get_inputs(stai_network *context, stai_ptr *inputs, stai_size *count);
stai_return_code stai_network_get_outputs(stai_network *context, stai_ptr *outputs, stai_size *count);
stai_return_code stai_network_set_inputs(stai_network *context, const stai_ptr *inputs, stai_size count);
stai_return_code stai_network_set_outputs(stai_network *context, const stai_ptr *outputs, stai_size count);
stai_return_code stai_network_run(stai_network *context, stai_run_mode mode);
stai_return_code stai_ext_network_new_inference(stai_network *context);

#endif
