# The bridge in ST's project NPU_Validation. As the last line of the project's Makefile:
#
#   include /path/to/firmware/n6_bridge/stm32n6570_dk/bridge.mk
#
# N6_MODEL: what tools/describe_model.py wrote of the model. Settings are variables of make, or of the environment:
N6_MODEL ?= $(N6_BRIDGE)/build/model.c
# uart (the ST-LINK's) or usb (CN18; TINYUSB is then the folder of TinyUSB's sources)
N6_LINK ?= uart
# ll_aton (ST Edge AI up to 2.x) or stai (3.0)
N6_RUNTIME ?= ll_aton
# The network's name in the generated code: Default or network
N6_NETWORK ?= $(if $(filter stai,$(N6_RUNTIME)),network,Default)
# Pictures in flight: 2 with `stedgeai generate --no-inputs-allocation --no-outputs-allocation`, else 1
N6_SLOTS ?= 1
# Memory that neither the project's linker script nor the network's pools use: AXISRAM2
N6_WORK_START ?= 0x34100000
N6_WORK_BYTES ?= 0x100000

N6_BRIDGE := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))/..)
N6_NATIVE := $(abspath $(N6_BRIDGE)/../../yolov8_seg_ros/native)
N6_OUT = $(BUILD_DIR)/n6_bridge
N6_BOARD := $(N6_BRIDGE)/stm32n6570_dk
N6_SOURCES := $(wildcard $(N6_BRIDGE)/core/*.c) $(wildcard $(N6_NATIVE)/*.c) $(N6_MODEL) \
	$(N6_BOARD)/bridge_app.c $(N6_BOARD)/nn_$(N6_RUNTIME).c $(N6_BOARD)/link_$(N6_LINK).c
ifeq ($(N6_LINK),usb)
N6_SOURCES += $(N6_BOARD)/usb_descriptors.c $(addprefix $(TINYUSB)/src/,tusb.c common/tusb_fifo.c device/usbd.c \
	class/cdc/cdc_device.c portable/synopsys/dwc2/dcd_dwc2.c portable/synopsys/dwc2/dwc2_common.c)
N6_INCLUDES := -I$(TINYUSB)/src
endif
# Results are those of the host, bit by bit, without contraction of products and sums.
N6_FLAGS = -O2 -ffp-contract=off -fno-math-errno -I$(N6_BRIDGE)/core -I$(N6_NATIVE) -I$(N6_BOARD) $(N6_INCLUDES) \
	-DN6_SLOTS=$(N6_SLOTS) -DN6_NETWORK=$(N6_NETWORK) -DN6_NETWORK_HEADER='"stai_$(N6_NETWORK).h"' \
	-DN6_CONTEXT_SIZE=STAI_$(shell echo $(N6_NETWORK) | tr a-z A-Z)_CONTEXT_SIZE \
	-DN6_WORK_START=$(N6_WORK_START) -DN6_WORK_BYTES=$(N6_WORK_BYTES)
N6_OBJECTS := $(addprefix $(N6_OUT)/,$(notdir $(N6_SOURCES:.c=.o)))

# The project's recipe that links takes these up, since recipes are expanded last.
LDFLAGS += $(N6_OBJECTS) -lm -Wl,--wrap=aiValidationInit -Wl,--wrap=aiValidationProcess -Wl,--wrap=fuse_vddio
$(BUILD_DIR)/$(TARGET).elf: $(N6_OBJECTS)

# A rule for each, since the project's own search path may hold files of the same names.
define N6_RULE
$(N6_OUT)/$(notdir $(1:.c=.o)): $(1) | $(N6_OUT)
	$$(CC) -c $$(CFLAGS) $$(N6_FLAGS) $$< -o $$@
endef
$(foreach source,$(N6_SOURCES),$(eval $(call N6_RULE,$(source))))

# After the project's own rule, which fails where the folder is there already, as with `make -j`.
$(N6_OUT): | $(BUILD_DIR)
	mkdir -p $@
