#ifndef STM32N6XX_HAL_RIF_H
#define STM32N6XX_HAL_RIF_H

#include <stdint.h>

typedef struct {
    uint32_t MasterCID, SecPriv;
} RIMC_MasterConfig_t;

enum {
    RIF_CID_1 = 2,
    RIF_ATTRIBUTE_SEC = 1,
    RIF_ATTRIBUTE_PRIV = 2,
    RIF_MASTER_INDEX_OTG1 = 4,
    RIF_RISC_PERIPH_INDEX_OTG1HS = 5
};

void HAL_RIF_RIMC_ConfigMasterAttributes(uint32_t master, const RIMC_MasterConfig_t *settings);
void HAL_RIF_RISC_SetSlaveSecureAttributes(uint32_t peripheral, uint32_t attributes);

#endif
