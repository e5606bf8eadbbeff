/* The segments of a JPEG file, and the order of its units. */
#include "baseline_jpeg.h"

#include "jpeg_parts.h"

#include <string.h>

enum marker {
    SOF0 = 0xC0,
    DHT = 0xC4,
    JPG = 0xC8,
    DAC = 0xCC,
    SOF15 = 0xCF,
    RST0 = 0xD0,
    SOI = 0xD8,
    EOI = 0xD9,
    SOS = 0xDA,
    DQT = 0xDB,
    DRI = 0xDD,
    APP14 = 0xEE
};

/* What a segment may be, besides an error: nothing of interest, or the last one before the data. */
enum { SEGMENT_READ = 0, DATA_FOLLOWS = 1 };

static int32_t get_u16(const uint8_t *bytes)
{
    return bytes[0] << 8 | bytes[1];
}

/* --------------------------------------------------------------------------------------------------------- segments */

static int32_t read_quants(struct n6_baseline_jpeg *decoder, const uint8_t *bytes, int32_t count)
{
    for (; count >= 1 + N6_JPEG_BLOCK; bytes += 1 + N6_JPEG_BLOCK, count -= 1 + N6_JPEG_BLOCK) {
        if (bytes[0] >= 0x10)
            return N6_JPEG_UNSUPPORTED;
        if (bytes[0] > 3)
            return N6_JPEG_DAMAGED;
        memcpy(decoder->quants[bytes[0]], bytes + 1, N6_JPEG_BLOCK);
        decoder->is_quant_defined[bytes[0]] = 1;
    }
    return count == 0 ? SEGMENT_READ : N6_JPEG_DAMAGED;
}

static int32_t read_huffman(struct n6_baseline_jpeg *decoder, const uint8_t *bytes, int32_t count)
{
    while (count > N6_JPEG_MAX_CODE_BITS) {
        int32_t num_symbols = 0, size = 1 + N6_JPEG_MAX_CODE_BITS;
        for (int32_t i = 1; i < size; i++)
            num_symbols += bytes[i];
        if ((bytes[0] & 0xEE) != 0)
            return N6_JPEG_UNSUPPORTED;
        if (num_symbols > 256 || size + num_symbols > count ||
            !n6_huffman_init(&decoder->huffman[bytes[0] >> 4][bytes[0] & 1], bytes + 1, bytes + size, num_symbols))
            return N6_JPEG_DAMAGED;
        bytes += size + num_symbols;
        count -= size + num_symbols;
    }
    return count == 0 ? SEGMENT_READ : N6_JPEG_DAMAGED;
}

static int32_t read_component(struct n6_baseline_jpeg *decoder, int32_t index, const uint8_t *bytes)
{
    struct n6_jpeg_component *component = &decoder->components[index];
    int32_t most = index == 0 ? 2 : 1;
    *component = (struct n6_jpeg_component){
        .id = bytes[0], .columns = bytes[1] >> 4, .rows = bytes[1] & 0xF, .quant = bytes[2]};
    /* A component alone comes block by block, whatever its sampling is. */
    if (decoder->num_components == 1)
        component->columns = component->rows = 1;
    if (component->quant > 3)
        return N6_JPEG_DAMAGED;
    if (component->columns < 1 || component->columns > most || component->rows < 1 || component->rows > most)
        return N6_JPEG_UNSUPPORTED;
    return SEGMENT_READ;
}

static int32_t read_frame(struct n6_baseline_jpeg *decoder, const uint8_t *bytes, int32_t count)
{
    if (count < 6 || decoder->num_components || count != 6 + 3 * bytes[5])
        return N6_JPEG_DAMAGED;
    if (bytes[0] != 8 || (bytes[5] != 1 && bytes[5] != 3))
        return N6_JPEG_UNSUPPORTED;
    if (get_u16(bytes + 1) != decoder->height_px || get_u16(bytes + 3) != decoder->width_px)
        return N6_JPEG_OTHER_SIZE;
    decoder->num_components = bytes[5];
    for (int32_t i = 0; i < decoder->num_components; i++) {
        int32_t result = read_component(decoder, i, bytes + 6 + 3 * i);
        if (result < 0)
            return result;
    }
    return SEGMENT_READ;
}

/* Set the tables of a component; return whether they are there. */
static int choose_tables(struct n6_baseline_jpeg *decoder, struct n6_jpeg_component *component, const uint8_t *bytes)
{
    component->dc = bytes[1] >> 4;
    component->ac = bytes[1] & 0xF;
    return bytes[0] == component->id && component->dc <= 1 && component->ac <= 1 &&
           decoder->is_quant_defined[component->quant] && decoder->huffman[0][component->dc].is_defined &&
           decoder->huffman[1][component->ac].is_defined;
}

static int32_t read_scan(struct n6_baseline_jpeg *decoder, const uint8_t *bytes, int32_t count)
{
    if (count < 1 || !decoder->num_components || count != 4 + 2 * bytes[0])
        return N6_JPEG_DAMAGED;
    if (bytes[0] != decoder->num_components)
        return N6_JPEG_UNSUPPORTED;
    for (int32_t i = 0; i < decoder->num_components; i++)
        if (!choose_tables(decoder, &decoder->components[i], bytes + 1 + 2 * i))
            return N6_JPEG_DAMAGED;
    return DATA_FOLLOWS;
}

/* Adobe's segment says of three components whether they are YCbCr. */
static int32_t read_adobe(const uint8_t *bytes, int32_t count)
{
    int is_adobe = count >= 12 && memcmp(bytes, "Adobe", 5) == 0;
    return is_adobe && bytes[11] != 1 ? N6_JPEG_UNSUPPORTED : SEGMENT_READ;
}

static int32_t read_segment(struct n6_baseline_jpeg *decoder, int32_t marker, const uint8_t *bytes, int32_t count)
{
    switch (marker) {
    case SOF0:
        return read_frame(decoder, bytes, count);
    case DHT:
        return read_huffman(decoder, bytes, count);
    case DQT:
        return read_quants(decoder, bytes, count);
    case SOS:
        return read_scan(decoder, bytes, count);
    case APP14:
        return read_adobe(bytes, count);
    case DRI:
        decoder->restart_interval = count == 2 ? get_u16(bytes) : 0;
        return count == 2 ? SEGMENT_READ : N6_JPEG_DAMAGED;
    default:
        /* Other kinds of frames, and arithmetic coding. */
        return marker > SOF0 && marker <= SOF15 ? N6_JPEG_UNSUPPORTED : SEGMENT_READ;
    }
}

/* Read all segments until the data. Returns 0 or an error. */
static int32_t read_segments(struct n6_baseline_jpeg *decoder)
{
    int32_t result = SEGMENT_READ;
    if (decoder->num_bytes < 2 || get_u16(decoder->bytes) != (0xFF << 8 | SOI))
        return N6_JPEG_DAMAGED;
    decoder->at = 2;
    while (result == SEGMENT_READ) {
        const uint8_t *bytes = decoder->bytes + decoder->at;
        int32_t left = decoder->num_bytes - decoder->at;
        /* Any number of 0xFF may precede a marker. */
        if (left >= 2 && bytes[0] == 0xFF && bytes[1] == 0xFF) {
            decoder->at++;
            continue;
        }
        if (left < 4 || bytes[0] != 0xFF || bytes[1] < SOF0 || (bytes[1] >= RST0 && bytes[1] <= EOI))
            return N6_JPEG_DAMAGED;
        int32_t size = get_u16(bytes + 2);
        if (size < 2 || size > left - 2)
            return N6_JPEG_DAMAGED;
        decoder->at += 2 + size;
        result = read_segment(decoder, bytes[1], bytes + 4, size - 2);
    }
    return result < 0 ? result : 0;
}

/* ------------------------------------------------------------------------------------------------------------- data */

static int32_t ceil_div(int32_t value, int32_t divisor)
{
    return (value + divisor - 1) / divisor;
}

static int32_t start(void *context, const uint8_t *jpeg, int32_t jpeg_bytes, uint8_t *rgb, int32_t width_px,
                     int32_t height_px)
{
    struct n6_baseline_jpeg *decoder = context;
    memset(decoder, 0, sizeof *decoder);
    decoder->bytes = jpeg;
    decoder->num_bytes = jpeg_bytes;
    decoder->rgb = rgb;
    decoder->width_px = width_px;
    decoder->height_px = height_px;
    int32_t result = read_segments(decoder);
    if (result < 0)
        return result;
    decoder->unit_columns = ceil_div(width_px, 8 * decoder->components[0].columns);
    decoder->unit_rows = ceil_div(height_px, 8 * decoder->components[0].rows);
    decoder->units_until_restart = decoder->restart_interval;
    return N6_JPEG_RUNNING;
}

/* Pass a restart marker; return whether it was the right one. */
static int restart(struct n6_baseline_jpeg *decoder)
{
    const uint8_t *bytes = decoder->bytes + decoder->at;
    if (decoder->num_bytes - decoder->at < 2 || bytes[0] != 0xFF || bytes[1] != RST0 + decoder->next_restart)
        return 0;
    decoder->at += 2;
    decoder->next_restart = (decoder->next_restart + 1) % 8;
    decoder->units_until_restart = decoder->restart_interval;
    for (int32_t i = 0; i < decoder->num_components; i++)
        decoder->components[i].last_dc = 0;
    n6_jpeg_drop_bits(decoder);
    return 1;
}

/* Read and write the next unit; return whether it was readable. */
static int decode_unit(struct n6_baseline_jpeg *decoder)
{
    int16_t coefficients[N6_JPEG_BLOCK];
    int32_t block = 0;
    for (int32_t i = 0; i < decoder->num_components; i++) {
        struct n6_jpeg_component *component = &decoder->components[i];
        for (int32_t k = 0; k < component->columns * component->rows; k++) {
            if (!n6_jpeg_read_block(decoder, component, coefficients))
                return 0;
            n6_jpeg_transform(coefficients, decoder->samples + N6_JPEG_BLOCK * block++);
        }
    }
    n6_jpeg_write_unit(decoder, decoder->unit % decoder->unit_columns * 8 * decoder->components[0].columns,
                       decoder->unit / decoder->unit_columns * 8 * decoder->components[0].rows);
    decoder->unit++;
    return 1;
}

static int32_t step(void *context)
{
    struct n6_baseline_jpeg *decoder = context;
    int32_t num_units = decoder->unit_columns * decoder->unit_rows;
    for (int32_t i = 0; i < N6_JPEG_UNITS_A_STEP; i++) {
        if (decoder->unit == num_units)
            return N6_JPEG_DONE;
        if (decoder->restart_interval && decoder->units_until_restart-- == 0) {
            if (!restart(decoder))
                return N6_JPEG_DAMAGED;
            decoder->units_until_restart--;
        }
        if (!decode_unit(decoder))
            return N6_JPEG_DAMAGED;
    }
    return N6_JPEG_RUNNING;
}

struct n6_jpeg_port n6_baseline_jpeg_port(struct n6_baseline_jpeg *decoder)
{
    return (struct n6_jpeg_port){decoder, start, step};
}
