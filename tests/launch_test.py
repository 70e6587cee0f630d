"""The scripts of launch/, run with stubs in place of their schedulers and of the training."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

LAUNCH = pathlib.Path(__file__).parents[1] / "launch"
STUBS = {
  "srun": 'echo "srun $* with $SRUN_CPUS_PER_TASK CPUs" >> calls; shift; "$@"',
  "scontrol": 'echo "scontrol $*" >> calls; [ "$1" = requeue ] || cat job',
  # Not by way of srun, which kills its processes when it is terminated itself.
  "scancel": 'echo "scancel $*" >> calls; kill -TERM $(cat process)',
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


def requeued(checkout, number: int, to: str, job: str) -> bool:
  """Whether a job that is stopped saves, and is put into the queue again.

  Args:
    checkout: the fixture.
    number: the signal that Slurm sends.
    to: "script", "processes" or both.
    job: what `scontrol show job` says of it.
  """
  (checkout / "job").write_text(job)
  saving = "trap 'sleep 0.5; echo saved >> calls; exit 143' TERM"
  script = start(
    checkout,
    "slurm.sbatch",
    f"{saving}; echo $$ > process; touch begun; for i in $(seq 200); do sleep 0.1; done",
  )
  deadline = time.time() + 20
  while not (checkout / "begun").exists() and time.time() < deadline:
    time.sleep(0.05)
  if "processes" in to:
    os.kill(int((checkout / "process").read_text()), number)
  if "script" in to:
    script.send_signal(number)
  code, made = script.wait(20), calls(checkout)
  again = made[-1] == "scontrol requeue 7"
  assert "saved" in made and code == (0 if again else 143)
  return again


# Who gets which signal, and what Slurm then says of the job: as Slurm 22.05 does.
def test_slurm_puts_a_job_at_the_end_of_its_time_into_the_queue_again(checkout):
  assert requeued(checkout, signal.SIGUSR1, "script", "PreemptTime=None")
  assert "scancel --signal=TERM 7.0" in calls(checkout)


@pytest.mark.parametrize("to", ["processes", "script and processes"])  # with GraceTime; without
def test_slurm_puts_a_job_that_it_preempts_into_the_queue_again(checkout, to):
  assert requeued(checkout, signal.SIGTERM, to, "PreemptTime=2026-11-28T23:59:52")


def test_slurm_does_not_bring_back_what_its_user_cancels(checkout):
  assert not requeued(checkout, signal.SIGTERM, "script and processes", "PreemptTime=None")


def test_a_worker_of_a_tpu_finds_the_others(checkout):
  assert start(checkout, "tpu_vm.sh", "exit 3").wait(20) == 3
  command = "python -m headprune.main --distributed --workdir a b on all"
  assert calls(checkout) == ["setup tpu", command]


def test_a_checkout_is_installed_once_and_anew_where_it_was_moved_to(tmp_path):
  shutil.copytree(LAUNCH, tmp_path / "a" / "launch")
  for name in ("requirements.txt", "pyproject.toml"):
    (tmp_path / "a" / name).write_text("")
  made = tmp_path / "made"  # what stands in for the Python of an environment
  made.write_text("#!/bin/bash\nsleep 0.3\necho installed >> calls\n")
  python = tmp_path / "python"  # python -m venv FOLDER, or -c to ask for its version
  python.write_text(
    '#!/bin/bash\n[ "$1" = -m ] || exit 0\nmkdir -p "$3/bin"\n'
    f'cp {made} "$3/bin/python"\n: > "$3/bin/activate"\n'
  )
  for path in (made, python):
    path.chmod(0o755)

  def installed(place: str, times: int = 1, **environment) -> int:
    environment |= {"PATH": os.environ["PATH"], "PYTHON": str(python)}
    command = ["bash", "-euc", f"cd {place}; source launch/setup.sh"]
    started = [subprocess.Popen(command, cwd=tmp_path, env=environment) for _ in range(times)]
    assert [one.wait(20) for one in started] == [0] * times
    return len(calls(tmp_path / place))

  (tmp_path / "link").symlink_to("a")
  assert [installed("a"), installed("link")] == [1, 1]
  assert [installed("a", ACCELERATOR="tpu"), installed("a")] == [2, 2]
  (tmp_path / "a").rename(tmp_path / "b")
  assert [installed("b"), installed("b")] == [3, 3]
  (tmp_path / "b").rename(tmp_path / "a")
  assert installed("a") == 4
  if shutil.which("flock"):
    assert installed("a", times=3, ACCELERATOR="cuda13") == 5, "one at a time, jobs of one moment"


def test_a_python_that_is_too_old_is_named_and_makes_nothing(tmp_path):
  shutil.copytree(LAUNCH, tmp_path / "launch")
  pyproject = (LAUNCH.parent / "pyproject.toml").read_text()
  (tmp_path / "pyproject.toml").write_text(pyproject)
  (tmp_path / "requirements.txt").write_text("")
  needed = re.search(r'requires-python = ">=(.*)"', pyproject)[1]
  old = tmp_path / "old"  # runs what it is given as if it were the last version before that
  major, minor = map(int, needed.split("."))
  code = f"import sys\nsys.version_info = ({major}, {minor - 1})\nexec(sys.argv[2])"
  old.write_text(f"#!{sys.executable}\n{code}\n")
  old.chmod(0o755)
  environment = {"PATH": os.environ["PATH"], "PYTHON": str(old)}
  found = subprocess.run(
    ["bash", "launch/test.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True
  )
  message = f"Python {needed} or newer is needed, not {major}.{minor - 1}: set PYTHON to one\n"
  assert (found.returncode, found.stdout, found.stderr) == (1, "", message)
  assert not (tmp_path / ".venv").exists()


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
