"""Elements added to a tensor at places that are values: the kernels of a ``Scatter``.

All but the atomic one add up in an order that follows from the list of places alone, never from which thread is first:
the kernel for few places adds to an element in the order of the list, as NumPy's ``add.at`` does; where places are
sorted, chunks of runs are added up so, and then their results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinygraph.backends.cuda import rows
from tinygraph.backends.cuda.kernel import BLOCK, WARP, Code, Launch
from tinygraph.program.scatter import DIGIT, ScatterSizes
from tinygraph.program.steps import Scatter

__all__ = ["SCATTER", "ScatterCode", "launches_of_scatter", "print_scatter", "scatter_words"]

#: The words of every kernel here, in order; strides are in bytes.
_WORDS = (
    *("lead", "count", "targets", "tail", "places"),
    *("out", "out_across", "out_along", "out_within", "values", "across", "along", "within"),
    *("keys", "order", "new_keys", "new_order", "counts", "shift", "shares", "share"),
    *("heads", "tails", "chunks", "chunk"),
)

#: Along which axis a stride leads.
_WAYS = ("across", "along", "within")

#: Threads of a block where places are sorted: as many as a digit has values; and of the one that adds up counts.
_VALUES, _SCAN = 1 << DIGIT, 1024

#: Those that a device adds to atomically.
_ATOMIC = {
    **{dtype: rows.TYPE[dtype] for dtype in ("float32", "float64", "int32", "uint32", "uint64")},
    "int64": "unsigned long long",
}


@dataclass(frozen=True)
class ScatterCode(Code):
    """A kernel of a scatter.

    Attributes
    ----------
    form
        ``scatter_`` and ``atomic``, ``few``, ``count``, ``scan``, ``place``, ``chunks``, ``carries`` or ``last``.
    dtype
        Of the elements; "" where there are none.
    set
        Whether elements are replaced.
    wide
        Elements are counted in 64 bits.
    """

    form: str
    dtype: str = ""
    set: bool = False
    wide: bool = False

    @property
    def threads(self) -> int:
        return {"scatter_count": _VALUES, "scatter_place": _VALUES, "scatter_scan": _SCAN}.get(self.form, BLOCK)

    @property
    def count(self) -> int:
        return len(_WORDS)


def launches_of_scatter(step: Scatter) -> list[Launch]:
    """What runs a step; ``starts`` of a launch is the number of the pass over the digits."""
    sizes, dtype = ScatterSizes.of(step), step.out.dtype
    wide = sizes.lead * sizes.count * sizes.tail >= 1 << 30

    def over(form: str, number: int) -> Launch:
        blocks = -(-sizes.lead * number * sizes.tail // BLOCK)
        return Launch(ScatterCode(f"scatter_{form}", dtype, step.set, wide), blocks, (0,), ())

    if not step.ordered and dtype in _ATOMIC:
        return [over("atomic", sizes.count)]
    if not sizes.is_sorted:
        return [over("few", sizes.count)]
    made: list[Launch] = []
    for i in range(sizes.passes):
        made.append(Launch(ScatterCode("scatter_count"), sizes.shares, (i,), ()))
        made.append(Launch(ScatterCode("scatter_scan"), 1, (i,), ()))
        made.append(Launch(ScatterCode("scatter_place"), sizes.shares, (i,), ()))
    if step.set:
        return [*made, over("last", sizes.count)]
    return [*made, over("chunks", sizes.chunks), over("carries", sizes.chunks)]


def scatter_words(
    step: Scatter, launch: Launch, addresses: Sequence[int]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The arguments of a kernel, given the addresses of ``out``, ``values``, ``places`` and the workspace."""
    sizes = ScatterSizes.of(step)
    out, values, places, workspace = addresses
    item = np.dtype(step.out.dtype).itemsize
    strides = {"out_": step.out.strides, "": step.values.strides}
    found = {
        **{name: getattr(sizes, name) for name in ("lead", "count", "targets", "tail")},
        **{name: getattr(sizes, name) for name in ("shares", "share", "chunks", "chunk")},
        **{f"{of}{way}": s * item for of, steps in strides.items() for way, s in zip(_WAYS, steps, strict=True)},
        **{"out": out, "values": values, "places": places},
    }
    if sizes.is_sorted:
        begins = {name: workspace + at for name, at in sizes.places().items()}
        sorting = launch.kernel.form in ("scatter_count", "scatter_scan", "scatter_place")
        # What a pass reads the one before it has written; the first one reads the list itself.
        number = launch.starts[0] if sorting else sizes.passes
        before, after = (number + 1) % 2, number % 2
        found |= {name: begins[name] for name in ("counts", "heads", "tails")}
        found |= {"keys": begins[f"keys{before}"], "order": begins[f"order{before}"]} if number else {"keys": places}
        found |= {"new_keys": begins[f"keys{after}"], "new_order": begins[f"order{after}"], "shift": DIGIT * number}
    return np.array([found.get(name, 0) for name in _WORDS], dtype="int64")


# --- text -------------------------------------------------------------------------------------------------------------


def print_scatter(code: ScatterCode, name: str) -> str:
    """The text of a kernel, as a function of the device; ``SCATTER`` has to come before it."""
    index = "long long" if code.wide else "int"
    kinds = f"<tg_of_{name}, {index}, {str(code.set).lower()}>" if code.dtype else ""
    lines = [f"  tg_{code.form}{kinds}(*(const tg_scatter *)w.at, block, blocks);"]
    return (_element(code.dtype, f"tg_of_{name}") if code.dtype else "") + rows.body(name, lines)


def _element(dtype: str, name: str) -> str:
    """What is known of elements of a dtype: how they are loaded, added up and stored; sums of float16 are float32."""
    sums = "float32" if dtype == "float16" else dtype
    kind, sum_kind = rows.memory(dtype), rows.memory(sums)
    method = "static __device__ __forceinline__"
    lines = [
        f"struct {name} {{",
        f"  typedef {rows.TYPE[dtype]} value;",
        f"  {method} value load(const char *at) {{ return {rows.loaded(dtype, f'*(const {kind} *)at')}; }}",
        f"  {method} void store(char *at, value a) {{ *({kind} *)at = {rows.stored(dtype, 'a')}; }}",
        f"  {method} value part(long long of, long long i) {{ return {rows.loaded(sums, f'(({sum_kind} *)of)[i]')}; }}",
        f"  {method} void keep(long long of, long long i, value a) "
        f"{{ (({sum_kind} *)of)[i] = {rows.stored(sums, 'a')}; }}",
        f"  {method} value add(value a, value b) {{ return {rows.combine('sum', sums, 'a', 'b')}; }}",
    ]
    if dtype in _ATOMIC:
        lines.append(
            f"  {method} void atomic(char *at, value a) {{ atomicAdd(({_ATOMIC[dtype]} *)at, ({_ATOMIC[dtype]})a); }}"
        )
    return "\n".join([*lines, "};\n"])


#: What the kernels are, for any elements E, counted in I: ``at`` counts (lead, number, tail), the last of them fastest.
SCATTER = f"""
struct tg_scatter {{ long long {", ".join(_WORDS)}; }};
enum {{ tg_values = {_VALUES}, tg_warps = {_VALUES // WARP}, tg_scanning = {_SCAN} }};
"""

SCATTER += r"""
template <class E, class I> __device__ __forceinline__ typename E::value tg_scattered(
    const tg_scatter &s, I i, I k, I j) {
  return E::load((const char *)s.values + i * s.across + k * s.along + j * s.within);
}
template <class E, class I> __device__ __forceinline__ char *tg_target(const tg_scatter &s, I i, int place, I j) {
  return (char *)s.out + i * s.out_across + place * s.out_along + j * s.out_within;
}

template <class E, class I, bool Set> __device__ __forceinline__ void tg_scatter_atomic(
    const tg_scatter &s, unsigned int block, unsigned int blocks) {
  const int *const places = (const int *)s.places;
  const I count = (I)s.count, tail = (I)s.tail, total = (I)s.lead * count * tail;
  for (I at = (I)block * blockDim.x + threadIdx.x; at < total; at += (I)blocks * blockDim.x) {
    const I j = at % tail, k = at / tail % count, i = at / tail / count;
    E::atomic(tg_target<E, I>(s, i, places[k], j), tg_scattered<E, I>(s, i, k, j));
  }
}

// Who names a place first does all that happens there; where the last value stays, who names it last.
template <class E, class I, bool Set> __device__ __forceinline__ void tg_scatter_few(
    const tg_scatter &s, unsigned int block, unsigned int blocks) {
  const int *const places = (const int *)s.places;
  const I count = (I)s.count, tail = (I)s.tail, total = (I)s.lead * count * tail;
  for (I at = (I)block * blockDim.x + threadIdx.x; at < total; at += (I)blocks * blockDim.x) {
    const I j = at % tail, k = at / tail % count, i = at / tail / count;
    const int place = places[k];
    bool mine = true;
    for (I n = Set ? k + 1 : 0; n < (Set ? count : k) && mine; ++n) mine = places[n] != place;
    if (!mine) continue;
    char *const target = tg_target<E, I>(s, i, place, j);
    typename E::value sum = Set ? tg_scattered<E, I>(s, i, k, j) : E::load(target);
    for (I n = k; !Set && n < count; ++n) {
      if (places[n] == place) sum = E::add(sum, tg_scattered<E, I>(s, i, n, j));
    }
    E::store(target, sum);
  }
}

// How often a digit has each value in a share: counts[value][share].
static __device__ __forceinline__ void tg_scatter_count(
    const tg_scatter &s, unsigned int block, unsigned int blocks) {
  __shared__ int found[tg_values];
  const int *const keys = (const int *)s.keys;
  const int t = (int)threadIdx.x, shift = (int)s.shift, first = (int)(block * s.share);
  const int behind = (int)(first + s.share < s.count ? first + s.share : s.count);
  found[t] = 0;
  __syncthreads();
  for (int n = first + t; n < behind; n += tg_values) atomicAdd(&found[keys[n] >> shift & (tg_values - 1)], 1);
  __syncthreads();
  ((int *)s.counts)[t * s.shares + block] = found[t];
}

// Counts become sums of all counts before them; one block does.
static __device__ __forceinline__ void tg_scatter_scan(
    const tg_scatter &s, unsigned int block, unsigned int blocks) {
  __shared__ int sums[32];
  int *const counts = (int *)s.counts;
  const int t = (int)threadIdx.x, total = tg_values * (int)s.shares, each = (total + tg_scanning - 1) / tg_scanning;
  const int first = t * each < total ? t * each : total, behind = first + each < total ? first + each : total;
  int sum = 0;
  for (int n = first; n < behind; ++n) sum += counts[n];
  int until = sum;  // that of this thread and those before it in its warp
  #pragma unroll
  for (int by = 1; by < 32; by *= 2) {
    const int other = __shfl_up_sync(0xffffffffu, until, by, 32);
    if (t % 32 >= by) until += other;
  }
  if (t % 32 == 31) sums[t / 32] = until;
  __syncthreads();
  int start = until - sum;
  for (int n = 0; n < t / 32; ++n) start += sums[n];
  for (int n = first; n < behind; ++n) {
    const int here = counts[n];
    counts[n] = start;
    start += here;
  }
}

// The places of a share go where they belong by this digit; those with the same one keep their order.
static __device__ __forceinline__ void tg_scatter_place(
    const tg_scatter &s, unsigned int block, unsigned int blocks) {
  __shared__ int next[tg_values], found[tg_warps][tg_values];
  const int *const keys = (const int *)s.keys, *const order = (const int *)s.order;
  const int t = (int)threadIdx.x, warp = t / 32, shift = (int)s.shift, first = (int)(block * s.share);
  const int behind = (int)(first + s.share < s.count ? first + s.share : s.count);
  next[t] = ((const int *)s.counts)[t * s.shares + block];
  for (int m = 0; m < tg_warps; ++m) found[m][t] = 0;
  __syncthreads();
  for (int start = first; start < behind; start += tg_values) {
    const int n = start + t;
    const bool live = n < behind;
    const int key = live ? keys[n] : 0, digit = live ? key >> shift & (tg_values - 1) : tg_values;
    const unsigned int same = __match_any_sync(0xffffffffu, digit);
    const int before = __popc(same & ((1u << t % 32) - 1u));
    if (live && before == 0) found[warp][digit] = __popc(same);
    __syncthreads();
    if (live) {
      int place = next[digit] + before;
      for (int m = 0; m < warp; ++m) place += found[m][digit];
      ((int *)s.new_keys)[place] = key;
      ((int *)s.new_order)[place] = order ? order[n] : n;
    }
    __syncthreads();
    int after = next[t];
    for (int m = 0; m < tg_warps; ++m) {
      after += found[m][t];
      found[m][t] = 0;
    }
    next[t] = after;
    __syncthreads();
  }
}

// The runs of a chunk: those within it are added to their elements. Of one that comes in the sum is the chunk's head,
// be it all of the chunk; of one that only goes on its tail.
template <class E, class I, bool Set> __device__ __forceinline__ void tg_scatter_chunks(
    const tg_scatter &s, unsigned int block, unsigned int blocks) {
  const int *const keys = (const int *)s.keys, *const order = (const int *)s.order;
  const I count = (I)s.count, tail = (I)s.tail, chunk = (I)s.chunk, chunks = (I)s.chunks;
  const I total = (I)s.lead * chunks * tail;
  for (I at = (I)block * blockDim.x + threadIdx.x; at < total; at += (I)blocks * blockDim.x) {
    const I j = at % tail, c = at / tail % chunks, i = at / tail / chunks;
    const I first = c * chunk, behind = first + chunk < count ? first + chunk : count;
    I n = first;
    while (n < behind) {
      const int place = keys[n];
      const bool comes = n == first && n > 0 && keys[n - 1] == place;
      typename E::value sum = tg_scattered<E, I>(s, i, (I)order[n], j);
      for (++n; n < behind && keys[n] == place; ++n) sum = E::add(sum, tg_scattered<E, I>(s, i, (I)order[n], j));
      const bool goes = n == behind && n < count && keys[n] == place;
      if (comes) {
        E::keep(s.heads, at, sum);
      } else if (goes) {
        E::keep(s.tails, at, sum);
      } else {
        char *const target = tg_target<E, I>(s, i, place, j);
        E::store(target, E::add(E::load(target), sum));
      }
    }
  }
}

// Of the run that begins in a chunk and goes on: its tail, and the heads that follow, in order.
template <class E, class I, bool Set> __device__ __forceinline__ void tg_scatter_carries(
    const tg_scatter &s, unsigned int block, unsigned int blocks) {
  const int *const keys = (const int *)s.keys;
  const I count = (I)s.count, tail = (I)s.tail, chunk = (I)s.chunk, chunks = (I)s.chunks;
  const I total = (I)s.lead * chunks * tail;
  for (I at = (I)block * blockDim.x + threadIdx.x; at < total; at += (I)blocks * blockDim.x) {
    const I j = at % tail, c = at / tail % chunks, i = at / tail / chunks, first = c * chunk;
    I behind = first + chunk;
    if (behind >= count) continue;
    const int place = keys[behind];
    if (keys[behind - 1] != place || (first > 0 && keys[first - 1] == place)) continue;
    typename E::value sum = E::part(s.tails, at);
    for (I on = at + tail; behind < count && keys[behind] == place; on += tail, behind += chunk) {
      sum = E::add(sum, E::part(s.heads, on));
    }
    char *const target = tg_target<E, I>(s, i, place, j);
    E::store(target, E::add(E::load(target), sum));
  }
}

// The last of each run is what stays.
template <class E, class I, bool Set> __device__ __forceinline__ void tg_scatter_last(
    const tg_scatter &s, unsigned int block, unsigned int blocks) {
  const int *const keys = (const int *)s.keys, *const order = (const int *)s.order;
  const I count = (I)s.count, tail = (I)s.tail, total = (I)s.lead * count * tail;
  for (I at = (I)block * blockDim.x + threadIdx.x; at < total; at += (I)blocks * blockDim.x) {
    const I j = at % tail, n = at / tail % count, i = at / tail / count;
    if (n + 1 < count && keys[n + 1] == keys[n]) continue;
    E::store(tg_target<E, I>(s, i, keys[n], j), tg_scattered<E, I>(s, i, (I)order[n], j));
  }
}
"""
