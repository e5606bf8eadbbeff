/* A camera of V4L2 for programs that are started with this library in LD_PRELOAD.
 *
 * The environment names it:
 *   V4L2_CAMERA_DEVICE  its path, such as /dev/video40, which need not exist
 *   V4L2_CAMERA_AGE_MS  how much later than its time of capture an image can be read; 0 where it is not named, below 0 for
 *                       times in the future
 *   V4L2_CAMERA_FOLDER  a folder with one file for each mode, such as YUYV_640x480_1280: the bytes of its image, with
 *                       1280 from row to row, 0 for a compressed one
 *   V4L2_CAMERA_DAMAGED every so many images one is damaged; 0 where it is not named
 *
 * While the folder holds a file `unplugged`, the device is gone, which is noticed after some images.
 * What a program sets is added to the file `log` there.
 *
 * As with a USB camera, the transfer of an image takes the whole period: a buffer that is queued later than the
 * transfer's start gets the next image, and where none is queued an image is lost. A buffer is filled when it is
 * allocated, not with each image, as a camera's DMA takes no time of the processor. The descriptor is a timer, so that
 * select() and poll() wait as they do for a driver. One program at a time may have it open, once. */
#ifndef V4L2_CAMERA_H
#define V4L2_CAMERA_H

#include <linux/videodev2.h>
#include <pthread.h>
#include <stdint.h>

enum { MAX_BUFFERS = 32, MAX_MODES = 32, MAX_PATH_BYTES = 512, MAX_NAME_BYTES = 64, FOURCC_BYTES = 4, MAX_RATE_HZ = 240 };

struct mode {
    char name[MAX_NAME_BYTES];
    uint32_t pixelformat, width, height, row_bytes, bytes;
};

struct fifo {
    uint32_t items[MAX_BUFFERS], count;
};

/* What DQBUF returns of an image. */
struct capture {
    int64_t taken_ns;
    uint32_t sequence;
};

struct camera {
    pthread_mutex_t lock;
    int fd, memory_fd, is_blocking, is_streaming, is_gone;
    struct mode modes[MAX_MODES];
    uint32_t num_modes, mode;
    struct v4l2_fract period;
    uint32_t num_buffers, buffer_bytes, sequence, lost;
    struct fifo queued, done;
    int32_t active; /* the buffer that an image is transferred to; -1 for none */
    struct capture captures[MAX_BUFFERS];
    int64_t next_ns; /* when the transfer ends */
    int64_t due_ns;  /* when the descriptor is ready next, as the timer is set; 0 for never */
    int64_t age_ns;
    uint32_t images_a_damage;
};

extern struct camera camera;

/* modes.c. All that return int return 0 or an error number, unless they are named is_. */
void folder_path(char path[MAX_PATH_BYTES], const char *name);
int is_unplugged(void);
void record(const char *format, ...);
void read_modes(void);
void describe_mode(const struct mode *mode, struct v4l2_pix_format *pix);
int set_format(struct v4l2_format *format, int is_trial);
int enumerate_format(struct v4l2_fmtdesc *description);
int enumerate_size(struct v4l2_frmsizeenum *size);
int enumerate_interval(struct v4l2_frmivalenum *interval);
int set_period(struct v4l2_streamparm *parm, int is_query);

/* stream.c */
int start_stream(void);
void stop_stream(void);
int request_buffers(struct v4l2_requestbuffers *request);
int query_buffer(struct v4l2_buffer *buffer);
int queue_buffer(struct v4l2_buffer *buffer);
int dequeue_buffer(struct v4l2_buffer *buffer);

#endif
