// A delegate that cannot be destroyed: one of the two functions that it should export is missing.
void *tflite_plugin_create_delegate(char **keys, char **values, unsigned long count, void (*report)(const char *)) {
  (void)keys, (void)values, (void)count, (void)report;
  return 0;
}
