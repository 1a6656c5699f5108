"""The files for clusters: they parse, name what exists, and make a right TF_CONFIG.

What they say to Slurm is heard by stubs of its programs; the page *From laptop to
cluster* says what was tried with the real ones.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from sslkit import __main__ as command
from sslkit import distribute

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "chapters" / "beyond" / "cluster"
PAGE = (FOLDER.parent / "cluster.md").read_text("utf-8")
SCRIPTS = sorted(FOLDER.glob("*.sbatch"))
WORDS = ["simclr", "/shared/my photos", "--run", "/shared/runs/photos"]
SBATCH = """
    account acctg-freq array batch bb bbf begin chdir cluster-constraint clusters
    comment constraint container contiguous core-spec cores-per-socket cpu-freq
    cpus-per-gpu cpus-per-task deadline delay-boot dependency error exclude
    exclusive export export-file extra-node-info get-user-env gid gpu-bind gpu-freq
    gpus gpus-per-node gpus-per-socket gpus-per-task gres gres-flags help hint hold
    ignore-pbs input job-name kill-on-invalid-dep licenses mail-type mail-user
    mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nice no-kill
    no-requeue nodefile nodelist nodes ntasks ntasks-per-core ntasks-per-gpu
    ntasks-per-node ntasks-per-socket open-mode output overcommit oversubscribe
    parsable partition power prefer priority profile propagate qos quiet reboot
    requeue reservation signal sockets-per-node spread-job switches test-only
    thread-spec threads-per-core time time-min tmp uid usage use-min-nodes verbose
    version wait wait-all-nodes wckey wrap
"""
"""Long options of sbatch, from its manual (Slurm 22.05)."""

bash = pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
each_script = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)


def test_every_file_is_shown_and_can_be_downloaded():
    names = {path.name for path in FOLDER.iterdir()}
    assert names == {*(path.name for path in SCRIPTS), "job.yaml", "Dockerfile"}
    assert [path.stem for path in SCRIPTS] == ["one_node", "several_nodes"]
    assert set(re.findall(r"\{download\}`(\S+) <cluster/\1>`", PAGE)) == names
    assert set(re.findall(r"\{literalinclude\} cluster/(\S+)", PAGE)) == names


def test_the_page_shows_all_that_a_script_does():
    text = (FOLDER / "several_nodes.sbatch").read_text("utf-8")
    assert text.count("set -u") == 1 and ":start-after: set -u\n" in PAGE


# --- Slurm ------------------------------------------------------------------------


@bash
@each_script
def test_bash_can_read_it(path):
    subprocess.run(["bash", "-n", path], check=True)


@each_script
def test_linter_finds_nothing(path):
    # It lies beside the interpreter, where the shell does not look by itself.
    linter = shutil.which("shellcheck", path=Path(sys.executable).parent)
    assert linter
    subprocess.run([linter, path], check=True)


@each_script
def test_slurm_knows_the_options(path):
    lines = path.read_text("utf-8").splitlines()
    assert lines[0] == "#!/bin/bash"
    found = [re.fullmatch(r"#SBATCH --([a-z-]+)(=\S+)?", line) for line in lines]
    options = {match[1] for match in found if match}
    assert options <= set(SBATCH.split())
    assert len(options) == sum(line.startswith("#SBATCH") for line in lines)
    # Slurm reads none that stands after a command.
    first = next(i for i, line in enumerate(lines) if line and line[0] != "#")
    assert not any(line.startswith("#SBATCH") for line in lines[first:])
    assert {"requeue", "open-mode"} <= options
    assert "#SBATCH --signal=B:USR1@120" in lines


STUBS = {
    # Runs a command once for each machine, at the same time, as Slurm does.
    "srun": """
        while [[ $1 == --* ]]; do shift; done
        echo $$ > "$HEARD/srun.pid"
        trap 'kill -TERM $(jobs -p)' TERM
        for ((i = 0; i < SLURM_NNODES; i++)); do SLURM_PROCID=$i "$@" & done
        workers=$(jobs -p)
        for turn in 1 2; do  # A signal ends the first.
            code=0; for each in $workers; do wait "$each" || code=$?; done
        done
        exit "$code"
    """,
    "python": """
        printf '%s\\n' "$@" > "$HEARD/words-${SLURM_PROCID:-0}"
        printf '%s' "${TF_CONFIG-}" > "$HEARD/config-${SLURM_PROCID:-0}"
        [[ -z ${LONG-} ]] && exit 3
        trap 'echo saved >> "$HEARD/told"; exit ${DONE-1}' TERM
        touch "$HEARD/running-${SLURM_PROCID:-0}"
        while :; do sleep 0.05; done
    """,
    "scontrol": """
        if [[ $1 == show ]]; then printf '%s\\n' gpu-7 gpu-11; exit; fi
        echo "$@" >> "$HEARD/told"
    """,
    "scancel": """
        echo "$@" >> "$HEARD/told"
        kill -TERM "$(cat "$HEARD/srun.pid")"
    """,
}


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a script among stubs."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in STUBS.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}")
        (programs / name).chmod(0o755)
    started = []

    def run(path, **environment):
        started.append(
            subprocess.Popen(
                ["bash", path, *WORDS],
                env={
                    "PATH": f"{programs}:{os.environ['PATH']}",
                    "HEARD": str(tmp_path),
                    "SLURM_JOB_ID": "123456",
                    "SLURM_JOB_NODELIST": "gpu-[7,11]",
                    "SLURM_NNODES": "2" if "several" in path.name else "1",
                    "SLURM_CPUS_PER_TASK": "16",
                    **environment,
                },
                start_new_session=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def options_of(words):
    """What the command line makes of words; it ends if they are wrong."""
    assert words[:2] == ["-m", "sslkit"]
    return command.parser().parse_args(words[2:])


@bash
@each_script
def test_a_script_hands_words_on_and_ends_as_the_run_does(path, start, tmp_path):
    assert start(path).wait(30) == 3
    words = (tmp_path / "words-0").read_text().splitlines()
    options = options_of(words)
    assert (options.method, options.data, options.run) == (WORDS[0], WORDS[1], WORDS[3])
    assert options.resume and options.quiet
    assert options.strategy == ("mirrored" if "one" in path.name else "workers")


@bash
def test_each_worker_gets_a_right_tf_config(start, tmp_path, monkeypatch):
    start(FOLDER / "several_nodes.sbatch").wait(30)
    configs = [(tmp_path / f"config-{i}").read_text() for i in range(2)]
    for i, text in enumerate(configs):
        assert json.loads(text) == {
            "cluster": {"worker": ["gpu-7:23456", "gpu-11:23456"]},
            "task": {"type": "worker", "index": i},
        }
        monkeypatch.setenv("TF_CONFIG", text)
        assert distribute._workers() == 2


def wait_for_workers(path, folder):
    workers, end = 2 if "several" in path.name else 1, time.monotonic() + 30
    while len(list(folder.glob("running-*"))) < workers and time.monotonic() < end:
        time.sleep(0.05)
    return workers


@bash
@each_script
def test_before_the_time_is_up_the_run_saves_and_is_queued_again(path, start, tmp_path):
    process = start(path, LONG="yes")
    workers = wait_for_workers(path, tmp_path)
    process.send_signal(signal.SIGUSR1)
    process.wait(30)
    told = (tmp_path / "told").read_text().splitlines()
    saved = ["saved"] * workers
    assert told == ["--signal=TERM 123456", *saved, "requeue 123456"]


@bash
@each_script
def test_a_run_that_is_done_is_not_queued_again(path, start, tmp_path):
    process = start(path, LONG="yes", DONE="0")
    wait_for_workers(path, tmp_path)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(30) == 0
    assert "requeue" not in (tmp_path / "told").read_text()


# --- Kubernetes -------------------------------------------------------------------


@pytest.fixture(scope="module")
def things():
    """What job.yaml describes, by kind."""
    documents = yaml.safe_load_all((FOLDER / "job.yaml").read_text("utf-8"))
    return {each["kind"]: each for each in documents}


def test_kubernetes_would_accept_it(things):
    for each in things.values():
        kubernetes_validate.validate(each, "1.32", strict=True)


def test_names_agree(things):
    claim, service, job = (
        things[kind] for kind in ("PersistentVolumeClaim", "Service", "Job")
    )
    pod = job["spec"]["template"]
    (container,), (volume,) = pod["spec"]["containers"], pod["spec"]["volumes"]
    (mount,) = container["volumeMounts"]
    assert pod["spec"]["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["ports"][0]["port"] == container["ports"][0]["containerPort"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert mount["name"] == volume["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    (rule,) = (
        rule["onExitCodes"]
        for rule in job["spec"]["podFailurePolicy"]["rules"]
        if "onExitCodes" in rule
    )
    assert rule["containerName"] == container["name"]
    assert pod["spec"]["restartPolicy"] == "Never"  # which the policy needs
    options = options_of(["-m", "sslkit", *container["args"]])
    for path in (options.data, options.run):
        assert path.startswith(mount["mountPath"] + "/")
    assert options.resume and options.strategy == "workers"
    with pytest.raises(SystemExit) as ended:
        command.parser().parse_args(["pretrain"])
    assert ended.value.code in rule["values"]


def test_each_pod_gets_a_right_tf_config(things, monkeypatch):
    job = things["Job"]
    spec, name = job["spec"], job["metadata"]["name"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    number, config = container["env"]
    assert number["name"] == "JOB_COMPLETION_INDEX" and config["name"] == "TF_CONFIG"
    key = number["valueFrom"]["fieldRef"]["fieldPath"]
    assert key == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    workers = spec["completions"]
    assert spec["completionMode"] == "Indexed" and spec["parallelism"] == workers
    assert options_of(["-m", "sslkit", *container["args"]]).batch % workers == 0
    port = container["ports"][0]["containerPort"]
    for i in range(workers):
        # As Kubernetes does it.
        text = config["value"].replace("$(JOB_COMPLETION_INDEX)", str(i))
        assert json.loads(text) == {
            "cluster": {
                "worker": [
                    f"{name}-{k}.{pod['subdomain']}:{port}" for k in range(workers)
                ]
            },
            "task": {"type": "worker", "index": i},
        }
        monkeypatch.setenv("TF_CONFIG", text)
        assert distribute._workers() == workers


# --- the image --------------------------------------------------------------------


def test_the_image_has_what_the_package_is_made_of_and_runs_what_the_job_says():
    lines = (FOLDER / "Dockerfile").read_text("utf-8").splitlines()
    copied = {
        word
        for line in lines
        if line.startswith("COPY ")
        for word in line.split()[1:-1]
    }
    assert all((ROOT / word).exists() for word in copied)
    # What pyproject.toml names.
    assert copied == {"pyproject.toml", "README.md", "sslkit", "data"}
    assert lines[-1] == 'ENTRYPOINT ["python", "-m", "sslkit"]'
    comment = next(line for line in lines if "docker build" in line)
    file, tag = re.search(r"--file (\S+) --tag (\S+) \.", comment).groups()
    assert (ROOT / file).samefile(FOLDER / "Dockerfile")
    assert f"image: {tag}\n" in (FOLDER / "job.yaml").read_text("utf-8")
