/* The ports of the STM32N6570-DK. Not yet run on a board. */
#ifndef BOARD_PORTS_H
#define BOARD_PORTS_H

#include "link_port.h"
#include "nn_port.h"

/* Pictures in flight. 2 need inputs and outputs of one's own: see nn_port.h and README.md. */
#ifndef N6_SLOTS
#define N6_SLOTS 1
#endif

enum { N6_MAX_OUTPUTS = 32, N6_CACHE_LINE_BYTES = 32 };

/* Return the network's port. It hands out pieces of `memory` where N6_SLOTS is 2 or more; stops where these are missing
 * or the network is not the one that was described. */
const struct n6_nn_port *n6_board_network(void);

/* Return the port of the line that the program was built for. */
const struct n6_link_port *n6_board_link(void);

/* Return microseconds that count up. */
uint32_t n6_board_now_us(void *context);

/* Say why nothing goes on, on ST's console, again and again. */
void n6_board_stop(const char *reason);

/* Memory that the linker script knows nothing of: N6_WORK_START, N6_WORK_BYTES. Returns a piece aligned to a cache line, or
 * stops. */
void *n6_board_memory(int32_t size_bytes);

#endif
