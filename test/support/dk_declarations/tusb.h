/* As much of TinyUSB as the board's line uses; its descriptors are compiled against the real one alone. */
#ifndef TUSB_H
#define TUSB_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { TUSB_ROLE_DEVICE } tusb_role_t;
typedef enum { TUSB_SPEED_AUTO } tusb_speed_t;

typedef struct {
    tusb_role_t role;
    tusb_speed_t speed;
} tusb_rhport_init_t;

bool tusb_init(uint8_t port, const tusb_rhport_init_t *settings);
void tud_int_handler(uint8_t port);
void tud_task(void);
bool tud_cdc_connected(void);
uint32_t tud_cdc_read(void *buffer, uint32_t count);
uint32_t tud_cdc_write(const void *buffer, uint32_t count);
uint32_t tud_cdc_write_flush(void);

#endif
