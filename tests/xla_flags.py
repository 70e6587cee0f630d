"""How tests want XLA: code that is quick to compile, not quick to run."""

from importlib import metadata

QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
if metadata.version("jaxlib").startswith("0.10."):  # XLA ends where it does not know a flag
  # The emitters take half of the time to compile a step.
  QUICK += " --xla_cpu_use_fusion_emitters=false"
EIGHT_DEVICES = f"--xla_force_host_platform_device_count=8 {QUICK}"
