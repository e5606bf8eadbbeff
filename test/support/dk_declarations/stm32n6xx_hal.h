/* As much of ST's HAL and CMSIS as the board's sources use, for compiling them without ST's files. Own declarations: the
 * values are of no use on a board. */
#ifndef STM32N6XX_HAL_H
#define STM32N6XX_HAL_H

#include <stdint.h>

typedef enum { HAL_OK, HAL_ERROR } HAL_StatusTypeDef;
typedef enum { USART1_IRQn, USB1_OTG_HS_IRQn } IRQn_Type;

typedef struct {
    volatile uint32_t CR1, CR3, ISR, ICR, RDR, TDR;
} USART_TypeDef;

typedef struct {
    volatile uint32_t FVRw[384];
} BSEC_TypeDef;

typedef struct {
    volatile uint32_t CYCCNT, CTRL;
} DWT_Type;

typedef struct {
    volatile uint32_t DEMCR;
} CoreDebug_Type;

typedef struct {
    volatile uint32_t USBPHYC_CR;
} USB_HS_PHYC_TypeDef;

typedef struct {
    uint32_t OscillatorType, HSEState;
} RCC_OscInitTypeDef;

typedef struct {
    uint64_t PeriphClockSelection;
    uint32_t UsbOtgHs1ClockSelection, UsbPhy1ClockSelection;
} RCC_PeriphCLKInitTypeDef;

extern USART_TypeDef *const USART1;
extern BSEC_TypeDef *const BSEC;
extern DWT_Type *const DWT;
extern CoreDebug_Type *const CoreDebug;
extern USB_HS_PHYC_TypeDef *const USB1_HS_PHYC;
extern uint32_t SystemCoreClock;

enum {
    CoreDebug_DEMCR_TRCENA_Msk = 1,
    DWT_CTRL_CYCCNTENA_Msk = 1,
    RCC_OSCILLATORTYPE_HSE = 1,
    RCC_HSE_ON = 1,
    RCC_PERIPHCLK_USBOTGHS1 = 1,
    RCC_PERIPHCLK_USBPHY1 = 2,
    RCC_USBPHY1REFCLKSOURCE_HSE_DIRECT = 1
};

#define USART_ISR_RXNE_RXFNE 1u
#define USART_ISR_TXE_TXFNF 2u
#define USART_ICR_ORECF 1u
#define USART_ICR_FECF 2u
#define USART_ICR_NECF 4u
#define USART_CR1_UE 1u
#define USART_CR1_FIFOEN 2u
#define USART_CR3_RXFTCFG_Pos 4u
#define USART_CR3_RXFTCFG (7u << 4)
#define USART_CR3_RXFTIE (1u << 8)

#define MODIFY_REG(reg, clear, set) ((reg) = ((reg) & ~(clear)) | (set))

#define __HAL_RCC_PWR_CLK_ENABLE() ((void)0)
#define __HAL_RCC_RIFSC_CLK_ENABLE() ((void)0)
#define __HAL_RCC_USB1_OTG_HS_CLK_ENABLE() ((void)0)
#define __HAL_RCC_USB1_OTG_HS_CLK_SLEEP_ENABLE() ((void)0)
#define __HAL_RCC_USB1_OTG_HS_FORCE_RESET() ((void)0)
#define __HAL_RCC_USB1_OTG_HS_RELEASE_RESET() ((void)0)
#define __HAL_RCC_USB1_OTG_HS_PHY_CLK_ENABLE() ((void)0)
#define __HAL_RCC_USB1_OTG_HS_PHY_CLK_SLEEP_ENABLE() ((void)0)
#define __HAL_RCC_USB1_OTG_HS_PHY_FORCE_RESET() ((void)0)
#define __HAL_RCC_USB1_OTG_HS_PHY_RELEASE_RESET() ((void)0)

void HAL_Delay(uint32_t duration_ms);
uint32_t HAL_GetTick(void);
HAL_StatusTypeDef HAL_RCC_OscConfig(RCC_OscInitTypeDef *oscillators);
HAL_StatusTypeDef HAL_RCCEx_PeriphCLKConfig(RCC_PeriphCLKInitTypeDef *clocks);
void HAL_PWREx_EnableVddUSBVMEN(void);
void HAL_PWREx_EnableVddUSB(void);
void NVIC_SetVector(IRQn_Type interrupt, uint32_t vector);
void NVIC_SetPriority(IRQn_Type interrupt, uint32_t priority);
void NVIC_EnableIRQ(IRQn_Type interrupt);
void NVIC_DisableIRQ(IRQn_Type interrupt);
void SCB_CleanDCache(void);

#endif
