"""Theano's settings that mean nothing here, with the reason, and what each is worth to a program that reads it."""

from __future__ import annotations

from typing import Any

__all__ = ["IDLE"]

_COMPILER = "no C++ compiler takes part"
_GPU = "graphics cards are reached through CuPy, which has settings of its own"
_OLD = "it warns of faults of old Theano versions, none of which is here"
_ERRSTATE = "functions compute as IEEE 754 says, without floating-point warnings; mode='NanGuardMode' looks for NaN"
_REWRITES = "there is one set of rewrites; mode='FAST_COMPILE' leaves it out"
_MEMORY = "memory is planned for each function"
_PROFILE = "profiles are asked for with function(…, profile=True)"
_MODES = "these are arguments of the modes in tinygraph.diagnose"
_PICKLE = "saved files hold data, never code"

#: Reason -> setting -> the value that a program finds. To set a setting to this value is no surprise; to set it to
#: another one has no effect, and a warning says why.
_BY_REASON: dict[str, dict[str, Any]] = {
    _COMPILER: {
        "base_compiledir": "",
        "blas.check_openmp": False,
        "blas.ldflags": "",
        "check_input": True,
        "cmodule.age_thresh_use": 2073600,
        "cmodule.compilation_warning": False,
        "cmodule.debug": False,
        "cmodule.preload_cache": False,
        "cmodule.remove_gxx_opt": False,
        "cmodule.warn_no_version": False,
        "compile.timeout": 240,
        "compile.wait": 5,
        "compiledir": "",
        "compiledir_format": "",
        "cxx": "",
        "gcc.cxxflags": "",
        "lib.amdlibm": False,
        "nocleanup": False,
        "openmp": False,
        "openmp_elemwise_minsize": 200000,
        "vm.lazy": "None",
    },
    _GPU: {
        "assert_no_cpu_op": "ignore",
        "contexts": "",
        "ctc.root": "",
        "cublas.lib": "",
        "cuda.disabled": False,
        "cuda.enabled": False,
        "cuda.include_path": "",
        "cuda.root": "",
        "dnn.base_path": "",
        "dnn.bin_path": "",
        "dnn.conv.algo_bwd": "",
        "dnn.conv.algo_bwd_data": "",
        "dnn.conv.algo_bwd_filter": "",
        "dnn.conv.algo_fwd": "",
        "dnn.conv.precision": "as_input_f32",
        "dnn.conv.workmem": "",
        "dnn.conv.workmem_bwd": "",
        "dnn.enabled": "auto",
        "dnn.include_path": "",
        "dnn.library_path": "",
        "enable_initial_driver_test": True,
        "experimental.unpickle_gpu_on_cpu": True,
        "force_device": True,
        "gpu.local_elemwise_fusion": True,
        "gpuarray.cache_path": "",
        "gpuarray.preallocate": 0,
        "gpuarray.sched": "default",
        "gpuarray.single_stream": True,
        "gpuarray.sync": False,
        "gpuelemwise.sync": True,
        "init_gpu_device": "",
        "lib.cnmem": 0,
        "magma.enabled": False,
        "magma.include_path": "",
        "magma.library_path": "",
        "nvcc.compiler_bindir": "",
        "nvcc.cudafe": "",
        "nvcc.fastmath": False,
        "nvcc.flags": "",
        "print_active_device": False,
        "pycuda.init": False,
    },
    _OLD: {
        "warn.argmax_pushdown_bug": False,
        "warn.gpu_set_subtensor1": False,
        "warn.gpusum_01_011_0111_bug": False,
        "warn.identify_1pexp_bug": False,
        "warn.ignore_bug_before": "all",
        "warn.inc_set_subtensor1": False,
        "warn.inc_subtensor1_opt": False,
        "warn.reduce_join": False,
        "warn.round": False,
        "warn.signal_conv2d_interface": False,
        "warn.subtensor_merge_bug": False,
        "warn.sum_div_dimshuffle_bug": False,
        "warn.sum_sum_bug": False,
        "warn.vm_gc_bug": False,
    },
    _ERRSTATE: {
        "numpy.seterr_all": "ignore",
        "numpy.seterr_divide": "None",
        "numpy.seterr_invalid": "None",
        "numpy.seterr_over": "None",
        "numpy.seterr_under": "None",
    },
    _REWRITES: {
        "cache_optimizations": False,
        "check_stack_trace": "off",
        "compute_test_value_opt": "off",
        "cycle_detection": "regular",
        "experimental.local_alloc_elemwise": True,
        "experimental.local_alloc_elemwise_assert": True,
        "metaopt.optimizer_excluding": "",
        "metaopt.optimizer_including": "",
        "metaopt.verbose": 0,
        "on_opt_error": "raise",
        "on_shape_error": "raise",
        "optdb.max_use_ratio": 8.0,
        "optdb.position_cutoff": float("inf"),
        "optimizer_excluding": "",
        "optimizer_including": "",
        "optimizer_requiring": "",
        "optimizer_verbose": False,
        "tensor.insert_inplace_optimizer_validate_nb": -1,
        "tensor.local_elemwise_fusion": True,
    },
    _MEMORY: {
        "allow_gc": True,
        "scan.allow_gc": True,
        "scan.allow_output_prealloc": True,
        "scan.debug": False,
    },
    _PROFILE: {
        "print_global_stats": False,
        "profile_memory": False,
        "profile_optimizer": False,
        "profiling.debugprint": False,
        "profiling.destination": "stderr",
        "profiling.ignore_first_call": False,
        "profiling.min_memory_size": 1024,
        "profiling.min_peak_memory": False,
        "profiling.n_apply": 20,
        "profiling.n_ops": 20,
        "profiling.output_line_width": 512,
        "profiling.time_thunks": True,
    },
    _MODES: {
        "DebugMode.check_c": False,
        "DebugMode.check_finite": True,
        "DebugMode.check_preallocated_output": "",
        "DebugMode.check_preallocated_output_ndim": 4,
        "DebugMode.check_py": True,
        "DebugMode.check_strides": 0,
        "DebugMode.patience": 10,
        "DebugMode.warn_input_not_reused": True,
        "NanGuardMode.action": "raise",
        "NanGuardMode.big_is_error": True,
        "NanGuardMode.inf_is_error": True,
        "NanGuardMode.nan_is_error": True,
    },
    _PICKLE: {
        "pickle_test_value": True,
        "reoptimize_unpickled_function": True,
        "unpickle_function": True,
    },
    "dtypes follow NumPy, in which Python scalars give way to arrays": {"cast_policy": "numpy+floatX"},
    "x / y of integers is config.floatX; x // y is an integer": {"int_division": "floatX"},
    "convolutions check the shapes they are given": {"conv.assert_shape": True},
    "every node keeps the lines that made it": {"traceback.compile_limit": 0, "traceback.limit": 4},
    "print variable.tag.test_value": {"print_test_value": False},
    "comparisons of arrays take their tolerances as arguments": {"tensor.cmp_sloppy": 0},
    "it belongs to Theano's own tests": {"unittests.rseed": 666},
}

#: Setting -> (value that a program finds, why it cannot be changed).
IDLE: dict[str, tuple[Any, str]] = {
    name: (value, why) for why, settings in _BY_REASON.items() for name, value in settings.items()
}
