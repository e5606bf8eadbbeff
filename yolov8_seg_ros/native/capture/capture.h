/* Read a camera whose driver writes images to a few buffers in memory. C99, Linux, no heap, no globals.
 *
 * A buffer belongs to the driver from capture_queue until capture_next returns it. All functions return 0 or more, or an
 * error of errno.h below 0. One thread at a time uses a descriptor.
 *
 * Source: the kernel's documentation, "Video for Linux API", https://docs.kernel.org/userspace-api/media/v4l/ */
#ifndef CAPTURE_H
#define CAPTURE_H

#include <stdint.h>

struct capture_format {
    char code[4];        /* of its pixels, as V4L2 names them */
    int32_t width_px, height_px;
    int32_t row_bytes;   /* from row to row; 0 where the format has no rows */
    int32_t image_bytes; /* of an image at most */
};

struct capture_image {
    int32_t buffer;      /* its number */
    int32_t num_bytes;   /* of the image */
    int32_t is_damaged;  /* 1 where the driver lost a part of it */
    uint32_t sequence;   /* of the image among all that the camera took, also of those that got lost */
    int64_t captured_ns; /* of CLOCK_MONOTONIC; -1 where the driver has another clock */
};

/* Return 1 for a camera that writes each image to one buffer, 0 for any other device. */
int capture_can_stream(int fd);

/* Request a format. format: code and size that are wanted; afterwards what the driver chose. */
int capture_set_format(int fd, struct capture_format *format);

/* Request a number of images a second. rate_hz: 0 for the driver's own; afterwards the rate, 0 where there is none. */
int capture_set_rate(int fd, double *rate_hz);

/* Make buffers; return their number, which the driver chooses. 0 releases them. */
int capture_request_buffers(int fd, int32_t count);

/* Write where a buffer is mapped, and its length. */
int capture_locate_buffer(int fd, int32_t buffer, int64_t *offset, int64_t *num_bytes);

/* Hand a buffer to the driver. */
int capture_queue(int fd, int32_t buffer);

/* Begin or end to fill the buffers that are queued. Once it has ended, none belongs to the driver. */
int capture_start(int fd);
int capture_stop(int fd);

/* Wait for an image, 0 or more ms. Where several came, write the newest, and hand the buffers of the others back. Return
 * how many came. */
int capture_next(int fd, int32_t timeout_ms, struct capture_image *image);

#endif
