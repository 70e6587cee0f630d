"""The scripts of launch/, run with stubs in place of their schedulers and of the training."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

LAUNCH = pathlib.Path(__file__).parents[1] / "launch"
STUBS = {
  "srun": 'echo "srun $* with $SRUN_CPUS_PER_TASK CPUs" >> calls; shift; exec "$@"',
  "scontrol": 'echo "scontrol $*" >> calls',
  "python": 'echo "python $* on ${JAX_LOCAL_DEVICE_IDS:-all}" >> calls; . ./training',
}


@pytest.fixture
def checkout(tmp_path):
  """A folder with the scripts, and stubs of what they call."""
  shutil.copytree(LAUNCH, tmp_path / "launch")
  (tmp_path / "launch" / "setup.sh").write_text('echo "setup $ACCELERATOR" >> calls\n')
  (tmp_path / "bin").mkdir()
  for name, body in STUBS.items():
    (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
    (tmp_path / "bin" / name).chmod(0o755)
  return tmp_path


def start(checkout, script: str, training: str, **environment) -> subprocess.Popen:
  (checkout / "training").write_text(training)
  environment |= {"PATH": f"{checkout}/bin:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
  command = ["bash", f"launch/{script}", "--workdir", "a b"]
  return subprocess.Popen(
    command, cwd=checkout, env=environment | {"SLURM_SUBMIT_DIR": str(checkout)}
  )


def calls(checkout) -> list[str]:
  return (checkout / "calls").read_text().splitlines()


@pytest.mark.parametrize("nodes, flag", [("1", ""), ("2", "--distributed ")])
@pytest.mark.parametrize("code", [0, 2])
def test_slurm_starts_a_process_a_node_and_ends_as_it_does(checkout, nodes, flag, code):
  environment = {"SLURM_JOB_NUM_NODES": nodes, "SLURM_GPUS_ON_NODE": "4"}
  assert start(checkout, "slurm.sbatch", f"exit {code}", **environment).wait(20) == code
  command = f"python -m headprune.main {flag}--workdir a b"
  assert calls(checkout) == [
    "setup cuda13", f"srun --kill-on-bad-exit=1 {command} with 16 CPUs",
    f"{command} on 0,1,2,3",
  ]  # fmt: skip


@pytest.mark.parametrize("script", ["slurm.sbatch", "tpu_vm.sh"])
def test_what_the_user_sets_is_taken(checkout, script):
  environment = {"SLURM_CPUS_PER_TASK": "8", "ACCELERATOR": "cuda12"}
  assert start(checkout, script, "exit 0", **environment).wait(20) == 0
  assert calls(checkout)[0] == "setup cuda12"
  assert script == "tpu_vm.sh" or calls(checkout)[1].endswith(" with 8 CPUs")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_slurm_puts_a_job_that_must_stop_into_the_queue_again(checkout, number):
  training = "trap 'echo saved >> calls; exit 143' TERM; touch begun; while :; do sleep 0.1; done"
  job = start(checkout, "slurm.sbatch", training)
  deadline = time.time() + 20
  while not (checkout / "begun").exists() and time.time() < deadline:
    time.sleep(0.05)
  job.send_signal(number)
  assert job.wait(20) == 0
  assert calls(checkout)[-2:] == ["saved", "scontrol requeue 7"], "after it has saved"


def test_a_worker_of_a_tpu_finds_the_others(checkout):
  assert start(checkout, "tpu_vm.sh", "exit 3").wait(20) == 3
  command = "python -m headprune.main --distributed --workdir a b on all"
  assert calls(checkout) == ["setup tpu", command]


def test_a_checkout_is_installed_once_and_anew_where_it_was_moved_to(tmp_path):
  shutil.copytree(LAUNCH, tmp_path / "a" / "launch")
  for name in ("requirements.txt", "pyproject.toml"):
    (tmp_path / "a" / name).write_text("")
  made = tmp_path / "made"  # what stands in for the Python of an environment
  made.write_text("#!/bin/bash\necho installed >> calls\n")
  python = tmp_path / "python"  # python -m venv FOLDER
  python.write_text(
    f'#!/bin/bash\nmkdir -p "$3/bin"\ncp {made} "$3/bin/python"\n: > "$3/bin/activate"\n'
  )
  for path in (made, python):
    path.chmod(0o755)

  def installed(place: str, **environment) -> int:
    environment |= {"PATH": os.environ["PATH"], "PYTHON": str(python)}
    command = ["bash", "-euc", f"cd {place}; source launch/setup.sh"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    return len(calls(tmp_path / place))

  (tmp_path / "link").symlink_to("a")
  assert [installed("a"), installed("link")] == [1, 1]
  assert [installed("a", ACCELERATOR="tpu"), installed("a")] == [2, 2]
  (tmp_path / "a").rename(tmp_path / "b")
  assert [installed("b"), installed("b")] == [3, 3]
  (tmp_path / "b").rename(tmp_path / "a")
  assert installed("a") == 4


def test_the_job_set_runs_that_script_once_on_each_host():
  yaml = pytest.importorskip("yaml")
  job_set = yaml.safe_load((LAUNCH / "jobset.yaml").read_text())
  job = job_set["spec"]["replicatedJobs"][0]["template"]["spec"]
  assert job["parallelism"] == job["completions"] and job["completionMode"] == "Indexed"
  pod = job["template"]["spec"]
  container, (volume,) = pod["containers"][0], pod["volumes"]
  assert container["command"][1].endswith("/launch/tpu_vm.sh")
  assert container["volumeMounts"][0]["name"] == volume["name"]
  on_exit = job["podFailurePolicy"]["rules"][0]["onExitCodes"]
  assert (on_exit["containerName"], on_exit["values"]) == (container["name"], [2])
  assert pod["restartPolicy"] == "Never"
