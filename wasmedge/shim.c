#define _GNU_SOURCE
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim_internal.h"

const preempt_ops* edge_ops;

// Exported by Go (callbacks_cgo.go).
extern int32_t edgedHostCall(uintptr_t handle, uint32_t index, uint8_t* memory, uint64_t bytes, uint64_t* stack);

static WasmEdge_String view(const char* text, uint32_t length) { return WasmEdge_StringWrap(text, length); }

WasmEdge_ConfigureContext* edge_configure(void) {
  static const enum WasmEdge_Proposal off[] = {
      WasmEdge_Proposal_MultiMemories,     WasmEdge_Proposal_Annotations,  WasmEdge_Proposal_Memory64,
      WasmEdge_Proposal_ExceptionHandling, WasmEdge_Proposal_ExtendedConst, WasmEdge_Proposal_Threads,
      WasmEdge_Proposal_TailCall,          WasmEdge_Proposal_Component,    WasmEdge_Proposal_FunctionReferences,
      WasmEdge_Proposal_GC,                WasmEdge_Proposal_RelaxSIMD,
  };
  static const enum WasmEdge_Proposal on[] = {
      WasmEdge_Proposal_ImportExportMutGlobals, WasmEdge_Proposal_NonTrapFloatToIntConversions,
      WasmEdge_Proposal_SignExtensionOperators, WasmEdge_Proposal_MultiValue,
      WasmEdge_Proposal_BulkMemoryOperations,   WasmEdge_Proposal_ReferenceTypes,
      WasmEdge_Proposal_SIMD,
  };
  WasmEdge_ConfigureContext* configure = WasmEdge_ConfigureCreate();
  for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
    WasmEdge_ConfigureRemoveProposal(configure, off[i]);
  }
  for (size_t i = 0; i < sizeof on / sizeof on[0]; i++) {
    WasmEdge_ConfigureAddProposal(configure, on[i]);
  }
  return configure;
}

// --- host functions ---------------------------------------------------------------------------------------------------

// The C API's own constructors take float and double by value, where a signalling NaN may lose its bit: values are made and
// read as bits.
uint64_t edge_value_bits(const WasmEdge_Value* value, uint8_t type) {
  uint64_t bits = (uint64_t)value->Value;
  return type == 0x7f || type == 0x7d ? (uint32_t)bits : bits;
}

static WasmEdge_ValType value_type(uint8_t type) {
  switch (type) {
    case 0x7f:
      return WasmEdge_ValTypeGenI32();
    case 0x7e:
      return WasmEdge_ValTypeGenI64();
    case 0x7d:
      return WasmEdge_ValTypeGenF32();
    default:
      return WasmEdge_ValTypeGenF64();
  }
}

WasmEdge_Value edge_value_of(uint64_t bits, uint8_t type) {
  return (WasmEdge_Value){.Value = type == 0x7f || type == 0x7d ? (uint32_t)bits : bits, .Type = value_type(type)};
}

// host_trampoline takes a guest's call to native code or to Go. The wrapper of the intrinsic has made sure of the stack.
static WasmEdge_Result host_trampoline(void* data, const WasmEdge_CallingFrameContext* frame,
                                       const WasmEdge_Value* in, WasmEdge_Value* out) {
  (void)frame;
  const edge_host_function* fn = data;
  edge_thread* thread = edge_current;
  if (thread == NULL || thread->instance == NULL) {
    return WasmEdge_Result_Fail;  // a host function called by nobody: cannot happen through the gate
  }
  uint64_t stack[EDGE_MAX_VALUES] = {0};  // a result that the host leaves out must not be what lay on this stack before
  for (int i = 0; i < fn->parameters; i++) {
    stack[i] = edge_value_bits(&in[i], fn->types[i]);
  }
  uint64_t bytes;
  uint8_t* memory = edge_instance_memory(thread->instance, &bytes);
  int failed = fn->native != NULL ? fn->native(memory, bytes, stack) : EDGE_DECLINE;
  if (failed == EDGE_DECLINE) {
    failed = edgedHostCall(thread->handle, fn->index, memory, bytes, stack);
  }
  if (failed) {
    thread->host_failed = 1;
    return WasmEdge_ResultGen(WasmEdge_ErrCategory_UserLevelError, 1);
  }
  for (int i = 0; i < fn->results; i++) {
    out[i] = edge_value_of(stack[i], fn->types[fn->parameters + i]);
  }
  return WasmEdge_Result_Success;
}

edge_host_module* edge_host_module_new(const char* name) {
  edge_host_module* module = calloc(1, sizeof *module);
  if (module == NULL) {
    return NULL;
  }
  snprintf(module->name, sizeof module->name, "%s", name);
  module->instance = WasmEdge_ModuleInstanceCreate(view(module->name, (uint32_t)strlen(module->name)));
  return module;
}

static int value_types(const uint8_t* types, int count, WasmEdge_ValType* out) {
  for (int i = 0; i < count; i++) {
    if (types[i] < 0x7c || types[i] > 0x7f) {
      return -1;
    }
    out[i] = value_type(types[i]);
  }
  return 0;
}

int edge_host_module_add(edge_host_module* module, const char* name, const edge_host_function* fn) {
  WasmEdge_ValType parameters[EDGE_MAX_VALUES], results[EDGE_MAX_VALUES];
  if (value_types(fn->types, fn->parameters, parameters) != 0 ||
      value_types(fn->types + fn->parameters, fn->results, results) != 0) {
    return -1;
  }
  WasmEdge_FunctionTypeContext* type =
      WasmEdge_FunctionTypeCreate(parameters, fn->parameters, results, fn->results);
  WasmEdge_FunctionInstanceContext* function =
      WasmEdge_FunctionInstanceCreate(type, host_trampoline, (void*)(uintptr_t)fn, 0);
  WasmEdge_FunctionTypeDelete(type);
  WasmEdge_ModuleInstanceAddFunction(module->instance, view(name, (uint32_t)strlen(name)), function);
  return 0;
}

// --- modules ----------------------------------------------------------------------------------------------------------

edge_module* edge_load(const char* path, const char** error) {
  edge_module* module = calloc(1, sizeof *module);
  if (module == NULL) {
    *error = "out of memory";
    return NULL;
  }
  // Before WasmEdge, which would have the artifact's calls into libm and libc bound at the first of each: a stack overflow in
  // the dynamic linker, in the middle of a guest, would leave it in a state that the next load waits on for ever.
  module->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (module->library == NULL) {
    *error = "the dynamic linker cannot load it: no artifact, or a damaged one";
    edge_module_free(module);
    return NULL;
  }
  WasmEdge_ConfigureContext* configure = edge_configure();
  WasmEdge_LoaderContext* loader = WasmEdge_LoaderCreate(configure);
  WasmEdge_ValidatorContext* validator = WasmEdge_ValidatorCreate(configure);
  WasmEdge_Result result = WasmEdge_LoaderParseFromFile(loader, &module->ast, path);
  if (WasmEdge_ResultOK(result)) {
    result = WasmEdge_ValidatorValidate(validator, module->ast);
  }
  WasmEdge_ValidatorDelete(validator);
  WasmEdge_LoaderDelete(loader);
  WasmEdge_ConfigureDelete(configure);
  if (!WasmEdge_ResultOK(result)) {
    *error = WasmEdge_ResultGetMessage(result);
    edge_module_free(module);
    return NULL;
  }
  void* symbol = dlsym(module->library, "t0");
  if (symbol == NULL || edge_text_range(symbol, &module->text_low, &module->text_high) != 0) {
    *error = "not an artifact of this engine: it has no compiled text";
    edge_module_free(module);
    return NULL;
  }
  return module;
}

void edge_module_free(edge_module* module) {
  if (module->ast != NULL) {
    WasmEdge_ASTModuleDelete(module->ast);
  }
  if (module->library != NULL) {
    dlclose(module->library);
  }
  free(module);
}

uint64_t edge_module_text_bytes(const edge_module* module) { return module->text_high - module->text_low; }

// --- instances --------------------------------------------------------------------------------------------------------

static const char* instantiate(WasmEdge_ExecutorContext* executor, edge_instance* instance,
                               edge_host_module** hosts, uint32_t count, const char* memory_export) {
  instance->store = WasmEdge_StoreCreate();
  for (uint32_t i = 0; i < count; i++) {
    WasmEdge_Result result = WasmEdge_ExecutorRegisterImport(executor, instance->store, hosts[i]->instance);
    if (!WasmEdge_ResultOK(result)) {
      return WasmEdge_ResultGetMessage(result);
    }
  }
  WasmEdge_Result result =
      WasmEdge_ExecutorInstantiate(executor, &instance->instance, instance->store, instance->module->ast);
  if (!WasmEdge_ResultOK(result)) {
    return WasmEdge_ResultGetMessage(result);
  }
  if (memory_export == NULL) {
    return NULL;
  }
  instance->memory = WasmEdge_ModuleInstanceFindMemory(instance->instance,
                                                       view(memory_export, (uint32_t)strlen(memory_export)));
  if (instance->memory == NULL) {
    return "the module has no memory under the reserved name";
  }
  // Without its reservation WasmEdge goes on with a null base and no pages, and the guest would read this process from
  // address 0: so the base is asked for by an access of no bytes, which a memory without pages allows too.
  if (WasmEdge_MemoryInstanceGetPointer(instance->memory, 0, 0) == NULL) {
    return "no address space left for a linear memory";
  }
  return NULL;
}

edge_instance* edge_instantiate(edge_thread* thread, edge_module* module, edge_host_module** hosts, uint32_t count,
                                const char* memory_export, const char** error) {
  edge_instance* instance = calloc(1, sizeof *instance);
  if (instance == NULL) {
    *error = "out of memory";
    return NULL;
  }
  instance->module = module;
  *error = instantiate(thread->executor, instance, hosts, count, memory_export);
  if (*error != NULL) {
    edge_instance_free(instance);
    return NULL;
  }
  return instance;
}

void edge_instance_free(edge_instance* instance) {
  if (instance->instance != NULL) {
    WasmEdge_ModuleInstanceDelete(instance->instance);
  }
  if (instance->store != NULL) {
    WasmEdge_StoreDelete(instance->store);
  }
  free(instance->globals);
  free(instance);
}

static int same_types(const WasmEdge_ValType* found, uint32_t count, const uint8_t* types) {
  for (uint32_t i = 0; i < count; i++) {
    if (!WasmEdge_ValTypeIsEqual(found[i], value_type(types[i]))) {
      return 0;
    }
  }
  return 1;
}

void* edge_instance_function(edge_instance* instance, const char* name, uint32_t length, const uint8_t* types,
                             uint32_t parameters, uint32_t results) {
  WasmEdge_FunctionInstanceContext* function =
      WasmEdge_ModuleInstanceFindFunction(instance->instance, view(name, length));
  if (function == NULL) {
    return NULL;
  }
  const WasmEdge_FunctionTypeContext* type = WasmEdge_FunctionInstanceGetFunctionType(function);
  if (WasmEdge_FunctionTypeGetParametersLength(type) != parameters ||
      WasmEdge_FunctionTypeGetReturnsLength(type) != results) {
    return NULL;
  }
  WasmEdge_ValType found[EDGE_MAX_VALUES];
  WasmEdge_FunctionTypeGetParameters(type, found, EDGE_MAX_VALUES);
  if (!same_types(found, parameters, types)) {
    return NULL;
  }
  WasmEdge_FunctionTypeGetReturns(type, found, EDGE_MAX_VALUES);
  return same_types(found, results, types + parameters) ? function : NULL;
}

// numeric_types writes types as bytes; -1 when one of them is not a number.
static int numeric_types(const WasmEdge_ValType* found, uint32_t count, uint8_t* types) {
  for (uint32_t i = 0; i < count; i++) {
    uint8_t type = 0x7f;
    while (type > 0x7b && !WasmEdge_ValTypeIsEqual(found[i], value_type(type))) {
      type--;
    }
    if (type == 0x7b) {
      return -1;
    }
    types[i] = type;
  }
  return 0;
}

void* edge_table_function(edge_instance* instance, const char* table, uint32_t length, uint32_t index, uint8_t* types,
                          uint32_t* parameters, uint32_t* results, const char** error) {
  WasmEdge_TableInstanceContext* found = WasmEdge_ModuleInstanceFindTable(instance->instance, view(table, length));
  if (found == NULL) {
    *error = "the module exports no such table";
    return NULL;
  }
  WasmEdge_ValType type = WasmEdge_TableTypeGetRefType(WasmEdge_TableInstanceGetTableType(found));
  if (!WasmEdge_ValTypeIsFuncRef(type)) {
    *error = "the table holds no functions";
    return NULL;
  }
  if (index >= WasmEdge_TableInstanceGetSize(found)) {
    *error = "the index is outside the table";
    return NULL;
  }
  WasmEdge_Value value;
  if (!WasmEdge_ResultOK(WasmEdge_TableInstanceGetData(found, &value, index)) || WasmEdge_ValueIsNullRef(value)) {
    *error = "the table has no function at that index";
    return NULL;
  }
  const WasmEdge_FunctionInstanceContext* function = WasmEdge_ValueGetFuncRef(value);
  const WasmEdge_FunctionTypeContext* signature = WasmEdge_FunctionInstanceGetFunctionType(function);
  *parameters = WasmEdge_FunctionTypeGetParametersLength(signature);
  *results = WasmEdge_FunctionTypeGetReturnsLength(signature);
  if (*parameters > EDGE_MAX_VALUES || *results > EDGE_MAX_VALUES) {
    *error = "the function has more than 16 parameters or results";
    return NULL;
  }
  WasmEdge_ValType values[EDGE_MAX_VALUES];
  WasmEdge_FunctionTypeGetParameters(signature, values, EDGE_MAX_VALUES);
  int failed = numeric_types(values, *parameters, types);
  WasmEdge_FunctionTypeGetReturns(signature, values, EDGE_MAX_VALUES);
  if (failed != 0 || numeric_types(values, *results, types + *parameters) != 0) {
    *error = "the function's type has more than numbers in it";
    return NULL;
  }
  return (void*)function;
}

uint8_t* edge_instance_memory(edge_instance* instance, uint64_t* bytes) {
  *bytes = 0;
  if (instance->memory == NULL) {
    return NULL;
  }
  uint32_t pages = WasmEdge_MemoryInstanceGetPageSize(instance->memory);
  if (pages == 0) {
    return NULL;
  }
  *bytes = (uint64_t)pages << 16;
  return WasmEdge_MemoryInstanceGetPointer(instance->memory, 0, 1);
}

// global finds an exported global of a numeric type. A reference is a pointer of this process, not for reading or writing.
static WasmEdge_GlobalInstanceContext* global(edge_instance* instance, const char* name, uint32_t length) {
  WasmEdge_GlobalInstanceContext* found = WasmEdge_ModuleInstanceFindGlobal(instance->instance, view(name, length));
  if (found == NULL) {
    return NULL;
  }
  WasmEdge_ValType type = WasmEdge_GlobalTypeGetValType(WasmEdge_GlobalInstanceGetGlobalType(found));
  int numeric = WasmEdge_ValTypeIsI32(type) || WasmEdge_ValTypeIsI64(type) || WasmEdge_ValTypeIsF32(type) ||
                WasmEdge_ValTypeIsF64(type);
  return numeric ? found : NULL;
}

int edge_instance_global_get(edge_instance* instance, const char* name, uint32_t length, uint64_t* value) {
  WasmEdge_GlobalInstanceContext* found = global(instance, name, length);
  if (found == NULL) {
    return -1;
  }
  WasmEdge_Value wrapped = WasmEdge_GlobalInstanceGetValue(found);
  int narrow = WasmEdge_ValTypeIsI32(wrapped.Type) || WasmEdge_ValTypeIsF32(wrapped.Type);
  *value = narrow ? (uint32_t)wrapped.Value : (uint64_t)wrapped.Value;
  return 0;
}

int edge_instance_global_set(edge_instance* instance, const char* name, uint32_t length, uint64_t value) {
  WasmEdge_GlobalInstanceContext* found = global(instance, name, length);
  if (found == NULL) {
    return -1;
  }
  WasmEdge_Value wrapped = WasmEdge_GlobalInstanceGetValue(found);  // keeps the type
  wrapped.Value = value;
  return WasmEdge_ResultOK(WasmEdge_GlobalInstanceSetValue(found, wrapped)) ? 0 : -1;
}

// --- opening ----------------------------------------------------------------------------------------------------------

// The keeper sits inside a host function called from compiled code for as long as the process lives. While it does,
// WasmEdge neither installs its fault handlers again nor resets them, which it otherwise does with every first and last
// guest.
static struct {
  sem_t entered;
  const char* error;
  edge_module* module;
  edge_host_module* host;
  edge_host_function wait;
} keeper;

// keeper_wait never returns.
__attribute__((noreturn)) static int keeper_wait(uint8_t* memory, uint64_t bytes, uint64_t* stack) {
  (void)memory;
  (void)bytes;
  (void)stack;
  sem_post(&keeper.entered);
  for (;;) {
    pause();
  }
}

static void* keeper_main(void* unused) {
  (void)unused;
  const char* error = NULL;
  edge_thread* thread = edge_thread_new(0);
  edge_instance* instance =
      thread == NULL ? NULL : edge_instantiate(thread, keeper.module, &keeper.host, 1, NULL, &error);
  void* function = instance == NULL ? NULL : edge_instance_function(instance, "keep", 4, NULL, 0, 0);
  if (function != NULL) {
    edge_call(thread, instance, (uintptr_t)function, NULL, 0, 0);
    error = "the keeper returned";
  }
  keeper.error = error != NULL ? error : "cannot run the keeper";
  sem_post(&keeper.entered);
  return NULL;
}

static const char* start_keeper(const char* path) {
  keeper.wait = (edge_host_function){.native = keeper_wait};
  keeper.host = edge_host_module_new("edged:keeper");
  edge_host_module_add(keeper.host, "wait", &keeper.wait);
  keeper.module = edge_load(path, &keeper.error);
  if (keeper.module == NULL) {
    return keeper.error;
  }
  sem_init(&keeper.entered, 0, 0);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setguardsize(&attributes, EDGE_GUARD_BYTES);
  pthread_attr_setstacksize(&attributes, EDGE_RESERVE_BYTES * 4);
  // A thread that is in no Go code must take no signal meant for the process.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, keeper_main, NULL);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (error != 0) {
    return "cannot start the keeper's thread";
  }
  while (sem_wait(&keeper.entered) != 0 && errno == EINTR) {
  }
  return keeper.error;
}

const char* edge_open(const preempt_ops* ops, const char* keeper_path) {
  edge_ops = ops;
  WasmEdge_LogOff();
  if (ops->install() != 0) {
    return "cannot install the interrupt signal's handler";
  }
  if (edge_signals_save_go() != 0) {
    return "a library in this process has taken the fault signals from Go";
  }
  const char* error = start_keeper(keeper_path);
  if (error != NULL) {
    return error;
  }
  if (edge_signals_install() != 0) {
    return "cannot install the fault handlers";
  }
  void** symbol = dlsym(keeper.module->library, "intrinsics");
  if (symbol == NULL || *symbol == NULL) {
    return "the keeper's artifact names no intrinsics";
  }
  return edge_intrinsics_wrap(*symbol);
}

uint8_t* edge_thread_grow(edge_thread* thread, uint32_t pages, uint64_t* bytes) {
  edge_instance* instance = thread->instance;
  if (instance == NULL || instance->memory == NULL ||
      !WasmEdge_ResultOK(WasmEdge_MemoryInstanceGrowPage(instance->memory, pages))) {
    return NULL;
  }
  return edge_instance_memory(instance, bytes);
}
