/* What the core needs of a JPEG decoder: the software one (baseline_jpeg.h), or a codec in hardware. */
#ifndef N6_JPEG_PORT_H
#define N6_JPEG_PORT_H

#include <stdint.h>

enum n6_jpeg_state {
    N6_JPEG_RUNNING = 0,
    N6_JPEG_DONE = 1,
    N6_JPEG_DAMAGED = -1,     /* not a JPEG, or a damaged one */
    N6_JPEG_UNSUPPORTED = -2, /* progressive, arithmetic, 12 bits, another sampling */
    N6_JPEG_OTHER_SIZE = -3
};

/* No function waits. One picture at a time; a start drops the picture before, if that is not done. `jpeg` comes from anywhere: nothing in it may be trusted.
 *
 * Hardware: before its DMA starts, clean the data cache over `jpeg`, which the CPU has written, and invalidate `rgb`; on
 * done, invalidate `rgb` again. Both are aligned to 32 bytes and have room for a multiple of 32. STM32's codec delivers
 * YCbCr in blocks: turning them into RGB is the port's work.
 */
struct n6_jpeg_port {
    void *context;

    /* Begin to decode a picture of exactly width_px * height_px into rows of RGB. Returns N6_JPEG_RUNNING or an error. */
    int32_t (*start)(void *context, const uint8_t *jpeg, int32_t jpeg_bytes, uint8_t *rgb, int32_t width_px,
                     int32_t height_px);

    /* Go on; takes 0.5 ms at most. Returns one of enum n6_jpeg_state. */
    int32_t (*step)(void *context);
};

#endif
