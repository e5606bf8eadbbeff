#ifndef STM32N6XX_LL_BUS_H
#define STM32N6XX_LL_BUS_H

#include <stdint.h>

void LL_AHB5_GRP1_ForceReset(uint32_t peripherals);
void LL_AHB5_GRP1_ReleaseReset(uint32_t peripherals);

#endif
