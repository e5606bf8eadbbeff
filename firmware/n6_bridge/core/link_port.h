/* What the core needs of a line to the host: a UART, USB CDC, a socket. */
#ifndef N6_LINK_PORT_H
#define N6_LINK_PORT_H

#include <stdint.h>

/* No function waits.
 *
 * UART: the line has no flow control, so bytes must not be lost while the core works. Receive by DMA into a ring of at
 * least 16 kB: at 3 Mbaud that is 50 ms; the core reads at least each 3 ms on a Cortex-M55 at 600 MHz. Where the DMA
 * writes into cached memory, put the ring into a region that is not cached, or invalidate what `read` is about to read:
 * lines of 32 bytes, ring aligned to 32 and a multiple of 32 long. Before a transmitting DMA starts, clean what it will
 * read. An overrun of the ring or of the UART needs no report: checksums find it.
 *
 * USB: the host is held off while nothing is read, nothing is lost. Without DMA (TinyUSB's default for DWC2) no cache
 * is involved. Buffers of several times 512 bytes decide about the speed.
 */
struct n6_link_port {
    void *context;

    /* Read up to max_bytes; return how many came, 0 for none. */
    int32_t (*read)(void *context, uint8_t *bytes, int32_t max_bytes);

    /* Send up to count bytes; return how many were taken. `bytes` need not stay as they are afterwards. */
    int32_t (*write)(void *context, const uint8_t *bytes, int32_t count);

    /* Return 1 once after the host has opened the port (DTR of USB CDC), else 0; NULL where that is not seen. Half a
     * packet, in either direction, is then dropped; the session stays until the next HELLO. */
    int32_t (*has_reopened)(void *context);

    /* Return microseconds that count up and wrap at 2^32. */
    uint32_t (*now_us)(void *context);
};

#endif
