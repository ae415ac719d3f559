// cuBLAS's functions as its reference describes them, on a CPU: what they refuse, where they look for alpha and beta, in
// which type they add up. Sums are made one term after the other, as no GPU does it; everything else is as documented
// (cuBLAS, sections 2.4 and 2.8). What allocates is refused while a stream is being captured.
#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef OLD
#define NAME(name) name
typedef int size;
#else
#define NAME(name) name##_64
typedef int64_t size;
#endif

enum { SUCCESS = 0, INVALID_VALUE = 7, INTERNAL_ERROR = 14, NOT_SUPPORTED = 15 };
enum { R_32F = 0, R_64F = 1, R_16F = 2, R_16BF = 14 };
enum { COMPUTE_32F = 68, COMPUTE_64F = 70, COMPUTE_32F_FAST_TF32 = 77 };
enum { HOST = 0, DEVICE = 1 };

struct Handle {
  void *stream, *workspace;
  int mode, pointers;
};

// What the tests look at: the last call, and how many there were.
struct Seen {
  int64_t calls, compute, algorithm, mode, stack, pointers, stream, workspace, capturing;
};
extern "C" Seen seen;
Seen seen;

extern "C" int cublasCreate_v2(Handle **made) {
  if (seen.capturing) return INTERNAL_ERROR;
  *made = new Handle{nullptr, nullptr, 0, HOST};
  return SUCCESS;
}
extern "C" int cublasSetStream_v2(Handle *h, void *stream) {
  h->stream = stream;
  h->workspace = nullptr;  // back to cuBLAS's own
  return SUCCESS;
}
extern "C" int cublasSetWorkspace_v2(Handle *h, void *workspace, size_t bytes) {
  if ((uintptr_t)workspace % 256) return INVALID_VALUE;
  h->workspace = bytes ? workspace : nullptr;
  return SUCCESS;
}
extern "C" int cublasSetMathMode(Handle *h, int mode) {
  h->mode = mode;
  return SUCCESS;
}
extern "C" int cublasSetPointerMode_v2(Handle *h, int mode) {
  h->pointers = mode;
  return SUCCESS;
}

struct bfloat16 {
  uint16_t bits;
  operator float() const {
    const uint32_t wide = (uint32_t)bits << 16;
    float a;
    memcpy(&a, &wide, 4);
    return a;
  }
  explicit bfloat16(float a) {
    uint32_t wide;
    memcpy(&wide, &a, 4);
    bits = a != a ? 0x7fc0 : (uint16_t)((wide + 0x7fff + (wide >> 16 & 1)) >> 16);
  }
};

// A float32 number with 10 bits of fraction.
static float tf32(float a) {
  uint32_t bits;
  if (!std::isfinite(a)) return a;
  memcpy(&bits, &a, 4);
  bits = (bits + 0x1000) & ~0x1fffu;
  memcpy(&a, &bits, 4);
  return a;
}

// C = alpha op(A) op(B) + beta C, by columns; A is not read where alpha is 0, nor C where beta is.
template <class T, class Sum, class Out>
static void multiply(bool ta, bool tb, size m, size n, size k, Sum alpha, const T *a, size lda, const T *b, size ldb,
                     Sum beta, Out *c, size ldc, bool round) {
  for (size j = 0; j < n; ++j) {
    for (size i = 0; i < m; ++i) {
      Sum sum = 0;
      for (size p = 0; alpha != 0 && p < k; ++p) {
        Sum x = (Sum)a[ta ? p + i * lda : i + p * lda], y = (Sum)b[tb ? j + p * ldb : p + j * ldb];
        if (round) x = tf32(x), y = tf32(y);
        sum += x * y;
      }
      Sum out = alpha * sum;
      if (beta != 0) out += beta * (Sum)c[i + j * ldc];
      c[i + j * ldc] = (Out)out;
    }
  }
}

template <class T, class Sum, class Out>
static void stack(int ta, int tb, size m, size n, size k, const void *alpha, const void *a, size lda, int64_t sa,
                  const void *b, size ldb, int64_t sb, const void *beta, void *c, size ldc, int64_t sc, size count,
                  bool round) {
  for (size s = 0; s < count; ++s)
    multiply<T, Sum, Out>(ta, tb, m, n, k, *(const Sum *)alpha, (const T *)a + s * sa, lda, (const T *)b + s * sb, ldb,
                     *(const Sum *)beta, (Out *)c + s * sc, ldc, round);
}

extern "C" int NAME(cublasGemmStridedBatchedEx)(Handle *h, int ta, int tb, size m, size n, size k, const void *alpha,
                                                const void *a, int kind, size lda, long long sa, const void *b,
                                                int b_kind, size ldb, long long sb, const void *beta, void *c,
                                                int c_kind, size ldc, long long sc, size count, int compute,
                                                int algorithm) {
  seen = {seen.calls + 1, compute, algorithm, h->mode, count, h->pointers, (int64_t)h->stream, (int64_t)h->workspace,
          seen.capturing};
  if (seen.capturing && !h->workspace) return INTERNAL_ERROR;
  if (m < 0 || n < 0 || k < 0 || count < 0 || ta < 0 || ta > 1 || tb < 0 || tb > 1) return INVALID_VALUE;
  const size one = 1;
  const auto least = [&](size extent) { return extent > one ? extent : one; };
  if (lda < least(ta ? k : m) || ldb < least(tb ? n : k) || ldc < least(m)) return INVALID_VALUE;
  const bool small = kind == R_16F || kind == R_16BF;
  if (kind != b_kind || (kind != c_kind && !(small && c_kind == R_32F))) return NOT_SUPPORTED;
  if (seen.capturing) return SUCCESS;
  const bool round = compute == COMPUTE_32F_FAST_TF32;
  if (kind == R_32F && (compute == COMPUTE_32F || round))
    stack<float, float, float>(ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, count, round);
  else if (kind == R_64F && compute == COMPUTE_64F)
    stack<double, double, double>(ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, count, false);
  else if (kind == R_16F && c_kind == R_32F && compute == COMPUTE_32F)
    stack<_Float16, float, float>(ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, count, false);
  else if (kind == R_16BF && c_kind == R_32F && compute == COMPUTE_32F)
    stack<bfloat16, float, float>(ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, count, false);
  else if (kind == R_16F && compute == COMPUTE_32F)
    stack<_Float16, float, _Float16>(ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, count, false);
  else if (kind == R_16BF && compute == COMPUTE_32F)
    stack<bfloat16, float, bfloat16>(ta, tb, m, n, k, alpha, a, lda, sa, b, ldb, sb, beta, c, ldc, sc, count, false);
  else
    return NOT_SUPPORTED;
  return SUCCESS;
}

extern "C" int NAME(cublasGemmEx)(Handle *h, int ta, int tb, size m, size n, size k, const void *alpha, const void *a,
                                  int kind, size lda, const void *b, int b_kind, size ldb, const void *beta, void *c,
                                  int c_kind, size ldc, int compute, int algorithm) {
  return NAME(cublasGemmStridedBatchedEx)(h, ta, tb, m, n, k, alpha, a, kind, lda, 0, b, b_kind, ldb, 0, beta, c,
                                          c_kind, ldc, 0, 1, compute, algorithm);
}
