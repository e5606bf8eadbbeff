"""Simulate an STM32N6 board behind a pseudo terminal."""
