"""Test that the board's sources compile, and that they take over ST's project by one line in its Makefile.

ST's headers and project are not at hand here: declarations and a project of our own stand in for them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.bridge_core import CHECKOUT, CORE
from support.decoder_cases import SPECS
from support.native_library import SOURCE_FOLDER

BOARD = CORE.parent / "stm32n6570_dk"
DECLARATIONS = CHECKOUT / "test" / "support" / "dk_declarations"
FLAGS = [
    "-mcpu=cortex-m55",
    "-mthumb",
    "-mcmse",
    "-mfloat-abi=hard",
    "-std=gnu11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
]
#: An index, or a name with what ST's tools define.
DEFINES = {
    "N6_WORK_START": "0x34100000",
    "N6_WORK_BYTES": "0x100000",
    "N6_NETWORK_HEADER": '"stai_network.h"',
    "N6_CONTEXT_SIZE": "STAI_NETWORK_CONTEXT_SIZE",
}

pytestmark = pytest.mark.skipif(
    not shutil.which("arm-none-eabi-gcc"), reason="apt install gcc-arm-none-eabi libnewlib-arm-none-eabi"
)


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("name", ["bridge_app", "link_uart", "link_usb", "nn_ll_aton", "nn_stai"])
def test_sources_compile(name, slots, tmp_path):
    defines = [f"-D{key}={value}" for key, value in (DEFINES | {"N6_SLOTS": slots}).items()]
    includes = [f"-I{folder}" for folder in (DECLARATIONS, CORE, SOURCE_FOLDER, BOARD)]
    command = ["arm-none-eabi-gcc", *FLAGS, "-Wconversion", *defines, *includes, "-c", BOARD / f"{name}.c"]
    subprocess.run([*command, "-o", tmp_path / "object.o"], check=True)


PROJECT = """
BUILD_DIR = build
TARGET = Project
CC = arm-none-eabi-gcc
CFLAGS = {flags} -I{declarations}
LDFLAGS = -mcpu=cortex-m55 -mthumb -mfloat-abi=hard -specs=nosys.specs -Wl,--gc-sections
C_SOURCES = main.c validation.c
OBJECTS = $(addprefix $(BUILD_DIR)/,$(C_SOURCES:.c=.o))

$(BUILD_DIR)/$(TARGET).elf: $(OBJECTS)
	$(CC) $(OBJECTS) $(LDFLAGS) -o $@

$(BUILD_DIR)/%.o: %.c | $(BUILD_DIR)
	$(CC) -c $(CFLAGS) $< -o $@

$(BUILD_DIR):
	mkdir $@

include {bridge}
"""
#: What ST's project does, as far as the bridge takes it over.
MAIN = """
int aiValidationInit(void);
int aiValidationProcess(void);
void fuse_vddio(void);

int main(void)
{
    fuse_vddio();
    aiValidationInit();
    for (;;)
        aiValidationProcess();
}
"""
VALIDATION = """
extern volatile int breakpoint, burnt, validated;
volatile int breakpoint, burnt, validated;
int aiValidationInit(void);
int aiValidationProcess(void);
void fuse_vddio(void);

int aiValidationInit(void)
{
    return breakpoint++;
}

int aiValidationProcess(void)
{
    return validated++;
}

void fuse_vddio(void)
{
    burnt++;
}
"""
STUBS = """
#include "ll_aton_caches_interface.h"
#include "ll_aton_runtime.h"
#include "stm32n6xx_hal.h"

USART_TypeDef *const USART1;
BSEC_TypeDef *const BSEC;
DWT_Type *const DWT;
CoreDebug_Type *const CoreDebug;
uint32_t SystemCoreClock;

void HAL_Delay(uint32_t duration_ms) { (void)duration_ms; }
uint32_t HAL_GetTick(void) { return 0; }
void NVIC_SetVector(IRQn_Type interrupt, uint32_t vector) { (void)interrupt; (void)vector; }
void NVIC_SetPriority(IRQn_Type interrupt, uint32_t priority) { (void)interrupt; (void)priority; }
void NVIC_EnableIRQ(IRQn_Type interrupt) { (void)interrupt; }
void NVIC_DisableIRQ(IRQn_Type interrupt) { (void)interrupt; }
void SCB_CleanDCache(void) { }
void LL_ATON_Cache_MCU_Clean_Range(uintptr_t address, uint32_t size) { (void)address; (void)size; }
void LL_ATON_Cache_MCU_Invalidate_Range(uintptr_t address, uint32_t size) { (void)address; (void)size; }
void LL_ATON_RT_RuntimeInit(void) { }
void LL_ATON_RT_Init_Network(NN_Instance_TypeDef *network) { (void)network; }
void LL_ATON_RT_Reset_Network(NN_Instance_TypeDef *network) { (void)network; }
LL_ATON_RT_RetValues_t LL_ATON_RT_RunEpochBlock(NN_Instance_TypeDef *network) { (void)network; return LL_ATON_RT_DONE; }
const LL_Buffer_InfoTypeDef *LL_ATON_Input_Buffers_Info(const NN_Instance_TypeDef *n) { (void)n; return 0; }
const LL_Buffer_InfoTypeDef *LL_ATON_Output_Buffers_Info(const NN_Instance_TypeDef *n) { (void)n; return 0; }
unsigned char *LL_Buffer_addr_start(const LL_Buffer_InfoTypeDef *buffer) { (void)buffer; return 0; }
uint32_t LL_Buffer_len(const LL_Buffer_InfoTypeDef *buffer) { (void)buffer; return 0; }
"""


def called_by(program: Path, function: str) -> str:
    """Return the code of a function."""
    command = ["arm-none-eabi-objdump", f"--disassemble={function}", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_bridge_takes_over_a_project(tmp_path):
    sys.path.insert(0, str(CORE.parent / "tools"))
    try:
        from describe_model import source_of
    finally:
        sys.path.pop(0)
    model = tmp_path / "model.c"
    model.write_text(source_of(SPECS["raw-published"](), "tiny", bytes(32)), encoding="ascii")
    flags = " ".join([*FLAGS, "-ffunction-sections"])
    makefile = PROJECT.format(flags=flags, declarations=DECLARATIONS, bridge=BOARD / "bridge.mk")
    for name, text in {"Makefile": makefile, "main.c": MAIN, "validation.c": VALIDATION + STUBS}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = ["make", "-s", "-j2", "-C", tmp_path, f"N6_MODEL={model}"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    program = tmp_path / "build" / "Project.elf"
    main = called_by(program, "main")
    assert all(f"<__wrap_{name}>" in main for name in ("fuse_vddio", "aiValidationInit", "aiValidationProcess"))
    assert "<aiValidationInit>" in called_by(program, "__wrap_aiValidationInit"), "ST's loader stops there"
    symbols = subprocess.run(["arm-none-eabi-nm", program], capture_output=True, text=True, check=True).stdout
    assert " T fuse_vddio" not in symbols, "nothing is left that could burn a fuse"
    assert " T n6_bridge_poll" in symbols


def test_no_file_of_others_is_here():
    texts = [path.read_text(encoding="utf-8") for path in sorted((CHECKOUT / "firmware").rglob("*.[ch]"))]
    assert texts
    assert not [text for text in texts if "STMicroelectronics" in text or "SLA0044" in text]
