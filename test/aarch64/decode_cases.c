/* Decode recorded cases from stdin and write all that the decoder computes to stdout, byte by byte.
 *
 * A case: struct seg_model, max_candidates (int32), the number of outputs (int32), of each output its bytes (int64) and
 * itself, struct seg_options (all classes), struct seg_letterbox, mask_logit (float). Structures are those of a 64-bit
 * little-endian machine, as the host is. Written are the number of instances, the instances, their mask logits, where
 * they lie in the image, and their bitmaps.
 */
#include "seg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_OUTPUTS = 32 };

/* Return 0 at the end of the input. */
static int read_bytes(void *target, size_t size_bytes)
{
    return fread(target, 1, size_bytes, stdin) == size_bytes;
}

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "%s\n", what);
        exit(1);
    }
}

static void write_bytes(const void *source, size_t size_bytes)
{
    require(fwrite(source, 1, size_bytes, stdout) == size_bytes, "cannot write");
}

static void *allocate(size_t size_bytes)
{
    void *memory = malloc(size_bytes ? size_bytes : 1);
    require(memory != NULL, "no memory");
    return memory;
}

static void write_masks(struct seg_workspace *workspace, const void *const *outputs,
                        const struct seg_letterbox *letterbox, float mask_logit, struct seg_instance *instances,
                        int32_t count)
{
    struct seg_placement *placements = allocate((size_t)count * sizeof *placements);
    count = seg_place(letterbox, instances, count, placements);
    size_t num_pixels = 0;
    for (int32_t i = 0; i < count; i++)
        num_pixels += (size_t)placements[i].width_px * (size_t)placements[i].height_px;
    uint8_t *bitmaps = allocate(num_pixels);
    seg_draw_masks(workspace, outputs, letterbox, mask_logit, instances, placements, count, bitmaps);
    write_bytes(placements, (size_t)count * sizeof *placements);
    write_bytes(bitmaps, num_pixels);
    free(bitmaps);
    free(placements);
}

static void write_logits(struct seg_workspace *workspace, const void *const *outputs, const struct seg_instance *instance)
{
    struct seg_window window = seg_window_of_box(workspace, instance->xyxy_px);
    size_t size_bytes = (size_t)window.columns * (size_t)window.rows * sizeof(float);
    float *logits = allocate(size_bytes);
    seg_mask_logits(workspace, outputs, instance->anchor, &window, logits);
    /* The sign of NaN is the processor's. */
    for (size_t i = 0; i < size_bytes / sizeof(float); i++)
        logits[i] = isnan(logits[i]) ? fabsf(logits[i]) : logits[i];
    write_bytes(logits, size_bytes);
    free(logits);
}

static int decode_case(void)
{
    struct seg_model model;
    int32_t max_candidates, num_outputs;
    void *outputs[MAX_OUTPUTS];
    struct seg_options options;
    struct seg_letterbox letterbox;
    float mask_logit;
    if (!read_bytes(&model, sizeof model))
        return 0;
    require(read_bytes(&max_candidates, sizeof max_candidates) && read_bytes(&num_outputs, sizeof num_outputs), "cut off");
    require(num_outputs <= MAX_OUTPUTS, "too many outputs");
    for (int32_t i = 0; i < num_outputs; i++) {
        int64_t size_bytes;
        require(read_bytes(&size_bytes, sizeof size_bytes), "cut off");
        outputs[i] = allocate((size_t)size_bytes);
        require(read_bytes(outputs[i], (size_t)size_bytes), "cut off");
    }
    require(read_bytes(&options, sizeof options) && read_bytes(&letterbox, sizeof letterbox), "cut off");
    require(read_bytes(&mask_logit, sizeof mask_logit), "cut off");
    options.is_class_wanted = NULL;

    int64_t size_bytes = seg_workspace_size(&model, max_candidates);
    require(size_bytes > 0, "the model is refused");
    struct seg_workspace *workspace = allocate((size_t)size_bytes);
    require(seg_init(workspace, size_bytes, &model, max_candidates) == 0, "the model is refused");
    struct seg_instance *instances = allocate((size_t)options.max_instances * sizeof *instances);
    int32_t count = seg_decode(workspace, (const void *const *)outputs, &options, instances);
    require(count >= 0, "the options are refused");
    write_bytes(&count, sizeof count);
    write_bytes(instances, (size_t)count * sizeof *instances);
    for (int32_t i = 0; i < count; i++)
        write_logits(workspace, (const void *const *)outputs, &instances[i]);
    write_masks(workspace, (const void *const *)outputs, &letterbox, mask_logit, instances, count);
    free(instances);
    free(workspace);
    for (int32_t i = 0; i < num_outputs; i++)
        free(outputs[i]);
    return 1;
}

int main(void)
{
    int32_t num_cases = 0;
    while (decode_case())
        num_cases++;
    fprintf(stderr, "%d cases\n", (int)num_cases);
    return 0;
}
