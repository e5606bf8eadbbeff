// A library that ends the process when it is loaded.
#include <stdlib.h>

__attribute__((constructor)) static void end_the_process(void) { abort(); }
