/* Eight 32-bit lanes in the compiler's vector types, for the kernels of the computer that builds.
 *
 * Two operations are spelled for AVX2 and NEON, because no compiler finds them from plain vectors:
 * the product of int16 pairs and the doubling high product. */
#ifndef VAD_SIMD_H
#define VAD_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__GNUC__) && !defined(__clang__)
/* Everything here is inlined: how a vector would be passed does not matter. */
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

#define VAD_INLINE static inline __attribute__((always_inline))
#define VAD_LANES 8

typedef int8_t vad_i8x8 __attribute__((vector_size(8)));
typedef int8_t vad_i8x16 __attribute__((vector_size(16)));
typedef int16_t vad_i16x16 __attribute__((vector_size(32)));
typedef int32_t vad_i32x8 __attribute__((vector_size(32)));
typedef uint32_t vad_u32x8 __attribute__((vector_size(32)));
typedef int64_t vad_i64x2 __attribute__((vector_size(16)));
typedef int64_t vad_i64x8 __attribute__((vector_size(64)));

VAD_INLINE vad_i32x8 vad_splat(int32_t x) {
    return (vad_i32x8){x, x, x, x, x, x, x, x};
}

VAD_INLINE vad_i32x8 vad_load_i32x8(const void *from) {
    vad_i32x8 x;
    memcpy(&x, from, sizeof x);
    return x;
}

VAD_INLINE void vad_store_i32x8(void *to, vad_i32x8 x) {
    memcpy(to, &x, sizeof x);
}

/* `lanes` int8, widened; the other lanes are 0. */
VAD_INLINE vad_i32x8 vad_load_i8(const int8_t *from, int32_t lanes) {
    vad_i8x8 x = {0};
    if (lanes == VAD_LANES) {
        memcpy(&x, from, VAD_LANES);
    } else {
        memcpy(&x, from, (size_t)lanes);
    }
#if defined(__AVX2__)
    return (vad_i32x8)_mm256_cvtepi8_epi32((__m128i)(vad_i64x2){(int64_t)x, 0});
#else
    return __builtin_convertvector(x, vad_i32x8);
#endif
}

/* Stores `lanes` values that lie in int8. */
VAD_INLINE void vad_store_i8(int8_t *to, vad_i32x8 x, int32_t lanes) {
#if defined(__AVX2__)
    const __m256i words = _mm256_packs_epi32((__m256i)x, (__m256i)x);
    const __m256i bytes = _mm256_packs_epi16(words, words);
    const vad_i64x2 narrow = (vad_i64x2)_mm_unpacklo_epi32(_mm256_castsi256_si128(bytes),
                                                           _mm256_extracti128_si256(bytes, 1));
#else
    const vad_i8x8 narrow = __builtin_convertvector(x, vad_i8x8);
#endif
    if (lanes == VAD_LANES) {
        memcpy(to, &narrow, VAD_LANES);
    } else {
        memcpy(to, &narrow, (size_t)lanes);
    }
}

/* 16 int8, widened. */
VAD_INLINE vad_i16x16 vad_load_i8x16(const int8_t *from) {
    vad_i8x16 x;
    memcpy(&x, from, sizeof x);
#if defined(__AVX2__)
    return (vad_i16x16)_mm256_cvtepi8_epi16((__m128i)x);
#else
    return __builtin_convertvector(x, vad_i16x16);
#endif
}

VAD_INLINE vad_i32x8 vad_min(vad_i32x8 a, vad_i32x8 b) {
    const vad_i32x8 less = a < b;
    return (a & less) | (b & ~less);
}

VAD_INLINE vad_i32x8 vad_max(vad_i32x8 a, vad_i32x8 b) {
    const vad_i32x8 more = a > b;
    return (a & more) | (b & ~more);
}

VAD_INLINE vad_i32x8 vad_shift_left(vad_i32x8 x, vad_i32x8 n) {
    return (vad_i32x8)((vad_u32x8)x << (vad_u32x8)n);
}

/* acc[i] + a[2i] * b[2i] + a[2i + 1] * b[2i + 1], modulo 2^32. */
VAD_INLINE vad_i32x8 vad_dot2(vad_i32x8 acc, vad_i16x16 a, vad_i16x16 b) {
#if defined(__AVX2__)
    const vad_i32x8 sum = (vad_i32x8)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    __m128i ah[2], bh[2];
    memcpy(ah, &a, sizeof a);
    memcpy(bh, &b, sizeof b);
    ah[0] = _mm_madd_epi16(ah[0], bh[0]);
    ah[1] = _mm_madd_epi16(ah[1], bh[1]);
    vad_i32x8 sum;
    memcpy(&sum, ah, sizeof sum);
#elif defined(__ARM_NEON) && defined(__aarch64__)
    int16x8_t ah[2], bh[2];
    int32x4_t half[2];
    memcpy(ah, &a, sizeof a);
    memcpy(bh, &b, sizeof b);
    for (int i = 0; i < 2; i++) {
        half[i] = vpaddq_s32(vmull_s16(vget_low_s16(ah[i]), vget_low_s16(bh[i])),
                             vmull_high_s16(ah[i], bh[i]));
    }
    vad_i32x8 sum;
    memcpy(&sum, half, sizeof sum);
#else
    const vad_i32x8 a2 = (vad_i32x8)a;
    const vad_i32x8 b2 = (vad_i32x8)b;
    const vad_i32x8 sixteen = vad_splat(16);
    const vad_i32x8 odd = (a2 >> 16) * (b2 >> 16);
    const vad_i32x8 even =
        (vad_shift_left(a2, sixteen) >> 16) * (vad_shift_left(b2, sixteen) >> 16);
    const vad_i32x8 sum = odd + even;
#endif
    return (vad_i32x8)((vad_u32x8)acc + (vad_u32x8)sum);
}

/* floor(a * b / 2^31 + 1/2), b in [0, 2^31); `vad_rounding_doubling_high_mul`. */
VAD_INLINE vad_i32x8 vad_high_mul(vad_i32x8 a, vad_i32x8 b) {
#if defined(__AVX2__)
    const __m256i x = (__m256i)a;
    const __m256i y = (__m256i)b;
    const __m256i nudge = _mm256_set1_epi64x(INT64_C(1) << 30);
    const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(x, y), nudge);
    const __m256i odd = _mm256_add_epi64(
        _mm256_mul_epi32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(y, 32)), nudge);
    /* Bits 31 .. 62 of each sum. */
    return (vad_i32x8)_mm256_blend_epi32(_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1),
                                         0xAA);
#elif defined(__ARM_NEON) && defined(__aarch64__)
    int32x4_t x[2], y[2];
    memcpy(x, &a, sizeof a);
    memcpy(y, &b, sizeof b);
    x[0] = vqrdmulhq_s32(x[0], y[0]);
    x[1] = vqrdmulhq_s32(x[1], y[1]);
    vad_i32x8 high;
    memcpy(&high, x, sizeof high);
    return high;
#else
    const vad_i64x8 product =
        __builtin_convertvector(a, vad_i64x8) * __builtin_convertvector(b, vad_i64x8);
    return __builtin_convertvector((product + (INT64_C(1) << 30)) >> 31, vad_i32x8);
#endif
}

/* Requantization of eight channels: `vad_output`. */
typedef struct {
    vad_i32x8 multiplier;
    vad_i32x8 left;
    vad_i32x8 right;
    vad_i32x8 mask; /* of the bits that the right shift drops */
    int32_t low;
    int32_t high;
    int32_t zero_point;
} vad_requant8_t;

VAD_INLINE vad_requant8_t vad_requant8(vad_i32x8 multiplier, vad_i32x8 shift, int32_t zero_point,
                                       int32_t low, int32_t high) {
    const vad_i32x8 right = vad_max(-shift, vad_splat(0));
    return (vad_requant8_t){
        .multiplier = multiplier,
        .left = vad_max(shift, vad_splat(0)),
        .right = right,
        .mask = (vad_i32x8)(((vad_u32x8)vad_splat(1) << (vad_u32x8)right) - 1u),
        .low = low,
        .high = high,
        .zero_point = zero_point,
    };
}

/* `vad_requantize` alone. */
VAD_INLINE vad_i32x8 vad_scale8(const vad_requant8_t *q, vad_i32x8 x) {
    const vad_i32x8 high = vad_high_mul(vad_shift_left(x, q->left), q->multiplier);
    /* Rounds up when the dropped bits are above a half, or equal to it and x >= 0. */
    const vad_i32x8 up = (high & q->mask) + (high >> 31) > (q->mask >> 1);
    return (high >> q->right) - up;
}

VAD_INLINE vad_i32x8 vad_requantize8(const vad_requant8_t *q, vad_i32x8 x) {
    const vad_u32x8 scaled = (vad_u32x8)vad_scale8(q, x) + (uint32_t)q->zero_point;
    return vad_max(vad_min((vad_i32x8)scaled, vad_splat(q->high)), vad_splat(q->low));
}

#endif
