/* What a board knows about its model.
 *
 * This file is also read by cffi, which knows no preprocessor.
 */
#ifndef N6_MODEL_DESCRIPTION_H
#define N6_MODEL_DESCRIPTION_H

#include "seg.h"

struct n6_model_description {
    struct seg_model seg;
    struct seg_quant input;         /* int8 or uint8 */
    const char *name;               /* UTF-8, at most 255 bytes are sent */
    const char *const *class_names; /* one for each class, as long; NULL: unknown */
    uint8_t sha256[32];             /* of the .tflite file; all 0: unknown */
};

#endif
