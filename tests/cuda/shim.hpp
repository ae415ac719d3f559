// Enough of CUDA to execute its kernels on a CPU: the threads of a block are fibers of one thread, which take turns, and
// blocks run one after the other. Shuffles and barriers are kept in lock step: all threads of a warp, or of a block, have
// to come to the same one, or else the launch fails, as it does where a vector is not aligned. It proves arithmetic and
// indexing, not speed, and not that there are no races, though the order of threads can be turned round to find some.
#include <csetjmp>
#include <cstring>
#include <functional>
#include <math.h>
#include <ucontext.h>
#include <vector>

#define __global__
#define __device__
#define __grid_constant__
#define __forceinline__ inline
#define __launch_bounds__(n)
#define __shared__ static

struct shim_index { unsigned int x, y, z; };
static shim_index threadIdx, blockIdx, blockDim, gridDim;

namespace shim {

const int WARP = 32, STACK = 1 << 16;

struct Barrier { unsigned int generation = 0, arrived = 0; long kind = -1; };

struct Fiber {
  ucontext_t start;
  jmp_buf place;
  std::vector<char> stack;
  bool begun, done;
  Barrier *waits;
  unsigned int until;
};

static std::vector<Fiber *> fibers;
static std::vector<Barrier> warps;
static Barrier block;
static std::vector<unsigned long long> slots[2];
static std::vector<int> parity;
static ucontext_t scheduler;
static jmp_buf back;
static int current;
static bool failed;
static const std::function<void()> *body;

static void enter() {
  (*body)();
  fibers[current]->done = true;
  _longjmp(back, 1);
}

static void yield() {
  if (!_setjmp(fibers[current]->place)) _longjmp(back, 1);
}

static void meet(Barrier &at, unsigned int count, long kind) {
  if (at.arrived == 0) at.kind = kind;
  if (at.kind != kind) failed = true;
  if (++at.arrived == count) {
    at.arrived = 0;
    ++at.generation;
    return;
  }
  Fiber *me = fibers[current];
  me->waits = &at;
  me->until = at.generation + 1;
  yield();
}

template <class T> T shuffled(T value, int lane, long kind) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles know words of 4 and 8 bytes");
  const int me = current, first = me / WARP * WARP, turn = parity[me];
  memcpy(&slots[turn][me], &value, sizeof(T));
  parity[me] = 1 - turn;
  meet(warps[me / WARP], WARP, kind);
  T found;
  memcpy(&found, &slots[turn][first + lane], sizeof(T));
  return found;
}

static void run_block(int threads, bool backwards) {
  while ((int)fibers.size() < threads) {
    fibers.push_back(new Fiber);
    fibers.back()->stack.resize(STACK);
  }
  warps.assign((threads + WARP - 1) / WARP, Barrier());
  block = Barrier();
  for (auto &s : slots) s.assign(threads, 0);
  parity.assign(threads, 0);
  for (int t = 0; t < threads; ++t) {
    Fiber *f = fibers[t];
    f->begun = f->done = false;
    f->waits = nullptr;
  }
  volatile int left = threads;
  while (left && !failed) {
    volatile bool moved = false;
    for (volatile int n = 0; n < threads; n = n + 1) {
      const int t = backwards ? threads - 1 - n : n;
      Fiber *f = fibers[t];
      if (f->done || (f->waits && f->waits->generation != f->until)) continue;
      f->waits = nullptr;
      moved = true;
      current = t;
      threadIdx = {(unsigned int)t, 0, 0};
      if (!_setjmp(back)) {
        if (f->begun) _longjmp(f->place, 1);
        f->begun = true;
        getcontext(&f->start);
        f->start.uc_stack.ss_sp = f->stack.data();
        f->start.uc_stack.ss_size = f->stack.size();
        f->start.uc_link = nullptr;
        makecontext(&f->start, enter, 0);
        setcontext(&f->start);
      }
      if (fibers[current]->done) left = left - 1;
    }
    if (!moved) failed = true;  // some wait for others that never come
  }
}

static int launch(unsigned int blocks, unsigned int threads, int backwards, const std::function<void()> &kernel) {
  failed = false;
  body = &kernel;
  gridDim = {blocks, 1, 1};
  blockDim = {threads, 1, 1};
  for (unsigned int b = 0; b < blocks && !failed; ++b) {
    blockIdx = {backwards ? blocks - 1 - b : b, 0, 0};
    run_block((int)threads, backwards);
  }
  return failed;
}

}  // namespace shim

// Vectors that a GPU refuses to load where they do not begin at a multiple of their size.
static char *shim_aligned(char *place, int size) {
  if ((unsigned long long)place % size) shim::failed = true;
  return place;
}
#define TG_ALIGNED(place, size) shim_aligned(place, size)

// float16 numbers, where PTX has instructions.
#define TG_HALF
static float tg_from_half(unsigned short bits) {
  _Float16 a;
  memcpy(&a, &bits, 2);
  return (float)a;
}
template <class T> unsigned short tg_to_half(T a) {
  static_assert(sizeof(T) >= 4 && T(0.5) != T(0), "floats are rounded, nothing else");
  const _Float16 rounded = (_Float16)a;
  unsigned short bits;
  memcpy(&bits, &rounded, 2);
  return bits;
}

template <class T> T __shfl_down_sync(unsigned int, T value, int by, int width) {
  const int lane = shim::current % shim::WARP;
  return shim::shuffled(value, lane % width + by < width ? lane + by : lane, 100 + by * 64 + width);
}
template <class T> T __shfl_sync(unsigned int, T value, int from, int width) {
  const int lane = shim::current % shim::WARP;
  return shim::shuffled(value, lane / width * width + from, 10 + width);
}
template <class T> T __shfl_up_sync(unsigned int, T value, int by, int width) {
  const int lane = shim::current % shim::WARP;
  return shim::shuffled(value, lane % width >= by ? lane - by : lane, 20000 + by * 64 + width);
}
template <class T> unsigned int __match_any_sync(unsigned int, T value) {
  unsigned int same = 0;
  for (int lane = 0; lane < shim::WARP; ++lane) same |= (unsigned int)(shim::shuffled(value, lane, 3) == value) << lane;
  return same;
}
static int __popc(unsigned int a) { return __builtin_popcount(a); }
// Threads take turns, so nothing comes between.
template <class T> T atomicAdd(T *at, T value) {
  const T before = *at;
  *at = before + value;
  return before;
}
static void __syncthreads() { shim::meet(shim::block, blockDim.x, 1); }
static void __syncwarp() { shim::meet(shim::warps[shim::current / shim::WARP], shim::WARP, 2); }

template <class To, class From> static To shim_bits(From value) {
  To out;
  static_assert(sizeof(To) == sizeof(From), "the same number of bits");
  memcpy(&out, &value, sizeof(To));
  return out;
}
static unsigned int __float_as_uint(float a) { return shim_bits<unsigned int>(a); }
static float __uint_as_float(unsigned int a) { return shim_bits<float>(a); }
static long long __double_as_longlong(double a) { return shim_bits<long long>(a); }
static double __longlong_as_double(long long a) { return shim_bits<double>(a); }

// The inverse of the normal distribution function, which C has not: Newton's steps from a guess, exact but slow.
static double normcdfinv(double p) {
  if (!(p > 0 && p < 1)) return p == 0 ? -INFINITY : p == 1 ? INFINITY : NAN;
  const double tail = p < 0.5 ? p : 1 - p;
  double x = -sqrt(-2 * log(tail));
  for (int i = 0; i < 60; ++i) {
    const double f = 0.5 * erfc(-x * 0.70710678118654752440), slope = 0.39894228040143267794 * exp(-0.5 * x * x);
    const double t = (f - tail) / slope, step = t / (1 + 0.5 * x * t);
    x -= step;
    if (fabs(step) <= 1e-17 * fabs(x)) break;
  }
  return p < 0.5 ? x : -x;
}
static float normcdfinvf(float p) { return (float)normcdfinv(p); }
