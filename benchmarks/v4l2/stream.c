/* Buffers, and the images that are transferred to them. */
#define _GNU_SOURCE
#include "camera.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { IMAGES_A_CHECK = 8 };

#define NS_PER_S INT64_C(1000000000)

static void push(struct fifo *fifo, uint32_t item)
{
    fifo->items[fifo->count++] = item;
}

static int32_t pop(struct fifo *fifo)
{
    if (!fifo->count)
        return -1;
    uint32_t first = fifo->items[0];
    fifo->count--;
    memmove(fifo->items, fifo->items + 1, fifo->count * sizeof *fifo->items);
    return (int32_t)first;
}

static int contains(const struct fifo *fifo, uint32_t item)
{
    for (uint32_t i = 0; i < fifo->count; i++)
        if (fifo->items[i] == item)
            return 1;
    return 0;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t period_ns(void)
{
    return NS_PER_S * camera.period.numerator / camera.period.denominator;
}

/* Do what the camera did meanwhile. */
static void catch_up(void)
{
    int64_t now = now_ns();
    while (camera.is_streaming && camera.next_ns <= now) {
        if (camera.active >= 0) {
            int64_t taken_ns = camera.next_ns - camera.age_ns;
            camera.captures[camera.active] = (struct capture){taken_ns > 0 ? taken_ns : 0, camera.sequence};
            push(&camera.done, (uint32_t)camera.active);
        } else {
            camera.lost++;
        }
        camera.sequence++;
        camera.active = pop(&camera.queued);
        camera.next_ns += period_ns();
    }
}

/* Let the descriptor be ready now if an image is, else at the end of the transfer. */
static void set_timer(void)
{
    int64_t due_ns = !camera.is_streaming ? 0 : camera.done.count ? 1 : camera.next_ns;
    if (due_ns == camera.due_ns)
        return;
    camera.due_ns = due_ns;
    struct itimerspec timer = {.it_value = {due_ns / NS_PER_S, due_ns % NS_PER_S}};
    timerfd_settime(camera.fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

void stop_stream(void)
{
    if (camera.is_streaming)
        record("stop %" PRIu32 " images, %" PRIu32 " lost\n", camera.sequence, camera.lost);
    camera.is_streaming = 0;
    camera.queued.count = camera.done.count = 0;
    camera.active = -1;
    set_timer();
}

int start_stream(void)
{
    if (camera.is_streaming)
        return 0;
    if (!camera.num_buffers)
        return EINVAL;
    camera.is_streaming = 1;
    camera.sequence = camera.lost = 0;
    camera.active = pop(&camera.queued);
    camera.next_ns = now_ns() + period_ns();
    const char *age_ms = getenv("V4L2_CAMERA_AGE_MS");
    camera.age_ns = (age_ms ? atoll(age_ms) : 0) * 1000000;
    const char *damaged = getenv("V4L2_CAMERA_DAMAGED");
    camera.images_a_damage = damaged ? (uint32_t)atol(damaged) : 0;
    record("start %" PRIu32 " buffers\n", camera.num_buffers);
    set_timer();
    return 0;
}

static int fill_buffers(void)
{
    char path[MAX_PATH_BYTES];
    const struct mode *mode = &camera.modes[camera.mode];
    folder_path(path, mode->name);
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    uint8_t *image = malloc(mode->bytes);
    int is_filled = file >= 0 && image && syscall(SYS_read, file, image, mode->bytes) == (ssize_t)mode->bytes;
    for (uint32_t i = 0; is_filled && i < camera.num_buffers; i++)
        is_filled = pwrite(camera.memory_fd, image, mode->bytes, (off_t)i * camera.buffer_bytes) == (ssize_t)mode->bytes;
    free(image);
    if (file >= 0)
        syscall(SYS_close, file);
    return is_filled ? 0 : EIO;
}

int request_buffers(struct v4l2_requestbuffers *request)
{
    if (request->memory != V4L2_MEMORY_MMAP)
        return EINVAL;
    stop_stream();
    if (camera.memory_fd >= 0)
        syscall(SYS_close, camera.memory_fd);
    camera.memory_fd = -1;
    camera.num_buffers = request->count = request->count < MAX_BUFFERS ? request->count : MAX_BUFFERS;
    request->capabilities = V4L2_BUF_CAP_SUPPORTS_MMAP;
    if (!camera.num_buffers)
        return 0;
    struct v4l2_pix_format pix;
    describe_mode(&camera.modes[camera.mode], &pix);
    uint32_t page = (uint32_t)sysconf(_SC_PAGESIZE);
    camera.buffer_bytes = (pix.sizeimage + page - 1) / page * page;
    camera.memory_fd = memfd_create("v4l2_camera", MFD_CLOEXEC);
    if (camera.memory_fd < 0 || ftruncate(camera.memory_fd, (off_t)camera.num_buffers * camera.buffer_bytes))
        return ENOMEM;
    return fill_buffers();
}

static void describe_buffer(uint32_t index, struct v4l2_buffer *buffer)
{
    struct v4l2_pix_format pix;
    describe_mode(&camera.modes[camera.mode], &pix);
    *buffer = (struct v4l2_buffer){.index = index, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
    buffer->length = pix.sizeimage;
    buffer->m.offset = index * camera.buffer_bytes;
    buffer->field = V4L2_FIELD_NONE;
    buffer->flags = V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    if (contains(&camera.queued, index) || camera.active == (int32_t)index)
        buffer->flags |= V4L2_BUF_FLAG_QUEUED;
    if (contains(&camera.done, index))
        buffer->flags |= V4L2_BUF_FLAG_DONE;
}

int query_buffer(struct v4l2_buffer *buffer)
{
    if (buffer->index >= camera.num_buffers)
        return EINVAL;
    describe_buffer(buffer->index, buffer);
    return 0;
}

int queue_buffer(struct v4l2_buffer *buffer)
{
    uint32_t index = buffer->index;
    catch_up();
    int is_free = index < camera.num_buffers && camera.active != (int32_t)index && !contains(&camera.queued, index) &&
                  !contains(&camera.done, index);
    if (!is_free || buffer->memory != V4L2_MEMORY_MMAP)
        return EINVAL;
    push(&camera.queued, index);
    describe_buffer(index, buffer);
    return 0;
}

int dequeue_buffer(struct v4l2_buffer *buffer)
{
    if (!camera.is_streaming)
        return EINVAL;
    catch_up();
    int32_t index = pop(&camera.done);
    set_timer();
    /* Seldom, since it takes longer than all else here. */
    if (index < 0 || camera.captures[index].sequence % IMAGES_A_CHECK == 0)
        camera.is_gone = is_unplugged();
    if (camera.is_gone || index < 0)
        return camera.is_gone ? ENODEV : EAGAIN;
    const struct capture *capture = &camera.captures[index];
    describe_buffer((uint32_t)index, buffer);
    buffer->bytesused = camera.modes[camera.mode].bytes;
    buffer->sequence = capture->sequence;
    if (camera.images_a_damage && capture->sequence % camera.images_a_damage == 0) {
        buffer->flags |= V4L2_BUF_FLAG_ERROR;
        buffer->bytesused /= 2;
    }
    buffer->timestamp.tv_sec = capture->taken_ns / NS_PER_S;
    buffer->timestamp.tv_usec = capture->taken_ns % NS_PER_S / 1000;
    return 0;
}
