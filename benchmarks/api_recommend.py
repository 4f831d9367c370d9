"""What `POST /api/v1/recommend` costs on 60,000 films with SASRec: CPU-ms by part, in process and served.

    python -m benchmarks.api_recommend [--items 60000] [--length 50] [--requests 400] [--serve] [--profile]
    python -m benchmarks.api_recommend --make FOLDER

Makes a site of its own with synthetic films and a SASRec of random weights and real shapes: the weights
change what is recommended, not how long it takes. Histories are random, each of its own. In process the
requests go through the WSGI application, without a socket, one after another and sixteen together. --serve
starts granian with two workers and loads it with wrk, which shares the machine. --make leaves such a site in
FOLDER for other load generators: serve it with DATA_DIR=FOLDER, and take the bodies from FOLDER/bodies.json.
The baseline of a request is what the scores of all films cost in it.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import os
import pstats
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np

from benchmarks._command import CouldNotMeasure, argument_parser, parse_options, print_ratio, run
from benchmarks._serving import use_site

ADDRESS = "/api/v1/recommend"
BODIES = 256  # different ones, so that nothing is answered from memory
WARM_SECONDS = 15  # both workers load the model
Application = Callable[..., Any]


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--items", type=int, default=60_000)
    parser.add_argument("--length", type=int, default=50, help="films in a history")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--profile", action="store_true", help="functions by their own time")
    parser.add_argument("--serve", action="store_true", help="granian and wrk as well")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--make", type=Path, metavar="FOLDER", help="make the site there and end")
    options = parse_options(parser, items=20_000, requests=100)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.make or Path(temporary)
        use_site(folder, DEFAULT_MODELS="sasrec", DEVICE="cpu")
        make_site(folder, options)
        if options.make:
            return
        in_process(options)
        if options.serve:
            served(folder, options)


def make_site(folder: Path, options: argparse.Namespace) -> None:
    import django

    folder.mkdir(parents=True, exist_ok=True)
    django.setup()
    from django.core.management import call_command

    from movie.catalogue.models import Movie
    from movie.training.registry import registry
    from predictors.id_map import IdMap
    from predictors.models.sasrec.model import SasrecConfig, SasrecPredictor

    call_command("migrate", verbosity=0)
    Movie.objects.bulk_create(
        (
            Movie(pk=pk, title=f"Film {pk}", sort_title=f"film {pk}", year=1920 + pk % 100)
            for pk in range(1, options.items + 1)
        ),
        batch_size=2000,
    )
    weights = random_weights(options.items)
    ids = IdMap(range(1, options.items + 1))
    predictor = SasrecPredictor.from_weights(weights, ids, SasrecConfig())
    registry().store.publish(predictor, activate=True)
    bodies = random_bodies(options)
    (folder / "bodies.json").write_text(json.dumps([json.loads(body) for body in bodies]), encoding="utf-8")


def random_weights(n_items: int, dim: int = 64, blocks: int = 2, places: int = 200) -> dict[str, np.ndarray]:
    """In the shapes of `pytorch_models.sasrec.network.Sasrec`; by it, so that they cannot differ."""
    import torch

    from pytorch_models.sasrec.network import Sasrec, SasrecConfig

    torch.manual_seed(1)
    model = Sasrec(SasrecConfig(n_items, dim, blocks, 2, places))
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def random_bodies(options: argparse.Namespace) -> list[bytes]:
    rng = np.random.default_rng(1)
    return [
        json.dumps(
            {"history": (rng.permutation(options.items)[: options.length] + 1).tolist(), "k": options.k}
        ).encode()
        for _ in range(BODIES)
    ]


# -- in this process ---------------------------------------------------------------------------------------


def in_process(options: argparse.Namespace) -> None:
    from threadpoolctl import threadpool_limits

    from webapp.wsgi import application

    bodies = random_bodies(options)
    with threadpool_limits(1):
        for body in bodies[:20]:
            answer = ask(application, body)
        assert len(answer["recommendations"]) == options.k, answer
        turns = [bodies[number % BODIES] for number in range(options.requests)]
        whole = cpu_ms(lambda: [ask(application, body) for body in turns]) / options.requests
        together = cpu_ms(lambda: ask_together(application, turns)) / options.requests
        parts = cost_of_parts(turns)
    print(f"{options.items:,} films, histories of {options.length}, k = {options.k}, in process")
    print(f"{'one request, whole stack':34} {whole:.3f} CPU-ms")
    print(f"{'one of sixteen together':34} {together:.3f}")
    for name, cost in parts.items():
        print(f"{'  ' + name:34} {cost:.3f}")
    print(f"{'  the rest: WSGI, Django, ninja':34} {whole - sum(parts.values()):.3f}")
    scores = parts["SASRec encoder"] + parts["scores of all films"]
    print_ratio("api_recommend: one request", whole / scores, "its scores of all films")
    if options.profile:
        profile = cProfile.Profile()
        profile.runcall(lambda: [ask(application, body) for body in turns])
        text = io.StringIO()
        pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(40)
        print(text.getvalue())


def cost_of_parts(bodies: list[bytes]) -> dict[str, float]:
    """CPU-ms of what a request consists of, each measured alone."""
    from pydantic_core import from_json

    from movie.api.answers import rank_histories, render_list
    from movie.api.base import json_response
    from movie.api.history_input import request_history
    from movie.api.movie_ids import MovieLookup
    from movie.api.ranking_options import ranking_options
    from movie.api.schemas import RecommendRequest
    from movie.recommendations import micro_batching
    from movie.training.registry import registry

    predictor = registry().get("sasrec")
    wanted = [RecommendRequest.model_validate(from_json(body)) for body in bodies]
    histories = [request_history(each.history) for each in wanted]
    queries = [predictor.encode(history) for history in histories]
    options = [ranking_options(each, MovieLookup(()), []) for each in wanted]
    made = [rank_histories([history], each)[0] for history, each in zip(histories, options, strict=True)]

    def each(work: Callable[[int], object]) -> float:
        return cpu_ms(lambda: [work(place) for place in range(len(bodies))]) / len(bodies)

    parse = each(lambda place: RecommendRequest.model_validate(from_json(bodies[place])))
    encode = each(lambda place: predictor.encode(request_history(wanted[place].history)))
    encoder = each(lambda place: predictor.encode_histories([queries[place].liked]))
    scores = each(lambda place: micro_batching.first_stage(predictor, queries[place]))
    whole_list = each(lambda place: rank_histories([histories[place]], options[place]))
    write = each(lambda place: json_response(render_list(made[place], options[place])))
    return {
        "body: JSON and validation": parse,
        "history to indices": encode,
        "SASRec encoder": encoder,
        "scores of all films": scores - encoder,
        "mask, top k, fallbacks": whole_list - scores - encode / 2,
        "answer: titles and JSON": write,
    }


def ask(application: Application, body: bytes) -> dict[str, Any]:
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": ADDRESS,
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
    }
    response = application(environ, lambda status, headers: None)
    content = b"".join(response)
    response.close()
    return json.loads(content)


def ask_together(application: Application, bodies: list[bytes]) -> None:
    from movie.recommendations.micro_batching import MAX_TOGETHER, run_together

    for start in range(0, len(bodies), MAX_TOGETHER):
        some = bodies[start : start + MAX_TOGETHER]
        for outcome in run_together([partial(ask, application, body) for body in some]):
            if isinstance(outcome, BaseException):
                raise outcome


def cpu_ms(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return 1000 * (time.process_time() - started)


# -- over sockets ------------------------------------------------------------------------------------------


def served(folder: Path, options: argparse.Namespace) -> None:
    """granian with two workers, loaded by wrk: requests a second, waiting times, CPU of the server."""
    import psutil

    if shutil.which("wrk") is None:
        raise CouldNotMeasure("wrk is not installed, so nothing was served")
    port = options.port or free_port()
    command = [sys.executable, "-m", "webapp.server", "--interface", "rsgi", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "2", "--log-level", "warning", "webapp.rsgi:application"]
    server = subprocess.Popen(command, start_new_session=True)
    try:
        wait_until_open(port)
        script = folder / "post.lua"
        script.write_text(lua(random_bodies(options)), encoding="utf-8")
        load(port, script, options, seconds=WARM_SECONDS)
        process = psutil.Process(server.pid)
        before = spent(process)
        said = load(port, script, options, seconds=options.seconds)
        cpu = spent(process) - before
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(15)
    requests = int(said.split(" requests in")[0].split()[-1])
    print(said)
    print(f"{'CPU-ms of the server per request':34} {1000 * cpu / requests:.3f}")


def load(port: int, script: Path, options: argparse.Namespace, seconds: int) -> str:
    command = ["wrk", "--latency", "-t1", f"-c{options.connections}", f"-d{seconds}s", "-s", str(script)]
    command.append(f"http://127.0.0.1:{port}{ADDRESS}")
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def lua(bodies: list[bytes]) -> str:
    listed = ",\n".join(f"'{body.decode()}'" for body in bodies)
    return (
        f"local bodies = {{{listed}}}\n"
        "local place = 0\n"
        "wrk.method = 'POST'\n"
        "wrk.headers['Content-Type'] = 'application/json'\n"
        "request = function()\n"
        "  place = place % #bodies + 1\n"
        "  return wrk.format(nil, nil, nil, bodies[place])\n"
        "end\n"
    )


def spent(process: Any) -> float:
    """CPU-seconds of a process and its children that are alive."""
    return sum(sum(each.cpu_times()[:2]) for each in [process, *process.children(recursive=True)])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_open(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urlopen(f"http://127.0.0.1:{port}/api/v1/movies?page_size=1", timeout=10):
                return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise CouldNotMeasure("granian did not answer within 60 s")


if __name__ == "__main__":
    run(main)
