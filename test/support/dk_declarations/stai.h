/* As much of the stai interface as the board's sources use. */
#ifndef STAI_H
#define STAI_H

#include <stdint.h>

typedef uint8_t stai_network;
typedef uint8_t *stai_ptr;
typedef uint32_t stai_size;
typedef enum { STAI_SUCCESS, STAI_RUNNING_NO_WFE, STAI_RUNNING_WFE, STAI_DONE } stai_return_code;
typedef enum { STAI_MODE_SYNC, STAI_MODE_ASYNC } stai_run_mode;

#define STAI_NETWORK_CONTEXT_DECLARE(name, size) static stai_network name[size];

stai_return_code stai_runtime_init(void);

#endif
