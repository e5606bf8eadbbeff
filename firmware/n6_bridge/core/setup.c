/* What a bridge is made of, and what of it is refused. */
#include "frames.h"
#include "n6_bridge.h"

#include <math.h>
#include <string.h>

static int is_between(int64_t value, int64_t low, int64_t high)
{
    return low <= value && value <= high;
}

/* Return whether what MODEL says fits its fields. */
static int is_describable(const struct seg_model *model)
{
    int64_t most = model->input_width_px;
    const int64_t others[] = {model->input_height_px, model->prototype_columns, model->prototype_rows};
    for (int32_t i = 0; i < 3; i++)
        most = others[i] > most ? others[i] : most;
    for (int32_t i = 0; i < model->num_levels && model->box_bins; i++) {
        const struct seg_level *level = &model->levels[i];
        int32_t longest = level->columns > level->rows ? level->columns : level->rows;
        most = longest > most ? longest : most;
    }
    return most <= UINT16_MAX;
}

static int is_setup_valid(const struct n6_bridge_setup *setup)
{
    const struct n6_model_description *model = setup->model;
    int64_t input_bytes = (int64_t)model->seg.input_width_px * model->seg.input_height_px * 3;
    int32_t max_picture = N6_MAX_PAYLOAD_BYTES - N6_PICTURE_HEAD_BYTES;
    int64_t records_bytes = N6_RESULT_HEAD_BYTES + (int64_t)N6_RECORD_BYTES * setup->max_instances;
    if (!is_describable(&model->seg) || !is_between(input_bytes, 1, max_picture) || !is_between(setup->nn->num_slots, 1, N6_MAX_CREDIT) ||
        !is_between(setup->max_instances, 1, UINT16_MAX))
        return 0;
    if (!is_between(setup->max_result_bytes, records_bytes, N6_MAX_PAYLOAD_BYTES) ||
        n6_model_bytes(model) > setup->max_result_bytes)
        return 0;
    if (setup->jpeg ? !setup->jpegs || !is_between(setup->max_jpeg_bytes, 1, max_picture) : setup->max_jpeg_bytes != 0)
        return 0;
    return setup->instances && setup->logits && setup->is_class_wanted && setup->results;
}

static int is_input_valid(const struct seg_quant *input)
{
    int32_t low = input->type == SEG_INT8 ? -128 : 0;
    return (input->type == SEG_INT8 || input->type == SEG_UINT8) && input->scale > 0 && isfinite(input->scale) &&
           is_between(input->zero_point, low, low + 255);
}

static void fill_input_of_pixel(uint8_t *input_of_pixel, const struct seg_quant *input)
{
    double low = input->type == SEG_INT8 ? -128 : 0;
    for (int32_t value = 0; value < 256; value++) {
        double stored = rint((double)((float)value / 255.0f) / (double)input->scale) + input->zero_point;
        stored = stored < low ? low : stored > low + 255 ? low + 255 : stored;
        input_of_pixel[value] = (uint8_t)(int32_t)stored;
    }
}

static uint32_t max_picture_bytes(const struct n6_bridge_setup *setup)
{
    int32_t raw_bytes = setup->model->seg.input_width_px * setup->model->seg.input_height_px * 3;
    int32_t most = raw_bytes > setup->max_jpeg_bytes ? raw_bytes : setup->max_jpeg_bytes;
    return (uint32_t)(most + N6_PICTURE_HEAD_BYTES);
}

int32_t n6_bridge_init(struct n6_bridge *bridge, const struct n6_bridge_setup *setup)
{
    if (!is_input_valid(&setup->model->input) ||
        seg_init(setup->workspace, setup->workspace_bytes, &setup->model->seg, setup->max_candidates) < 0)
        return N6_BAD_MODEL;
    if (!is_setup_valid(setup))
        return N6_BAD_SETUP;
    memset(bridge, 0, sizeof *bridge);
    bridge->setup = *setup;
    n6_crc32_init(&bridge->tables);
    n6_receiver_init(&bridge->receiver, &bridge->tables, max_picture_bytes(setup));
    n6_sender_init(&bridge->sender, &bridge->tables);
    fill_input_of_pixel(bridge->input_of_pixel, &setup->model->input);
    bridge->running_slot = N6_NO_SLOT;
    n6_forget_frames(bridge);
    return N6_SETUP_OK;
}
