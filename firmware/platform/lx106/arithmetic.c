/* Integer arithmetic that an LX106 does not have and Debian's libgcc leaves out for it, because the
 * best-known chip with this core has it in its boot ROM. Names and meaning are libgcc's. */
#include <stdint.h>

/* These two are in libgcc, but call what is here. */
uint64_t __udivmoddi4(uint64_t dividend, uint64_t divisor, uint64_t *remainder);
int64_t __divmoddi4(int64_t dividend, int64_t divisor, int64_t *remainder);

uint64_t __umulsidi3(uint32_t a, uint32_t b);
uint64_t __muldi3(uint64_t a, uint64_t b);
uint32_t __udivsi3(uint32_t dividend, uint32_t divisor);
uint32_t __umodsi3(uint32_t dividend, uint32_t divisor);
int32_t __divsi3(int32_t dividend, int32_t divisor);
int32_t __modsi3(int32_t dividend, int32_t divisor);
uint64_t __udivdi3(uint64_t dividend, uint64_t divisor);
uint64_t __umoddi3(uint64_t dividend, uint64_t divisor);
int64_t __divdi3(int64_t dividend, int64_t divisor);

static inline uint64_t wide_product(uint32_t a, uint32_t b) {
    const uint32_t a0 = a & 0xFFFFu, a1 = a >> 16, b0 = b & 0xFFFFu, b1 = b >> 16;
    const uint32_t low = a0 * b0;
    const uint32_t middle = a1 * b0 + (low >> 16); /* at most (2^16 - 1) * 2^16 */
    const uint32_t other = a0 * b1 + (middle & 0xFFFFu);
    const uint32_t high = a1 * b1 + (middle >> 16) + (other >> 16);
    return ((uint64_t)high << 32) | (other << 16) | (low & 0xFFFFu);
}

uint64_t __umulsidi3(uint32_t a, uint32_t b) {
    return wide_product(a, b);
}

uint64_t __muldi3(uint64_t a, uint64_t b) {
    const uint32_t a0 = (uint32_t)a, b0 = (uint32_t)b;
    const uint32_t cross = (uint32_t)(a >> 32) * b0 + a0 * (uint32_t)(b >> 32);
    return wide_product(a0, b0) + ((uint64_t)cross << 32);
}

/* Long division, from the first bit of the quotient that may be 1. */
static inline uint32_t divide(uint32_t dividend, uint32_t divisor, uint32_t *remainder) {
    uint32_t quotient = 0;
    if (divisor != 0 && dividend >= divisor) {
        int shift = __builtin_clz(divisor) - __builtin_clz(dividend);
        for (; shift >= 0; shift--) {
            quotient <<= 1;
            if (dividend >= divisor << shift) {
                dividend -= divisor << shift;
                quotient |= 1u;
            }
        }
    }
    *remainder = dividend;
    return quotient;
}

static inline uint32_t magnitude(int32_t value) {
    return value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
}

uint32_t __udivsi3(uint32_t dividend, uint32_t divisor) {
    uint32_t remainder;
    return divide(dividend, divisor, &remainder);
}

uint32_t __umodsi3(uint32_t dividend, uint32_t divisor) {
    uint32_t remainder;
    (void)divide(dividend, divisor, &remainder);
    return remainder;
}

int32_t __divsi3(int32_t dividend, int32_t divisor) {
    uint32_t remainder;
    const uint32_t quotient = divide(magnitude(dividend), magnitude(divisor), &remainder);
    return (int32_t)((dividend < 0) != (divisor < 0) ? 0u - quotient : quotient);
}

int32_t __modsi3(int32_t dividend, int32_t divisor) {
    uint32_t remainder;
    (void)divide(magnitude(dividend), magnitude(divisor), &remainder);
    return (int32_t)(dividend < 0 ? 0u - remainder : remainder);
}

uint64_t __udivdi3(uint64_t dividend, uint64_t divisor) {
    uint64_t remainder;
    return __udivmoddi4(dividend, divisor, &remainder);
}

uint64_t __umoddi3(uint64_t dividend, uint64_t divisor) {
    uint64_t remainder;
    (void)__udivmoddi4(dividend, divisor, &remainder);
    return remainder;
}

int64_t __divdi3(int64_t dividend, int64_t divisor) {
    int64_t remainder;
    return __divmoddi4(dividend, divisor, &remainder);
}
