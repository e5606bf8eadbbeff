/* TinyUSB: one CDC port at high speed, without DMA, hence without caches to care for. */
#ifndef TUSB_CONFIG_H
#define TUSB_CONFIG_H

#define CFG_TUSB_MCU OPT_MCU_STM32N6
#define CFG_TUSB_OS OPT_OS_NONE
#define CFG_TUD_ENABLED 1
#define CFG_TUD_MAX_SPEED OPT_MODE_HIGH_SPEED
#define BOARD_TUD_RHPORT 0
#define CFG_TUSB_RHPORT0_MODE (OPT_MODE_DEVICE | OPT_MODE_HIGH_SPEED)
#define CFG_TUD_ENDPOINT0_SIZE 64
#define CFG_TUD_CDC 1
/* Several packets of 512 bytes decide about the speed. */
#define CFG_TUD_CDC_RX_BUFSIZE 8192
#define CFG_TUD_CDC_TX_BUFSIZE 8192
#define CFG_TUD_CDC_EP_BUFSIZE 2048

#endif
