#ifndef STM32N6XX_LL_RCC_H
#define STM32N6XX_LL_RCC_H

void LL_RCC_HSE_SelectHSEDiv2AsDiv2Clock(void);

#endif
