/* The payload of RESULT: records, and masks one at a time. */
#ifndef N6_RESULTS_H
#define N6_RESULTS_H

#include "answers.h"

struct n6_times {
    uint32_t receive_us, prepare_us, wait_us, inference_us, decode_us;
};

struct n6_result_writer {
    uint8_t *payload;
    int32_t max_bytes, num_bytes;
    int32_t num_instances, num_masks; /* num_masks: written so far, or left out */
    int is_cut;                       /* masks were left out */
};

/* Begin a result with the records of the instances, without masks.
 * payload: room for max_bytes, at least N6_RESULT_HEAD_BYTES + num_instances * N6_RECORD_BYTES. */
void n6_begin_result(struct n6_result_writer *writer, uint8_t *payload, int32_t max_bytes,
                     const struct seg_instance *instances, int32_t num_instances);

/* Add the mask of the next instance. logits: room for all cells of the grid. */
void n6_add_mask(struct n6_result_writer *writer, struct seg_workspace *workspace, const void *const *outputs,
                 const struct seg_grid *grid, const struct n6_configuration *configuration,
                 const struct seg_instance *instance, float *logits);

/* Write the head, all but the status; return the number of bytes of the payload. */
int32_t n6_end_result(const struct n6_result_writer *writer, uint32_t frame, uint32_t configuration,
                      const struct n6_times *times);

#endif
