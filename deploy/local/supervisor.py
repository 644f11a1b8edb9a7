"""Starts the parts and the services in order, shows how it goes, and keeps them running."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from deploy.local import stack
from deploy.local.demo import FAILED, SEED_FILE, Account, Demo, RestClient, demo_account, read_json
from deploy.local.errors import LocalStackError, PortInUseError
from deploy.local.ports import LOOPBACK, RememberedPorts, is_free
from deploy.local.restarts import Part, Restarts
from deploy.local.secret_file import remembered_secret, write_secret
from deploy.local.services import Service, run_operation, start_all, stop_all

SERVICES = ("api", "renderer", "projector", "content")
WATCH_SECONDS = 0.25
STOP_PARTS_SECONDS = 4


class Supervisor:
    def __init__(self, state_directory: Path, api_port: int, console: Console) -> None:
        self._state = state_directory
        self._requested_api_port = api_port
        self._console = console
        self._services: list[Service] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Everything started; on the way out everything stopped, whatever happened."""
        with stack.exclusive(self._state), contextlib.ExitStack() as started:
            self._prepare()
            started.callback(self._stop)
            started.callback(signal.signal, signal.SIGTERM, signal.SIG_IGN)
            started.callback(signal.signal, signal.SIGINT, signal.SIG_IGN)
            with self._progress() as progress:
                self._start_parts(progress)
                self._provision(progress)
                self._start_services(progress)
                account = self._make_account(progress)
                seed = self._make_seed(progress, account)
            self._tell(account, seed)
            yield

    def watch(self) -> None:
        """Until Ctrl-C: starts again what ends by itself."""
        parts: dict[str, Part] = {"Postgres": self._postgres, "Kafka": self._kafka}
        parts |= {service.name: service for service in self._services}
        watched = [Restarts(name, part, self._announce) for name, part in parts.items()]
        while True:
            for restarts in watched:
                restarts.check()
            time.sleep(WATCH_SECONDS)

    def _prepare(self) -> None:
        ports = RememberedPorts(self._state / "ports.json")
        self._postgres = stack.local_postgres(self._state, ports)
        self._kafka = stack.local_kafka(self._state, ports)
        self._api_port = self._requested_api_port or ports.take("api")
        if not is_free(self._api_port):
            remedy = "Stop the program that listens there, or use `make run API_PORT=0`."
            raise PortInUseError(self._api_port, "API_PORT", remedy)
        self._operations_ports = {name: ports.take(f"{name}-operations") for name in SERVICES}
        (self._state / "media").mkdir(exist_ok=True)

    @property
    def _base_url(self) -> str:
        return f"http://{LOOPBACK}:{self._api_port}"

    @property
    def _operations_log(self) -> Path:
        return self._state / "logs" / "ops.log"

    def _environment(self) -> dict[str, str]:
        operations_ports = {
            f"{name.upper()}_OPERATIONS_PORT": str(port)
            for name, port in self._operations_ports.items()
        }
        return {
            "DATABASE_URL": self._postgres.dsn,
            "DATABASE_READER_ROLE": "influencer_reader",
            "KAFKA_BOOTSTRAP_SERVERS": self._kafka.bootstrap_servers,
            "MEDIA_STORE_URL": (self._state / "media").as_uri(),
            "MEDIA_SIGNING_KEY": remembered_secret(self._state / "media-signing-key"),
            "PUBLIC_BASE_URL": self._base_url,
            "API_HOST": LOOPBACK,
            "API_PORT": str(self._api_port),
            "OPERATIONS_HOST": LOOPBACK,
            **operations_ports,
        }

    def _start_parts(self, progress: Progress) -> None:
        """Kafka takes longest, so the database is made ready meanwhile."""
        with step(progress, "Kafka") as show:

            def downloaded(done: int, all_jars: int) -> None:
                downloading = f"Kafka: downloading {done} of {all_jars} files"
                show(downloading if done < all_jars else "Kafka", done / all_jars)

            self._kafka.begin(progress=downloaded)
            with step(progress, "Postgres"):
                self._postgres.start()
            with step(progress, "Tables"):
                run_operation(["migrate"], self._environment(), self._operations_log)
                run_operation(["grants", "--yes"], self._environment(), self._operations_log)
            self._kafka.wait_until_ready()

    def _provision(self, progress: Progress) -> None:
        with step(progress, "Topics"):
            run_operation(["topics", "create"], self._environment(), self._operations_log)

    def _start_services(self, progress: Progress) -> None:
        with step(progress, "Services: " + ", ".join(SERVICES)):
            environment = self._environment()
            self._services = [
                Service(name, environment, self._operations_ports[name], self._state)
                for name in SERVICES
            ]
            start_all(self._services)

    def _make_account(self, progress: Progress) -> Account:
        with step(progress, "Demo organization, project and key"):
            account = demo_account(
                self._state, self._base_url, self._environment(), self._operations_log
            )
            Demo(
                baseUrl=self._base_url,
                organizationId=account.organization_id,
                projectId=account.project_id,
                apiKey=account.api_key,
                bootstrapServers=self._kafka.bootstrap_servers,
                databaseUrl=self._postgres.dsn,
            ).save(self._state / "demo.json")
        return account

    def _make_seed(self, progress: Progress, account: Account) -> dict[str, Any]:
        """Ava Chen, once: on later starts only looked up."""
        client = RestClient(self._base_url, account.api_key)
        with step(progress, "Ava Chen, the first influencer") as show:
            file = self._state / SEED_FILE
            seed = read_json(file)
            if not seed:
                seed = client.create_seed(account.project_id)
                write_secret(file, json.dumps(seed, indent=2) + "\n")

            def show_job(job: dict[str, Any]) -> None:
                done = job.get("progress") or 0.0
                show(f"Ava Chen: {job['status']}, {job.get('stage') or '…'}", done)

            try:
                job = client.wait_for_job(seed["jobId"], show_job)
                return client.request("GET", f"/v1/influencers/{seed['influencerId']}") | {
                    "failed": job["status"] in FAILED
                }
            except LocalStackError as error:
                # The stack is fine without its example, which may have been deleted.
                show(f"Ava Chen: {error.problem[:90]}")
                return {}

    def _tell(self, account: Account, seed: dict[str, Any]) -> None:
        say = self._console.print
        say(f"\n[bold green]Ready[/] at {self._base_url}")
        if seed:
            say(f"\nAva Chen is {seed.get('status')}; her pictures, to open in a browser:")
        for image in seed.get("referenceImages") or []:
            say(f"  {image.get('view') or '':16} {image.get('url')}", markup=False)
        say(f"\nFiles    {self._state / 'media'}", markup=False)
        say(f"Logs     {self._state / 'logs'}", markup=False)
        say(f"Scripts  {self._state / 'demo.json'} (addresses and key)", markup=False)
        say(f"Project  {account.project_id}", markup=False)
        say(f"Key      {account.api_key}", markup=False)
        say("\nMake one of your own:\n")
        say(create_command(self._base_url, account), markup=False)
        if seed:
            say("\nHave a picture of Ava Chen made for a brief; the job shows where it is:\n")
            say(content_command(self._base_url, account, seed["influencerId"]), markup=False)
        say("\nCtrl-C stops everything; the data stays.")

    def _announce(self, message: str) -> None:
        self._console.print(f"{time.strftime('%H:%M:%S')} {message}", style="yellow", markup=False)

    def _stop(self) -> None:
        with self._console.status("Stopping"):
            stop_all(self._services)
            parts = (self._kafka, self._postgres)
            with ThreadPoolExecutor(len(parts)) as pool:
                list(pool.map(lambda part: part.stop(STOP_PARTS_SECONDS), parts))

    def _progress(self) -> Progress:
        return Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=self._console,
        )


@contextlib.contextmanager
def step(progress: Progress, title: str) -> Iterator[Callable[..., None]]:
    """One line of the display: pulses, or fills up where its caller shows a fraction."""
    task = progress.add_task(title, total=None)

    def show(description: str, fraction: float | None = None) -> None:
        total = None if fraction is None else 1.0
        progress.update(task, description=description, total=total, completed=fraction or 0.0)

    yield show
    progress.update(task, total=1.0, completed=1.0)


def create_command(base_url: str, account: Account) -> str:
    return (
        f"curl -sS {base_url}/v1/projects/{account.project_id}/influencers \\\n"
        f"  -H 'X-Api-Key: {account.api_key}' -H 'Content-Type: application/json' \\\n"
        """  -d '{"name": "Mika Sol", "gender": "male", "hairColor": "black", "vibe": "playful"}'"""
    )


def content_command(base_url: str, account: Account, influencer_id: str) -> str:
    return (
        f"curl -sS {base_url}/v1/projects/{account.project_id}/content \\\n"
        f"  -H 'X-Api-Key: {account.api_key}' -H 'Content-Type: application/json' \\\n"
        f"""  -d '{{"influencerId": "{influencer_id}", "brief": "Good morning from the beach!"}}'"""
    )
