"""torchferry's tasks: flags in, one call of the pipeline, one printed result. `inv --list` shows them all."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from invoke import Collection, Context, Exit, task

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from torchferry import (  # noqa: E402
    asking,
    cleaning,
    console,
    coverage_report,
    host,
    provision,
    report,
    signing,
    site_table,
    sites,
)
from torchferry import bake as bakes  # noqa: E402
from torchferry import delta as deltas  # noqa: E402
from torchferry import doctor as doctors  # noqa: E402
from torchferry import for_each as for_eachs  # noqa: E402
from torchferry import plan as plans  # noqa: E402
from torchferry import push as pushes  # noqa: E402
from torchferry import ship as ships  # noqa: E402
from torchferry.cargo import Wish  # noqa: E402
from torchferry.delivery import Order  # noqa: E402
from torchferry.errors import FerryError  # noqa: E402
from torchferry.layout import VARIANTS_FILE, Layout  # noqa: E402
from torchferry.pipeline import Road  # noqa: E402

CHOICE = {
    "variant": "one variant (cu121, cpu, ...); repeat for more; none: all",
    "service": "one service; repeat for more; none: all",
    "file": "the variants.yaml of another project; its wheels/, build/ and dist/ lie beside it",
}
ENGINE = {"engine": "auto, direct (no daemon) or docker; before what variants.yaml says"}

DELTA = {
    "json": "one JSON document on stdout",
    "for_": "a delta: a file that sh ferry.sh receipt wrote; repeat for more servers, it then suits them all",
    "since": "a delta: the folder of the release that the servers have, as it lies in dist/",
    "missing": "a delta: the file that sh ferry.sh missing wrote on a server that refused one",
}


def ferry(body: Callable[..., Any]) -> Any:
    """Make a task of ``body``: refusals become one message and an exit status; bugs keep their traceback."""

    @functools.wraps(body)
    def told(context: Context, **options: Any) -> None:
        try:
            body(context, **options)
        except FerryError as error:
            console.show_error(error)
            raise Exit(code=error.exit_code) from error
        except console.NotReadError as error:
            raise Exit(code=console.NOT_READ) from error
        except KeyboardInterrupt as interrupt:
            console.say("interrupted; nothing half-written is left, the same command goes on from here")
            raise Exit(code=130) from interrupt

    return told


def road(file: str | None, engine: str | None = None) -> Road:
    """The project that --file names, else the one beside this tasks.py."""
    return Road.open(Path(file) if file else HERE / VARIANTS_FILE, engine)


@task(help={**ENGINE, "file": CHOICE["file"]})
@ferry
def setup(_context, engine=None, file=None):
    """Install what the chosen engine and base need, or say what to install; start Docker where nothing does."""
    way = road(file, engine)
    bases = [variant.service.base for variant in way.project.variants]
    provision.setup(host.this_host(), engine=way.engine, bases=bases, logs=way.layout.logs)


@task(iterable=["variant", "service"], help={**CHOICE, "json": "one JSON document on stdout"})
@ferry
def variants(_context, variant, service, file=None, json=False):
    """List the images that variants.yaml asks for."""
    way = road(file)
    report.variants(way, way.named(variant, service), as_json=json)


@task(iterable=["variant", "service"], help={
    **CHOICE, "json": "one JSON document on stdout",
    "imports": "also what the source imports, held against the lock's wheels; nothing is fetched",
    "libraries": "instead: fetch the wheels, and look whether their libraries fit together, the base, and compat.yaml",
    "refresh-compat": "instead: how the table of releases differs from what the indexes offer today",
})
@ferry
def check(_context, variant, service, file=None, json=False, imports=False, libraries=False,
          refresh_compat=False):
    """Refuse what cannot exist, before anything is downloaded; warn of what is pointless."""
    way = road(file)
    if refresh_compat:
        report.offers(way, as_json=json)
    elif libraries:
        report.libraries(way.audit(way.select(variant, service)), as_json=json)
    else:
        report.check(way, way.named(variant, service), imports=imports, as_json=json)


@task(iterable=["variant", "service"], help={
    **CHOICE, "hosts": "a fleet to lay over it: CSV with the columns host, driver, gpu; - reads stdin",
    "out": "where the page goes; none: build/coverage.html",
})
@ferry
def coverage(_context, variant, service, file=None, hosts=None, out=None):
    """Show which variant runs on which driver and GPU, as a table and as a page; with a fleet, which it needs."""
    way = road(file)
    coverage_report.show(way, way.select(variant, service), hosts=hosts, out=out)


@task(iterable=["variant", "gpu"], help={
    "smi": "a file with what nvidia-smi printed, in any form; - reads stdin",
    "driver": "the driver version by hand, as nvidia-smi prints it",
    "gpu": "the name of a GPU by hand; repeat for more",
    "error": "a file with an error message; - reads stdin",
    "report": "a file with what `sh ferry.sh report` wrote on a server; - reads stdin",
    "scenarios": "the decision table for the project's variants", "json": "one JSON document on stdout",
    "variant": "only these variants", "file": CHOICE["file"],
})
@ferry
def doctor(_context, gpu, variant, smi=None, driver=None, error=None, report=None, scenarios=False, json=False,
           file=None):
    """Say which variant runs on a server, why, and what to do: from this machine, or what was pasted from another."""
    way = road(file)
    asked = doctors.Asked(smi=smi, driver=driver, gpus=tuple(gpu), error=error, report=report, scenarios=scenarios)
    status = doctors.consult(asked, way.named(variant, []), way.compat, as_json=json)
    if status:
        raise Exit(code=status)


@task(iterable=["variant", "service"], help={**CHOICE, **ENGINE, "json": "one JSON document on stdout"})
@ferry
def plan(_context, variant, service, file=None, engine=None, json=False):
    """Say what is current, what will be done, and whether it fits: bytes, disk, minutes to ship."""
    way = road(file, engine)
    made = plans.make_plan(way, way.select(variant, service))
    console.show_json(made.as_json()) if json else console.show(plans.as_text(made))


@task(iterable=["variant", "service"], help={**CHOICE, **ENGINE, "upgrade": "move the pins to the newest that fit"})
@ferry
def lock(_context, variant, service, file=None, engine=None, upgrade=False):
    """Resolve every wheel of each image for the target, by hash."""
    way = road(file, engine)
    for chosen in way.select(variant, service):
        way.lock(chosen, renew=True, upgrade=upgrade)
    report.done(way, then="inv fetch")


@task(iterable=["variant", "service"], help={**CHOICE, **ENGINE})
@ferry
def fetch(_context, variant, service, file=None, engine=None):
    """Download the locked wheels into wheels/<variant>/."""
    way = road(file, engine)
    for chosen in way.select(variant, service):
        way.fetch(chosen, way.lock(chosen))
    report.done(way, then="inv build")


@task(iterable=["variant", "service"], help={**CHOICE, **ENGINE})
@ferry
def render(_context, variant, service, file=None, engine=None):
    """Write build/<service>-<variant>/: the Dockerfile and exactly the files it names."""
    way = road(file, engine)
    for chosen in way.select(variant, service):
        way.render(chosen, way.fetch(chosen, way.lock(chosen)))
    report.done(way, then="inv build")


@task(iterable=["variant", "service"], help={**CHOICE, **ENGINE})
@ferry
def bake(_context, variant, service, file=None, engine=None):
    """Render, and write build/docker-bake.json: the same images by any buildx builder, remote or in Kubernetes."""
    way = road(file, engine)
    bakes.show(way, bakes.write(way, way.select(variant, service)))


@task(iterable=["variant", "service"], help={**CHOICE, **ENGINE})
@ferry
def build(_context, variant, service, file=None, engine=None):
    """Build the images."""
    way = road(file, engine)
    for chosen in way.select(variant, service):
        way.image(chosen)
    report.done(way, then="inv smoke, then inv package")


@task(iterable=["variant", "service"], help={**CHOICE, **ENGINE})
@ferry
def smoke(_context, variant, service, file=None, engine=None):
    """Run each image without network and check what its variant promises."""
    way = road(file, engine)
    for chosen in way.select(variant, service):
        way.smoke(chosen, *way.image(chosen))
    report.done(way, then="inv package")


@task(auto_shortflags=False, iterable=["variant", "service", "for_"], help={**CHOICE, **ENGINE, **DELTA})
@ferry
def package(_context, variant, service, for_, since=None, missing=None, file=None, engine=None, json=False):
    """Turn images into archives in dist/ that `docker load` takes."""
    way = road(file, engine)
    held = deltas.held(way.project.release, receipts=for_, since=since, missing=missing)
    made = way.package(way.wanted(variant, service, held), smoked=False, held=held)
    report.shipped(way, made, held=held, as_json=json)


@task(auto_shortflags=False, iterable=["variant", "service", "for_"], help={**CHOICE, **ENGINE, **DELTA})
@ferry
def bundle(_context, variant, service, for_, since=None, missing=None, file=None, engine=None, json=False):
    """The whole road: lock, fetch, render, build, smoke, package; or a delta, without what the servers hold."""
    way = road(file, engine)
    held = deltas.held(way.project.release, receipts=for_, since=since, missing=missing)
    made = way.package(way.wanted(variant, service, held), smoked=True, held=held)
    report.shipped(way, made, held=held, as_json=json)


@task(help={"principal": "the name under which sites trust the key; none: release@ and the release's name",
            "file": CHOICE["file"]})
@ferry
def key(_context, principal=None, file=None):
    """Make the key that signs releases, or show again what sites put into allowed_signers to trust it."""
    signing.introduce(signing.key_place(), principal or f"release@{road(file).project.release.name}")


@task(positional=["host"], auto_shortflags=False, iterable=["variant", "service"], help={
    **CHOICE, "host": "[user@]host, [user@]host:folder as ssh takes them, a folder with a slash in it; commas between",
    "auto": "ask each host which variant runs there, and send only that",
    "up": "run ferry.sh up there afterwards, and keep what the host holds then in sites/",
    "receipt": "keep what the host holds in sites/, also without --up",
    "for-each": "ask each host what it holds and runs, and send it a delta of its own, made now",
    "from_": "a release folder that arrived here, to be verified and shipped on; none: this project's, in dist/",
    "ssh-config": "an ssh configuration in place of your own",
})
@ferry
def ship(_context, host, variant, service, auto=False, up=False, receipt=False, for_each=False, from_=None,
         ssh_config=None, file=None):
    """Carry a release to servers and sticks, side by side; what is there is not sent again."""
    wish, hosts = Wish(variants=tuple(variant), services=tuple(service)), host.split(",")
    config = Path(ssh_config) if ssh_config else None
    if for_each:
        arrivals = for_eachs.carry(road(file), hosts, wish, up=up, config=config)
    else:
        release = ships.arrived(Path(from_)) if from_ else ships.made(road(file))
        arrivals = ships.ship(Order(cargo=release, wish=wish, auto=auto, up=up, receipt=receipt), hosts, config=config)
    ships.keep_receipts(arrivals, Layout(root=Path(file).absolute().parent if file else HERE))
    ships.show(arrivals)


@task(auto_shortflags=False, iterable=["add"], help={
    "ask": "[user@]host, commas between: fetch the receipt over ssh; nothing is sent there and nothing changed",
    "ssh-config": "an ssh configuration in place of your own",
    "add": "a file that `sh ferry.sh receipt` wrote on a server, to be kept in sites/; repeat for more",
    "name": "keep it under this name, where several servers call themselves the same",
    "json": "one JSON document on stdout", "file": CHOICE["file"],
})
@ferry
def site(_context, add, ask=None, name=None, json=False, ssh_config=None, file=None):
    """Say what each server holds and runs by its last receipt, and what it needs of this project's release."""
    way = road(file)
    sites.add(add, way.layout, name=name)
    if ask:
        script = asking.script_in(way.layout, way.project.release.name)
        asking.ask(ask.split(","), way.layout, script, config=Path(ssh_config) if ssh_config else None)
    site_table.show(way, as_json=json)


@task(positional=["registry"], iterable=["variant", "service"], help={
    **CHOICE, "registry": "HOST[:PORT][/PREFIX]; logged in to as docker and skopeo are",
    "plain-http": "speak HTTP without TLS, as is always done with localhost",
})
@ferry
def push(_context, registry, variant, service, plain_http=False, file=None):
    """Put the packed images into a registry, from which servers and clusters pull; what is there is not sent again."""
    way, where = road(file), pushes.place(registry, plain_http=plain_http)
    pushes.show(pushes.push(way, way.select(variant, service), where, named=bool(variant or service)))


@task(help={"file": CHOICE["file"], "wheels": "also the downloaded wheels", "images": "also the images in Docker"})
@ferry
def clean(_context, file=None, wheels=False, images=False):
    """Remove what torchferry made in build/ and this release in dist/; locks stay, and all that is yours."""
    way = road(file)
    freed = cleaning.clean(way.project, way.layout, wheels=wheels)
    report.cleaned(freed, way.remove_images() if images else ())


@task(help={
    "only": "one folder or file of tests", "workers": "how many at once",
    "real": "the tests with real wheels, after `inv package --engine docker` and `inv bundle` of cu121",
})
@ferry
def test(context, only="tests", workers="2", real=False):
    """Run the tests; the last line counts what was skipped, the lines before it say why."""
    chosen = ["-m", "real", "tests/real"] if real else ["-n", str(int(workers)), "--dist", "loadgroup", only]
    with context.cd(str(HERE)):
        command = shlex.join([sys.executable, "-m", "pytest", *chosen])
        done = context.run(command, warn=True, in_stream=False)
    raise Exit(code=done.exited)


@task
@ferry
def lint(context):
    """ruff and mypy --strict."""
    with context.cd(str(HERE)):
        results = [
            context.run(f"{sys.executable} -m {tool}", warn=True, in_stream=False)
            for tool in ("ruff check .", "mypy --strict torchferry")
        ]
    if any(result.exited for result in results):
        raise Exit(code=1)


namespace = Collection(
    setup, variants, check, coverage, doctor, plan, lock, fetch, render, bake, build, smoke, package, bundle, key,
    ship, site, push, clean, test, lint,
)
