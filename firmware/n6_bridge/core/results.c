#include "results.h"

#include "bytes.h"

static uint8_t *record_of(const struct n6_result_writer *writer, int32_t index)
{
    return writer->payload + N6_RESULT_HEAD_BYTES + index * N6_RECORD_BYTES;
}

void n6_begin_result(struct n6_result_writer *writer, uint8_t *payload, int32_t max_bytes,
                     const struct seg_instance *instances, int32_t num_instances)
{
    *writer = (struct n6_result_writer){.payload = payload, .max_bytes = max_bytes, .num_instances = num_instances};
    writer->num_bytes = N6_RESULT_HEAD_BYTES + num_instances * N6_RECORD_BYTES;
    for (int32_t i = 0; i < num_instances; i++) {
        uint8_t *record = record_of(writer, i);
        memset(record, 0, N6_RECORD_BYTES);
        for (int32_t side = 0; side < 4; side++)
            n6_put_f32(record + 4 * side, instances[i].xyxy_px[side]);
        n6_put_f32(record + 16, instances[i].score);
        n6_put_u16(record + 20, (uint32_t)instances[i].class_id);
    }
}

void n6_add_mask(struct n6_result_writer *writer, struct seg_workspace *workspace, const void *const *outputs,
                 const struct seg_grid *grid, const struct n6_configuration *configuration,
                 const struct seg_instance *instance, float *logits)
{
    uint8_t *record = record_of(writer, writer->num_masks++);
    struct seg_window window = seg_drawing_window(grid, instance->xyxy_px);
    seg_mask_logits(workspace, outputs, instance->anchor, &window, logits);
    int64_t size = seg_pack_mask(&window, logits, configuration->mask_logit, configuration->masks == N6_CONTOURS,
                                 writer->payload + writer->num_bytes, writer->max_bytes - writer->num_bytes);
    if (size < 0) {
        writer->is_cut = 1;
        return;
    }
    n6_put_u16(record + 22, (uint32_t)window.left);
    n6_put_u16(record + 24, (uint32_t)window.top);
    n6_put_u16(record + 26, (uint32_t)window.columns);
    n6_put_u16(record + 28, (uint32_t)window.rows);
    n6_put_u32(record + 32, (uint32_t)size);
    writer->num_bytes += (int32_t)size;
}

int32_t n6_end_result(const struct n6_result_writer *writer, uint32_t frame, uint32_t configuration,
                      const struct n6_times *times)
{
    uint8_t *head = writer->payload;
    n6_put_u32(head + 8, frame);
    n6_put_u32(head + 12, configuration);
    n6_put_u32(head + 16, times->receive_us);
    n6_put_u32(head + 20, times->prepare_us);
    n6_put_u32(head + 24, times->wait_us);
    n6_put_u32(head + 28, times->inference_us);
    n6_put_u32(head + 32, times->decode_us);
    n6_put_u16(head + 36, (uint32_t)writer->num_instances);
    n6_put_u16(head + 38, writer->is_cut ? N6_MASKS_LEFT_OUT : 0);
    return writer->num_bytes;
}
