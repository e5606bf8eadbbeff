/* The line of the ST-LINK: USART1, as ST's project has set it up. Not yet run on a board.
 *
 * The receiver's FIFO interrupts at half its 16 bytes: at 3 Mbaud each 27 us. No DMA, hence no cache to care for.
 */
#include "board_ports.h"
#include "stm32n6xx_hal.h"

#include <stddef.h>

/* 50 ms at 3 Mbaud; a power of 2. */
enum { RING_BYTES = 1 << 14, HALF_FULL = 2, PRIORITY = 1 };

struct ring {
    uint8_t bytes[RING_BYTES];
    volatile uint32_t num_written, num_read; /* since the start; modulo 2^32 */
};

static struct ring *the_ring(void)
{
    static struct ring ring;
    return &ring;
}

/* Move what the FIFO holds into the ring; what has no room is lost, as the checksums will find. */
static void drain_fifo(void)
{
    struct ring *ring = the_ring();
    USART1->ICR = USART_ICR_ORECF | USART_ICR_FECF | USART_ICR_NECF;
    while (USART1->ISR & USART_ISR_RXNE_RXFNE) {
        uint8_t byte = (uint8_t)USART1->RDR;
        if (ring->num_written - ring->num_read < RING_BYTES)
            ring->bytes[ring->num_written++ % RING_BYTES] = byte;
    }
}

static int32_t read(void *context, uint8_t *bytes, int32_t max_bytes)
{
    struct ring *ring = context;
    int32_t count = 0;
    /* Bytes below the FIFO's threshold raise no interrupt. */
    NVIC_DisableIRQ(USART1_IRQn);
    drain_fifo();
    NVIC_EnableIRQ(USART1_IRQn);
    while (count < max_bytes && ring->num_read != ring->num_written)
        bytes[count++] = ring->bytes[ring->num_read++ % RING_BYTES];
    return count;
}

static int32_t write(void *context, const uint8_t *bytes, int32_t count)
{
    int32_t taken = 0;
    (void)context;
    while (taken < count && USART1->ISR & USART_ISR_TXE_TXFNF)
        USART1->TDR = bytes[taken++];
    return taken;
}

/* Let the interrupt come here, whatever ST's project has in its table; that lies in RAM. */
static void set_vector(IRQn_Type interrupt, void (*handler)(void))
{
    NVIC_SetVector(interrupt, (uint32_t)handler);
    SCB_CleanDCache();
    NVIC_SetPriority(interrupt, PRIORITY);
    NVIC_EnableIRQ(interrupt);
}

const struct n6_link_port *n6_board_link(void)
{
    static struct n6_link_port port;
    port = (struct n6_link_port){the_ring(), read, write, NULL, n6_board_now_us};
    USART1->CR1 &= ~USART_CR1_UE;
    USART1->CR1 |= USART_CR1_FIFOEN;
    USART1->CR3 = (USART1->CR3 & ~USART_CR3_RXFTCFG) | HALF_FULL << USART_CR3_RXFTCFG_Pos | USART_CR3_RXFTIE;
    USART1->CR1 |= USART_CR1_UE;
    set_vector(USART1_IRQn, drain_fifo);
    return &port;
}
