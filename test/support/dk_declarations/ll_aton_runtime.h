/* As much of the LL_ATON interface as the board's sources use. */
#ifndef LL_ATON_RUNTIME_H
#define LL_ATON_RUNTIME_H

#include <stdint.h>

typedef struct {
    const char *name;
} LL_Buffer_InfoTypeDef;

typedef struct {
    int unused;
} NN_Instance_TypeDef;

typedef enum { LL_ATON_RT_NO_WFE, LL_ATON_RT_WFE, LL_ATON_RT_DONE } LL_ATON_RT_RetValues_t;
typedef enum { LL_ATON_User_IO_NOERROR, LL_ATON_User_IO_WRONG_INDEX } LL_ATON_User_IO_Result_t;

#define LL_ATON_DECLARE_NAMED_NN_INSTANCE_AND_INTERFACE(name) static NN_Instance_TypeDef NN_Instance_##name

void LL_ATON_RT_RuntimeInit(void);
void LL_ATON_RT_Init_Network(NN_Instance_TypeDef *network);
void LL_ATON_RT_Reset_Network(NN_Instance_TypeDef *network);
LL_ATON_RT_RetValues_t LL_ATON_RT_RunEpochBlock(NN_Instance_TypeDef *network);
const LL_Buffer_InfoTypeDef *LL_ATON_Input_Buffers_Info(const NN_Instance_TypeDef *network);
const LL_Buffer_InfoTypeDef *LL_ATON_Output_Buffers_Info(const NN_Instance_TypeDef *network);
LL_ATON_User_IO_Result_t LL_ATON_Set_User_Input_Buffer(const NN_Instance_TypeDef *network, uint32_t number,
                                                       void *buffer, uint32_t size);
LL_ATON_User_IO_Result_t LL_ATON_Set_User_Output_Buffer(const NN_Instance_TypeDef *network, uint32_t number,
                                                        void *buffer, uint32_t size);
unsigned char *LL_Buffer_addr_start(const LL_Buffer_InfoTypeDef *buffer);
uint32_t LL_Buffer_len(const LL_Buffer_InfoTypeDef *buffer);

#endif
