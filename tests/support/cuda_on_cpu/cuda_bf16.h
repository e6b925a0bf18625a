// bfloat16 for cuda.hpp: the upper half of a float, rounded to nearest, ties to even.
#pragma once

struct __nv_bfloat16 {
    uint16_t bits = 0;
    __nv_bfloat16() = default;
    __nv_bfloat16(float x) {
        const unsigned all = __float_as_uint(x);
        bits = uint16_t(x != x ? 0x7fff : (all + 0x7fff + (all >> 16 & 1)) >> 16);
    }
    operator float() const { return __uint_as_float(unsigned(bits) << 16); }
};
template <> constexpr char on_cpu::letter<__nv_bfloat16> = 'E';
inline float __bfloat162float(__nv_bfloat16 x) { return x; }
inline __nv_bfloat16 __float2bfloat16(float x) { return x; }
