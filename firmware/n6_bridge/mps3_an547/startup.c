/* What comes before main: vectors, memory, floating point. */
#include <stdint.h>

extern uint32_t data_start[], data_end[], data_image[], bss_start[], bss_end[], stack_top[];

int main(void);
void reset(void);
void hang(void);

/* Where memory is laid out by the linker script alone, loops over it must stay loops. */
#define KEEP_LOOPS __attribute__((optimize("no-tree-loop-distribute-patterns")))

static volatile uint32_t *const CPACR = (volatile uint32_t *)0xE000ED88;

void hang(void)
{
    for (;;)
        continue;
}

KEEP_LOOPS void reset(void)
{
    /* The floating point unit and MVE are off after a reset. */
    *CPACR |= 0xFu << 20;
    __asm volatile("dsb\n isb");
    for (uint32_t *to = data_start, *from = data_image; to < data_end;)
        *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;)
        *to++ = 0;
    main();
    hang();
}

struct vectors {
    void *stack_top;
    void (*handlers[15])(void);
};

/* Reset, NMI, and the faults; there are no interrupts. */
__attribute__((section(".vectors"), used)) static const struct vectors VECTORS = {
    stack_top,
    {reset, hang, hang, hang, hang, hang, hang},
};
