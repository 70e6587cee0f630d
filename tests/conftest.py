"""Settings made before JAX starts: eight CPU devices for all tests."""

import os

FLAG = "--xla_force_host_platform_device_count=8"

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAG}"
os.environ["JAX_PLATFORMS"] = "cpu"
