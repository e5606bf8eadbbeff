// A delegate for tests, which copies bytes in place of the operations that it takes. As defined when it is compiled:
//   TAKES     which operation it takes, by its number; 0 for none
//   AT_MOST   how many of them
//   FAILS_IN  CREATE, PREPARE, KERNEL or INVOKE; NOTHING unless defined
// Its option `record` names a file to which it appends what it is told and does. With a cache it does as the VX delegate
// does: the file that is there is loaded, else one is written when the graph is first run.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tflite_abi.h"

enum { NOTHING, CREATE, PREPARE, KERNEL, INVOKE };

#ifndef FAILS_IN
#define FAILS_IN NOTHING
#endif
#ifndef TAKES
#define TAKES 0
#endif
#ifndef AT_MOST
#define AT_MOST 1000
#endif

static const char kGraph[] = "a compiled graph";

typedef struct {
  Delegate delegate;
  char record_path[4096];
  char cache_path[4096];
  bool uses_cache;
} TestDelegate;

typedef struct {
  TestDelegate *owner;
  bool is_compiled;
  int count;
  int from[AT_MOST];
  int to[AT_MOST];
} Kernel;

static void record(const TestDelegate *self, const char *what, const char *value) {
  FILE *file = self->record_path[0] ? fopen(self->record_path, "a") : NULL;
  if (file != NULL) {
    fprintf(file, "%s=%s\n", what, value);
    fclose(file);
  }
}

static bool load_graph(const TestDelegate *self) {
  char content[sizeof kGraph] = "";
  FILE *file = self->uses_cache ? fopen(self->cache_path, "r") : NULL;
  if (file == NULL) return false;
  size_t length = fread(content, 1, sizeof content - 1, file);
  fclose(file);
  record(self, "loaded", self->cache_path);
  return length == sizeof kGraph - 1 && strcmp(content, kGraph) == 0;
}

static void compile_graph(const TestDelegate *self) {
  record(self, "compiled", self->uses_cache ? self->cache_path : "");
  FILE *file = self->uses_cache ? fopen(self->cache_path, "w") : NULL;
  if (file != NULL) {
    fputs(kGraph, file);
    fclose(file);
  }
}

static bool file_exists(const char *path) {
  FILE *file = fopen(path, "r");
  if (file != NULL) fclose(file);
  return file != NULL;
}

static void *kernel_init(Context *context, const char *buffer, size_t length) {
  (void)length;
  const DelegateParams *params = (const DelegateParams *)buffer;
  Kernel *kernel = calloc(1, sizeof *kernel);
  kernel->owner = (TestDelegate *)params->delegate;
  for (int i = 0; i < params->nodes_to_replace->size; ++i) {
    Node *node;
    Registration *registration;
    context->GetNodeAndRegistration(context, params->nodes_to_replace->data[i], &node, &registration);
    kernel->from[kernel->count] = node->inputs->data[0];
    kernel->to[kernel->count++] = node->outputs->data[0];
  }
  return kernel;
}

static void kernel_free(Context *context, void *kernel) {
  (void)context;
  free(kernel);
}

static Status kernel_prepare(Context *context, Node *node) {
  Kernel *kernel = node->user_data;
  const TestDelegate *owner = kernel->owner;
  if (FAILS_IN == KERNEL) {
    context->ReportError(context, "no memory on the NPU");
    return STATUS_ERROR;
  }
  if (owner->uses_cache && file_exists(owner->cache_path)) {
    kernel->is_compiled = load_graph(owner);
    if (!kernel->is_compiled) {
      context->ReportError(context, "the graph is not one of this driver");
      return STATUS_ERROR;
    }
  }
  return STATUS_OK;
}

static Status kernel_invoke(Context *context, Node *node) {
  Kernel *kernel = node->user_data;
  if (FAILS_IN == INVOKE) {
    context->ReportError(context, "the NPU does not answer");
    return STATUS_ERROR;
  }
  if (!kernel->is_compiled) compile_graph(kernel->owner);
  kernel->is_compiled = true;
  for (int i = 0; i < kernel->count; ++i) {
    const Tensor *from = &context->tensors[kernel->from[i]];
    memcpy(context->tensors[kernel->to[i]].data, from->data, from->bytes);
  }
  return STATUS_OK;
}

static Status prepare(Context *context, Delegate *delegate) {
  if (FAILS_IN == PREPARE) {
    context->ReportError(context, "this NPU is of another generation");
    return STATUS_ERROR;
  }
  IntArray *plan;
  if (context->GetExecutionPlan(context, &plan) != STATUS_OK) return STATUS_ERROR;
  IntArray *taken = malloc(sizeof(IntArray) + sizeof(int) * (size_t)plan->size);
  taken->size = 0;
  for (int i = 0; i < plan->size && taken->size < AT_MOST; ++i) {
    Node *node;
    Registration *registration;
    context->GetNodeAndRegistration(context, plan->data[i], &node, &registration);
    if (registration->builtin_code == TAKES) taken->data[taken->size++] = plan->data[i];
  }
  const Registration kernel = {.init = kernel_init,
                               .free = kernel_free,
                               .prepare = kernel_prepare,
                               .invoke = kernel_invoke,
                               .custom_name = "TestNpu",
                               .version = 1};
  Status status = STATUS_OK;
  if (taken->size > 0) {
    status = context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, taken, delegate);
  }
  free(taken);
  return status;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  if (FAILS_IN == CREATE) {
    report("no NPU was found");
    return NULL;
  }
  TestDelegate *self = calloc(1, sizeof *self);
  self->delegate.Prepare = prepare;
  for (size_t i = 0; i < count; ++i) {
    if (strcmp(keys[i], "record") == 0) strcpy(self->record_path, values[i]);
    if (strcmp(keys[i], "cache_file_path") == 0) strcpy(self->cache_path, values[i]);
    if (strcmp(keys[i], "allowed_cache_mode") == 0) self->uses_cache = strcmp(values[i], "true") == 0;
  }
  for (size_t i = 0; i < count; ++i) record(self, keys[i], values[i]);
  return &self->delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
