"""Description of the machine that is timed, and its load."""

import os
import platform
from contextlib import suppress
from pathlib import Path


def name() -> str:
    """The host and its processor; two machines of one model have two names."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{platform.node()}, {line.partition(':')[2].strip()} x {os.cpu_count()}"
    return f"{platform.node()}, {platform.processor() or platform.machine()} x {os.cpu_count()}"


def load() -> dict[str, object]:
    """Load averages and the number of runnable threads, our own included.

    Empty where the system does not report them.
    """
    try:
        one, five, fifteen, threads, _ = Path("/proc/loadavg").read_text().split()
    except (OSError, ValueError):
        return {}
    return {
        "load": [float(one), float(five), float(fifteen)],
        "running": int(threads.partition("/")[0]),
        "cores": os.cpu_count(),
    }


def gpu(device: str) -> dict[str, object]:
    """Clocks in MHz, watts, degrees and reasons for throttling, by NVML; empty without a GPU."""
    if not device.startswith("cuda"):
        return {}
    try:
        import pynvml
    except ImportError:
        return {"nvml": "not installed"}
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(int(device.partition(":")[2] or 0))
        return {
            "clock_mhz": pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
            "memory_clock_mhz": pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM),
            "watts": pynvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
            "celsius": pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
            "throttling": hex(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)),
            "processes": len(pynvml.nvmlDeviceGetComputeRunningProcesses(handle)),
        }
    except pynvml.NVMLError as error:
        return {"nvml": str(error)}
