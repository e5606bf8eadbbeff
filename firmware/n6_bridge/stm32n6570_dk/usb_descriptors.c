/* What the board says about itself on USB: one CDC port. */
#include "tusb.h"

#include <string.h>

enum {
    /* There is no id of our own: a vendor that nobody is, as in TinyUSB's examples, and a product that none of them is. */
    VENDOR_ID = 0xCAFE,
    PRODUCT_ID = 0x4E36,
    RELEASE = 0x0100,
    CONFIGURATION_BYTES = TUD_CONFIG_DESC_LEN + TUD_CDC_DESC_LEN,
    NOTIFICATION_IN = 0x81,
    DATA_OUT = 0x02,
    DATA_IN = 0x82,
    NOTIFICATION_BYTES = 8,
    DATA_BYTES = 512,
    MAX_TEXT_CHARS = 31,
    ENGLISH = 0x0409
};

uint8_t const *tud_descriptor_device_cb(void)
{
    static const tusb_desc_device_t DEVICE = {
        .bLength = sizeof(tusb_desc_device_t),
        .bDescriptorType = TUSB_DESC_DEVICE,
        .bcdUSB = 0x0200,
        .bDeviceClass = TUSB_CLASS_MISC,
        .bDeviceSubClass = MISC_SUBCLASS_COMMON,
        .bDeviceProtocol = MISC_PROTOCOL_IAD,
        .bMaxPacketSize0 = CFG_TUD_ENDPOINT0_SIZE,
        .idVendor = VENDOR_ID,
        .idProduct = PRODUCT_ID,
        .bcdDevice = RELEASE,
        .iManufacturer = 1,
        .iProduct = 2,
        .bNumConfigurations = 1,
    };
    return (uint8_t const *)&DEVICE;
}

uint8_t const *tud_descriptor_configuration_cb(uint8_t index)
{
    static const uint8_t CONFIGURATION[] = {
        TUD_CONFIG_DESCRIPTOR(1, 2, 0, CONFIGURATION_BYTES, 0, 100),
        TUD_CDC_DESCRIPTOR(0, 2, NOTIFICATION_IN, NOTIFICATION_BYTES, DATA_OUT, DATA_IN, DATA_BYTES),
    };
    (void)index;
    return CONFIGURATION;
}

/* A high speed device must also say what it would be at the other speed: the same. */
uint8_t const *tud_descriptor_device_qualifier_cb(void)
{
    static const tusb_desc_device_qualifier_t QUALIFIER = {
        .bLength = sizeof(tusb_desc_device_qualifier_t),
        .bDescriptorType = TUSB_DESC_DEVICE_QUALIFIER,
        .bcdUSB = 0x0200,
        .bDeviceClass = TUSB_CLASS_MISC,
        .bDeviceSubClass = MISC_SUBCLASS_COMMON,
        .bDeviceProtocol = MISC_PROTOCOL_IAD,
        .bMaxPacketSize0 = CFG_TUD_ENDPOINT0_SIZE,
        .bNumConfigurations = 1,
    };
    return (uint8_t const *)&QUALIFIER;
}

uint16_t const *tud_descriptor_string_cb(uint8_t index, uint16_t language)
{
    static const char *const TEXTS[] = {"", "yolov8_seg_ros", "N6 bridge"};
    static uint16_t text[MAX_TEXT_CHARS + 1];
    uint32_t count = 1;
    (void)language;
    if (index >= sizeof TEXTS / sizeof TEXTS[0])
        return NULL;
    text[1] = ENGLISH;
    if (index > 0)
        for (count = 0; count < MAX_TEXT_CHARS && TEXTS[index][count]; count++)
            text[1 + count] = (uint8_t)TEXTS[index][count];
    text[0] = (uint16_t)(TUSB_DESC_STRING << 8 | (2 * count + 2));
    return text;
}
