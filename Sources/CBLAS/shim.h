// OpenBLAS as it is, and one-line compiler intrinsics that Swift has no name for.
#pragma once
#include <cblas.h>

typedef float apus_float16 __attribute__((ext_vector_type(16)));
typedef double apus_double8 __attribute__((ext_vector_type(8)));

/// Square root of each lane; Swift's own calls sqrtf, which stops vectorisation.
static inline apus_float16 lane_sqrt_float(apus_float16 x) { return __builtin_elementwise_sqrt(x); }
static inline apus_double8 lane_sqrt_double(apus_double8 x) { return __builtin_elementwise_sqrt(x); }
/// a·b + c of each lane, rounded once.
static inline apus_float16 lane_fma_float(apus_float16 a, apus_float16 b, apus_float16 c) { return __builtin_elementwise_fma(a, b, c); }
static inline apus_double8 lane_fma_double(apus_double8 a, apus_double8 b, apus_double8 c) { return __builtin_elementwise_fma(a, b, c); }

/// Tells the processor that this thread waits in a loop.
static inline void spin_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/// 1 if this code was compiled for the named feature (then it must not run where the feature is missing).
static inline int compiled_for_avx512(void) {
#if defined(__AVX512F__)
  return 1;
#else
  return 0;
#endif
}
static inline int compiled_for_avx2(void) {
#if defined(__AVX2__)
  return 1;
#else
  return 0;
#endif
}

/// Asks for the cache line at an address that will be read soon.
static inline void prefetch_line(const void *address) { __builtin_prefetch(address); }
