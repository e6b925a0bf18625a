// float16 for cuda.hpp, rounded to nearest, ties to even.
#pragma once

struct __half {
    uint16_t bits = 0;
    __half() = default;
    __half(float x) {
        const unsigned sign = __float_as_uint(x) >> 16 & 0x8000;
        const float size = fabsf(x);
        unsigned all;
        if (x != x) all = 0x7fff;
        else if (size >= 65520) all = 0x7c00;
        else if (size < 6.103515625e-05f) all = unsigned(nearbyintf(size * 16777216));
        else {
            const unsigned size_bits = __float_as_uint(size);
            all = ((size_bits + 0xfff + (size_bits >> 13 & 1)) >> 13) - (112 << 10);
        }
        bits = uint16_t(sign | all);
    }
    operator float() const {
        const unsigned exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
        const float size = exponent == 31 ? (fraction ? NAN : INFINITY)
            : exponent ? __uint_as_float((exponent + 112) << 23 | fraction << 13)
            : fraction / 16777216.f;
        return bits & 0x8000 ? -size : size;
    }
};
template <> constexpr char on_cpu::letter<__half> = 'e';
inline float __half2float(__half x) { return x; }
inline __half __float2half(float x) { return x; }
