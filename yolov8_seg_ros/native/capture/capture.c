/* Requests to drivers of V4L2. */
#define _GNU_SOURCE
#include "capture.h"

#include <errno.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

enum { RATE_UNIT = 1000 /* rates are requested in thousandths of an image a second */ };

static int request(int fd, unsigned long number, void *argument)
{
    int result;
    do
        result = ioctl(fd, number, argument);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

static struct v4l2_buffer describe_buffer(int32_t buffer)
{
    return (struct v4l2_buffer){
        .index = (uint32_t)buffer, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
}

int capture_can_stream(int fd)
{
    struct v4l2_capability found = {.capabilities = 0};
    /* Any other device knows no such request. */
    if (request(fd, VIDIOC_QUERYCAP, &found) < 0)
        return 0;
    uint32_t can = found.capabilities & V4L2_CAP_DEVICE_CAPS ? found.device_caps : found.capabilities;
    return can & V4L2_CAP_VIDEO_CAPTURE && can & V4L2_CAP_STREAMING;
}

int capture_set_format(int fd, struct capture_format *format)
{
    struct v4l2_format wanted = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
    struct v4l2_pix_format *pix = &wanted.fmt.pix;
    memcpy(&pix->pixelformat, format->code, sizeof format->code);
    pix->width = (uint32_t)format->width_px;
    pix->height = (uint32_t)format->height_px;
    pix->field = V4L2_FIELD_ANY;
    int error = request(fd, VIDIOC_S_FMT, &wanted);
    memcpy(format->code, &pix->pixelformat, sizeof format->code);
    format->width_px = (int32_t)pix->width;
    format->height_px = (int32_t)pix->height;
    format->row_bytes = (int32_t)pix->bytesperline;
    format->image_bytes = (int32_t)pix->sizeimage;
    return error;
}

int capture_set_rate(int fd, double *rate_hz)
{
    struct v4l2_streamparm parameters = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
    struct v4l2_fract *period = &parameters.parm.capture.timeperframe;
    int error = request(fd, VIDIOC_G_PARM, &parameters);
    if (!error && *rate_hz > 0 && parameters.parm.capture.capability & V4L2_CAP_TIMEPERFRAME) {
        *period = (struct v4l2_fract){RATE_UNIT, (uint32_t)(*rate_hz * RATE_UNIT + 0.5)};
        error = request(fd, VIDIOC_S_PARM, &parameters);
    }
    *rate_hz = !error && period->numerator ? (double)period->denominator / period->numerator : 0;
    /* Drivers need not know these requests. */
    return error == -ENOTTY || error == -EINVAL ? 0 : error;
}

int capture_request_buffers(int fd, int32_t count)
{
    struct v4l2_requestbuffers made = {
        .count = (uint32_t)count, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
    int error = request(fd, VIDIOC_REQBUFS, &made);
    return error ? error : (int)made.count;
}

int capture_locate_buffer(int fd, int32_t buffer, int64_t *offset, int64_t *num_bytes)
{
    struct v4l2_buffer found = describe_buffer(buffer);
    int error = request(fd, VIDIOC_QUERYBUF, &found);
    *offset = found.m.offset;
    *num_bytes = found.length;
    return error;
}

int capture_queue(int fd, int32_t buffer)
{
    struct v4l2_buffer queued = describe_buffer(buffer);
    return request(fd, VIDIOC_QBUF, &queued);
}

int capture_start(int fd)
{
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    return request(fd, VIDIOC_STREAMON, &type);
}

int capture_stop(int fd)
{
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    return request(fd, VIDIOC_STREAMOFF, &type);
}

/* Take the oldest image over; return 0 where there is none yet. */
static int take(int fd, struct capture_image *image)
{
    struct v4l2_buffer filled = describe_buffer(0);
    int error = request(fd, VIDIOC_DQBUF, &filled);
    if (error)
        return error == -EAGAIN ? 0 : error;
    int is_monotonic = (filled.flags & V4L2_BUF_FLAG_TIMESTAMP_MASK) == V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    image->buffer = (int32_t)filled.index;
    image->num_bytes = (int32_t)filled.bytesused;
    image->is_damaged = (filled.flags & V4L2_BUF_FLAG_ERROR) != 0;
    image->sequence = filled.sequence;
    image->captured_ns = is_monotonic ? filled.timestamp.tv_sec * INT64_C(1000000000) + filled.timestamp.tv_usec * 1000 : -1;
    return 1;
}

/* Return 1 for a device that has an image or has failed, which `take` finds out. */
static int wait_ready(struct pollfd *device, int32_t timeout_ms)
{
    int count = poll(device, 1, timeout_ms);
    return count < 0 && errno != EINTR ? -errno : count > 0;
}

int capture_next(int fd, int32_t timeout_ms, struct capture_image *image)
{
    struct pollfd device = {.fd = fd, .events = POLLIN};
    struct capture_image newer;
    int num_images = 0, result = wait_ready(&device, timeout_ms);
    while (result > 0 && (result = take(fd, &newer)) > 0) {
        if (num_images++ > 0 && (result = capture_queue(fd, image->buffer)) < 0)
            break;
        *image = newer;
        result = wait_ready(&device, 0);
    }
    if (result == 0 && num_images == 0 && device.revents & POLLERR)
        result = -EIO;
    return result < 0 ? result : num_images;
}
