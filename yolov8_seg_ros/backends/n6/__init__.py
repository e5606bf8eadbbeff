"""Run the network on an STM32N6 board behind a serial line, and stand in for such a board."""
