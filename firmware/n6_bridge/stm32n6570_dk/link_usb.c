/* USB CDC on CN18, by TinyUSB. Not yet run on a board. Use a cable from USB A to C: the Type-C controller is left alone. */
#include "board_ports.h"
#include "stm32n6xx_hal.h"
#include "stm32n6xx_hal_rif.h"
#include "stm32n6xx_ll_bus.h"
#include "stm32n6xx_ll_rcc.h"
#include "tusb.h"

#include <stddef.h>

enum {
    PORT = 0,
    PRIORITY = 2,
    MONITOR_START_MS = 10,
    /* Of the PHY's control register: the reference clock's field, and its value for 24 MHz. */
    REFERENCE_SHIFT = 4,
    REFERENCE_MASK = 7,
    REFERENCE_24_MHZ = 2
};

/* Bit of AHB5's reset register that the PHY's control interface hangs on. */
static const uint32_t PHY_CONTROL_RESET = 1u << 23;
static const uint32_t PHY_ENABLES = 1u << 16 | 1u << 2 | 1u;

static void handle_interrupt(void)
{
    tud_int_handler(PORT);
}

/* ST's project runs on the internal oscillator; the PHY needs the crystal. */
static void start_crystal(void)
{
    RCC_OscInitTypeDef oscillators = {0};
    oscillators.OscillatorType = RCC_OSCILLATORTYPE_HSE;
    oscillators.HSEState = RCC_HSE_ON;
    if (HAL_RCC_OscConfig(&oscillators) != HAL_OK)
        n6_board_stop("the crystal does not start");
    LL_RCC_HSE_SelectHSEDiv2AsDiv2Clock();
}

static void choose_phy_clock(void)
{
    RCC_PeriphCLKInitTypeDef clocks = {0};
    clocks.PeriphClockSelection = RCC_PERIPHCLK_USBOTGHS1 | RCC_PERIPHCLK_USBPHY1;
    clocks.UsbOtgHs1ClockSelection = RCC_USBPHY1REFCLKSOURCE_HSE_DIRECT;
    clocks.UsbPhy1ClockSelection = RCC_USBPHY1REFCLKSOURCE_HSE_DIRECT;
    if (HAL_RCCEx_PeriphCLKConfig(&clocks) != HAL_OK)
        n6_board_stop("USB gets no clock");
}

static void allow_bus_access(void)
{
    RIMC_MasterConfig_t master = {0};
    __HAL_RCC_RIFSC_CLK_ENABLE();
    master.MasterCID = RIF_CID_1;
    master.SecPriv = RIF_ATTRIBUTE_SEC | RIF_ATTRIBUTE_PRIV;
    HAL_RIF_RIMC_ConfigMasterAttributes(RIF_MASTER_INDEX_OTG1, &master);
    HAL_RIF_RISC_SetSlaveSecureAttributes(RIF_RISC_PERIPH_INDEX_OTG1HS, RIF_ATTRIBUTE_SEC | RIF_ATTRIBUTE_PRIV);
}

static void power_up(void)
{
    __HAL_RCC_PWR_CLK_ENABLE();
    HAL_PWREx_EnableVddUSBVMEN();
    /* Public examples do not agree on what the monitor's flag means while it starts. */
    HAL_Delay(MONITOR_START_MS);
    HAL_PWREx_EnableVddUSB();
}

/* The resets in their order: control, core and PHY; the PHY's clock is set while it is in reset. */
static void start_phy(void)
{
    LL_AHB5_GRP1_ForceReset(PHY_CONTROL_RESET);
    __HAL_RCC_USB1_OTG_HS_FORCE_RESET();
    __HAL_RCC_USB1_OTG_HS_PHY_FORCE_RESET();
    LL_AHB5_GRP1_ReleaseReset(PHY_CONTROL_RESET);
    __HAL_RCC_USB1_OTG_HS_CLK_ENABLE();
    HAL_Delay(1);
    MODIFY_REG(USB1_HS_PHYC->USBPHYC_CR, (uint32_t)REFERENCE_MASK << REFERENCE_SHIFT,
               (uint32_t)REFERENCE_24_MHZ << REFERENCE_SHIFT | PHY_ENABLES);
    __HAL_RCC_USB1_OTG_HS_PHY_RELEASE_RESET();
    HAL_Delay(1);
    __HAL_RCC_USB1_OTG_HS_RELEASE_RESET();
    __HAL_RCC_USB1_OTG_HS_PHY_CLK_ENABLE();
    /* Else a sleeping core takes USB's clock away. */
    __HAL_RCC_USB1_OTG_HS_CLK_SLEEP_ENABLE();
    __HAL_RCC_USB1_OTG_HS_PHY_CLK_SLEEP_ENABLE();
}

static int32_t read(void *context, uint8_t *bytes, int32_t max_bytes)
{
    (void)context;
    tud_task();
    return (int32_t)tud_cdc_read(bytes, (uint32_t)max_bytes);
}

static int32_t write(void *context, const uint8_t *bytes, int32_t count)
{
    (void)context;
    int32_t taken = (int32_t)tud_cdc_write(bytes, (uint32_t)count);
    tud_cdc_write_flush();
    return taken;
}

/* DTR rises when a host opens the port. */
static int32_t has_reopened(void *context)
{
    int32_t *was_open = context, is_open = tud_cdc_connected(), has_opened = is_open && !*was_open;
    *was_open = is_open;
    return has_opened;
}

const struct n6_link_port *n6_board_link(void)
{
    static int32_t was_open;
    static struct n6_link_port port;
    const tusb_rhport_init_t settings = {.role = TUSB_ROLE_DEVICE, .speed = TUSB_SPEED_AUTO};
    port = (struct n6_link_port){&was_open, read, write, has_reopened, n6_board_now_us};
    start_crystal();
    choose_phy_clock();
    allow_bus_access();
    power_up();
    start_phy();
    NVIC_SetVector(USB1_OTG_HS_IRQn, (uint32_t)handle_interrupt);
    SCB_CleanDCache();
    NVIC_SetPriority(USB1_OTG_HS_IRQn, PRIORITY);
    if (!tusb_init(PORT, &settings))
        n6_board_stop("TinyUSB does not start");
    return &port;
}
