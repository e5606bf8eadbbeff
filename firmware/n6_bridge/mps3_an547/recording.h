/* What tools/record.py writes: outputs of a network for some pictures, and how these are recognized. */
#ifndef RECORDING_H
#define RECORDING_H

#include <stdint.h>

extern const int32_t n6_num_recordings;
extern const uint32_t n6_recorded_crcs[];   /* CRC-32 of each picture's input tensor */
extern const uint8_t n6_recorded_outputs[]; /* of each picture, each output aligned to 8 bytes */

#endif
