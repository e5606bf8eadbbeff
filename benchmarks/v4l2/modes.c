/* The folder of the camera, and the formats, sizes and rates that it offers. */
#define _GNU_SOURCE
#include "camera.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void folder_path(char path[MAX_PATH_BYTES], const char *name)
{
    const char *folder = getenv("V4L2_CAMERA_FOLDER");
    snprintf(path, MAX_PATH_BYTES, "%s/%s", folder ? folder : ".", name);
}

int is_unplugged(void)
{
    char path[MAX_PATH_BYTES];
    folder_path(path, "unplugged");
    return access(path, F_OK) == 0;
}

void record(const char *format, ...)
{
    char path[MAX_PATH_BYTES], line[MAX_PATH_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    folder_path(path, "log");
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
        if (write(fd, line, (size_t)length) != length)
            perror(path);
        syscall(SYS_close, fd);
    }
}

void read_modes(void)
{
    char path[MAX_PATH_BYTES];
    folder_path(path, "");
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, alphasort);
    camera.num_modes = 0;
    for (int i = 0; i < count; i++) {
        struct mode mode = {.name = ""};
        char code[FOURCC_BYTES + 1];
        int end = 0;
        struct stat status;
        const char *name = entries[i]->d_name;
        if (camera.num_modes < MAX_MODES && strlen(name) < MAX_NAME_BYTES &&
            sscanf(name, "%4[A-Z0-9]_%" SCNu32 "x%" SCNu32 "_%" SCNu32 "%n", code, &mode.width, &mode.height, &mode.row_bytes,
                   &end) == 4 && !name[end]) {
            folder_path(path, name);
            memcpy(mode.name, name, strlen(name) + 1);
            mode.pixelformat = v4l2_fourcc((uint32_t)code[0], (uint32_t)code[1], (uint32_t)code[2], (uint32_t)code[3]);
            mode.bytes = stat(path, &status) ? 0 : (uint32_t)status.st_size;
            camera.modes[camera.num_modes++] = mode;
        }
        free(entries[i]);
    }
    free(entries);
}

static int is_compressed(uint32_t pixelformat)
{
    return pixelformat == V4L2_PIX_FMT_MJPEG;
}

void describe_mode(const struct mode *mode, struct v4l2_pix_format *pix)
{
    memset(pix, 0, sizeof *pix);
    pix->width = mode->width;
    pix->height = mode->height;
    pix->pixelformat = mode->pixelformat;
    pix->field = V4L2_FIELD_NONE;
    pix->colorspace = V4L2_COLORSPACE_SRGB;
    pix->bytesperline = mode->row_bytes;
    pix->sizeimage = is_compressed(mode->pixelformat) ? 2 * mode->width * mode->height + mode->bytes : mode->bytes;
}

/* Return the mode of a format that is nearest to a size; a format that the camera does not have is replaced. */
static uint32_t nearest_mode(const struct v4l2_pix_format *wanted)
{
    uint32_t best = 0, found = 0;
    int64_t best_distance = 0;
    for (uint32_t i = 0; i < camera.num_modes; i++) {
        const struct mode *mode = &camera.modes[i];
        int64_t distance = llabs((int64_t)mode->width * mode->height - (int64_t)wanted->width * wanted->height);
        uint32_t fits = mode->pixelformat == wanted->pixelformat;
        if (fits > found || (fits == found && distance < best_distance) || i == 0) {
            best = i;
            best_distance = distance;
            found = fits;
        }
    }
    return best;
}

int set_format(struct v4l2_format *format, int is_trial)
{
    uint32_t mode = nearest_mode(&format->fmt.pix);
    if (!is_trial) {
        if (camera.num_buffers)
            return EBUSY;
        camera.mode = mode;
        record("format %s\n", camera.modes[mode].name);
    }
    describe_mode(&camera.modes[mode], &format->fmt.pix);
    return 0;
}

/* Formats are in the order of the modes, which their names sort. */
int enumerate_format(struct v4l2_fmtdesc *description)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < camera.num_modes; i++) {
        uint32_t pixelformat = camera.modes[i].pixelformat;
        if ((i && pixelformat == camera.modes[i - 1].pixelformat) || seen++ != description->index)
            continue;
        description->flags = is_compressed(pixelformat) ? V4L2_FMT_FLAG_COMPRESSED : 0;
        snprintf((char *)description->description, sizeof description->description, "%.4s", camera.modes[i].name);
        description->pixelformat = pixelformat;
        return 0;
    }
    return EINVAL;
}

int enumerate_size(struct v4l2_frmsizeenum *size)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < camera.num_modes; i++) {
        if (camera.modes[i].pixelformat != size->pixel_format || seen++ != size->index)
            continue;
        size->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        size->discrete.width = camera.modes[i].width;
        size->discrete.height = camera.modes[i].height;
        return 0;
    }
    return EINVAL;
}

int enumerate_interval(struct v4l2_frmivalenum *interval)
{
    if (interval->index)
        return EINVAL;
    interval->type = V4L2_FRMIVAL_TYPE_CONTINUOUS;
    interval->stepwise.min = interval->stepwise.step = (struct v4l2_fract){1, MAX_RATE_HZ};
    interval->stepwise.max = (struct v4l2_fract){1, 1};
    return 0;
}

int set_period(struct v4l2_streamparm *parm, int is_query)
{
    struct v4l2_fract *wanted = &parm->parm.capture.timeperframe;
    if (!is_query && camera.is_streaming)
        return EBUSY;
    if (!is_query && wanted->numerator && wanted->denominator) {
        int is_possible = wanted->denominator >= wanted->numerator && wanted->denominator / wanted->numerator <= MAX_RATE_HZ;
        camera.period = is_possible ? *wanted : (struct v4l2_fract){1, 30};
        record("period %" PRIu32 "/%" PRIu32 "\n", camera.period.numerator, camera.period.denominator);
    }
    memset(&parm->parm, 0, sizeof parm->parm);
    parm->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
    *wanted = camera.period;
    return 0;
}
