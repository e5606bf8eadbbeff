/* Calls of the C library, in place of which the program gets those of the camera for the camera's descriptor. */
#define _GNU_SOURCE
#include "camera.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct camera camera = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1, .memory_fd = -1, .period = {1, 30}, .active = -1};

static int query_capabilities(struct v4l2_capability *capability)
{
    *capability = (struct v4l2_capability){.driver = "stand-in", .card = "camera of the tests", .bus_info = "preload"};
    capability->version = 0x060100;
    capability->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_EXT_PIX_FORMAT;
    capability->capabilities = capability->device_caps | V4L2_CAP_DEVICE_CAPS;
    return 0;
}

static int enumerate_input(struct v4l2_input *input)
{
    if (input->index)
        return EINVAL;
    *input = (struct v4l2_input){.name = "Camera 1", .type = V4L2_INPUT_TYPE_CAMERA};
    return 0;
}

/* Return whether a structure that begins so, or has a field so, is of captured video. */
static int is_of_capture(unsigned long request, const void *argument)
{
    switch (request) {
    case VIDIOC_G_FMT: case VIDIOC_S_FMT: case VIDIOC_TRY_FMT: case VIDIOC_G_PARM: case VIDIOC_S_PARM:
    case VIDIOC_STREAMON: case VIDIOC_STREAMOFF:
        return *(const uint32_t *)argument == V4L2_BUF_TYPE_VIDEO_CAPTURE;
    case VIDIOC_QUERYBUF: case VIDIOC_QBUF: case VIDIOC_DQBUF: case VIDIOC_ENUM_FMT: case VIDIOC_REQBUFS:
        return ((const uint32_t *)argument)[1] == V4L2_BUF_TYPE_VIDEO_CAPTURE;
    default:
        return 1;
    }
}

/* Return 0 or an error number. Controls are unknown to it, as all that is not named here. */
static int handle(unsigned long request, void *argument)
{
    if (!is_of_capture(request, argument))
        return EINVAL;
    switch (request) {
    case VIDIOC_QUERYCAP: return query_capabilities(argument);
    case VIDIOC_ENUM_FMT: return enumerate_format(argument);
    case VIDIOC_ENUM_FRAMESIZES: return enumerate_size(argument);
    case VIDIOC_ENUM_FRAMEINTERVALS: return enumerate_interval(argument);
    case VIDIOC_G_FMT: describe_mode(&camera.modes[camera.mode], &((struct v4l2_format *)argument)->fmt.pix); return 0;
    case VIDIOC_S_FMT: return set_format(argument, 0);
    case VIDIOC_TRY_FMT: return set_format(argument, 1);
    case VIDIOC_G_PARM: return set_period(argument, 1);
    case VIDIOC_S_PARM: return set_period(argument, 0);
    case VIDIOC_G_INPUT: *(int *)argument = 0; return 0;
    case VIDIOC_S_INPUT: return *(int *)argument ? EINVAL : 0;
    case VIDIOC_ENUMINPUT: return enumerate_input(argument);
    case VIDIOC_QUERYCTRL: case VIDIOC_G_CTRL: case VIDIOC_S_CTRL: return EINVAL;
    case VIDIOC_REQBUFS: return request_buffers(argument);
    case VIDIOC_QUERYBUF: return query_buffer(argument);
    case VIDIOC_QBUF: return queue_buffer(argument);
    case VIDIOC_DQBUF: return dequeue_buffer(argument);
    case VIDIOC_STREAMON: return start_stream();
    case VIDIOC_STREAMOFF: stop_stream(); return 0;
    default: return ENOTTY;
    }
}

static int handle_locked(unsigned long request, void *argument)
{
    pthread_mutex_lock(&camera.lock);
    int error = camera.is_gone ? ENODEV : handle(request, argument);
    pthread_mutex_unlock(&camera.lock);
    return error;
}

static int is_camera(const char *path)
{
    const char *device = getenv("V4L2_CAMERA_DEVICE");
    return device && path && strcmp(path, device) == 0;
}

static int open_camera(int flags)
{
    int error = 0, fd = -1;
    pthread_mutex_lock(&camera.lock);
    if (!is_unplugged())
        read_modes();
    if (is_unplugged() || !camera.num_modes)
        error = ENOENT;
    else if (camera.fd >= 0)
        error = EBUSY;
    else if ((fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | (flags & O_CLOEXEC ? TFD_CLOEXEC : 0))) < 0)
        error = errno;
    if (!error) {
        camera.fd = fd;
        camera.mode = camera.mode < camera.num_modes ? camera.mode : 0;
        camera.is_gone = camera.is_streaming = 0;
        camera.due_ns = 0;
        camera.is_blocking = !(flags & O_NONBLOCK);
    }
    pthread_mutex_unlock(&camera.lock);
    errno = error ? error : errno;
    return fd;
}

static int open_any(int folder_fd, const char *path, int flags, va_list arguments)
{
    unsigned mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, unsigned) : 0;
    return is_camera(path) ? open_camera(flags) : (int)syscall(SYS_openat, folder_fd, path, flags, mode);
}

#pragma GCC visibility push(default)

#define DEFINE_OPEN(name)                                           \
    int name(const char *path, int flags, ...)                      \
    {                                                               \
        va_list arguments;                                          \
        va_start(arguments, flags);                                 \
        int fd = open_any(AT_FDCWD, path, flags, arguments);        \
        va_end(arguments);                                          \
        return fd;                                                  \
    }

#define DEFINE_OPENAT(name)                                         \
    int name(int folder_fd, const char *path, int flags, ...)       \
    {                                                               \
        va_list arguments;                                          \
        va_start(arguments, flags);                                 \
        int fd = open_any(folder_fd, path, flags, arguments);       \
        va_end(arguments);                                          \
        return fd;                                                  \
    }

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (fd < 0 || fd != camera.fd)
        return (int)syscall(SYS_ioctl, fd, request, argument);
    int error = handle_locked(request, argument);
    while (error == EAGAIN && request == VIDIOC_DQBUF && camera.is_blocking) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        poll(&ready, 1, -1);
        error = handle_locked(request, argument);
    }
    errno = error ? error : errno;
    return error ? -1 : 0;
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset)
{
    int source = fd >= 0 && fd == camera.fd ? camera.memory_fd : fd;
    return (void *)syscall(SYS_mmap, address, length, protection, flags, source, offset);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return mmap64(address, length, protection, flags, fd, offset);
}

ssize_t read(int fd, void *bytes, size_t count)
{
    if (fd < 0 || fd != camera.fd)
        return syscall(SYS_read, fd, bytes, count);
    errno = EINVAL;
    return -1;
}

int close(int fd)
{
    if (fd >= 0 && fd == camera.fd) {
        pthread_mutex_lock(&camera.lock);
        stop_stream();
        if (camera.memory_fd >= 0)
            syscall(SYS_close, camera.memory_fd);
        camera.memory_fd = camera.fd = -1;
        camera.num_buffers = 0;
        pthread_mutex_unlock(&camera.lock);
    }
    return (int)syscall(SYS_close, fd);
}

#pragma GCC visibility pop
