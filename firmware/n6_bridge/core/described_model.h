/* What tools/describe_model.py writes about a model. */
#ifndef N6_DESCRIBED_MODEL_H
#define N6_DESCRIBED_MODEL_H

#include "model_description.h"

extern const struct n6_model_description n6_model;
extern const int32_t n6_num_outputs;
extern const int32_t n6_output_bytes[];

#endif
