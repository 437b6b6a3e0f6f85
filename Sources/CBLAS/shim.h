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

/// 1 / x of each lane, within 6.2e-5 of it where there is an instruction for that.
static inline apus_float16 lane_reciprocal_float(apus_float16 x) {
#if defined(__AVX512F__)
  return (apus_float16)__builtin_ia32_rcp14ps512_mask(x, x, (unsigned short)-1);
#else
  return 1.0f / x;
#endif
}

/// Pairs of neighbours within each quarter of the lanes: a0 b0 a1 b1 of four floats, a0 b0 of two doubles; then the rest.
static inline apus_float16 lane_zip_low_float(apus_float16 a, apus_float16 b) { return __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29); }
static inline apus_float16 lane_zip_high_float(apus_float16 a, apus_float16 b) { return __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31); }
static inline apus_double8 lane_zip_low_double(apus_double8 a, apus_double8 b) { return __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14); }
static inline apus_double8 lane_zip_high_double(apus_double8 a, apus_double8 b) { return __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15); }
/// Quarters 0 and 2 of both, then 1 and 3.
static inline apus_double8 lane_even_quarters(apus_double8 a, apus_double8 b) { return __builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13); }
static inline apus_double8 lane_odd_quarters(apus_double8 a, apus_double8 b) { return __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15); }

/// The first `count` lanes from memory, the others `padding`; reads nothing beyond.
static inline apus_float16 lane_first_float(const float *source, int count, float padding) {
  apus_float16 lanes = padding;
#if defined(__AVX512F__)
  return (apus_float16)__builtin_ia32_loadups512_mask(source, lanes, (unsigned short)((1u << count) - 1));
#else
  __builtin_memcpy(&lanes, source, (unsigned long)count * sizeof *source);
  return lanes;
#endif
}
static inline apus_double8 lane_first_double(const double *source, int count, double padding) {
  apus_double8 lanes = padding;
#if defined(__AVX512F__)
  return (apus_double8)__builtin_ia32_loadupd512_mask(source, lanes, (unsigned char)((1u << count) - 1));
#else
  __builtin_memcpy(&lanes, source, (unsigned long)count * sizeof *source);
  return lanes;
#endif
}
/// Stores the first `count` lanes, touches nothing beyond.
static inline void lane_store_first_float(float *target, int count, apus_float16 lanes) {
#if defined(__AVX512F__)
  __builtin_ia32_storeups512_mask(target, lanes, (unsigned short)((1u << count) - 1));
#else
  __builtin_memcpy(target, &lanes, (unsigned long)count * sizeof *target);
#endif
}
static inline void lane_store_first_double(double *target, int count, apus_double8 lanes) {
#if defined(__AVX512F__)
  __builtin_ia32_storeupd512_mask(target, lanes, (unsigned char)((1u << count) - 1));
#else
  __builtin_memcpy(target, &lanes, (unsigned long)count * sizeof *target);
#endif
}

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
